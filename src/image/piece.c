/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reads and writes share while they describe an I/O: its range lock, and
 * the walk over the map, run by run, that appends segments.
 *
 * io->len is how far the walk has come; a piece always starts there.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

uint64_t image_clip(const struct image *img, img_off pos, uint64_t len)
{
	uint64_t size = image_size(img);

	return pos.v < size ? u64_min(len, size - pos.v) : 0;
}

bool image_lock_io(struct image *img, struct image_io *io,
		   enum rangelock_mode mode, uint64_t want, unsigned flags)
{
	lblk first = lblk_of_img_floor(io->pos, img->bits);
	lblk stop = lblk_of_img_ceil(img_off_add(io->pos, want), img->bits);
	uint64_t len = stop.v - first.v;

	io->locked = image_take(img, &io->hold, mode, first, len, flags);
	return io->locked;
}

void image_unlock_io(struct image *img, struct image_io *io)
{
	rangelock_drop(&img->ranges, &io->hold);
	io->locked = false;
	io->nseg = 0;
	io->len = 0;
}

int image_next_piece(struct image *img, const struct image_io *io,
		     uint64_t want, unsigned flags, struct image_piece *p)
{
	img_off pos = img_off_add(io->pos, io->len);
	uint64_t left = want - io->len;
	uint64_t skip = pos.v & (image_block_size(img) - 1);
	uint64_t max = ((skip + left - 1) >> img->bits) + 1;
	int err = image_map_at(img, lblk_of_img_floor(pos, img->bits), max,
			       flags, &p->e);

	if (err)
		return err;
	p->len = u64_min((p->e.len << img->bits) - skip, left);
	p->dev = dev_off_add(dev_of_pblk(p->e.phys, img->bits), skip);
	return 0;
}

bool image_add_seg(struct image_io *io, const struct image_seg *seg)
{
	struct image_seg *last = io->nseg ? &io->seg[io->nseg - 1] : NULL;

	if (last && last->kind == seg->kind && !last->pad_tail &&
	    !seg->pad_head &&
	    (seg->kind == IMAGE_SEG_ZERO ||
	     last->dev.v + last->len == seg->dev.v)) {
		last->len += seg->len;
		last->pad_tail = seg->pad_tail;
	} else if (io->nseg < IMAGE_SEGS) {
		io->seg[io->nseg++] = *seg;
	} else {
		return false;
	}
	io->len += seg->len;
	return true;
}
