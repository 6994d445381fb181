/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -o pin: everything that may take its time is done before there is a mount.
 *
 *   pin         maps of all images loaded and kept; memory locked
 *   pin=alloc   and no hole is left in them
 *
 * So that a write inside an image never allocates, neither blocks nor memory,
 * and the kernel can swap to it.
 *
 * All or nothing: what cannot succeed is not begun, what fails, or is
 * interrupted, is given back, also when it is the mount that fails. Only a crash
 * leaves a part, which is sound, and which the next mount completes.
 */
#include "engine_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/base/progress.h>
#include <rawmap/base/text.h>

#include <errno.h>

struct watcher {
	struct session *s;
	struct progress progress;
};

static bool watch(void *ctx, uint64_t done, uint64_t total)
{
	struct watcher *w = ctx;

	progress_step(&w->progress, done, total);
	return !fuse_session_exited(w->s->se);
}

static const char *path_of(struct session *s, guint i)
{
	return hostfile_path(image_file(g_ptr_array_index(s->images, i)));
}

static bool failed(struct session *s, guint i, int err, const char *what,
		   GError **error)
{
	if (err == -ECANCELED)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "interrupted; nothing is mounted");
	else
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot %s '%s' of '%s'", what, path_of(s, i),
				s->source);
	return false;
}

static bool pin_maps(struct session *s, GError **error)
{
	struct watcher w = { .s = s };
	const struct image_watch watcher = { watch, &w };
	int err = 0;
	guint i;

	for (i = 0; i < s->images->len && !err; i++) {
		progress_begin(&w.progress, "loading the map", PROGRESS_BYTES);
		err = image_pin(g_ptr_array_index(s->images, i), &watcher);
		progress_end(&w.progress);
	}
	return !err || failed(s, i - 1, err, "load the map of", error);
}

static bool no_room(struct session *s, uint64_t need, uint64_t room,
		    GError **error)
{
	unsigned bits = hostfs_block_bits(s->fs);
	g_autofree char *more = text_format_size(need << bits);
	g_autofree char *left = text_format_size(room << bits);

	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'pin=alloc' needs %s for holes, and '%s' has %s left; "
		    "free some, or leave the option out",
		    more, s->source, left);
	return false;
}

/* What the maps themselves take on top is little, and not known. */
static bool check_room(struct session *s, GError **error)
{
	uint64_t need = 0, room = hostfs_available(s->fs);

	for (guint i = 0; i < s->images->len; i++) {
		uint64_t holes;
		int err = image_count_holes(g_ptr_array_index(s->images, i),
					    &holes);

		if (err)
			return failed(s, i, err, "read the map of", error);
		need += holes;
	}
	return need <= room || no_room(s, need, room, error);
}

static void give_back(struct session *s)
{
	int err = 0;

	for (guint i = 0; i < s->filled->len && !err; i++)
		err = image_give_back(g_ptr_array_index(s->images, i),
				      g_ptr_array_index(s->filled, i));
	if (err)
		log_warning("blocks that were allocated in '%s' stay so, and "
			    "hold zeros: %s",
			    s->source, g_strerror(-err));
}

static int fill(struct session *s)
{
	struct watcher w = { .s = s };
	const struct image_watch watcher = { watch, &w };
	int err = 0;

	for (guint i = 0; i < s->images->len && !err; i++) {
		GArray *holes =
			g_array_new(FALSE, FALSE, sizeof(struct extent));

		g_ptr_array_add(s->filled, holes);
		progress_begin(&w.progress, "filling holes", PROGRESS_BYTES);
		err = image_fill_holes(g_ptr_array_index(s->images, i), holes,
				       &watcher);
		progress_end(&w.progress);
	}
	/* Nobody will write metadata again, so the host may say "clean". */
	if (!err)
		err = hostfs_settle(s->fs);
	return !err && fuse_session_exited(s->se) ? -ECANCELED : err;
}

static bool fill_holes(struct session *s, GError **error)
{
	int err;

	if (!check_room(s, error))
		return false;
	s->filled =
		g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
	err = fill(s);
	return !err ||
	       failed(s, s->filled->len - 1, err, "fill the holes of", error);
}

bool pinning_do(struct session *s, GError **error)
{
	if (!pin_maps(s, error) ||
	    (s->pin == MOUNT_PIN_ALLOC && !fill_holes(s, error)))
		return false;
	hygiene_pin(s);
	return true;
}

void pinning_keep(struct session *s)
{
	g_clear_pointer(&s->filled, g_ptr_array_unref);
}

void pinning_undo(struct session *s)
{
	if (s->filled)
		give_back(s);
	pinning_keep(s);
}
