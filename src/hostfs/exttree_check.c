/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The invariants of a whole extent tree, for tests and debug builds:
 *
 *   every node parses, has the depth its parent promises, lies with all its
 *   entries inside the range its parent gives it, and is not empty; every key
 *   is the first block of its child; no block of the device is used twice;
 *   i_blocks counts what the tree and its extents hold.
 *
 * Extents that could be one are not an error: other writers leave them.
 */
#include "ext_priv.h"

struct walk {
	struct hostfile *hf;
	GArray *used; /* struct extent: phys and len */
	char *wrong;
};

static void use_blocks(struct walk *w, pblk phys, uint64_t len)
{
	struct extent e = { .phys = phys, .len = len };

	g_array_append_val(w->used, e);
}

static void check_node(struct walk *w, const struct extnode *node,
		       uint64_t high);

static void check_child(struct walk *w, const struct extent *index,
			unsigned depth, uint64_t high)
{
	struct extnode child;
	int err = extnode_verify(w->hf, index->phys, depth, index->start.v,
				 high, &child);

	use_blocks(w, index->phys, 1);
	if (err)
		w->wrong = g_strdup_printf("node %" G_GUINT64_FORMAT ": %s",
					   index->phys.v, g_strerror(-err));
	else if (!child.entries->len)
		w->wrong = g_strdup_printf(
			"node %" G_GUINT64_FORMAT " is empty", index->phys.v);
	else if (extnode_at(child.entries, 0)->start.v != index->start.v)
		w->wrong = g_strdup_printf(
			"node %" G_GUINT64_FORMAT
			" starts at %" G_GUINT64_FORMAT
			", its key is %" G_GUINT64_FORMAT,
			index->phys.v, extnode_at(child.entries, 0)->start.v,
			index->start.v);
	else
		check_node(w, &child, high);
	extnode_clear(&child);
}

/* Recursion: at most EXT_DEPTH_MAX deep. */
static void check_node(struct walk *w, const struct extnode *node,
		       uint64_t high)
{
	for (unsigned i = 0; i < node->entries->len && !w->wrong; i++) {
		const struct extent *e = extnode_at(node->entries, i);
		uint64_t next = high;

		if (i + 1 < node->entries->len)
			next = extnode_at(node->entries, i + 1)->start.v;
		if (node->depth)
			check_child(w, e, node->depth - 1, next);
		else
			use_blocks(w, e->phys, e->len);
	}
}

static gint by_phys(gconstpointer a, gconstpointer b)
{
	const struct extent *x = a, *y = b;

	return (x->phys.v > y->phys.v) - (x->phys.v < y->phys.v);
}

static void check_used(struct walk *w)
{
	struct ext2_inode *inode = hostfile_inode(w->hf);
	uint64_t sum = ext2fs_file_acl_block(w->hf->fs->fs, inode) ? 1 : 0;
	uint64_t sectors = ext2fs_get_stat_i_blocks(w->hf->fs->fs, inode);

	g_array_sort(w->used, by_phys);
	for (unsigned i = 0; i < w->used->len; i++) {
		const struct extent *e = extnode_at(w->used, i);

		sum += e->len;
		if (!i || e[-1].phys.v + e[-1].len <= e->phys.v)
			continue;
		w->wrong = g_strdup_printf(
			"block %" G_GUINT64_FORMAT " is used twice", e->phys.v);
		return;
	}
	if (sectors != sum << (w->hf->fs->bits - 9))
		w->wrong = g_strdup_printf("i_blocks is %" G_GUINT64_FORMAT
					   " for %" G_GUINT64_FORMAT " blocks",
					   sectors, sum);
}

char *exttree_check(struct hostfile *hf)
{
	struct walk w = {
		.hf = hf,
		.used = g_array_new(FALSE, FALSE, sizeof(struct extent)),
	};
	struct extnode root;

	if (extnode_read_root(hf, &root))
		w.wrong = g_strdup("the root node is corrupt");
	else
		check_node(&w, &root, LBLK_END + 1);
	if (!w.wrong)
		check_used(&w);
	extnode_clear(&root);
	g_array_unref(w.used);
	return w.wrong;
}
