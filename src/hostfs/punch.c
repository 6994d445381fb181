/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Punch, preallocation, and the way from written back to unwritten: each one
 * bounded step, all or nothing.
 *
 * A punch changes the tree first and releases the blocks afterwards, as a block
 * may leave the used ones only when no file claims it any more. A release can
 * fail, when a bitmap cannot be read or says that the block was free. The tree
 * then takes back everything from that run on, and what lies before it counts
 * as done; so the caller meets the error with its next step, as the first run
 * of that, with nothing changed. Only when the tree cannot take it back is the
 * host broken.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

/* ---- punch ---- */

static int cut_tree(struct hostfile *hf, const struct extent *hole,
		    GArray *freed, uint64_t *ret_done)
{
	return hf->extent_mapped ? exttree_set(hf, hole, freed, ret_done)
				 : indtree_set(hf, hole, freed, ret_done);
}

/* Runs from @i on go back into the tree. */
static void take_back(struct hostfile *hf, const GArray *freed, unsigned i)
{
	for (; i < freed->len; i++) {
		uint64_t done;
		int err = hostfile_enter(
			hf, &g_array_index(freed, struct extent, i), &done);

		if (err)
			tx_fail(hf->fs, err, "undoing half a punch");
	}
}

/* How many runs could be released, and their blocks. */
static int release_runs(struct hostfile *hf, const GArray *freed,
			unsigned *ret_n, int64_t *ret_blocks)
{
	*ret_blocks = 0;
	for (*ret_n = 0; *ret_n < freed->len; ++*ret_n) {
		const struct extent *e =
			&g_array_index(freed, struct extent, *ret_n);
		int err =
			alloc_release(hf->fs->alloc, e->phys, (uint32_t)e->len);

		if (err)
			return err;
		*ret_blocks += (int64_t)e->len;
	}
	return 0;
}

static int punch_step(struct hostfile *hf, struct extent *hole,
		      uint64_t *ret_done)
{
	g_autoptr(GArray)
		freed = g_array_new(FALSE, FALSE, sizeof(struct extent));
	int64_t blocks;
	unsigned n;
	int err = cut_tree(hf, hole, freed, &hole->len);

	if (err)
		return err;
	err = release_runs(hf, freed, &n, &blocks);
	if (err) {
		take_back(hf, freed, n);
		if (!n)
			return err;
		hole->len = g_array_index(freed, struct extent, n).start.v -
			    hole->start.v;
	}
	if (blocks && inode_add_blocks(hf, -blocks))
		tx_fail(hf->fs, -EUCLEAN, "an inode's block count");
	extmap_set(hf->map, hole);
	inode_changed(hf);
	*ret_done = hole->len;
	return 0;
}

/* Bitmaps and descriptors that change when @e is freed. */
static uint64_t group_blocks(struct hostfile *hf, const struct extent *e)
{
	ext2_filsys fs = hf->fs->fs;

	if (e->state == EXTENT_HOLE)
		return 0;
	return 2 * (ext2fs_group_of_blk2(fs, e->phys.v + e->len - 1) -
		    ext2fs_group_of_blk2(fs, e->phys.v) + UINT64_C(1));
}

/*
 * So much of the range that freeing it fits one transaction: *len is cut. Half
 * is for the tree; a single run is cut at the length of whole groups. Between
 * runs that cost something is one hole each; a tree with many empty leaves next
 * to each other, each a hole of its own, is not looked through at every step.
 */
static int cut_to_tx(struct hostfile *hf, lblk start, uint64_t *len)
{
	uint64_t most = tx_op_blocks(hf->fs) / 2, seen = 0, cost = 0;
	uint64_t per_group = EXT2_BLOCKS_PER_GROUP(hf->fs->fs->super);

	for (uint64_t looks = 0; seen < *len && looks <= most; looks++) {
		struct extent e;
		int err = hostfile_look(hf, lblk_add(start, seen), *len - seen,
					&e);

		if (err)
			return err;
		cost += group_blocks(hf, &e);
		if (cost > most)
			break;
		seen += e.len;
	}
	*len = u64_min(*len, seen ? seen : (most / 2 - 1) * per_group);
	return 0;
}

static int punch_locked(struct hostfile *hf, lblk start, uint64_t len,
			uint64_t *ret_done)
{
	struct extent hole = { .start = start, .state = EXTENT_HOLE };
	struct extent first;
	int err = hostfile_look(hf, start, len, &first);

	if (!err && first.state == EXTENT_HOLE) {
		inode_changed(hf);
		*ret_done = first.len;
		return 0;
	}
	if (!err)
		err = cut_to_tx(hf, start, &len);
	if (err)
		return err;

	for (unsigned try = 0;; try++) {
		hole.len = len;
		err = punch_step(hf, &hole, ret_done);
		if (err != -ENOSPC || try)
			return err;
		err = hostfile_make_room(hf);
		if (err)
			return err;
	}
}

/* ---- prealloc ---- */

static int prealloc_hole(struct hostfile *hf, lblk start, uint64_t len,
			 uint64_t *ret_done)
{
	struct alloc *a = hf->fs->alloc;
	struct extent run, back;
	uint64_t promised, done, undone;
	int err = hostfile_take(hf, NULL, start, len, &run, &promised);

	if (err)
		return err;
	alloc_unpromise(a, promised); /* needed here and now */
	run.state = EXTENT_UNWRITTEN;
	err = hostfile_enter(hf, &run, &done);
	if (!err)
		err = inode_add_blocks(hf, (int64_t)run.len);
	if (err) {
		back = (struct extent){ start, done, run.phys, EXTENT_HOLE };
		if (done && hostfile_enter(hf, &back, &undone))
			tx_fail(hf->fs, err, "undoing half a preallocation");
		alloc_give_back(a, run.phys, (uint32_t)run.len);
		return err;
	}
	alloc_publish(a, run.phys, (uint32_t)run.len);
	extmap_set(hf->map, &run);
	*ret_done = run.len;
	return 0;
}

static int prealloc_locked(struct hostfile *hf, lblk start, uint64_t len,
			   uint64_t *ret_done)
{
	struct extent e;
	int err = hostfile_look(hf, start, len, &e);

	if (err)
		return err;
	*ret_done = e.len;
	for (unsigned try = 0; !err && e.state == EXTENT_HOLE; try++) {
		err = prealloc_hole(hf, start, e.len, ret_done);
		if (err != -ENOSPC || try)
			break;
		err = hostfile_make_room(hf);
	}
	if (!err)
		inode_changed(hf);
	return err;
}

/* ---- unwrite ---- */

static int unwrite_mapped(struct hostfile *hf, const struct extent *e,
			  uint64_t *ret_done)
{
	struct extent to = *e;
	int err;

	to.state = EXTENT_UNWRITTEN;
	err = exttree_set(hf, &to, NULL, &to.len);
	if (err)
		return err;
	extmap_set(hf->map, &to);
	*ret_done = to.len;
	return 0;
}

static int unwrite_locked(struct hostfile *hf, lblk start, uint64_t len,
			  uint64_t *ret_done)
{
	struct extent e;
	int err = hostfile_look(hf, start, len, &e);

	if (err)
		return err;
	*ret_done = e.len;
	for (unsigned try = 0; !err && e.state == EXTENT_MAPPED; try++) {
		err = unwrite_mapped(hf, &e, ret_done);
		if (err != -ENOSPC || try)
			break;
		err = hostfile_make_room(hf);
	}
	if (!err)
		inode_changed(hf);
	return err;
}

/* ---- what all three have around them ---- */

typedef int (*step_fn)(struct hostfile *hf, lblk start, uint64_t len,
		       uint64_t *ret_done);

static int step(struct hostfile *hf, step_fn fn, lblk start, uint64_t len,
		uint64_t *ret_done)
{
	uint64_t done = 0;
	int err;

	*ret_done = 0;
	if (!len)
		return 0;
	mutex_lock(&hf->fs->lock);
	err = tx_start(hf->fs);
	if (!err)
		err = fn(hf, start, len, &done);
	if (!err)
		*ret_done = done;
	mutex_unlock(&hf->fs->lock);
	return err;
}

int hostfile_punch(struct hostfile *hf, lblk start, uint64_t len,
		   uint64_t *ret_done)
{
	/* Beyond the last block that a file can have all is hole already. */
	if (start.v >= LBLK_END) {
		*ret_done = len;
		return 0;
	}
	return step(hf, punch_locked, start, u64_min(len, LBLK_END - start.v),
		    ret_done);
}

int hostfile_prealloc(struct hostfile *hf, lblk start, uint64_t len,
		      uint64_t *ret_done)
{
	*ret_done = 0;
	if (!hf->extent_mapped)
		return -EOPNOTSUPP;
	if (start.v >= LBLK_END)
		return -ENOSPC;
	return step(hf, prealloc_locked, start,
		    u64_min(len, LBLK_END - start.v), ret_done);
}

int hostfile_unwrite(struct hostfile *hf, lblk start, uint64_t len,
		     uint64_t *ret_done)
{
	*ret_done = 0;
	if (!hf->extent_mapped)
		return -EOPNOTSUPP;
	if (start.v >= LBLK_END) {
		*ret_done = len;
		return 0;
	}
	return step(hf, unwrite_locked, start, u64_min(len, LBLK_END - start.v),
		    ret_done);
}
