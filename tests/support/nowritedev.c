/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* No state but the lower device, hence no lock. */
#include "support/nowritedev.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct nowritedev {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
};

static struct blkdev *lower_of(struct blkdev *dev)
{
	return ((struct nowritedev *)dev)->lower;
}

static G_NORETURN void die(const char *what, uint64_t len, dev_off pos)
{
	fprintf(stderr,
		"nowritedev: %s of %" PRIu64 " bytes at byte %" PRIu64
		" of a device that must not be written\n",
		what, len, pos.v);
	abort();
}

static int nowritedev_pread(struct blkdev *dev, void *buf, size_t len,
			    dev_off pos)
{
	return blkdev_pread(lower_of(dev), buf, len, pos);
}

static int nowritedev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			     dev_off pos)
{
	(void)dev;
	(void)buf;
	die("write", len, pos);
}

static int nowritedev_flush(struct blkdev *dev)
{
	return blkdev_flush(lower_of(dev));
}

static int nowritedev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	(void)dev;
	die("discard", len, pos);
}

static int nowritedev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	(void)dev;
	die("zero", len, pos);
}

static void nowritedev_close(struct blkdev *dev)
{
	blkdev_unref(lower_of(dev));
	g_free(dev);
}

static const struct blkdev_ops nowritedev_ops = {
	.name = "nowrite",
	.pread = nowritedev_pread,
	.pwrite = nowritedev_pwrite,
	.flush = nowritedev_flush,
	.discard = nowritedev_discard,
	.zero = nowritedev_zero,
	.close = nowritedev_close,
};

struct blkdev *nowritedev_new(struct blkdev *lower)
{
	struct nowritedev *d = g_new0(struct nowritedev, 1);
	struct blkdev_geometry geo = *blkdev_geometry(lower);

	geo.readonly = false;
	blkdev_init(&d->dev, &nowritedev_ops, &geo);
	d->lower = blkdev_ref(lower);
	return &d->dev;
}
