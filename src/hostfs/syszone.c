/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the filesystem's own blocks lie: superblocks and descriptors with their
 * backups and reserve, bitmaps, inode tables, the multi-mount block, the resize
 * inode's block, the internal journal with its tree. No data may be there.
 *
 * Kept as sorted, merged runs; a flex_bg host has a few per flex group, one
 * without it one per group. Built once from the descriptors in memory: no
 * bitmap is read. Afterwards it is only read, by any thread.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>
#include <rawmap/jbd/journal.h>

#include <errno.h>
#include <stdlib.h>

struct run {
	uint64_t start, end;
};

struct syszone {
	GArray *runs;	 /* of struct run: sorted, disjoint, apart */
	uint64_t blocks; /* of the filesystem */
};

/*
 * While it is built: a flex group keeps its bitmaps and tables side by side by
 * kind, an old group its own blocks of all kinds. So a few of the runs added
 * last are where the next one may go on, and on a host of 32768 groups the sort
 * has a tenth of the work.
 */
#define RECENT 4

/* Appends to a recent run where it can; the rest is the sort's work. */
static void add(struct syszone *zone, uint64_t start, uint64_t len)
{
	uint64_t end = start + u64_min(len, zone->blocks - start);
	struct run run = { start, end };
	guint n = zone->runs->len;

	for (guint i = n; i && n - i < RECENT; i--) {
		struct run *last =
			&g_array_index(zone->runs, struct run, i - 1);

		if (start >= last->start && start <= last->end) {
			last->end = u64_max(last->end, end);
			return;
		}
	}
	g_array_append_val(zone->runs, run);
}

/* As add(), for numbers that came from the disk. */
static int add_checked(struct syszone *zone, ext2_filsys fs, uint64_t start,
		       uint64_t len)
{
	if (start < fs->super->s_first_data_block ||
	    !range_within(start, len, zone->blocks))
		return -EUCLEAN;
	add(zone, start, len);
	return 0;
}

static int add_group(struct syszone *zone, ext2_filsys fs, dgrp_t group)
{
	uint64_t first = ext2fs_group_first_block2(fs, group);
	blk_t used = 0;
	int err;

	if (ext2fs_has_group_desc_csum(fs) &&
	    !ext2fs_group_desc_csum_verify(fs, group)) {
		log_debug("group %u: bad descriptor checksum", group);
		return -EUCLEAN;
	}
	/* Superblock and descriptors are the first blocks of the group. */
	ext2fs_super_and_bgd_loc2(fs, group, NULL, NULL, NULL, &used);
	if (used)
		add(zone, first, used);
	err = add_checked(zone, fs, ext2fs_block_bitmap_loc(fs, group), 1);
	if (!err)
		err = add_checked(zone, fs, ext2fs_inode_bitmap_loc(fs, group),
				  1);
	if (!err)
		err = add_checked(zone, fs, ext2fs_inode_table_loc(fs, group),
				  fs->inode_blocks_per_group);
	if (err)
		log_debug("group %u: its descriptor points outside", group);
	return err;
}

static int add_runs(struct syszone *zone, ext2_filsys fs, const GArray *runs)
{
	int err = 0;

	for (guint i = 0; !err && i < runs->len; i++) {
		const struct journal_run *run =
			&g_array_index(runs, struct journal_run, i);

		err = add_checked(zone, fs, run->phys.v, run->len);
	}
	return err;
}

static int add_blocks(struct syszone *zone, ext2_filsys fs,
		      const GArray *blocks)
{
	int err = 0;

	for (guint i = 0; !err && i < blocks->len; i++)
		err = add_checked(zone, fs, g_array_index(blocks, pblk, i).v,
				  1);
	return err;
}

static int add_journal(struct syszone *zone, ext2_filsys fs)
{
	g_autoptr(GArray) runs = NULL;
	g_autoptr(GArray) tree = NULL;
	int err;

	if (!ext2fs_has_feature_journal(fs->super) ||
	    !fs->super->s_journal_inum)
		return 0;
	runs = g_array_new(FALSE, FALSE, sizeof(struct journal_run));
	tree = g_array_new(FALSE, FALSE, sizeof(pblk));
	err = jmap_read(fs, fs->super->s_journal_inum, runs, tree);
	if (!err)
		err = add_runs(zone, fs, runs);
	return err ? err : add_blocks(zone, fs, tree);
}

/* Its blocks are the reserved descriptors, but for the one that lists them. */
static int add_resize_inode(struct syszone *zone, ext2_filsys fs)
{
	struct ext2_inode inode;
	errcode_t err;

	if (!ext2fs_has_feature_resize_inode(fs->super))
		return 0;
	err = ext2fs_read_inode(fs, EXT2_RESIZE_INO, &inode);
	if (err)
		return errcode_to_errno(err);
	if (!inode.i_block[EXT2_DIND_BLOCK])
		return 0;
	return add_checked(zone, fs, inode.i_block[EXT2_DIND_BLOCK], 1);
}

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void merge(struct syszone *zone)
{
	struct run *runs = (struct run *)(void *)zone->runs->data;
	guint n = 0;

	/* A host without a journal: an empty array has no data at all. */
	if (!zone->runs->len)
		return;
	qsort(runs, zone->runs->len, sizeof(*runs), compare_runs);
	for (guint i = 0; i < zone->runs->len; i++) {
		if (n && runs[i].start <= runs[n - 1].end)
			runs[n - 1].end = u64_max(runs[n - 1].end, runs[i].end);
		else
			runs[n++] = runs[i];
	}
	g_array_set_size(zone->runs, n);
}

static int add_described(struct syszone *zone, ext2_filsys fs)
{
	int err = 0;

	add(zone, 0, fs->super->s_first_data_block);
	for (dgrp_t group = 0; !err && group < fs->group_desc_count; group++)
		err = add_group(zone, fs, group);
	if (!err && ext2fs_has_feature_mmp(fs->super))
		err = add_checked(zone, fs, fs->super->s_mmp_block, 1);
	return err;
}

static int add_owned(struct syszone *zone, ext2_filsys fs)
{
	int err = add_journal(zone, fs);

	return err ? err : add_resize_inode(zone, fs);
}

static int make(ext2_filsys fs, int (*add_to)(struct syszone *, ext2_filsys),
		struct syszone **ret)
{
	struct syszone *zone = g_new0(struct syszone, 1);
	int err;

	zone->runs = g_array_new(FALSE, FALSE, sizeof(struct run));
	zone->blocks = ext2fs_blocks_count(fs->super);
	err = add_to(zone, fs);
	if (err) {
		syszone_free(zone);
		return err;
	}
	merge(zone);
	*ret = zone;
	return 0;
}

int syszone_new(ext2_filsys fs, struct syszone **ret)
{
	return make(fs, add_described, ret);
}

int syszone_new_journal(ext2_filsys fs, struct syszone **ret)
{
	return make(fs, add_owned, ret);
}

void syszone_free(struct syszone *zone)
{
	if (!zone)
		return;
	g_array_unref(zone->runs);
	g_free(zone);
}

bool syszone_touches(const struct syszone *zone, pblk start, uint64_t len)
{
	guint low = 0, high = zone->runs->len;

	if (!range_within(start.v, len, zone->blocks))
		return true;
	/* The first run that ends behind the start. */
	while (low < high) {
		guint mid = low + (high - low) / 2;

		if (g_array_index(zone->runs, struct run, mid).end <= start.v)
			low = mid + 1;
		else
			high = mid;
	}
	return low < zone->runs->len &&
	       g_array_index(zone->runs, struct run, low).start < start.v + len;
}
