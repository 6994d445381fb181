/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving blocks back. The CHANGE lock has waited for every I/O on the range, so
 * no write that was issued before can land in a block that somebody else gets.
 *
 * Parts of blocks are zeroed in place. Where the range reaches the end of the
 * image, the last block goes as a whole: nobody sees the bytes behind the end.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

static int punch_locked(struct image *img, uint64_t pos, uint64_t end,
			uint64_t size)
{
	lblk first = lblk_of_img_ceil(img_off_at(pos), img->bits);
	lblk stop = end == size ? lblk_of_img_ceil(img_off_at(end), img->bits)
				: lblk_of_img_floor(img_off_at(end), img->bits);
	int err;

	if (first.v > stop.v)
		return image_zero_mapped(img, pos, end);
	err = image_zero_mapped(img, pos, u64_min(first.v << img->bits, end));
	if (!err)
		err = image_zero_mapped(img, stop.v << img->bits, end);
	if (!err)
		err = image_steps(img, hostfile_punch, first, stop.v - first.v);
	return err;
}

int image_punch(struct image *img, img_off pos, uint64_t len)
{
	struct rangelock_hold hold;
	uint64_t size = 0, end;
	int err = image_may_write(img);

	if (err)
		return err;
	if (image_keeps_blocks(img))
		return -EOPNOTSUPP;
	if (!u64_add(pos.v, len, &end))
		end = UINT64_MAX;
	if (!len || pos.v >= image_size(img))
		return 0;
	(void)image_lock_range(img, &hold, RANGELOCK_CHANGE, pos.v, end, 0,
			       &size);
	end = u64_min(end, size);
	if (pos.v < end)
		err = punch_locked(img, pos.v, end, size);
	rangelock_drop(&img->ranges, &hold);
	if (!err) {
		image_add(&img->stats.punches, 1);
		image_add(&img->stats.punch_bytes, len);
	}
	return image_changed(img, err);
}
