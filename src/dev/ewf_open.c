/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening an EWF image: what it is, which files belong to it, whether they are
 * all there, and how large the disk was.
 *
 * Two hands are on each segment file: a file device, for the lock and for a
 * look at the sections, and libewf, which opens files by itself, by name and
 * when it needs them. So names are absolute, whatever the working directory
 * becomes.
 *
 *   where the sections of a file lead to     the image
 *   "next", and there is a next one          goes on
 *   "next", and there is none                lacks a file: not opened
 *   "done", in the last one                  is complete
 *   nowhere (cut off, or damaged)            ends before that: opened, with a
 *                                            warning; files behind it are left
 *                                            alone, see ewf_walk.c
 *
 * The second format is not walked: of that only complete images are opened.
 */
#include "ewf_priv.h"

#include <rawmap/base/error.h>

static void refuse_logical(const char *path, GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "'%s' is a logical evidence file (L01), which holds files; "
		    "rawmap needs the image of a disk",
		    path);
}

#ifdef HAVE_LIBEWF

#include "dev_priv.h"
#include "openfiles.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/filedev.h>

#include <inttypes.h>
#include <string.h>

/* Of what the library looks at without asking whether it is there. */
#define NAME_MIN 6

/* The largest that ewfacquire makes: 32768 sectors of 4096 bytes. */
#define CHUNK_MAX (UINT64_C(128) << 20)
/*
 * How many chunks an image may say it has: libewf takes 8 bytes for each. One
 * that is cut off has fewer, but not that much fewer.
 */
#define CHUNKS_ANY     (UINT64_C(1) << 25)
#define CHUNKS_FOR_ONE 1024

/* Not canonical: what .. means is up to symbolic links. */
static char *absolute_name(const char *path)
{
	g_autofree char *here = g_get_current_dir();

	return g_path_is_absolute(path) ? g_strdup(path)
					: g_build_filename(here, path, NULL);
}

/*
 * All segments that are there, @path first. libewf knows how they are called,
 * if @path is called so; else @path is taken for the only one.
 */
static char **segment_names(const char *path)
{
	g_autofree char *absolute = absolute_name(path);
	GPtrArray *names = g_ptr_array_new();
	char **found = NULL;
	int n = 0;

	if (strlen(absolute) < NAME_MIN ||
	    libewf_glob(absolute, strlen(absolute), LIBEWF_FORMAT_UNKNOWN,
			&found, &n, NULL) != 1 ||
	    n < 1 || strcmp(found[0], absolute))
		g_ptr_array_add(names, g_strdup(absolute));
	else
		for (int i = 0; i < n; i++)
			g_ptr_array_add(names, g_strdup(found[i]));
	if (found)
		libewf_glob_free(found, n, NULL);
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_free(names, FALSE);
}

static bool hold_segments(struct ewf *e, char **names, GError **error)
{
	static const struct filedev_options opt = {
		.readonly = true,
		.direct = FILEDEV_DIRECT_OFF,
		.lock = true,
	};

	for (size_t i = 0; names[i]; i++) {
		struct blkdev *dev = filedev_open(names[i], &opt, error);

		if (!dev)
			return false;
		g_ptr_array_add(e->held, dev);
	}
	return true;
}

/* Adds to  what the image says, as far as it goes. False: a file is missing. */
static bool walk_segments(struct ewf *e, char **names,
			  struct ewf_claims *claims, GError **error)
{
	unsigned n = e->held->len, i = 0;
	enum ewf_end end;

	do {
		end = ewf_walk(e->held->pdata[i++], claims);
	} while (end == EWF_END_NEXT && i < n);
	if (end == EWF_END_NEXT) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "segment %u of '%s' is missing: '%s' says that "
			    "another one follows",
			    n + 1, names[0], names[n - 1]);
		return false;
	}
	e->details.segments = i;
	e->details.complete = end == EWF_END_DONE;
	return true;
}

/* Is it worth the memory that the library would take for it? */
static bool check_claims(const struct ewf_claims *c, const char *path,
			 GError **error)
{
	if (!c->any && c->chunk <= CHUNK_MAX &&
	    c->wanted <= CHUNKS_ANY + c->backed * CHUNKS_FOR_ONE)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "'%s' says that it has %" PRIu64 " chunks of %" PRIu64
		    " bytes, and its tables that they know %" PRIu64
		    ": that makes no sense, and would take all memory",
		    path, c->wanted, c->chunk, c->backed);
	return false;
}

static bool fail(const char *path, libewf_error_t **why, GError **error)
{
	g_autofree char *reason = ewf_take_reason(why);

	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "libewf %s cannot read '%s': %s", libewf_get_version(),
		    path, reason);
	return false;
}

static bool open_handle(struct ewf *e, char **names, GError **error)
{
	libewf_error_t *why = NULL;
	int corrupted;

	if (libewf_handle_initialize(&e->handle, &why) != 1 ||
	    libewf_handle_open(e->handle, names, (int)e->details.segments,
			       LIBEWF_OPEN_READ, &why) != 1)
		return fail(names[0], &why, error);
	corrupted = libewf_handle_segment_files_corrupted(e->handle, &why);
	if (corrupted < 0)
		return fail(names[0], &why, error);
	if (!corrupted || !e->details.complete)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "libewf finds the segments of '%s' damaged or incomplete; "
		    "ewfrecover may help",
		    names[0]);
	return false;
}

/*
 * The tables of an S01 have no checksums: where one is damaged, sound chunks
 * would be read where others belong.
 */
static bool is_disk(struct ewf *e, const char *path, GError **error)
{
	libewf_error_t *why = NULL;
	uint8_t format;

	if (libewf_handle_get_format(e->handle, &format, &why) != 1)
		return fail(path, &why, error);
	switch (format) {
	case LIBEWF_FORMAT_SMART:
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' has the format of SMART (S01), which rawmap "
			    "does not read; ewfexport makes a raw image of it",
			    path);
		return false;
	case LIBEWF_FORMAT_LOGICAL_ENCASE5:
	case LIBEWF_FORMAT_LOGICAL_ENCASE6:
	case LIBEWF_FORMAT_LOGICAL_ENCASE7:
		refuse_logical(path, error);
		return false;
	default:
		return true;
	}
}

static bool measure(struct ewf *e, const char *path, GError **error)
{
	struct blkdev_geometry geo = { .align = 1, .readonly = true };
	libewf_error_t *why = NULL;
	uint32_t sector;

	if (libewf_handle_get_media_size(e->handle, &geo.size, &why) != 1 ||
	    libewf_handle_get_bytes_per_sector(e->handle, &sector, &why) != 1 ||
	    libewf_handle_get_chunk_size(e->handle, &e->chunk, &why) != 1 ||
	    libewf_handle_get_sectors_per_chunk(e->handle, &e->chunk_sectors,
						&why) != 1)
		return fail(path, &why, error);
	if (!geo.size || geo.size > INT64_MAX || !e->chunk ||
	    !e->chunk_sectors) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s' does not tell how large the disk was, or "
			    "nothing that makes sense",
			    path);
		return false;
	}
	geo.sector = filedev_align_is_usable(sector)
			     ? (uint32_t)u64_max(sector, SECTOR_MIN)
			     : SECTOR_MIN;
	blkdev_init(&e->dev, &ewf_ops, &geo);
	return true;
}

/* @chunks: found in the tables. */
static bool check_chunks(struct ewf *e, uint64_t chunks, char **names,
			 GError **error)
{
	uint64_t size = e->dev.geo.size;
	uint64_t wanted = size / e->chunk + (size % e->chunk != 0);

	if (e->details.complete && chunks != wanted) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s' has to have %" PRIu64 " chunks, and has "
			    "%" PRIu64 "; ewfrecover may help",
			    names[0], wanted, chunks);
		return false;
	}
	if (e->details.complete)
		return true;
	if (chunks < wanted)
		e->end = chunks * e->chunk;
	log_warning("'%s' is damaged or cut off: the image can be read up to "
		    "byte %" PRIu64 " of %" PRIu64,
		    names[e->details.segments - 1], e->end, size);
	return true;
}

/* Nothing is known of the second format but what libewf says. */
static bool settle(struct ewf *e, bool second, char **names, GError **error)
{
	struct ewf_claims claims = { .chunks = 0 };

	e->details.segments = e->held->len;
	e->details.complete = true;
	if (!second && (!walk_segments(e, names, &claims, error) ||
			!check_claims(&claims, names[0], error)))
		return false;
	if (!open_handle(e, names, error) || !is_disk(e, names[0], error) ||
	    !measure(e, names[0], error))
		return false;
	e->end = e->dev.geo.size;
	return second || check_chunks(e, claims.chunks, names, error);
}

static struct blkdev *open_image(const char *path, const struct ewf_head *head,
				 GError **error)
{
	g_auto(GStrv) names = segment_names(path);
	struct ewf *e;

	if (!openfiles_allow(path, 2 * g_strv_length(names), error))
		return NULL;
	e = g_new0(struct ewf, 1);
	e->held = g_ptr_array_new_with_free_func((GDestroyNotify)blkdev_unref);
	mutex_init(&e->lock);
	if (!hold_segments(e, names, error) ||
	    !settle(e, head->second, names, error)) {
		ewf_ops.close(&e->dev);
		return NULL;
	}
	ewf_details_read(e->handle, &e->details);
	return &e->dev;
}

#else

static struct blkdev *open_image(const char *path, const struct ewf_head *head,
				 GError **error)
{
	(void)head;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "'%s' is an EWF image, and this rawmap was built without "
		    "libewf; ewfexport makes a raw image of it",
		    path);
	return NULL;
}

#endif

struct blkdev *ewf_open(const char *path, GError **error)
{
	struct ewf_head head;

	if (!ewf_head_read(path, &head)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is not an EWF image", path);
		return NULL;
	}
	if (head.logical) {
		refuse_logical(path, error);
		return NULL;
	}
	if (head.segment != 1) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "'%s' is segment %u of an EWF image; name the "
			    "first one, which ends in .E01",
			    path, head.segment);
		return NULL;
	}
	return open_image(path, &head, error);
}
