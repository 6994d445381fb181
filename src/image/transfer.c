/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Move the bytes of an I/O, synchronously, one device request a segment.
 *
 * The pads of a fill are written together with the payload of the same block,
 * from a bounce buffer of one block; whatever is whole blocks goes straight
 * from the caller's memory. Nothing is written that the guard did not pass.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <string.h>

static int read_seg(struct image *img, const struct image_seg *seg,
		    uint8_t *buf)
{
	if (seg->kind == IMAGE_SEG_DATA)
		return blkdev_pread(img->dev, buf, seg->len, seg->dev);
	if (seg->kind == IMAGE_SEG_BYTES)
		memcpy(buf, seg->bytes, seg->len);
	else
		memset(buf, 0, seg->len);
	return 0;
}

/* One block: @head zeros, @len bytes of @buf, zeros up to the block's end. */
static int write_edge(struct image *img, const uint8_t *buf, uint64_t head,
		      uint64_t len, dev_off block)
{
	uint64_t size = image_block_size(img);
	uint64_t align = blkdev_geometry(img->dev)->align;
	uint8_t *bounce = bytes_aligned_new(align_ceil(size, align), align);
	int err;

	g_assert(head + len <= size);
	memcpy(bounce + head, buf, len);
	err = blkdev_pwrite(img->dev, bounce, size, block);
	bytes_aligned_free(bounce);
	return err;
}

static int write_fill(struct image *img, const struct image_seg *seg,
		      const uint8_t *buf)
{
	uint64_t size = image_block_size(img);
	dev_off pos = seg->dev;
	uint64_t left = seg->len;
	int err = 0;

	if (seg->pad_head) {
		uint64_t n = u64_min(size - seg->pad_head, left);

		pos.v -= seg->pad_head;
		err = write_edge(img, buf, seg->pad_head, n, pos);
		if (err)
			return err;
		pos = dev_off_add(pos, size);
		buf += n;
		left -= n;
	}
	if (left >= size) {
		uint64_t n = align_floor(left, size);

		err = blkdev_pwrite(img->dev, buf, n, pos);
		if (err)
			return err;
		pos = dev_off_add(pos, n);
		buf += n;
		left -= n;
	}
	if (left)
		err = write_edge(img, buf, 0, left, pos);
	return err;
}

static int write_seg(struct image *img, const struct image_seg *seg,
		     const uint8_t *buf)
{
	dev_off start = { seg->dev.v - seg->pad_head };
	uint64_t len = seg->pad_head + seg->len + seg->pad_tail;
	int err = hostfs_guard(img->fs, start, len);

	if (err)
		return err;
	if (seg->kind == IMAGE_SEG_FILL)
		return write_fill(img, seg, buf);
	return blkdev_pwrite(img->dev, buf, seg->len, seg->dev);
}

int image_transfer(struct image *img, const struct image_io *io, void *buf)
{
	uint8_t *at = buf;
	unsigned i;

	for (i = 0; i < io->nseg; i++) {
		const struct image_seg *seg = &io->seg[i];
		int err;

		if (io->op == IMAGE_READ)
			err = read_seg(img, seg, at);
		else
			err = write_seg(img, seg, at);
		if (err)
			return err;
		at += seg->len;
	}
	return 0;
}
