/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The overlay: blocks in memory over a lower device.
 *
 *   entry   list     invariant
 *   clean   clean    equals the lower device; oldest use last, at most clean_max
 *   dirty   dirty    differs, or did when it was written; never evicted
 *   sealed  either   holds the bytes that were sealed (overlay_seal.c)
 *
 * Each change of an entry's content or tag gives it a new stamp, so that a
 * write-out (overlay_out.c), which lets go of the mutex while the target works,
 * can tell afterwards whether what it wrote is still what the entry holds.
 *
 * Never writes to the lower device on its own.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

/* Reads of more whole blocks than this leave none behind. */
#define KEEP_MAX 16

/* The part of a request that lies in one block. */
struct piece {
	uint64_t block;
	uint32_t start; /* in the block */
	uint32_t len;
};

static struct piece piece_at(const struct overlay *ov, dev_off pos, size_t len)
{
	uint32_t start = (uint32_t)(pos.v & (ov->block_size - 1));

	return (struct piece){
		.block = pos.v / ov->block_size,
		.start = start,
		.len = (uint32_t)u64_min(len, ov->block_size - start),
	};
}

static void remember(struct overlay *ov, uint64_t block, const void *data)
	REQUIRES(ov->lock)
{
	struct overlay_entry *e;

	if (!ov->clean_max)
		return;
	e = overlay_entry_new(ov, block);
	memcpy(e->data, data, ov->block_size);
	overlay_entry_insert(ov, e, false);
}

/* ---- reading ---- */

/* Part of a block that is not kept. */
static int read_part(struct overlay *ov, void *buf, const struct piece *p)
	REQUIRES(ov->lock)
{
	dev_off at = overlay_pos(ov, p->block);
	struct overlay_entry *e;
	int ret;

	if (p->block >= ov->whole || !ov->clean_max)
		return blkdev_pread(ov->lower, buf, p->len,
				    dev_off_add(at, p->start));
	e = overlay_entry_new(ov, p->block);
	ret = blkdev_pread(ov->lower, e->data, ov->block_size, at);
	if (ret) {
		g_free(e);
		return ret;
	}
	memcpy(buf, e->data + p->start, p->len);
	overlay_entry_insert(ov, e, false);
	return 0;
}

/* How many whole blocks from @block, at most @max, are not kept. */
static size_t missing_run(struct overlay *ov, uint64_t block, size_t max)
	REQUIRES(ov->lock)
{
	size_t n;

	max = u64_min(max, ov->whole - u64_min(ov->whole, block));
	for (n = 0; n < max; n++) {
		uint64_t key = block + n;

		if (g_hash_table_contains(ov->table, &key))
			break;
	}
	return n;
}

/*
 * One read of the lower device, straight into the caller's memory. A long one
 * is somebody who reads a table once (libext2fs all the group descriptors);
 * keeping it would only push out what is read again and again.
 */
static int read_run(struct overlay *ov, uint8_t *buf, uint64_t block, size_t n)
	REQUIRES(ov->lock)
{
	int ret = blkdev_pread(ov->lower, buf, n * ov->block_size,
			       overlay_pos(ov, block));

	for (size_t i = 0; !ret && n <= KEEP_MAX && i < n; i++)
		remember(ov, block + i, buf + i * ov->block_size);
	return ret;
}

static int read_locked(struct overlay *ov, uint8_t *buf, size_t len,
		       dev_off pos) REQUIRES(ov->lock)
{
	while (len) {
		struct piece p = piece_at(ov, pos, len);
		struct overlay_entry *e = overlay_entry_find(ov, p.block);
		size_t run = 0, n = p.len;
		int ret = 0;

		if (!e && !p.start)
			run = missing_run(ov, p.block, len / ov->block_size);
		if (e) {
			memcpy(buf, e->data + p.start, n);
		} else if (run) {
			n = run * ov->block_size;
			ret = read_run(ov, buf, p.block, run);
		} else {
			ret = read_part(ov, buf, &p);
		}
		if (ret)
			return ret;
		buf += n;
		len -= n;
		pos = dev_off_add(pos, n);
	}
	return 0;
}

/* ---- writing ---- */

/*
 * Change part of a kept block. @retag: a dirty entry takes @tag, too.
 * Content that is there already changes nothing but that.
 */
static void change(struct overlay *ov, struct overlay_entry *e, const void *buf,
		   const struct piece *p, unsigned tag, bool retag)
	REQUIRES(ov->lock)
{
	bool same = !memcmp(e->data + p->start, buf, p->len);

	if (!e->dirty && same)
		return;
	if (e->dirty && !retag)
		tag = e->tag;
	if (same && tag == e->tag)
		return;
	if (!same)
		e->seal = 0;
	memcpy(e->data + p->start, buf, p->len);
	overlay_entry_set_dirty(ov, e, tag);
}

/*
 * Change a block that is not kept. A whole block that cannot be read may still
 * be written: that is how a bad sector is healed.
 */
static int change_new(struct overlay *ov, const void *buf,
		      const struct piece *p, unsigned tag) REQUIRES(ov->lock)
{
	struct overlay_entry *e = overlay_entry_new(ov, p->block);
	int ret = blkdev_pread(ov->lower, e->data, ov->block_size,
			       overlay_pos(ov, p->block));

	if (ret && p->len < ov->block_size) {
		g_free(e);
		return ret;
	}
	if (!ret && !memcmp(e->data + p->start, buf, p->len)) {
		overlay_entry_insert(ov, e, false);
		return 0;
	}
	memcpy(e->data + p->start, buf, p->len);
	e->tag = tag;
	e->stamp = ++ov->stamp;
	overlay_entry_insert(ov, e, true);
	return 0;
}

static int write_locked(struct overlay *ov, const uint8_t *buf, size_t len,
			dev_off pos, unsigned tag, bool retag)
	REQUIRES(ov->lock)
{
	while (len) {
		struct piece p = piece_at(ov, pos, len);
		struct overlay_entry *e = overlay_entry_find(ov, p.block);
		int ret = 0;

		if (e)
			change(ov, e, buf, &p, tag, retag);
		else
			ret = change_new(ov, buf, &p, tag);
		if (ret)
			return ret;
		buf += p.len;
		len -= p.len;
		pos = dev_off_add(pos, p.len);
	}
	return 0;
}

/* ---- the device ---- */

static int overlay_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct overlay *ov = overlay_of(dev);
	int ret;

	mutex_lock(&ov->lock);
	ret = read_locked(ov, buf, len, pos);
	mutex_unlock(&ov->lock);
	return ret;
}

static int overlay_pwrite(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	struct overlay *ov = overlay_of(dev);
	int ret;

	if (pos.v + len > ov->whole * ov->block_size)
		return -EINVAL;
	mutex_lock(&ov->lock);
	ret = write_locked(ov, buf, len, pos, ov->tag, false);
	mutex_unlock(&ov->lock);
	return ret;
}

/* What is kept here becomes durable where its owner writes it. */
static int overlay_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static void overlay_close(struct blkdev *dev)
{
	struct overlay *ov = overlay_of(dev);
	GHashTableIter iter;
	gpointer e;

	g_hash_table_iter_init(&iter, ov->table);
	while (g_hash_table_iter_next(&iter, NULL, &e)) {
		g_hash_table_iter_steal(&iter);
		g_free(e);
	}
	g_hash_table_destroy(ov->table);
	mutex_clear(&ov->lock);
	blkdev_unref(ov->lower);
	g_free(ov);
}

/* No discard: the lower device shines through only by overlay_drop(). */
const struct blkdev_ops overlay_ops = {
	.name = "overlay",
	.pread = overlay_pread,
	.pwrite = overlay_pwrite,
	.flush = overlay_flush,
	.close = overlay_close,
};

struct overlay *overlay_new(struct blkdev *lower, uint32_t block_size,
			    size_t clean_max)
{
	struct blkdev_geometry geo = *blkdev_geometry(lower);
	struct overlay *ov = g_new0(struct overlay, 1);

	g_assert(is_power_of_two(block_size));
	geo.align = 1;
	geo.readonly = false;
	geo.can_discard = false;
	blkdev_init(&ov->dev, &overlay_ops, &geo);
	ov->lower = blkdev_ref(lower);
	ov->block_size = block_size;
	ov->whole = geo.size / block_size;
	ov->clean_max = clean_max;
	mutex_init(&ov->lock);
	ov->table = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_queue_init(&ov->clean);
	g_queue_init(&ov->dirty);
	return ov;
}

struct blkdev *overlay_blkdev(struct overlay *ov)
{
	return &ov->dev;
}

void overlay_unref(struct overlay *ov)
{
	if (ov)
		blkdev_unref(&ov->dev);
}

void overlay_set_tag(struct overlay *ov, unsigned tag)
{
	mutex_lock(&ov->lock);
	ov->tag = tag;
	mutex_unlock(&ov->lock);
}

int overlay_get_block(struct overlay *ov, pblk block, void *buf)
{
	int ret;

	if (block.v >= ov->whole)
		return -EINVAL;
	mutex_lock(&ov->lock);
	ret = read_locked(ov, buf, ov->block_size, overlay_pos(ov, block.v));
	mutex_unlock(&ov->lock);
	return ret;
}

int overlay_put_block(struct overlay *ov, pblk block, const void *buf,
		      unsigned tag)
{
	int ret;

	if (block.v >= ov->whole)
		return -EINVAL;
	mutex_lock(&ov->lock);
	ret = write_locked(ov, buf, ov->block_size, overlay_pos(ov, block.v),
			   tag, true);
	mutex_unlock(&ov->lock);
	return ret;
}

bool overlay_is_dirty(struct overlay *ov, pblk block)
{
	struct overlay_entry *e;
	bool dirty;

	mutex_lock(&ov->lock);
	e = g_hash_table_lookup(ov->table, &block.v);
	dirty = e && e->dirty;
	mutex_unlock(&ov->lock);
	return dirty;
}

void overlay_drop(struct overlay *ov, pblk block)
{
	struct overlay_entry *e;

	mutex_lock(&ov->lock);
	e = g_hash_table_lookup(ov->table, &block.v);
	if (e)
		overlay_entry_forget(ov, e);
	mutex_unlock(&ov->lock);
}
