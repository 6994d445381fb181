/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Beginning a write.
 *
 * It is tried as an overwrite first: WRITE lock, every block mapped, inside the
 * size. Otherwise FILL lock, and a second look under it: mapped runs as they
 * are, blocks reserved for the rest. A write that grows zeroes what lies
 * between the old end and itself before anybody can see it.
 *
 * A fill region is whole blocks: payload, and pads of zeros where the payload
 * does not cover the first and the last block of the request. A request that is
 * cut short, because segments, runs or space ran out, ends between blocks.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

/* A fill adds up to FILL_RUNS segments at once; the rest is for mapped runs. */
#define DATA_SEGS_OF_FILL (IMAGE_SEGS - FILL_RUNS)
G_STATIC_ASSERT(IMAGE_SEGS > FILL_RUNS);

/* try_overwrite(): not an overwrite */
#define NEEDS_FILL 1

/* 0 when some prefix is locked and mapped; NEEDS_FILL; -errno. */
static int try_overwrite(struct image *img, struct image_io *io, uint64_t want,
			 unsigned flags)
{
	int err = 0;

	if (image_clip(img, io->pos, want) < want)
		return NEEDS_FILL;
	if (!image_lock_io(img, io, RANGELOCK_WRITE, want, flags))
		return -EAGAIN;
	if (image_clip(img, io->pos, want) < want)
		err = NEEDS_FILL;
	while (!err && io->len < want) {
		struct image_seg seg = { .kind = IMAGE_SEG_DATA };
		struct image_piece p;

		err = image_next_piece(img, io, want, flags, &p);
		if (!err && p.e.state != EXTENT_MAPPED)
			err = NEEDS_FILL;
		if (err)
			break;
		seg.dev = p.dev;
		seg.len = p.len;
		if (!image_add_seg(io, &seg))
			break;
	}
	if (err)
		image_unlock_io(img, io);
	return err;
}

/* The part of @run at and behind block @from, as a segment. */
static void add_fill_run(struct image *img, struct image_io *io, uint64_t want,
			 const struct extent *run, uint64_t from)
{
	uint64_t first = u64_max(run->start.v, from) << img->bits;
	uint64_t stop = extent_end(run) << img->bits;
	uint64_t lo = u64_max(first, io->pos.v);
	uint64_t hi = u64_min(stop, io->pos.v + want);
	dev_off dev = dev_of_pblk(run->phys, img->bits);
	struct image_seg seg = {
		.kind = IMAGE_SEG_FILL,
		.dev = dev_off_add(dev, lo - (run->start.v << img->bits)),
		.len = hi - lo,
		.pad_head = (uint32_t)(lo - first),
		.pad_tail = (uint32_t)(stop - hi),
	};
	bool room = image_add_seg(io, &seg);

	g_assert(room);
}

/* Reserve for the hole or unwritten run @e, and describe what was got. */
static int add_fill(struct image *img, struct image_io *io, uint64_t want,
		    const struct extent *e)
{
	/* The last run may go on where it is contiguous with the new one. */
	unsigned i = io->fill.n ? io->fill.n - 1 : 0;
	int err = hostfile_reserve(img->hf, e, &io->fill);

	if (err)
		return err;
	for (; i < io->fill.n; i++) {
		const struct extent *run = &io->fill.runs[i];

		if (extent_end(run) > e->start.v)
			add_fill_run(img, io, want, run, e->start.v);
	}
	return 0;
}

/* An error behind the first byte only cuts: it comes back on the next call. */
static int map_fill(struct image *img, struct image_io *io, uint64_t want)
{
	unsigned ndata = 0;
	int err = 0;

	while (!err && io->len < want) {
		struct image_piece p;

		err = image_next_piece(img, io, want, 0, &p);
		if (err)
			break;
		if (p.e.state == EXTENT_MAPPED) {
			struct image_seg seg = {
				.kind = IMAGE_SEG_DATA,
				.dev = p.dev,
				.len = p.len,
			};

			if (ndata++ == DATA_SEGS_OF_FILL ||
			    !image_add_seg(io, &seg))
				break;
		} else if (io->fill.n == FILL_RUNS) {
			break;
		} else {
			err = add_fill(img, io, want, &p.e);
		}
	}
	return io->len ? 0 : err;
}

static int begin_fill(struct image *img, struct image_io *io, uint64_t want,
		      unsigned flags)
{
	uint64_t end = io->pos.v + want;
	uint64_t size;
	int err = 0;

	if (!image_lock_range(img, &io->hold, RANGELOCK_FILL, io->pos.v, end,
			      flags, &size))
		return -EAGAIN;
	io->locked = true;
	/* What lies between the old end and the write becomes visible. */
	if (size < io->pos.v)
		err = image_zero_mapped(img, size, io->pos.v);
	if (!err)
		err = map_fill(img, io, want);
	if (err) {
		image_unlock_io(img, io);
		return err;
	}
	if (io->pos.v + io->len > size)
		io->grow_to = io->pos.v + io->len;
	return 0;
}

int image_begin_write(struct image *img, struct image_io *io, uint64_t len,
		      unsigned flags)
{
	uint64_t max = hostfile_max_size(img->hf);
	int err = image_may_write(img);

	if (err)
		return err;
	if (io->pos.v >= max)
		return -EFBIG;
	len = u64_min(len, max - io->pos.v);
	err = try_overwrite(img, io, len, flags);
	if (err != NEEDS_FILL)
		return err;
	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	return begin_fill(img, io, len, flags);
}
