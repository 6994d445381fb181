/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A range of another device. Owns a reference to that one and where the range
 * begins; no lock, no state.
 *
 * A request lies inside the window (blkdev.c), the window inside the lower
 * device (its maker), so a place below is one addition, which cannot overflow.
 */
#include <rawmap/dev/window.h>

#include <rawmap/base/bytes.h>

struct window {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	uint64_t start;	      /* set once */
};

static struct window *window_of(struct blkdev *dev)
{
	return (struct window *)dev;
}

static dev_off below(const struct window *w, dev_off pos)
{
	return dev_off_add(pos, w->start);
}

static int window_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct window *w = window_of(dev);

	return blkdev_pread(w->lower, buf, len, below(w, pos));
}

static int window_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	struct window *w = window_of(dev);

	return blkdev_pwrite(w->lower, buf, len, below(w, pos));
}

static int window_flush(struct blkdev *dev)
{
	return blkdev_flush(window_of(dev)->lower);
}

static int window_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct window *w = window_of(dev);

	return blkdev_discard(w->lower, len, below(w, pos));
}

static int window_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct window *w = window_of(dev);

	return blkdev_zero(w->lower, len, below(w, pos));
}

static bool window_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		       uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	struct window *w = window_of(dev);

	/* A flush has no place: what stands there means nothing. */
	return blkdev_raw(w->lower, io, buf, len,
			  io == BLKDEV_FLUSH ? pos : below(w, pos), ret);
}

static void window_close(struct blkdev *dev)
{
	struct window *w = window_of(dev);

	blkdev_unref(w->lower);
	g_free(w);
}

static const struct blkdev_ops window_ops = {
	.name = "window",
	.pread = window_pread,
	.pwrite = window_pwrite,
	.flush = window_flush,
	.discard = window_discard,
	.zero = window_zero,
	.raw = window_raw,
	.close = window_close,
};

/* The largest power of two that divides @start and @unit, itself one. */
static uint32_t common_unit(uint64_t start, uint32_t unit)
{
	return (uint32_t)u64_min(unit, start ? start & -start : unit);
}

struct blkdev *window_new(struct blkdev *lower, uint64_t start, uint64_t len)
{
	struct blkdev_geometry geo = *blkdev_geometry(lower);
	struct window *w = g_new0(struct window, 1);

	g_assert(range_within(start, len, geo.size));
	geo.size = len;
	geo.sector = common_unit(start, geo.sector);
	geo.align = common_unit(start, geo.align);
	blkdev_init(&w->dev, &window_ops, &geo);
	w->lower = blkdev_ref(lower);
	w->start = start;
	return &w->dev;
}
