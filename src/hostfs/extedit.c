/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing an extent tree: one range within one leaf, by copying.
 *
 * The change is planned in memory (extplan.c). Every block is taken while
 * planning, so that the plan either fails with the tree untouched or needs no
 * space any more. Then it is carried out: new nodes, nodes in place, the blocks
 * that fell out are released, the root.
 *
 * When the first release fails (the bitmap says that the block was free, or
 * cannot be read) all is taken back. A release cannot be: if a later one fails
 * the host is broken, which keeps the whole transaction off the disk.
 */
#include "ext_priv.h"

#include <errno.h>

/* Pieces of a new range for one leaf: two leaves hold any list then. */
#define PIECES_MAX 16

/* Nothing was written: give back what was taken. */
static void give_up(struct edit *ed)
{
	for (unsigned i = 0; i < ed->fresh->len; i++) {
		int err = meta_free(ed->hf->fs,
				    g_array_index(ed->fresh, pblk, i));

		if (err)
			tx_fail(ed->hf->fs, err, "an extent tree");
	}
}

static int write_planned(struct edit *ed, bool fresh, unsigned *ret_n)
{
	for (*ret_n = 0; *ret_n < ed->planned->len; ++*ret_n) {
		const struct planned *p =
			&g_array_index(ed->planned, struct planned, *ret_n);
		int err = 0;

		if (p->fresh == fresh)
			err = extnode_write(ed->hf, p->block, &p->node);
		if (err)
			return err;
	}
	return 0;
}

/* The first @n nodes in place become again what they were. */
static void restore(struct edit *ed, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct planned *p =
			&g_array_index(ed->planned, struct planned, i);
		int err = 0;

		if (!p->fresh)
			err = extnode_write(ed->hf, p->block, p->before);
		if (err)
			tx_fail(ed->hf->fs, err, "an extent tree");
	}
}

/* *ret_n: how many are released. */
static int release_gone(struct edit *ed, unsigned *ret_n)
{
	for (; *ret_n < ed->gone->len; ++*ret_n) {
		int err = meta_free(ed->hf->fs,
				    g_array_index(ed->gone, pblk, *ret_n));

		if (err)
			return err;
	}
	return 0;
}

/* Everything but the root, which is memory: no failure leaves a trace. */
static int carry_out_blocks(struct edit *ed)
{
	unsigned done = 0, released = 0;
	int err = write_planned(ed, true, &done);

	if (err)
		return err;
	err = write_planned(ed, false, &done);
	if (!err)
		err = release_gone(ed, &released);
	if (!err)
		return 0;
	if (released)
		tx_fail(ed->hf->fs, err, "releasing an extent node");
	else
		restore(ed, done);
	return err;
}

static int carry_out(struct edit *ed)
{
	int64_t blocks = (int64_t)ed->fresh->len - (int64_t)ed->gone->len;
	int err = blocks ? inode_add_blocks(ed->hf, blocks) : 0;

	if (err)
		return err;
	err = carry_out_blocks(ed);
	if (err) {
		if (blocks && inode_add_blocks(ed->hf, -blocks))
			tx_fail(ed->hf->fs, err, "an inode's block count");
		return err;
	}
	if (ed->root_changed)
		extnode_write_root(ed->hf, &ed->root);
	return 0;
}

static int edit_leaf(struct edit *ed, const struct extent *e, GArray *cut)
{
	const GArray *old = ed->level[ed->depth].node.entries;
	g_autoptr(GArray)
		leaf = g_array_new(FALSE, FALSE, sizeof(struct extent));
	bool at_end = extcut_apply(old, e, leaf, cut);
	int err;

	/* A hole in a hole must not move a node, even to tidy it. */
	if (extnode_same(old, leaf) || (e->state == EXTENT_HOLE && !cut->len))
		return 0;
	err = edit_plan(ed, leaf, at_end);
	if (!err)
		err = carry_out(ed);
	if (err)
		give_up(ed);
	return err;
}

int exttree_set(struct hostfile *hf, const struct extent *e, GArray *freed,
		uint64_t *ret_done)
{
	g_autoptr(GArray)
		cut = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct extent now = *e;
	struct edit ed;
	int err;

	g_assert(e->len && extent_end(e) <= LBLK_END + 1);
	edit_init(&ed, hf);
	err = edit_descend(&ed, e->start.v);
	if (!err && ed.end <= e->start.v)
		err = hostfile_corrupt(hf, ed.level[ed.depth].block,
				       "extent nodes out of order");
	if (!err) {
		now.len = MIN(e->len, ed.end - e->start.v);
		if (e->state != EXTENT_HOLE)
			now.len = MIN(now.len, PIECES_MAX * EXT_UNWRITTEN_MAX);
		err = edit_leaf(&ed, &now, cut);
	}
	edit_clear(&ed);
	if (err)
		return err;
	if (freed && cut->len)
		g_array_append_vals(freed, cut->data, cut->len);
	*ret_done = now.len;
	return 0;
}

/*
 * Every piece may go to a leaf of its own, copy the path to it and split all of
 * it; the tree may grow once more before the promise is redeemed.
 */
uint64_t exttree_worst(struct hostfile *hf, uint64_t len)
{
	uint64_t edits = len / EXT_UNWRITTEN_MAX + 1;
	unsigned root, depth = EXT_DEPTH_MAX;

	if (extnode_root_depth(hf, &root))
		depth = MIN(root + 1, EXT_DEPTH_MAX);
	return edits * (2 * depth + 1);
}
