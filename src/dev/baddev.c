/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter for damaged media: what is read, what is an error and what is
 * zeros, by its mode. It keeps what it meets in sets (badsets.c), and takes a
 * request that failed apart where that is of use (salvage.c).
 */
#include <rawmap/dev/baddev.h>

#include "badsets.h"
#include "salvage_priv.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct baddev {
	struct blkdev dev; /* first */
	/* set once */
	struct blkdev *lower;
	bool zeros;
	baddev_say *say;
	void *say_arg;

	struct salvager salvager; /* has its own atomics */
	struct badsets sets;	  /* has its own lock */
	gint strict;		  /* atomic */
};

static const struct blkdev_ops baddev_ops;

static struct baddev *baddev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &baddev_ops);
	return (struct baddev *)dev;
}

static void log_zeros(void *arg, const struct badrange *range)
{
	(void)arg;
	log_warning("bytes %" PRIu64 " to %" PRIu64 " of the source cannot be "
		    "read; they read as zeros",
		    range->start.v, range->start.v + range->len - 1);
}

/* ---- error mode ---- */

static int read_or_fail(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	int ret;

	if (badsets_meet(&b->sets, len, pos))
		return -EIO;
	ret = blkdev_pread(b->lower, buf, len, pos);
	if (!ret)
		badsets_succeed(&b->sets, len, pos);
	else if (baddev_is_media_error(ret))
		badsets_refuse(&b->sets, len, pos);
	return ret;
}

/* ---- zero mode ---- */

/* What was refused as a whole. */
static int salvage(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	g_autoptr(badranges) bad = badranges_new(BADRANGES_MAX);
	int ret = salvage_read(&b->salvager, buf, len, pos, bad);

	if (ret)
		return ret;
	for (size_t i = 0; i < badranges_count(bad); i++) {
		struct badrange r = badranges_at(bad, i), all;

		if (badsets_find(&b->sets, &r, &all))
			b->say(b->say_arg, &all);
	}
	return 0;
}

static int read_good(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	int ret = blkdev_pread(b->lower, buf, len, pos);

	if (!ret)
		salvage_note_good(&b->salvager, pos);
	else if (baddev_is_media_error(ret))
		ret = salvage(b, buf, len, pos);
	return ret;
}

static int read_with_zeros(struct baddev *b, uint8_t *buf, size_t len,
			   dev_off pos)
{
	int ret = 0;

	while (len && !ret) {
		size_t n = len;

		if (badsets_run(&b->sets, &n, pos))
			memset(buf, 0, n);
		else
			ret = read_good(b, buf, n, pos);
		buf += n;
		len -= n;
		pos = dev_off_add(pos, n);
	}
	return ret;
}

/* ---- the device ---- */

static int baddev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct baddev *b = baddev_of(dev);
	int ret;

	if (!b->zeros)
		return read_or_fail(b, buf, len, pos);
	ret = read_with_zeros(b, buf, len, pos);
	if (!ret && g_atomic_int_get(&b->strict) &&
	    badsets_is_suspect(&b->sets, len, pos))
		ret = -EIO;
	return ret;
}

static int baddev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	struct baddev *b = baddev_of(dev);
	int ret = blkdev_pwrite(b->lower, buf, len, pos);

	if (!ret)
		badsets_heal(&b->sets, len, pos);
	return ret;
}

static int baddev_flush(struct blkdev *dev)
{
	return blkdev_flush(baddev_of(dev)->lower);
}

/* What it reads as afterwards is anybody's guess: a bad range stays one. */
static int baddev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_discard(baddev_of(dev)->lower, len, pos);
}

static int baddev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct baddev *b = baddev_of(dev);
	int ret = blkdev_zero(b->lower, len, pos);

	if (!ret)
		badsets_heal(&b->sets, len, pos);
	return ret;
}

static bool baddev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		       uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	struct baddev *b = baddev_of(dev);

	if (io != BLKDEV_FLUSH && badsets_is_suspect(&b->sets, len, pos))
		return false;
	return blkdev_raw(b->lower, io, buf, len, pos, ret);
}

static void baddev_close(struct blkdev *dev)
{
	struct baddev *b = baddev_of(dev);

	badsets_clear(&b->sets);
	blkdev_unref(b->lower);
	g_free(b);
}

static const struct blkdev_ops baddev_ops = {
	.name = "bad",
	.pread = baddev_pread,
	.pwrite = baddev_pwrite,
	.flush = baddev_flush,
	.discard = baddev_discard,
	.zero = baddev_zero,
	.raw = baddev_raw,
	.close = baddev_close,
};

struct blkdev *baddev_new(struct blkdev *lower, const struct badranges *known,
			  bool zero_on_error, baddev_say *say, void *arg)
{
	const struct blkdev_geometry *geo = blkdev_geometry(lower);
	struct baddev *b = g_new0(struct baddev, 1);

	blkdev_init(&b->dev, &baddev_ops, geo);
	b->lower = blkdev_ref(lower);
	salvage_init(&b->salvager, lower);
	b->zeros = zero_on_error;
	b->say = say ? say : log_zeros;
	b->say_arg = arg;
	b->sets.size = geo->size;
	b->sets.unit = b->salvager.unit;
	b->sets.keep = zero_on_error && geo->readonly;
	badsets_init(&b->sets, known);
	return &b->dev;
}

void baddev_set_strict(struct blkdev *dev, bool strict)
{
	if (dev)
		g_atomic_int_set(&baddev_of(dev)->strict, strict);
}

struct badranges *baddev_report(struct blkdev *dev)
{
	return badsets_report(&baddev_of(dev)->sets);
}

bool baddev_is_media_error(int err)
{
	switch (err) {
	case -EIO:
	case -EREMOTEIO:
	case -EILSEQ:
	case -ENODATA:
	case -EBADMSG:
		return true;
	default:
		return false;
	}
}
