/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where things are: the map, and the lock that a change of a range needs. */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

int image_map_at(struct image *img, lblk at, uint64_t max, unsigned flags,
		 struct extent *ret)
{
	if (at.v >= LBLK_END) {
		/* A size that no map can reach: nothing is there. */
		*ret = (struct extent){ at, max, { 0 }, EXTENT_HOLE };
		return 0;
	}
	max = u64_min(max, LBLK_END - at.v);
	if (flags & IMAGE_NOWAIT)
		return extmap_lookup(img->map, at, max, ret) ? 0 : -EAGAIN;
	return hostfile_map_at(img->hf, at, max, ret);
}

bool image_take(struct image *img, struct rangelock_hold *hold,
		enum rangelock_mode mode, lblk start, uint64_t len,
		unsigned flags)
{
	if (flags & (IMAGE_NOWAIT | IMAGE_TRYLOCK))
		return rangelock_try(&img->ranges, hold, mode, start, len);
	rangelock_take(&img->ranges, hold, mode, start, len);
	return true;
}

bool image_lock_range(struct image *img, struct rangelock_hold *hold,
		      enum rangelock_mode mode, uint64_t from, uint64_t to,
		      unsigned flags, uint64_t *ret_size)
{
	for (;;) {
		uint64_t size = image_size(img);
		bool whole = to > size;
		uint64_t low = whole ? u64_min(from, size) : from;
		lblk start = lblk_of_img_floor(img_off_at(low), img->bits);
		lblk stop = lblk_of_img_ceil(img_off_at(to), img->bits);

		start.v = u64_min(start.v, LBLK_END - 1);
		stop.v = whole ? LBLK_END : u64_min(stop.v, LBLK_END);
		if (!image_take(img, hold, mode, start, stop.v - start.v,
				flags))
			return false;
		/* The size may have changed before the lock was granted. */
		size = image_size(img);
		if (whole ? size >= low : size >= to) {
			*ret_size = size;
			return true;
		}
		rangelock_drop(&img->ranges, hold);
	}
}

int image_steps(struct image *img, image_step_fn step, lblk start, uint64_t len)
{
	while (len) {
		uint64_t done = 0;
		int err = step(img->hf, start, len, &done);

		if (err)
			return err;
		g_return_val_if_fail(done > 0 && done <= len, -EIO);
		start = lblk_add(start, done);
		len -= done;
	}
	return 0;
}
