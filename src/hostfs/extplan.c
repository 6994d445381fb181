/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan of a change of an extent tree: from the leaf up to the root, in
 * memory.
 *
 *   a node that becomes         its place
 *   unchanged                   stays; nothing above it changes either
 *   changed, new in this tx     stays: no crash can see it half done; with a
 *                               journal so does every other
 *   changed, on the source      a new block; without one, in place (*)
 *   too full                    itself and one more new block
 *   empty                       none; its parent loses the entry
 *
 * and at the root: entries that do not fit it move down into a new node; an
 * only child that fits it is pulled up.
 *
 * (*) Only when nothing splits: both halves of a node cannot change hands
 * in one write.
 *
 * Tree blocks are taken near one point of the inode's group, far from where
 * sequential data starts; copying then moves a node to and fro between few
 * blocks instead of walking through the data.
 *
 * Takes blocks, writes none.
 */
#include "ext_priv.h"

#include <errno.h>

void edit_init(struct edit *ed, struct hostfile *hf)
{
	*ed = (struct edit){
		.hf = hf,
		.planned = g_array_new(FALSE, FALSE, sizeof(struct planned)),
		.fresh = g_array_new(FALSE, FALSE, sizeof(pblk)),
		.gone = g_array_new(FALSE, FALSE, sizeof(pblk)),
	};
}

void edit_clear(struct edit *ed)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(ed->level); i++)
		extnode_clear(&ed->level[i].node);
	for (unsigned i = 0; i < ed->planned->len; i++)
		extnode_clear(
			&g_array_index(ed->planned, struct planned, i).node);
	extnode_clear(&ed->root);
	g_array_unref(ed->planned);
	g_array_unref(ed->fresh);
	g_array_unref(ed->gone);
}

/* The last entry that starts at or before @at, or the first one. */
static unsigned entry_for(const GArray *entries, uint64_t at)
{
	unsigned low = 0, high = entries->len;

	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;

		if (extnode_at(entries, mid)->start.v <= at)
			low = mid;
		else
			high = mid;
	}
	return low;
}

int edit_descend(struct edit *ed, uint64_t at)
{
	struct level *lv = &ed->level[0];
	int err = extnode_read_root(ed->hf, &lv->node);

	if (err)
		return err;
	ed->depth = lv->node.depth;
	ed->end = LBLK_END + 1;
	ed->right_edge = true;
	for (unsigned l = 0; l < ed->depth; l++, lv++) {
		const GArray *entries = lv->node.entries;
		const struct extent *down;

		if (!entries->len)
			return hostfile_corrupt(ed->hf, lv->block,
						"an empty index node");
		lv->at = entry_for(entries, at);
		down = extnode_at(entries, lv->at);
		if (lv->at + 1 < entries->len) {
			ed->end = extnode_at(entries, lv->at + 1)->start.v;
			ed->right_edge = false;
		}
		lv[1].block = down->phys;
		err = extnode_read(ed->hf, down->phys, ed->depth - l - 1,
				   down->start.v, ed->end, &lv[1].node);
		if (err)
			return err;
	}
	return 0;
}

static bool same_entry(const struct extent *x, const struct extent *y)
{
	return x->start.v == y->start.v && x->len == y->len &&
	       x->phys.v == y->phys.v && x->state == y->state;
}

bool extnode_same(const GArray *a, const GArray *b)
{
	if (a->len != b->len)
		return false;
	for (unsigned i = 0; i < a->len; i++)
		if (!same_entry(extnode_at(a, i), extnode_at(b, i)))
			return false;
	return true;
}

static int take_block(struct edit *ed, pblk *ret)
{
	/* All near the inode: copying moves a node between few blocks then. */
	pblk near = hostfile_inode_goal(ed->hf);
	pblk goal = hostfile_tree_goal(ed->hf, near);
	int err = meta_alloc(ed->hf->fs, goal, ret);

	if (!err)
		g_array_append_vals(ed->fresh, ret, 1);
	return err;
}

/* Shared when it is all of them. */
static GArray *part_of(GArray *entries, unsigned from, unsigned n)
{
	GArray *ret;

	if (n == entries->len)
		return g_array_ref(entries);
	ret = g_array_sized_new(FALSE, FALSE, sizeof(struct extent), n);
	return g_array_append_vals(ret, extnode_at(entries, from), n);
}

/*
 * Plan one node with @n of @entries from @from; @old is the level whose block
 * it inherits, or NULL. Its index entry is appended to @up. Nobody changes
 * @entries any more.
 */
static int plan_node(struct edit *ed, struct level *old, GArray *entries,
		     unsigned from, unsigned n, unsigned depth, GArray *up)
{
	struct planned p = { .fresh = true };
	struct extent index;
	int err = 0;

	if (old && meta_in_place(ed->hf->fs, old->block)) {
		p.fresh = false;
	} else {
		err = take_block(ed, &p.block);
		if (err == -ENOSPC && old && !ed->must_move)
			p.fresh = false;
		else if (err)
			return err;
		else if (old)
			g_array_append_val(ed->gone, old->block);
	}
	if (!p.fresh) {
		p.block = old->block;
		p.before = &old->node;
	}
	p.node = (struct extnode){
		.depth = depth,
		.generation = old ? old->node.generation : 0,
		.entries = part_of(entries, from, n),
	};
	g_array_append_val(ed->planned, p);

	index = (struct extent){
		.start = extnode_at(entries, from)->start,
		.phys = p.block,
		.state = EXTENT_HOLE,
	};
	g_array_append_val(up, index);
	return 0;
}

/*
 * Plan the nodes that take the place of the one at level @l. @at_end: what
 * grew is the end of the file, so the left node stays full.
 */
static int plan_level(struct edit *ed, unsigned l, GArray *entries, bool at_end,
		      GArray *up)
{
	struct level *lv = &ed->level[l];
	unsigned cap = extnode_capacity(ed->hf->fs->block_size);
	unsigned n = entries->len, left = n;
	int err;

	if (!n) {
		g_array_append_val(ed->gone, lv->block);
		return 0;
	}
	if (n > cap)
		left = at_end ? cap : (n + 1) / 2;
	err = plan_node(ed, lv, entries, 0, left, lv->node.depth, up);
	if (!err && left < n)
		err = plan_node(ed, NULL, entries, left, n - left,
				lv->node.depth, up);
	return err;
}

/* Does the one that led down stay what it is? Then so does all above it. */
static bool child_stays(const struct level *lv, const GArray *up)
{
	return up->len == 1 && same_entry(extnode_at(up, 0),
					  extnode_at(lv->node.entries, lv->at));
}

/* @lv's entries with the one that led down replaced by @up. */
static GArray *with_children(const struct level *lv, const GArray *up)
{
	GArray *ret = g_array_copy(lv->node.entries);

	g_array_remove_index(ret, lv->at);
	if (up->len)
		g_array_insert_vals(ret, lv->at, up->data, up->len);
	return ret;
}

/* More entries than the root holds: they become its only child. */
static int plan_growth(struct edit *ed)
{
	g_autoptr(GArray) up = g_array_new(FALSE, FALSE, sizeof(struct extent));
	GArray *all = ed->root.entries;
	int err;

	if (all->len <= extnode_capacity(EXT_ROOT_BYTES))
		return 0;
	if (ed->root.depth == EXT_DEPTH_MAX)
		return -ENOSPC;
	err = plan_node(ed, NULL, all, 0, all->len, ed->root.depth, up);
	if (err)
		return err;
	ed->root.depth++;
	ed->root.entries = g_steal_pointer(&up);
	g_array_unref(all);
	return 0;
}

/* The planned node at @block leaves the plan for @ret; false: there is none. */
static bool unplan(struct edit *ed, pblk block, unsigned fits,
		   struct extnode *ret)
{
	for (unsigned i = 0; i < ed->planned->len; i++) {
		struct planned *p =
			&g_array_index(ed->planned, struct planned, i);

		if (p->block.v != block.v)
			continue;
		if (p->node.entries->len > fits) {
			extnode_init(ret);
			g_array_append_vals(ret->entries, p->node.entries->data,
					    p->node.entries->len);
			return true;
		}
		*ret = p->node;
		g_array_remove_index(ed->planned, i);
		return true;
	}
	return false;
}

/* An only child that fits the root is pulled up into it, again and again. */
static int plan_shrink(struct edit *ed)
{
	unsigned fits = extnode_capacity(EXT_ROOT_BYTES);

	while (ed->root.depth && ed->root.entries->len == 1) {
		struct extent only = *extnode_at(ed->root.entries, 0);
		struct extnode child = { 0 };
		int err = 0;

		if (!unplan(ed, only.phys, fits, &child))
			err = extnode_read(ed->hf, only.phys,
					   ed->root.depth - 1, only.start.v,
					   LBLK_END + 1, &child);
		if (err || child.entries->len > fits) {
			extnode_clear(&child);
			return err;
		}
		g_array_append_val(ed->gone, only.phys);
		g_array_unref(ed->root.entries);
		ed->root.entries = child.entries;
		ed->root.depth--;
	}
	if (!ed->root.entries->len)
		ed->root.depth = 0;
	return 0;
}

int edit_plan(struct edit *ed, GArray *leaf, bool at_end)
{
	g_autoptr(GArray) entries = g_array_ref(leaf);
	unsigned cap = extnode_capacity(ed->hf->fs->block_size);

	at_end = at_end && ed->right_edge;
	ed->must_move = leaf->len > cap;
	for (unsigned l = ed->depth; l; l--) {
		g_autoptr(GArray)
			up = g_array_new(FALSE, FALSE, sizeof(struct extent));
		const struct level *parent = &ed->level[l - 1];
		int err = plan_level(ed, l, entries, at_end, up);

		if (err)
			return err;
		if (child_stays(parent, up))
			return 0;
		g_array_unref(entries);
		entries = with_children(parent, up);
	}
	ed->root_changed = true;
	ed->root = (struct extnode){
		.depth = ed->depth,
		.generation = ed->level[0].node.generation,
		.entries = g_steal_pointer(&entries),
	};
	return plan_growth(ed) ?: plan_shrink(ed);
}
