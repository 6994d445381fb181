/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Truncation. The lock reaches from the smaller size's block to LBLK_END: it
 * waits for every I/O on what goes away and keeps growing writes out.
 *
 * Setting the size, also to what it is, removes blocks that were allocated
 * behind it, as ftruncate(2) does. Blocks go before the size does: should only
 * a part be committed, the file is a sparse one of the old size, never one with
 * blocks behind its end.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

static int shrink_locked(struct image *img, uint64_t size)
{
	lblk first = lblk_of_img_ceil(img_off_at(size), img->bits);
	int err = image_zero_mapped(img, size, first.v << img->bits);

	if (!err && first.v < LBLK_END)
		err = image_steps(img, hostfile_punch, first,
				  LBLK_END - first.v);
	return err;
}

int image_truncate(struct image *img, uint64_t size)
{
	struct rangelock_hold hold;
	uint64_t old = 0;
	int err = image_may_write(img);

	if (err)
		return err;
	if (size > hostfile_max_size(img->hf))
		return -EFBIG;
	(void)image_lock_range(img, &hold, RANGELOCK_CHANGE, size, UINT64_MAX,
			       0, &old);
	if (size > old)
		err = image_zero_mapped(img, old, size);
	else
		err = shrink_locked(img, size);
	if (!err)
		err = hostfile_set_size(img->hf, size);
	rangelock_drop(&img->ranges, &hold);
	return image_changed(img, err);
}
