/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libext2fs on a block device of rawmap.
 *
 * libext2fs talks to an io_manager in blocks of a size that it changes while it
 * opens (1024 first, then the filesystem's), with a negative count for a number
 * of bytes. All of that becomes byte positions here; nothing is cached, the
 * overlay below does that.
 *
 * open() has no room for a context, so the device comes by a thread-local that
 * iomgr_set_device() sets around ext2fs_open2(). A channel holds a reference.
 *
 * A flush is nothing: what is durable and when, the transaction decides alone.
 * The statistics are left out on purpose: with them libext2fs would dirty the
 * superblock to count kilobytes.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

static _Thread_local struct blkdev *next_device;

static struct blkdev *channel_dev(io_channel channel)
{
	return channel->private_data;
}

/* The bytes that (@block, @count) means; false on overflow. */
static bool range_of(io_channel channel, unsigned long long block, int count,
		     dev_off *ret_pos, size_t *ret_len)
{
	uint64_t size = (uint64_t)channel->block_size, pos, len;

	if (!u64_mul(block, size, &pos))
		return false;
	if (count < 0)
		len = (uint64_t) - (int64_t)count;
	else if (!u64_mul((uint64_t)count, size, &len))
		return false;
	*ret_pos = dev_off_at(pos);
	*ret_len = (size_t)len;
	return true;
}

/* -errno to errcode_t: the system's numbers are valid error codes. */
static errcode_t code_of(int err)
{
	return -err;
}

static errcode_t channel_open(const char *name, int flags, io_channel *ret)
{
	io_channel channel;
	errcode_t err;

	(void)flags;
	if (!next_device)
		return EXT2_ET_BAD_DEVICE_NAME;
	err = ext2fs_get_memzero(sizeof(*channel), &channel);
	if (err)
		return err;
	err = ext2fs_get_mem(strlen(name) + 1, &channel->name);
	if (err) {
		ext2fs_free_mem(&channel);
		return err;
	}
	strcpy(channel->name, name);
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = iomgr_get();
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = blkdev_ref(next_device);
	*ret = channel;
	return 0;
}

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	blkdev_unref(channel_dev(channel));
	ext2fs_free_mem(&channel->name);
	ext2fs_free_mem(&channel);
	return 0;
}

static errcode_t channel_set_blksize(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

static errcode_t channel_read64(io_channel channel, unsigned long long block,
				int count, void *buf)
{
	dev_off pos;
	size_t len;

	if (!range_of(channel, block, count, &pos, &len))
		return EXT2_ET_SHORT_READ;
	return code_of(blkdev_pread(channel_dev(channel), buf, len, pos));
}

static errcode_t channel_write64(io_channel channel, unsigned long long block,
				 int count, const void *buf)
{
	dev_off pos;
	size_t len;

	if (!range_of(channel, block, count, &pos, &len))
		return EXT2_ET_SHORT_WRITE;
	return code_of(blkdev_pwrite(channel_dev(channel), buf, len, pos));
}

static errcode_t channel_read(io_channel channel, unsigned long block,
			      int count, void *buf)
{
	return channel_read64(channel, block, count, buf);
}

static errcode_t channel_write(io_channel channel, unsigned long block,
			       int count, const void *buf)
{
	return channel_write64(channel, block, count, buf);
}

static errcode_t channel_write_byte(io_channel channel, unsigned long offset,
				    int count, const void *buf)
{
	if (count < 0)
		return EXT2_ET_INVALID_ARGUMENT;
	return code_of(blkdev_pwrite(channel_dev(channel), buf, (size_t)count,
				     dev_off_at(offset)));
}

static errcode_t channel_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

/* No blkdev_zero(): the overlay keeps blocks, zeros are blocks like others. */
static errcode_t channel_zeroout(io_channel channel, unsigned long long block,
				 unsigned long long count)
{
	size_t size = (size_t)channel->block_size;
	g_autofree void *zeros = g_malloc0(size);
	errcode_t err = 0;

	for (; count && !err; count--, block++)
		err = channel_write64(channel, block, 1, zeros);
	return err;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "rawmap",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_blksize,
	.read_blk = channel_read,
	.write_blk = channel_write,
	.read_blk64 = channel_read64,
	.write_blk64 = channel_write64,
	.flush = channel_flush,
	.write_byte = channel_write_byte,
	.zeroout = channel_zeroout,
};

io_manager iomgr_get(void)
{
	return &manager;
}

void iomgr_set_device(struct blkdev *dev)
{
	next_device = dev;
}
