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

static void drop_index(struct hostfile *hf)
{
	if (hf->ahead.index)
		extnode_clear(hf->ahead.index);
	g_clear_pointer(&hf->ahead.index, g_free);
}

void exttree_load_end(struct hostfile *hf)
{
	drop_index(hf);
	g_clear_pointer(&hf->ahead.blocks, g_free);
	hf->ahead.n = 0;
	hf->ahead.want = 0;
}

/* The child of the index node @node that is responsible for @at. */
static int step_down(struct hostfile *hf, const struct extnode *node,
		     uint64_t at, uint64_t *low, uint64_t *high,
		     struct extnode *ret)
{
	unsigned i = find_entry(node->entries, at);
	const struct extent *index = extnode_at(node->entries, i);

	if (i)
		*low = index->start.v;
	if (i + 1 < node->entries->len)
		*high = extnode_at(node->entries, i + 1)->start.v;
	if (node->depth == 1)
		read_ahead(hf, node->entries, i);
	return extnode_read(hf, index->phys, node->depth - 1, index->start.v,
			    *high, ret);
}

/*
 * The node above the leaf that is responsible for @at, or the root where that
 * is the leaf, becomes the index. Leaves are loaded one after the other: mostly
 * it is that of the last one.
 */
static int find_index(struct hostfile *hf, uint64_t at)
{
	uint64_t low = 0, high = LBLK_END;
	struct extnode node, child;
	int err;

	if (hf->ahead.index && at >= hf->ahead.low && at < hf->ahead.high)
		return 0;
	drop_index(hf);
	err = extnode_read_root(hf, &node);
	while (!err && node.depth > 1) {
		err = step_down(hf, &node, at, &low, &high, &child);
		extnode_clear(&node);
		node = child;
	}
	if (err) {
		extnode_clear(&node);
		return err;
	}
	hf->ahead.index = g_memdup2(&node, sizeof(node));
	hf->ahead.low = low;
	hf->ahead.high = high;
	return 0;
}

static bool goes_on(const struct extent *last, const struct extent *e)
{
	return last->state == e->state && extent_end(last) == e->start.v &&
	       last->phys.v + last->len == e->phys.v;
}

/* Two tree entries may be one extent that was too long for an entry. */
static int take_extents(struct hostfile *hf, const struct extnode *node,
			GArray *ret)
{
	guint n = 0;

	g_array_set_size(ret, node->entries->len);
	for (unsigned i = 0; i < node->entries->len; i++) {
		const struct extent *e = extnode_at(node->entries, i);

		if (extent_end(e) > LBLK_END) {
			g_array_set_size(ret, 0);
			return hostfile_corrupt(hf, pblk_at(0),
						"an extent beyond the largest"
						" file");
		}
		if (n && goes_on(extnode_at(ret, n - 1), e))
			extnode_at(ret, n - 1)->len += e->len;
		else
			*extnode_at(ret, n++) = *e;
	}
	g_array_set_size(ret, n);
	return 0;
}

static int load(struct hostfile *hf, uint64_t at, struct leaf *ret)
{
	const struct extnode *index;
	struct extnode leaf = { 0 };
	uint64_t low, high;
	int err = find_index(hf, at);

	if (err)
		return err;
	index = hf->ahead.index;
	low = hf->ahead.low;
	high = hf->ahead.high;
	if (index->depth) {
		err = step_down(hf, index, at, &low, &high, &leaf);
		index = &leaf;
	}
	if (!err)
		err = take_extents(hf, index, ret->extents);
	extnode_clear(&leaf);
	if (err)
		return err;
	ret->start = lblk_at(low);
	ret->len = high - low;
	return 0;
}

int exttree_load(struct hostfile *hf, lblk at, struct leaf *ret)
{
	int err = load(hf, at.v, ret);

	if (!hf->ahead.want)
		drop_index(hf);
	return err;
}
