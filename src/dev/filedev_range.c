/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Discard and zero of a file device: the two requests that carry no bytes.
 *
 *             block device   regular file
 *   discard   BLKDISCARD     punch a hole
 *   zero      BLKZEROOUT     zero range, else punch a hole, else written
 *
 * The kernel does whole units only: sectors of a device, blocks of the
 * filesystem that holds a file (it would take part of a block, but through
 * the page cache, which direct I/O next door had better not meet). The ragged
 * edges of a discard stay as they are, those of a zero are written.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

static int range_ioctl(int fd, unsigned long request, uint64_t pos,
		       uint64_t len)
{
	uint64_t range[2] = { pos, len };
	int ret;

	do {
		ret = ioctl(fd, request, range);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return errno == ENOTTY ? -EOPNOTSUPP : filedev_errno(errno);
	return 0;
}

static int range_fallocate(int fd, int mode, uint64_t pos, uint64_t len)
{
	int ret;

	do {
		ret = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)pos,
				(off_t)len);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : filedev_errno(errno);
	return 0;
}

static int zero_inner(struct filedev *fd, uint64_t pos, uint64_t len)
{
	int ret;

	if (fd->is_block)
		return range_ioctl(fd->fd, BLKZEROOUT, pos, len);
	ret = range_fallocate(fd->fd, FALLOC_FL_ZERO_RANGE, pos, len);
	if (ret == -EOPNOTSUPP)
		ret = range_fallocate(fd->fd, FALLOC_FL_PUNCH_HOLE, pos, len);
	return ret;
}

/* The whole units inside the range; false when there are none. */
static bool inner_units(const struct filedev *fd, dev_off pos, uint64_t len,
			uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = align_ceil(pos.v, fd->unit);
	uint64_t end = align_floor(pos.v + len, fd->unit);

	if (start >= end)
		return false;
	*ret_start = start;
	*ret_end = end;
	return true;
}

int filedev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct filedev *fd = filedev_of(dev);
	uint64_t start, end;
	int ret;

	if (!inner_units(fd, pos, len, &start, &end))
		return 0;
	edges_whole_begin(&fd->edges);
	if (fd->is_block)
		ret = range_ioctl(fd->fd, BLKDISCARD, start, end - start);
	else
		ret = range_fallocate(fd->fd, FALLOC_FL_PUNCH_HOLE, start,
				      end - start);
	edges_whole_end(&fd->edges);
	return ret;
}

/* -EOPNOTSUPP lets blkdev_zero() write the whole range. */
int filedev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct filedev *fd = filedev_of(dev);
	uint64_t start, end, stop = pos.v + len;
	g_autofree void *zeros = NULL;
	int ret;

	if (!inner_units(fd, pos, len, &start, &end))
		return -EOPNOTSUPP;
	edges_whole_begin(&fd->edges);
	ret = zero_inner(fd, start, end - start);
	edges_whole_end(&fd->edges);
	if (ret || (start == pos.v && end == stop))
		return ret;
	zeros = g_malloc0(fd->unit);
	if (start > pos.v)
		ret = dev->ops->pwrite(dev, zeros, start - pos.v, pos);
	if (!ret && stop > end)
		ret = dev->ops->pwrite(dev, zeros, stop - end, dev_off_at(end));
	return ret;
}
