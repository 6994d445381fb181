/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image that is ready before it is used.
 *
 *   pinned     its map is in memory, all of it, and never evicted
 *   filled     no hole, nothing unwritten: a write has nowhere to allocate
 *
 * Both in steps that are short, each under the locks that a load or a fill
 * takes: readers, writers and commits go on between them. An unwritten block
 * would do for space, but its first write changes the map, in a transaction;
 * so it is made a written one.
 *
 * A fill that ends early leaves what its steps have published, which is sound
 * at any moment; image_give_back() undoes it where somebody is left to do so.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

/* Blocks whose map is loaded between two looks at the watch. */
#define PIN_STEP 65536
/* Bytes of zeros between two of them. */
#define FILL_STEP (UINT64_C(4) << 20)

static uint64_t blocks_of(const struct image *img)
{
	uint64_t size = image_size(img);

	return u64_min(lblk_of_img_ceil(img_off_at(size), img->bits).v,
		       LBLK_END);
}

static int watched(const struct image *img, const struct image_watch *w,
		   uint64_t done, uint64_t blocks)
{
	if (!w || w->step(w->ctx, done << img->bits, blocks << img->bits))
		return 0;
	return -ECANCELED;
}

int image_pin(struct image *img, const struct image_watch *w)
{
	uint64_t blocks = blocks_of(img), n;
	int err = 0;

	extmap_pin(img->map, lblk_at(0), LBLK_END);
	/* It learns where the journal lies when it is asked first. */
	if (!img->readonly)
		err = hostfs_guard(img->fs, dev_off_at(0), 0);
	for (uint64_t at = 0; at < blocks && !err; at += n) {
		n = u64_min(PIN_STEP, blocks - at);
		err = hostfile_populate(img->hf, lblk_at(at), n);
		if (!err)
			err = watched(img, w, at + n, blocks);
	}
	if (err)
		extmap_unpin(img->map, lblk_at(0), LBLK_END);
	return err;
}

int image_count_holes(struct image *img, uint64_t *ret_blocks)
{
	return image_holes_in(img, 0, image_size(img), ret_blocks);
}

/* Neighbours are one: as few as there were holes. */
static void note_filled(GArray *filled, const struct extent *e, uint64_t len)
{
	struct extent run = { .start = e->start, .len = len };
	struct extent *last =
		filled->len
			? &g_array_index(filled, struct extent, filled->len - 1)
			: NULL;

	if (last && extent_end(last) == run.start.v)
		last->len += len;
	else
		g_array_append_val(filled, run);
}

/* Of the blocks [@at, @stop): *ret_done of them have been seen to. */
static int fill_some(struct image *img, uint64_t at, uint64_t stop,
		     GArray *filled, uint64_t *ret_done)
{
	struct extent e;
	int err = image_map_at(img, lblk_at(at), stop - at, 0, &e);

	if (err)
		return err;
	*ret_done = e.len;
	if (e.state == EXTENT_MAPPED)
		return 0;
	err = image_fill_zeroed(img, &e, 0, ret_done);
	if (!err && e.state == EXTENT_HOLE)
		note_filled(filled, &e, *ret_done);
	return err;
}

/* The same under the lock of a write that fills; the size may have changed. */
static int fill_locked(struct image *img, uint64_t at, GArray *filled,
		       uint64_t *ret_done)
{
	struct rangelock_hold hold;
	uint64_t from = at << img->bits, size, stop;
	uint64_t to = u64_min(from + FILL_STEP, image_size(img));
	int err = 0;

	(void)image_lock_range(img, &hold, RANGELOCK_FILL, from,
			       u64_max(to, from + 1), 0, &size);
	stop = u64_min(at + (FILL_STEP >> img->bits), blocks_of(img));
	*ret_done = 0;
	if (at < stop)
		err = fill_some(img, at, stop, filled, ret_done);
	rangelock_drop(&img->ranges, &hold);
	return err;
}

int image_fill_holes(struct image *img, GArray *filled,
		     const struct image_watch *w)
{
	uint64_t done;
	int err = image_may_write(img);

	if (err)
		return err;
	__atomic_store_n(&img->keeps_blocks, true, __ATOMIC_RELAXED);
	for (uint64_t at = 0; at < blocks_of(img) && !err; at += done) {
		err = fill_locked(img, at, filled, &done);
		if (!err)
			err = watched(img, w, at + done, blocks_of(img));
	}
	return err == -ECANCELED ? err : image_changed(img, err);
}

int image_give_back(struct image *img, const GArray *filled)
{
	int err = 0;

	__atomic_store_n(&img->keeps_blocks, false, __ATOMIC_RELAXED);
	for (guint i = 0; i < filled->len && !err; i++) {
		const struct extent *run =
			&g_array_index(filled, struct extent, i);
		struct rangelock_hold hold;

		rangelock_take(&img->ranges, &hold, RANGELOCK_CHANGE,
			       run->start, run->len);
		err = image_steps(img, hostfile_punch, run->start, run->len);
		rangelock_drop(&img->ranges, &hold);
	}
	return image_changed(img, err);
}
