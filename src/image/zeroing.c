/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zeros on the device, where the image has blocks that must read as zeros.
 *
 * Whole blocks go to the device as a request for zeros, parts of a block as
 * bytes: a source that zeroes only whole sectors need not be asked for less.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

/* Less than a block. */
static int zero_part(struct image *img, dev_off pos, uint64_t len)
{
	uint64_t align = blkdev_geometry(img->dev)->align;
	uint64_t room = align_ceil(image_block_size(img), align);
	void *zeros;
	int err;

	if (!len)
		return 0;
	zeros = bytes_aligned_new(room, align);
	err = blkdev_pwrite(img->dev, zeros, len, pos);
	bytes_aligned_free(zeros);
	return err;
}

int image_zero_dev(struct image *img, dev_off pos, uint64_t len)
{
	uint64_t mask = image_block_size(img) - 1;
	uint64_t head = u64_min(-pos.v & mask, len);
	uint64_t tail = (len - head) & mask;
	uint64_t body = len - head - tail;
	int err = hostfs_guard(img->fs, pos, len);

	if (!err)
		err = zero_part(img, pos, head);
	pos = dev_off_add(pos, head);
	if (!err && body)
		err = image_keeps_blocks(img)
			      ? blkdev_write_zeros(img->dev, body, pos)
			      : blkdev_zero(img->dev, body, pos);
	pos = dev_off_add(pos, body);
	if (!err)
		err = zero_part(img, pos, tail);
	return err;
}

int image_zero_mapped(struct image *img, uint64_t from, uint64_t to)
{
	bool wrote = false;

	while (from < to) {
		lblk at = lblk_of_img_floor(img_off_at(from), img->bits);
		uint64_t skip = from & (image_block_size(img) - 1);
		uint64_t max = ((skip + (to - from) - 1) >> img->bits) + 1;
		struct extent e;
		uint64_t n;
		int err = image_map_at(img, at, max, 0, &e);

		if (err)
			return err;
		n = u64_min((e.len << img->bits) - skip, to - from);
		if (e.state == EXTENT_MAPPED) {
			dev_off pos = dev_of_pblk(e.phys, img->bits);

			err = image_zero_dev(img, dev_off_add(pos, skip), n);
			if (err)
				return err;
			wrote = true;
		}
		from += n;
	}
	if (wrote)
		image_note_write(img);
	return 0;
}
