/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the blocks of the host are, by libext2fs over the lower device. Only
 * places that never move are noted: they are the same before and after a
 * recovery.
 */
#include "support/orderdev_priv.h"

#include <ext2fs/ext2fs.h>

#include <stdio.h>
#include <stdlib.h>

#define SUPER_POS 1024

/* A role in the hash: the place in the journal plus one, or this. */
#define TREE_BLOCK GUINT_TO_POINTER(G_MAXUINT)

struct order_run {
	uint64_t start, end;
};

/* ---- libext2fs reads from a blkdev; the name is its address ---- */

static struct struct_io_manager manager;

static errcode_t channel_open(const char *name, int flags, io_channel *ret)
{
	io_channel channel;
	errcode_t err;
	void *dev;

	(void)flags;
	if (sscanf(name, "%p", &dev) != 1)
		return EXT2_ET_BAD_DEVICE_NAME;
	err = ext2fs_get_memzero(sizeof(*channel), &channel);
	if (err)
		return err;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->block_size = SUPER_POS;
	channel->refcount = 1;
	channel->private_data = dev;
	*ret = channel;
	return 0;
}

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount <= 0)
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
	uint64_t size = (uint64_t)channel->block_size;
	uint64_t len = count < 0 ? (uint64_t) - (int64_t)count
				 : (uint64_t)count * size;

	/* Beyond the device is refused there; so is what overflows here. */
	if (block > G_MAXINT64 / size)
		return EXT2_ET_SHORT_READ;
	return blkdev_pread(channel->private_data, buf, len,
			    dev_off_at(block * size))
		       ? EXT2_ET_SHORT_READ
		       : 0;
}

static errcode_t channel_read(io_channel channel, unsigned long block,
			      int count, void *buf)
{
	return channel_read64(channel, block, count, buf);
}

static errcode_t channel_write64(io_channel channel, unsigned long long block,
				 int count, const void *buf)
{
	(void)channel;
	(void)block;
	(void)count;
	(void)buf;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write(io_channel channel, unsigned long block,
			       int count, const void *buf)
{
	return channel_write64(channel, block, count, buf);
}

static errcode_t channel_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "orderdev",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_blksize,
	.read_blk = channel_read,
	.write_blk = channel_write,
	.read_blk64 = channel_read64,
	.write_blk64 = channel_write64,
	.flush = channel_flush,
};

static ext2_filsys open_host(struct blkdev *lower)
{
	const int flags = EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS;
	char name[32];
	ext2_filsys fs;

	snprintf(name, sizeof(name), "%p", (void *)lower);
	return ext2fs_open2(name, NULL, flags, 0, 0, &manager, &fs) ? NULL : fs;
}

/* ---- what is where ---- */

static void add_own(struct order_layout *l, uint64_t start, uint64_t len)
{
	struct order_run run = { start, start + len };

	g_array_append_val(l->own, run);
}

static void add_group(struct order_layout *l, ext2_filsys fs, dgrp_t group)
{
	blk_t used = 0;

	/* Superblock, descriptors and their reserve begin the group. */
	ext2fs_super_and_bgd_loc2(fs, group, NULL, NULL, NULL, &used);
	if (used)
		add_own(l, ext2fs_group_first_block2(fs, group), used);
	add_own(l, ext2fs_block_bitmap_loc(fs, group), 1);
	add_own(l, ext2fs_inode_bitmap_loc(fs, group), 1);
	add_own(l, ext2fs_inode_table_loc(fs, group),
		fs->inode_blocks_per_group);
}

static gint compare_runs(gconstpointer a, gconstpointer b)
{
	const struct order_run *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int add_journal_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count,
			     blk64_t ref_block, int ref_offset, void *data)
{
	struct order_layout *l = data;
	uint64_t phys = *block;
	gpointer role = TREE_BLOCK;
	gint64 *key = g_new(gint64, 1);

	(void)fs;
	(void)ref_block;
	(void)ref_offset;
	*key = (gint64)phys;
	if (count >= 0 && (uint64_t)count == l->journal->len) {
		g_array_append_val(l->journal, phys);
		role = GUINT_TO_POINTER(l->journal->len);
	}
	g_hash_table_replace(l->roles, key, role);
	return l->journal->len < l->blocks ? 0 : BLOCK_ABORT;
}

static bool learn(struct order_layout *l, ext2_filsys fs)
{
	struct ext2_super_block *sb = fs->super;

	if (!ext2fs_has_feature_journal(sb) || !sb->s_journal_inum)
		return false;
	l->bs = fs->blocksize;
	l->bits = (unsigned)(sb->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE);
	l->blocks = ext2fs_blocks_count(sb);
	l->super = SUPER_POS / l->bs;
	l->super_at = SUPER_POS % l->bs;
	for (dgrp_t group = 0; group < fs->group_desc_count; group++)
		add_group(l, fs, group);
	g_array_sort(l->own, compare_runs);
	if (ext2fs_block_iterate3(fs, sb->s_journal_inum, BLOCK_FLAG_READ_ONLY,
				  NULL, add_journal_block, l))
		return false;
	return l->journal->len > 1;
}

struct order_layout *order_layout_new(struct blkdev *lower)
{
	struct order_layout *l = g_new0(struct order_layout, 1);
	ext2_filsys fs = open_host(lower);
	bool ok = false;

	l->own = g_array_new(FALSE, FALSE, sizeof(struct order_run));
	l->journal = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	l->roles = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
					 NULL);
	if (fs) {
		ok = learn(l, fs);
		ext2fs_free(fs);
	}
	if (ok)
		return l;
	order_layout_free(l);
	return NULL;
}

void order_layout_free(struct order_layout *l)
{
	if (!l)
		return;
	g_array_unref(l->own);
	g_array_unref(l->journal);
	g_hash_table_unref(l->roles);
	g_free(l);
}

static bool is_own(const struct order_layout *l, uint64_t block)
{
	guint low = 0, high = l->own->len;

	/* The last run that starts at or before the block. */
	while (low < high) {
		guint mid = low + (high - low) / 2;

		if (g_array_index(l->own, struct order_run, mid).start <= block)
			low = mid + 1;
		else
			high = mid;
	}
	return low &&
	       block < g_array_index(l->own, struct order_run, low - 1).end;
}

enum order_role order_role(const struct order_layout *l, uint64_t block,
			   uint32_t *ret_at)
{
	gint64 key = (gint64)block;
	gpointer role;

	*ret_at = 0;
	if (block == l->super)
		return ORDER_SUPER;
	if (is_own(l, block))
		return ORDER_OWN;
	role = g_hash_table_lookup(l->roles, &key);
	if (!role)
		return ORDER_OTHER;
	if (role == TREE_BLOCK)
		return ORDER_JTREE;
	*ret_at = GPOINTER_TO_UINT(role) - 1;
	return *ret_at ? ORDER_LOG : ORDER_JSB;
}
