/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image_begin(): lock a range and say where its bytes are.
 *
 *   a read             READ lock; device ranges and zeros, or inline data
 *   an overwrite       WRITE lock; every block mapped, inside the size
 *   any other write    FILL lock; blocks for holes are reserved, not published.
 *                      One that grows locks up to LBLK_END.
 *
 * A write is tried as an overwrite first (begin_write.c). That path, and a
 * read, need nothing but the short locks of range lock and cache while the
 * cache knows.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

static int map_read(struct image *img, struct image_io *io, uint64_t want,
		    unsigned flags)
{
	while (io->len < want) {
		struct image_seg seg = { .kind = IMAGE_SEG_ZERO };
		struct image_piece p;
		int err = image_next_piece(img, io, want, flags, &p);

		if (err)
			return io->len ? 0 : err;
		seg.len = p.len;
		if (image_on_dev(img, p.e.state)) {
			seg.kind = IMAGE_SEG_DATA;
			seg.dev = p.dev;
		}
		if (!image_add_seg(io, &seg))
			break;
	}
	return 0;
}

/* Inline data: the bytes, then zeros; no map is asked. */
static void map_bytes(struct image *img, struct image_io *io, uint64_t want)
{
	uint64_t pos = io->pos.v;

	if (pos < img->bytes_len) {
		struct image_seg seg = {
			.kind = IMAGE_SEG_BYTES,
			.len = u64_min(want, img->bytes_len - pos),
			.bytes = img->bytes + pos,
		};

		(void)image_add_seg(io, &seg);
	}
	if (io->len < want) {
		struct image_seg seg = {
			.kind = IMAGE_SEG_ZERO,
			.len = want - io->len,
		};

		(void)image_add_seg(io, &seg);
	}
}

static int begin_read(struct image *img, struct image_io *io, uint64_t len,
		      unsigned flags)
{
	uint64_t want = image_clip(img, io->pos, len);
	int err = 0;

	if (!want)
		return 0;
	if (!image_lock_io(img, io, RANGELOCK_READ, want, flags))
		return -EAGAIN;
	/* A truncate that was before us in the queue may have cut it. */
	want = image_clip(img, io->pos, want);
	if (img->bytes)
		map_bytes(img, io, want);
	else
		err = map_read(img, io, want, flags);
	if (err || !want)
		image_unlock_io(img, io);
	return err;
}

#ifdef RAWMAP_DEBUG
static void check_io(const struct image *img, const struct image_io *io)
{
	uint64_t mask = image_block_size(img) - 1;
	uint64_t len = 0;
	unsigned i;

	g_assert(io->locked == (io->len > 0));
	for (i = 0; i < io->nseg; i++) {
		const struct image_seg *s = &io->seg[i];

		g_assert(s->len > 0);
		len += s->len;
		if (s->kind != IMAGE_SEG_FILL) {
			g_assert(!s->pad_head && !s->pad_tail);
			continue;
		}
		g_assert(io->op == IMAGE_WRITE && io->fill.n);
		g_assert(!((s->dev.v - s->pad_head) & mask));
		g_assert(!((s->dev.v + s->len + s->pad_tail) & mask));
		g_assert(!s->pad_head || !i);
		g_assert(!s->pad_tail || i == io->nseg - 1);
	}
	g_assert(len == io->len);
}
#else
static void check_io(const struct image *img, const struct image_io *io)
{
	(void)img;
	(void)io;
}
#endif

int image_begin(struct image *img, enum image_op op, img_off pos, uint64_t len,
		unsigned flags, struct image_io *io)
{
	int err;

	g_assert(len > 0);
	io->pos = pos;
	io->len = 0;
	io->nseg = 0;
	io->op = op;
	io->locked = false;
	io->grow_to = 0;
	io->fill.n = 0;
	io->fill.promised = 0;
	if (op == IMAGE_READ)
		err = begin_read(img, io, len, flags);
	else
		err = image_begin_write(img, io, len, flags);
	if (!err)
		check_io(img, io);
	else if (err != -EAGAIN)
		image_changed(img, err);
	return err;
}
