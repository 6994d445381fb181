/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading one leaf of an indirect map.
 *
 *   i_block[0..11]   blocks 0 to 11: a leaf of their own
 *   i_block[12]      one indirect block: a leaf
 *   i_block[13]      points to indirect blocks (double)
 *   i_block[14]      points to what i_block[13] points to (triple)
 *
 * A pointer 0 is a hole of everything below it; zeros next to each other in
 * one block are answered as one hole. A pointer into the filesystem's own
 * blocks or out of it is corrupt. The way down has at most three steps.
 */
#include "hostfs_priv.h"

#include <errno.h>

static bool pointer_bad(struct hostfile *hf, uint32_t pointer)
{
	return hostfs_owns(hf->fs, pblk_at(pointer), 1);
}

static void set_range(struct leaf *leaf, uint64_t start, uint64_t end)
{
	end = MIN(end, LBLK_END);
	leaf->start = lblk_at(start);
	leaf->len = end - start;
}

/* What @n pointers say about the blocks from leaf->start on. */
static int take_pointers(struct hostfile *hf, pblk from, const __le32 *pointers,
			 unsigned n, struct leaf *leaf)
{
	struct extent *last = NULL;

	for (unsigned i = 0; i < n && i < leaf->len; i++) {
		uint32_t pointer = ext2fs_le32_to_cpu(pointers[i]);
		struct extent e = {
			.start = lblk_add(leaf->start, i),
			.len = 1,
			.phys = pblk_at(pointer),
			.state = EXTENT_MAPPED,
		};

		if (!pointer)
			continue;
		if (pointer_bad(hf, pointer))
			return hostfile_corrupt(hf, from,
						"a pointer that is"
						" not to a data block");
		if (last && extent_end(last) == e.start.v &&
		    last->phys.v + last->len == pointer) {
			last->len++;
			continue;
		}
		g_array_append_val(leaf->extents, e);
		last = &g_array_index(leaf->extents, struct extent,
				      leaf->extents->len - 1);
	}
	return 0;
}

/* The hole around slot @slot of @n, each @span blocks, the first at @start. */
static void take_hole(const __le32 *pointers, unsigned n, unsigned slot,
		      uint64_t start, uint64_t span, struct leaf *leaf)
{
	unsigned from = slot, to = slot + 1;

	while (from && !pointers[from - 1])
		from--;
	while (to < n && !pointers[to])
		to++;
	set_range(leaf, start + from * span, start + to * span);
}

static int read_pointers(struct hostfile *hf, uint32_t block, void *buf)
{
	if (pointer_bad(hf, block))
		return hostfile_corrupt(hf, pblk_at(block),
					"an indirect block"
					" that cannot be one");
	return meta_read(hf->fs, pblk_at(block), buf);
}

/*
 * Below the pointer @block, whose tree of @levels levels maps everything from
 * @start on. @buf is one block.
 */
static int descend(struct hostfile *hf, uint32_t block, unsigned levels,
		   uint64_t start, uint64_t at, __le32 *buf, struct leaf *leaf)
{
	unsigned shift = hf->fs->bits - 2, n = 1u << shift;
	int err = read_pointers(hf, block, buf);

	for (; !err && levels > 1; levels--) {
		uint64_t span = UINT64_C(1) << (shift * (levels - 1));
		unsigned slot = (unsigned)((at - start) / span);

		if (!buf[slot]) {
			take_hole(buf, n, slot, start, span, leaf);
			return 0;
		}
		start += slot * span;
		block = ext2fs_le32_to_cpu(buf[slot]);
		err = read_pointers(hf, block, buf);
	}
	if (err)
		return err;
	set_range(leaf, start, start + n);
	return take_pointers(hf, pblk_at(block), buf, n, leaf);
}

int indtree_load(struct hostfile *hf, lblk at, struct leaf *ret)
{
	const __u32 *root = hostfile_inode(hf)->i_block;
	unsigned shift = hf->fs->bits - 2;
	uint64_t start = EXT2_NDIR_BLOCKS, end;
	__le32 *buf;
	int err;

	if (at.v < start) {
		set_range(ret, 0, start);
		return take_pointers(hf, pblk_at(0), root, EXT2_NDIR_BLOCKS,
				     ret);
	}
	for (unsigned levels = 1; levels <= 3; levels++, start = end) {
		uint32_t block = root[EXT2_NDIR_BLOCKS + levels - 1];

		end = start + (UINT64_C(1) << (shift * levels));
		if (at.v >= end)
			continue;
		set_range(ret, start, end);
		if (!block)
			return 0;
		buf = g_malloc(hf->fs->block_size);
		err = descend(hf, block, levels, start, at.v, buf, ret);
		g_free(buf);
		return err;
	}
	/* No indirect map reaches here. */
	set_range(ret, start, LBLK_END);
	return 0;
}
