/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocator's part of a commit.
 *
 * Before it: every dirty group's bitmap, the descriptor blocks that they are
 * in, and the superblock go into the overlay; what did not change is not
 * touched, so the cost does not depend on the size of the host. The blocks
 * released so far are frozen with it; others may be released while it is
 * written. After it: the frozen ones become free in memory; where their bits
 * clear only now, that alone makes nothing urgent.
 *
 * Runs under hostfs.lock.
 */
#include "alloc_priv.h"

static gint compare_index(gconstpointer a, gconstpointer b)
{
	const struct group *x = *(struct group *const *)a;
	const struct group *y = *(struct group *const *)b;

	return (x->index > y->index) - (x->index < y->index);
}

static GPtrArray *dirty_groups(struct alloc *a)
{
	GPtrArray *dirty = g_ptr_array_new();
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, a->groups);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct group *g = value;

		if (g->dirty)
			g_ptr_array_add(dirty, g);
	}
	g_ptr_array_sort(dirty, compare_index);
	return dirty;
}

/* One block of descriptors, as memory has it. */
static int store_descriptors(struct alloc *a, uint32_t index)
{
	ext2_filsys fs = a->fs->fs;
	size_t size = a->fs->block_size;
	const uint8_t *descs = (const uint8_t *)fs->group_desc;
	uint64_t home = ext2fs_descriptor_block_loc2(
		fs, fs->super->s_first_data_block, index);

	return overlay_put_block(a->fs->meta, pblk_at(home),
				 descs + index * size, TX_FIRST);
}

/* Released blocks become free. */
static void free_run(struct alloc *a, struct run r)
{
	while (r.len) {
		struct bits b;
		struct group *g = group_held(a, alloc_next_part(a, &r, &b));

		group_set_released(a, g, b, false);
		if (!alloc_clears_at_once(a))
			group_set_used(a, g, b.start, b.len, false, false);
		group_settle(a, g);
	}
}

int alloc_store(struct alloc *a)
{
	uint32_t per_block = (uint32_t)EXT2_DESC_PER_BLOCK(a->fs->fs->super);
	g_autoptr(GPtrArray) dirty = dirty_groups(a);
	uint32_t last = 0;
	int err = 0;

	for (guint i = 0; i < dirty->len && !err; i++) {
		struct group *g = dirty->pdata[i];
		uint32_t index = g->index / per_block;

		if (i && index != last)
			err = store_descriptors(a, last);
		if (!err)
			err = group_store(a, g);
		last = index;
		/* May evict groups that are idle, never one yet to come. */
		group_settle(a, g);
	}
	if (err || !dirty->len)
		return err;
	err = store_descriptors(a, last);
	return err ? err : tx_store_super(a->fs);
}

void alloc_freeze(struct alloc *a)
{
	GArray *empty = a->frozen;

	g_assert(!empty->len);
	a->frozen = a->pending;
	a->frozen_blocks = a->pending_blocks;
	a->pending = empty;
	a->pending_blocks = 0;
}

const struct run *alloc_frozen(const struct alloc *a, size_t *ret_n)
{
	*ret_n = a->frozen->len;
	return (const struct run *)(void *)a->frozen->data;
}

void alloc_committed(struct alloc *a)
{
	for (guint i = 0; i < a->frozen->len; i++)
		free_run(a, g_array_index(a->frozen, struct run, i));
	g_array_set_size(a->frozen, 0);
	a->frozen_blocks = 0;
}
