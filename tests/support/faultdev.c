/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every operation asks fault() first: 0 to go on, or the errno to give. */
#include "support/faultdev.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/lock.h>

#include <errno.h>

struct spoiled {
	uint64_t pos, len;
	int err;
};

struct faultdev {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	struct mutex lock;
	/* guarded by lock */
	uint64_t counts[FAULTDEV_ANY + 1];
	enum faultdev_kind kind;
	uint64_t nth; /* 0: not armed */
	int err;
	unsigned flags;
	bool fired;
	GArray *spoiled;
};

static const struct blkdev_ops faultdev_ops;

static struct faultdev *faultdev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &faultdev_ops);
	return (struct faultdev *)dev;
}

static int fault(struct faultdev *f, enum faultdev_kind kind, bool *ret_short)
{
	uint64_t n;
	int ret = 0;

	mutex_lock(&f->lock);
	f->counts[kind]++;
	f->counts[FAULTDEV_ANY]++;
	n = f->counts[f->kind];
	if (f->nth && (f->kind == kind || f->kind == FAULTDEV_ANY) &&
	    (n == f->nth || (n > f->nth && (f->flags & FAULTDEV_PERSISTENT)))) {
		f->fired = true;
		ret = -f->err;
		*ret_short = (f->flags & FAULTDEV_SHORT) != 0;
	}
	mutex_unlock(&f->lock);
	return ret;
}

/* 0, or the errno of the first spoiled range that is touched. */
static int spoiled(struct faultdev *f, size_t len, dev_off pos)
{
	int ret = 0;

	mutex_lock(&f->lock);
	for (guint i = 0; i < f->spoiled->len && !ret; i++) {
		struct spoiled *s =
			&g_array_index(f->spoiled, struct spoiled, i);

		if (range_overlaps(pos.v, len, s->pos, s->len))
			ret = -s->err;
	}
	mutex_unlock(&f->lock);
	return ret;
}

static void heal(struct faultdev *f, uint64_t len, dev_off pos)
{
	mutex_lock(&f->lock);
	for (guint i = f->spoiled->len; i--;) {
		struct spoiled *s =
			&g_array_index(f->spoiled, struct spoiled, i);

		if (s->pos >= pos.v && s->pos + s->len <= pos.v + len)
			g_array_remove_index(f->spoiled, i);
	}
	mutex_unlock(&f->lock);
}

static int faultdev_pread(struct blkdev *dev, void *buf, size_t len,
			  dev_off pos)
{
	struct faultdev *f = faultdev_of(dev);
	bool half = false;
	int ret = fault(f, FAULTDEV_READ, &half);

	if (!ret)
		ret = spoiled(f, len, pos);
	return ret ? ret : blkdev_pread(f->lower, buf, len, pos);
}

static int faultdev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			   dev_off pos)
{
	struct faultdev *f = faultdev_of(dev);
	bool half = false;
	int ret = fault(f, FAULTDEV_WRITE, &half), landed = 0;

	if (!ret) {
		ret = blkdev_pwrite(f->lower, buf, len, pos);
		if (!ret)
			heal(f, len, pos);
		return ret;
	}
	if (half)
		landed = blkdev_pwrite(f->lower, buf, len / 2, pos);
	g_assert(!landed);
	return ret;
}

static int faultdev_flush(struct blkdev *dev)
{
	struct faultdev *f = faultdev_of(dev);
	bool half = false;
	int ret = fault(f, FAULTDEV_FLUSH, &half);

	return ret ? ret : blkdev_flush(f->lower);
}

static int faultdev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct faultdev *f = faultdev_of(dev);
	bool half = false;
	int ret = fault(f, FAULTDEV_DISCARD, &half);

	return ret ? ret : blkdev_discard(f->lower, len, pos);
}

static int faultdev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct faultdev *f = faultdev_of(dev);
	bool half = false;
	int ret = fault(f, FAULTDEV_ZERO, &half);

	if (!ret)
		ret = blkdev_zero(f->lower, len, pos);
	if (!ret)
		heal(f, len, pos);
	return ret;
}

static void faultdev_close(struct blkdev *dev)
{
	struct faultdev *f = faultdev_of(dev);

	g_array_free(f->spoiled, TRUE);
	mutex_clear(&f->lock);
	blkdev_unref(f->lower);
	g_free(f);
}

static const struct blkdev_ops faultdev_ops = {
	.name = "fault",
	.pread = faultdev_pread,
	.pwrite = faultdev_pwrite,
	.flush = faultdev_flush,
	.discard = faultdev_discard,
	.zero = faultdev_zero,
	.close = faultdev_close,
};

struct blkdev *faultdev_new(struct blkdev *lower)
{
	struct faultdev *f = g_new0(struct faultdev, 1);

	blkdev_init(&f->dev, &faultdev_ops, blkdev_geometry(lower));
	f->lower = blkdev_ref(lower);
	f->spoiled = g_array_new(FALSE, FALSE, sizeof(struct spoiled));
	mutex_init(&f->lock);
	return &f->dev;
}

void faultdev_arm(struct blkdev *dev, enum faultdev_kind kind, uint64_t nth,
		  int err, unsigned flags)
{
	struct faultdev *f = faultdev_of(dev);

	g_assert(nth > 0 && err > 0);
	mutex_lock(&f->lock);
	for (size_t i = 0; i < G_N_ELEMENTS(f->counts); i++)
		f->counts[i] = 0;
	f->kind = kind;
	f->nth = nth;
	f->err = err;
	f->flags = flags;
	f->fired = false;
	mutex_unlock(&f->lock);
}

void faultdev_disarm(struct blkdev *dev)
{
	struct faultdev *f = faultdev_of(dev);

	mutex_lock(&f->lock);
	f->nth = 0;
	mutex_unlock(&f->lock);
}

void faultdev_spoil(struct blkdev *dev, dev_off pos, uint64_t len, int err)
{
	struct faultdev *f = faultdev_of(dev);
	struct spoiled s = { .pos = pos.v, .len = len, .err = err };

	g_assert(len > 0 && err > 0);
	mutex_lock(&f->lock);
	g_array_append_val(f->spoiled, s);
	mutex_unlock(&f->lock);
}

bool faultdev_fired(struct blkdev *dev)
{
	struct faultdev *f = faultdev_of(dev);
	bool fired;

	mutex_lock(&f->lock);
	fired = f->fired;
	mutex_unlock(&f->lock);
	return fired;
}

uint64_t faultdev_count(struct blkdev *dev, enum faultdev_kind kind)
{
	struct faultdev *f = faultdev_of(dev);
	uint64_t n;

	mutex_lock(&f->lock);
	n = f->counts[kind];
	mutex_unlock(&f->lock);
	return n;
}
