/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a file's new blocks go: near its others, as far from them on the device
 * as they are in the file, so that whatever order holes are filled in, the
 * file ends up in order. The first that there is decides:
 *
 *   the run reserved before in the same fill, the left neighbour, the right
 *   neighbour, the first group of the inode's flex group.
 *
 * The cache mostly knows the neighbours of a hole that was looked up in it. Where
 * it does not, those in the hole's leaf on disk will do.
 *
 * Blocks are taken only while the tree blocks that entering them may need can
 * be promised as well.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

uint64_t hostfile_tree_worst(struct hostfile *hf, uint64_t len)
{
	return hf->extent_mapped ? exttree_worst(hf, len)
				 : indtree_worst(hf, len);
}

/*
 * A tree block may be new, with a bitmap and descriptors of its own. Half of
 * what an operation may change: there is one more run, at worst, when a fill is
 * found too large.
 */
bool hostfile_fits_tx(struct hostfile *hf, uint64_t tree_blocks)
{
	return 3 * tree_blocks <= tx_op_blocks(hf->fs) / 2;
}

/* Where an inode's data starts when nothing else says where. */
pblk hostfile_inode_goal(struct hostfile *hf)
{
	ext2_filsys fs = hf->fs->fs;
	dgrp_t group = ext2fs_group_of_ino(fs, hf->ino);
	unsigned log_flex = fs->super->s_log_groups_per_flex;

	if (ext2fs_has_feature_flex_bg(fs->super) && log_flex < 32)
		group &= ~((UINT32_C(1) << log_flex) - 1);
	return pblk_at(ext2fs_group_first_block2(fs, group));
}

/*
 * Blocks at the end of a group: an indirect map of a group full of data needs
 * 32 of them and the levels above, whatever the block size.
 */
#define TREE_TAIL 64

pblk hostfile_tree_goal(struct hostfile *hf, pblk near)
{
	ext2_filsys fs = hf->fs->fs;
	dgrp_t group = ext2fs_group_of_blk2(fs, near.v);
	uint64_t first = ext2fs_group_first_block2(fs, group);
	uint64_t last = ext2fs_group_last_block2(fs, group);

	return pblk_at(last - u64_min(last - first, TREE_TAIL));
}

static bool from_left(const struct extent *e, uint64_t at, uint64_t *ret)
{
	return e->start.v < at && u64_add(e->phys.v, at - e->start.v, ret);
}

static bool from_right(const struct extent *e, uint64_t at, uint64_t *ret)
{
	if (e->start.v <= at || e->phys.v <= e->start.v - at)
		return false;
	*ret = e->phys.v - (e->start.v - at);
	return true;
}

/* From the neighbours in the leaf: the left one, else the right one. */
static int goal_from_leaf(struct hostfile *hf, uint64_t at, bool *ret_found,
			  uint64_t *ret)
{
	g_autoptr(GArray)
		extents = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct leaf leaf = { .extents = extents };
	unsigned low = 0, high;
	int err = hostfile_load_leaf(hf, lblk_at(at), &leaf);

	if (err)
		return err;
	high = extents->len;
	while (low < high) { /* to the first that starts behind @at */
		unsigned mid = low + (high - low) / 2;

		if (g_array_index(extents, struct extent, mid).start.v <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low &&
	    from_left(&g_array_index(extents, struct extent, low - 1), at, ret))
		*ret_found = true;
	else if (low < extents->len &&
		 from_right(&g_array_index(extents, struct extent, low), at,
			    ret))
		*ret_found = true;
	return 0;
}

/* The same from the cache; false: it does not know enough. */
static bool goal_from_cache(struct hostfile *hf, uint64_t at, bool *ret_found,
			    uint64_t *ret)
{
	struct extent e;

	if (!extmap_near(hf->map, lblk_at(at), &e))
		return false;
	*ret_found = e.state != EXTENT_HOLE &&
		     (from_left(&e, at, ret) || from_right(&e, at, ret));
	return true;
}

static int find_goal(struct hostfile *hf, const struct fill *fill, uint64_t at,
		     pblk *ret)
{
	const struct ext2_super_block *super =
		(const struct ext2_super_block *)hf->fs->fs->super;
	uint64_t end = ext2fs_blocks_count(hf->fs->fs->super), goal = 0;
	bool found = false;
	int err;

	if (fill && fill->n)
		found = from_left(&fill->runs[fill->n - 1], at, &goal);
	if (!found && !goal_from_cache(hf, at, &found, &goal)) {
		err = goal_from_leaf(hf, at, &found, &goal);
		if (err)
			return err;
	}
	if (!found)
		goal = hostfile_inode_goal(hf).v + at;
	if (goal >= end || goal < super->s_first_data_block)
		goal = hostfile_inode_goal(hf).v;
	*ret = pblk_at(goal);
	return 0;
}

int hostfile_take(struct hostfile *hf, const struct fill *fill, lblk at,
		  uint64_t max, struct extent *ret, uint64_t *ret_promised)
{
	struct alloc *a = hf->fs->alloc;
	uint64_t available = alloc_available(a), worst;
	pblk goal, phys;
	uint32_t len;
	int err;

	max = u64_min(max, FILL_RUN_MAX);
	while (max > 1 && !hostfile_fits_tx(hf, hostfile_tree_worst(hf, max)))
		max /= 2;
	worst = hostfile_tree_worst(hf, max);
	if (available <= worst)
		worst = hostfile_tree_worst(hf, max = 1);
	if (available <= worst)
		return -ENOSPC;
	max = u64_min(max, available - worst);
	err = find_goal(hf, fill, at.v, &goal);
	if (!err)
		err = alloc_take(a, goal, (uint32_t)max, &phys, &len);
	if (err)
		return err;
	if (!hf->extent_mapped && phys.v + len - 1 > UINT32_MAX) {
		/* Out of reach for the pointers of an indirect tree. */
		alloc_give_back(a, phys, len);
		return -ENOSPC;
	}
	*ret = (struct extent){ at, len, phys, EXTENT_MAPPED };
	*ret_promised = hostfile_tree_worst(hf, len);
	alloc_promise(a, *ret_promised);
	return 0;
}
