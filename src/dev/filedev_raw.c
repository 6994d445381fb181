/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The raw way to a file device: for an engine that gives the kernel reads and
 * writes without waiting for them. What filedev.c does with a bounce buffer, a
 * tail or a lock that must be waited for does not go this way.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/filedev.h>

bool filedev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		 uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	const struct filedev *fd = filedev_of(dev);

	*ret = (struct blkdev_raw){ .dev = dev, .fd = fd->fd, .pos = pos };
	/* The tail has a descriptor of its own. */
	return io == BLKDEV_FLUSH ||
	       (range_within(pos.v, len, fd->tail) &&
		is_aligned(pos.v | len | (uintptr_t)buf, dev->geo.align));
}

bool filedev_raw_hold(struct blkdev *dev)
{
	struct filedev *fd = filedev_of(dev);

	return !dev->geo.readonly &&
	       (!fd->direct || edges_whole_try(&fd->edges));
}

void filedev_raw_release(struct blkdev *dev)
{
	struct filedev *fd = filedev_of(dev);

	if (fd->direct)
		edges_whole_end(&fd->edges);
}

int filedev_raw_done(struct blkdev *dev, enum blkdev_io io, uint64_t len,
		     int err)
{
	g_assert(err <= 0);
	err = err ? filedev_errno(-err) : 0;
	blkdev_count(dev, io, len, err);
	return err;
}
