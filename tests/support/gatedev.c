/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support/gatedev.h"

#include <rawmap/base/lock.h>

struct gatedev {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	struct mutex lock;
	struct cond change;
	bool shut;	   /* guarded by lock */
	unsigned waiting;  /* guarded by lock */
	unsigned may_pass; /* guarded by lock: tickets not used yet */
};

static struct gatedev *gate_of(struct blkdev *dev)
{
	return (struct gatedev *)dev;
}

static int gatedev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	return blkdev_pread(gate_of(dev)->lower, buf, len, pos);
}

static int gatedev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	return blkdev_pwrite(gate_of(dev)->lower, buf, len, pos);
}

static int gatedev_flush(struct blkdev *dev)
{
	struct gatedev *d = gate_of(dev);

	mutex_lock(&d->lock);
	d->waiting++;
	cond_broadcast(&d->change);
	while (d->shut && !d->may_pass)
		cond_wait(&d->change, &d->lock);
	if (d->may_pass)
		d->may_pass--;
	d->waiting--;
	cond_broadcast(&d->change);
	mutex_unlock(&d->lock);
	return blkdev_flush(d->lower);
}

static int gatedev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_discard(gate_of(dev)->lower, len, pos);
}

static int gatedev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_zero(gate_of(dev)->lower, len, pos);
}

static void gatedev_close(struct blkdev *dev)
{
	struct gatedev *d = gate_of(dev);

	blkdev_unref(d->lower);
	cond_clear(&d->change);
	mutex_clear(&d->lock);
	g_free(d);
}

static const struct blkdev_ops gatedev_ops = {
	.name = "gate",
	.pread = gatedev_pread,
	.pwrite = gatedev_pwrite,
	.flush = gatedev_flush,
	.discard = gatedev_discard,
	.zero = gatedev_zero,
	.close = gatedev_close,
};

struct blkdev *gatedev_new(struct blkdev *lower)
{
	struct gatedev *d = g_new0(struct gatedev, 1);

	blkdev_init(&d->dev, &gatedev_ops, blkdev_geometry(lower));
	d->lower = blkdev_ref(lower);
	mutex_init(&d->lock);
	cond_init(&d->change);
	return &d->dev;
}

void gatedev_shut(struct blkdev *dev)
{
	struct gatedev *d = gate_of(dev);

	mutex_lock(&d->lock);
	d->shut = true;
	mutex_unlock(&d->lock);
}

void gatedev_wait(struct blkdev *dev, unsigned n)
{
	struct gatedev *d = gate_of(dev);

	mutex_lock(&d->lock);
	while (d->waiting < n)
		cond_wait(&d->change, &d->lock);
	mutex_unlock(&d->lock);
}

void gatedev_pass(struct blkdev *dev)
{
	struct gatedev *d = gate_of(dev);

	mutex_lock(&d->lock);
	d->may_pass++;
	cond_broadcast(&d->change);
	while (d->may_pass)
		cond_wait(&d->change, &d->lock);
	mutex_unlock(&d->lock);
}

void gatedev_open(struct blkdev *dev)
{
	struct gatedev *d = gate_of(dev);

	mutex_lock(&d->lock);
	d->shut = false;
	cond_broadcast(&d->change);
	mutex_unlock(&d->lock);
}
