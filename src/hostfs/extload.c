/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading one leaf of an extent tree.
 *
 * A leaf is responsible for everything from its key in the node above (from 0
 * on the left edge) to the next key there, holes included; that range narrows
 * on the way down, and a node with entries outside of it is corrupt. Depth
 * falls by one with every step, so the way down is at most EXT_DEPTH_MAX long.
 */
#include "ext_priv.h"

#include <errno.h>

/* The last entry that starts at or before @at; the first when none does. */
static unsigned find_entry(const GArray *entries, uint64_t at)
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

/* Two tree entries may be one extent that was too long for an entry. */
static void append(GArray *extents, const struct extent *e)
{
	struct extent *last = NULL;

	if (extents->len)
		last = extnode_at(extents, extents->len - 1);
	if (last && last->state == e->state && extent_end(last) == e->start.v &&
	    last->phys.v + last->len == e->phys.v)
		last->len += e->len;
	else
		g_array_append_val(extents, *e);
}

/* The leaves of a load, as far as they lie side by side, in one request. */
#define AHEAD_BYTES (1u << 20)

static void read_ahead(struct hostfile *hf, const GArray *index, unsigned i)
{
	uint64_t first = extnode_at(index, i)->phys.v;
	unsigned max = MIN(hf->ahead.want, AHEAD_BYTES >> hf->fs->bits);
	unsigned n = 1;

	if (first >= hf->ahead.first && first - hf->ahead.first < hf->ahead.n)
		return;
	while (n < max && i + n < index->len &&
	       extnode_at(index, i + n)->phys.v == first + n)
		n++;
	hf->ahead.n = 0;
	if (n < 2)
		return;
	hf->ahead.blocks =
		g_realloc(hf->ahead.blocks, (gsize)n << hf->fs->bits);
	/* Whoever needs one of them gets the error. */
	if (blkdev_pread(hf->fs->meta_dev, hf->ahead.blocks,
			 (size_t)n << hf->fs->bits,
			 dev_of_pblk(pblk_at(first), hf->fs->bits)))
		return;
	hf->ahead.first = first;
	hf->ahead.n = n;
}

void exttree_load_end(struct hostfile *hf)
{
	g_clear_pointer(&hf->ahead.blocks, g_free);
	hf->ahead.n = 0;
	hf->ahead.want = 0;
}

/* Replace the index node @node by its child that is responsible for @at. */
static int step_down(struct hostfile *hf, struct extnode *node, uint64_t at,
		     uint64_t *low, uint64_t *high)
{
	unsigned i = find_entry(node->entries, at);
	struct extent index = *extnode_at(node->entries, i);
	struct extnode child;
	int err;

	if (i)
		*low = index.start.v;
	if (i + 1 < node->entries->len)
		*high = extnode_at(node->entries, i + 1)->start.v;
	if (node->depth == 1)
		read_ahead(hf, node->entries, i);
	err = extnode_read(hf, index.phys, node->depth - 1, index.start.v,
			   *high, &child);
	extnode_clear(node);
	*node = child;
	return err;
}

int exttree_load(struct hostfile *hf, lblk at, struct leaf *ret)
{
	uint64_t low = 0, high = LBLK_END;
	struct extnode node;
	int err = extnode_read_root(hf, &node);

	while (!err && node.depth)
		err = step_down(hf, &node, at.v, &low, &high);
	for (unsigned i = 0; !err && i < node.entries->len; i++) {
		const struct extent *e = extnode_at(node.entries, i);

		if (extent_end(e) > LBLK_END)
			err = hostfile_corrupt(hf, pblk_at(0),
					       "an extent beyond the largest"
					       " file");
		append(ret->extents, e);
	}
	extnode_clear(&node);
	if (err)
		return err;
	ret->start = lblk_at(low);
	ret->len = high - low;
	return 0;
}
