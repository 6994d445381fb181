/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that shows another one as it will be once the log is home.
 *
 * Owns nothing but a reference to the lower device: the index says which blocks
 * come from the log, and those are read there each time. No lock, no memory that
 * grows; a part of a block costs one block of it, and what the log does not touch
 * costs a look at the index.
 */
#include "replay_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/blkdev.h>

#include <errno.h>
#include <string.h>

struct view {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	struct replay *r;     /* set once, borrowed */
};

static struct view *view_of(struct blkdev *dev)
{
	return (struct view *)dev;
}

/* The part of entry @i that the request starts in, or whole ones from there. */
static int read_log(struct view *v, size_t i, uint8_t *buf, size_t len,
		    dev_off pos, size_t *ret_len)
{
	size_t block_size = (size_t)1 << v->r->bits;
	size_t start = (size_t)(pos.v & (block_size - 1));
	uint8_t *block;
	int err;

	if (!start && len >= block_size) {
		size_t n = replay_home_run(v->r, i, len >> v->r->bits);

		*ret_len = n << v->r->bits;
		return replay_read_run(v->r, i, n, buf);
	}
	*ret_len = u64_min(len, block_size - start);
	block = journal_buf_new(v->r->j, 1);
	err = replay_read_run(v->r, i, 1, block);
	if (!err)
		memcpy(buf, block + start, *ret_len);
	bytes_aligned_free(block);
	return err;
}

static int view_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct view *v = view_of(dev);
	const struct replay *r = v->r;
	uint8_t *to = buf;

	while (len) {
		uint64_t block = pblk_of_dev_floor(pos, r->bits).v;
		size_t i = replay_find(r, block), n = len;
		int err;

		if (i < r->n && r->entries[i].block == block) {
			err = read_log(v, i, to, len, pos, &n);
		} else {
			if (i < r->n)
				n = u64_min(len,
					    (r->entries[i].block << r->bits) -
						    pos.v);
			err = blkdev_pread(v->lower, to, n, pos);
		}
		if (err)
			return err;
		to += n;
		len -= n;
		pos = dev_off_add(pos, n);
	}
	return 0;
}

/* Reads of what is not in the log go to the lower device at the same place. */
static bool view_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		     uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	struct view *v = view_of(dev);
	const struct replay *r = v->r;
	dev_off last = dev_off_add(pos, len - 1);
	size_t i = replay_find(r, pblk_of_dev_floor(pos, r->bits).v);

	if (i < r->n &&
	    r->entries[i].block <= pblk_of_dev_floor(last, r->bits).v)
		return false;
	return blkdev_raw(v->lower, io, buf, len, pos, ret);
}

/* Never called: the device says that it is read-only. */
static int view_pwrite(struct blkdev *dev, const void *buf, size_t len,
		       dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EROFS;
}

static int view_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static void view_close(struct blkdev *dev)
{
	struct view *v = view_of(dev);

	blkdev_unref(v->lower);
	g_free(v);
}

static const struct blkdev_ops view_ops = {
	.name = "replay",
	.pread = view_pread,
	.pwrite = view_pwrite,
	.flush = view_flush,
	.raw = view_raw,
	.close = view_close,
};

struct blkdev *replay_view_new(struct replay *r, struct blkdev *lower)
{
	struct blkdev_geometry geo = *blkdev_geometry(lower);
	struct view *v = g_new0(struct view, 1);

	geo.readonly = true;
	geo.can_discard = false;
	blkdev_init(&v->dev, &view_ops, &geo);
	v->lower = blkdev_ref(lower);
	v->r = r;
	return &v->dev;
}
