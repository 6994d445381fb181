/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any map at all in an otherwise sound host: an extent tree or indirect blocks,
 * built from the input, are walked, read through and changed.
 *
 *   byte 0       the kind of host
 *   byte 1       flags, below
 *   3 bytes      the size of the file
 *   then         the tree, depth first; what a byte means is said where it is
 *                taken. Most of them give a sound tree, the highest ones bend it.
 *   the rest     what is done with the file
 *
 * Nodes go into the first blocks of the file as it was, data into the others; so
 * the bitmaps know all of them as used. Besides what fuzz_use.h wants: bytes
 * written to the image lie in blocks that the map had, or that were free.
 */
#include "fuzz_use.h"

#include <support/badhost.h>

#include <ext2fs/ext3_extents.h>

/* Kinds that have a map to be looked at, and no journal to be replayed. */
#define KINDS 7
#define SLOTS 24 /* for nodes */

/* Longer extents are unwritten, and so much shorter. */
#define MAPPED_MAX 32768u

enum {
	WRITE = 1,
	WRONG_SUMS = 2,
	WRONG_COUNT = 4, /* i_blocks */
	OTHER_MAP = 8,	 /* extents where the host has none, or the reverse */
};

struct host {
	struct badhost *bh;
	struct blkdev *dev;
	uint64_t blocks;
	uint64_t slot[SLOTS];
};

struct build {
	struct host *h;
	struct input *in;
	uint32_t bs;
	bool seal;
	unsigned next_slot, next_data;
	uint64_t used; /* blocks in the tree, its nodes too */
};

static uint64_t comb_block(const struct host *h, unsigned i)
{
	return g_array_index(h->bh->extents, struct extent, i).phys.v;
}

static struct host *host_of(unsigned kind)
{
	static struct host hosts[KINDS];
	struct host *h = &hosts[kind];

	if (!h->bh) {
		be_strict();
		h->bh = badhost_new(kind);
		h->dev = patchdev_new(h->bh->bytes);
		h->blocks = blkdev_geometry(h->dev)->size >> h->bh->bits;
		for (unsigned i = 0; i < SLOTS; i++)
			h->slot[i] = comb_block(h, i);
	}
	patchdev_reset(h->dev);
	return h;
}

/* ---- building: targets ---- */

/* Where no block of a file may be, and where it may once. */
static uint64_t odd_target(struct build *b, uint8_t which)
{
	switch (which % 12) {
	case 0:
		return 0;
	case 1:
		return SUPERBLOCK_OFFSET / b->bs;
	case 2:
		return badhost_inode_pos(b->h->bh, BADHOST_DISK) / b->bs;
	case 3:
		return b->h->blocks;
	case 4:
		return b->h->blocks - 1;
	case 5:
		return UINT32_MAX;
	case 6:
		return UINT64_C(0xffffffffffff);
	case 7:
	case 8: /* a node, perhaps this one */
		return b->h->slot[take8(b->in) % SLOTS];
	case 9:
		return comb_block(b->h, SLOTS);
	case 10: /* perhaps free */
		return b->h->blocks / 2 + take8(b->in);
	default:
		return take16(b->in);
	}
}

static uint64_t new_slot(struct build *b)
{
	b->used++;
	return b->h->slot[MIN(b->next_slot++, SLOTS - 1)];
}

static uint64_t new_data(struct build *b, uint64_t len)
{
	unsigned first = SLOTS + b->next_data;

	b->next_data = (b->next_data + (unsigned)MIN(len, BADHOST_COMB)) %
		       (BADHOST_COMB - SLOTS);
	b->used += len;
	return comb_block(b->h, MIN(first, BADHOST_COMB - 1));
}

/* ---- building: extent trees ---- */

static uint64_t build_node(struct build *b, uint8_t *raw, size_t size,
			   unsigned depth, uint64_t low);

static void put_index(struct ext3_extent_idx *raw, uint64_t start,
		      uint64_t block)
{
	raw->ei_block = (uint32_t)start;
	raw->ei_leaf = (uint32_t)block;
	raw->ei_leaf_hi = (uint16_t)(block >> 32);
	raw->ei_unused = 0;
}

static void put_extent(struct ext3_extent *raw, uint64_t start, uint64_t block,
		       uint32_t len)
{
	raw->ee_block = (uint32_t)start;
	raw->ee_start = (uint32_t)block;
	raw->ee_start_hi = (uint16_t)(block >> 32);
	raw->ee_len = (uint16_t)len;
}

/* The checksum of a node lies where its header says. */
static void seal_node(struct build *b, uint8_t *raw)
{
	const struct ext3_extent_header *eh = (const void *)raw;
	size_t at = sizeof(*eh) + eh->eh_max * sizeof(struct ext3_extent);
	uint32_t sum;

	if (!b->seal || at + sizeof(sum) > b->bs)
		return;
	sum = ext2fs_crc32c_le(
		badhost_inode_seed(b->h->bh, b->h->dev, BADHOST_DISK), raw, at);
	memcpy(raw + at, &sum, sizeof(sum));
}

/* Returns where its range ends. */
static uint64_t build_child(struct build *b, unsigned depth, uint64_t low,
			    uint64_t block)
{
	uint8_t *raw = g_malloc0(b->bs);
	uint64_t end = build_node(b, raw, b->bs, depth, low);

	seal_node(b, raw);
	patchdev_poke(b->h->dev, raw, b->bs, block * b->bs);
	g_free(raw);
	return end;
}

static uint64_t build_entry(struct build *b, void *raw, unsigned depth,
			    uint64_t at)
{
	uint8_t gap = take8(b->in), what = take8(b->in);
	uint64_t block, end;
	uint32_t len = 1 + what % 16u;

	if (gap < 0xf0)
		at += gap % 8u;
	else if (gap < 0xf8)
		at += (uint64_t)take16(b->in) << (gap & 7) * 2;
	else
		at -= MIN(at, gap & 7);
	if (depth) {
		bool odd = what >= 0xf0 || b->next_slot >= SLOTS;

		block = odd ? odd_target(b, what) : new_slot(b);
		put_index(raw, at, block);
		end = odd ? at + 1 : build_child(b, depth - 1, at, block);
		/* Its own range may begin elsewhere. */
		return MAX(end, at + 1);
	}
	if (what >= 0xf8)
		len = take16(b->in);
	else if (what & 0x20)
		len += MAPPED_MAX; /* unwritten */
	block = what >= 0xe0 ? odd_target(b, gap)
			     : new_data(b, len % MAPPED_MAX);
	put_extent(raw, at, block, len);
	return at + len % MAPPED_MAX;
}

/* As many extents as fit, every other block. */
static unsigned fill_leaf(struct build *b, struct ext3_extent *raw,
			  unsigned cap, uint64_t at)
{
	for (unsigned i = 0; i < cap; i++)
		put_extent(&raw[i], at + 2 * i, new_data(b, 1), 1);
	return cap;
}

static void bend_header(struct ext3_extent_header *eh, uint8_t how)
{
	switch (how % 8) {
	case 0:
		eh->eh_magic ^= 1;
		return;
	case 1:
		eh->eh_depth++;
		return;
	case 2:
		eh->eh_depth = (uint16_t)(how << 8 | 5);
		return;
	case 3:
		eh->eh_max = eh->eh_entries;
		return;
	case 4:
		eh->eh_entries = (uint16_t)(eh->eh_max + 1);
		return;
	case 5:
		eh->eh_max++;
		return;
	case 6:
		eh->eh_entries = 0;
		return;
	default:
		eh->eh_max = 0;
		return;
	}
}

static uint64_t build_node(struct build *b, uint8_t *raw, size_t size,
			   unsigned depth, uint64_t low)
{
	struct ext3_extent_header *eh = (void *)raw;
	unsigned cap = (unsigned)((size - sizeof(*eh)) / 12);
	uint8_t many = take8(b->in), how = take8(b->in);
	unsigned n = MIN(many % 6u, cap);

	if (!depth && many >= 0xf0) {
		n = fill_leaf(b, (void *)(eh + 1), cap, low);
		low += 2 * (uint64_t)n;
	} else {
		for (unsigned i = 0; i < n; i++)
			low = build_entry(b, raw + 12 * (i + 1), depth, low);
	}
	*eh = (struct ext3_extent_header){
		.eh_magic = EXT3_EXT_MAGIC,
		.eh_entries = (uint16_t)n,
		.eh_max = (uint16_t)cap,
		.eh_depth = (uint16_t)depth,
	};
	if (how >= 0xe0)
		bend_header(eh, how);
	return low;
}

/* ---- building: indirect blocks ---- */

static uint32_t build_pointer(struct build *b, unsigned level)
{
	uint8_t what = take8(b->in);
	uint32_t *pointers;
	uint64_t block;
	unsigned n;

	if (what < 0x40)
		return 0;
	if (what >= 0xe0)
		return (uint32_t)odd_target(b, what);
	if (!level || b->next_slot >= SLOTS)
		return (uint32_t)new_data(b, 1);
	block = new_slot(b);
	pointers = g_new0(uint32_t, b->bs / 4);
	n = take8(b->in);
	for (unsigned i = 0; i < n % 8; i++) {
		unsigned at = take8(b->in) * (n & 0x80 ? 1u : b->bs / 1024u);

		pointers[at] = build_pointer(b, level - 1);
	}
	/* Many the same: a map of leaves that are all one block. */
	if (n >= 0xf8)
		for (unsigned i = 1; i < 40; i++)
			pointers[i] = pointers[0];
	patchdev_poke(b->h->dev, pointers, b->bs, block * b->bs);
	g_free(pointers);
	return (uint32_t)block;
}

static void build_indirect(struct build *b, uint32_t *i_block)
{
	for (unsigned i = 0; i < EXT2_N_BLOCKS; i++)
		i_block[i] = build_pointer(
			b, i < EXT2_IND_BLOCK ? 0 : i - EXT2_IND_BLOCK + 1);
}

/* ---- building: the inode ---- */

static void build_inode(struct host *h, struct input *in, uint8_t flags)
{
	bool extents = h->bh->kind->extents == !(flags & OTHER_MAP);
	struct build b = {
		.h = h,
		.in = in,
		.bs = 1u << h->bh->bits,
		.seal = h->bh->kind->csum && !(flags & WRONG_SUMS),
	};
	uint64_t pos = badhost_inode_pos(h->bh, BADHOST_DISK);
	uint64_t size = take_pos(in);
	struct ext2_inode inode;

	patchdev_peek(h->dev, &inode, sizeof(inode), pos);
	memset(inode.i_block, 0, sizeof(inode.i_block));
	inode.i_size = (uint32_t)size;
	inode.i_size_high = (uint32_t)(size >> 32);
	inode.i_flags &= ~(uint32_t)EXT4_EXTENTS_FL;
	if (extents) {
		inode.i_flags |= EXT4_EXTENTS_FL;
		build_node(&b, (uint8_t *)inode.i_block, sizeof(inode.i_block),
			   take8(in) % 6, 0);
	} else {
		build_indirect(&b, inode.i_block);
	}
	inode.i_blocks = (uint32_t)(b.used * (b.bs / 512));
	if (flags & WRONG_COUNT)
		inode.i_blocks = take16(in);
	patchdev_poke(h->dev, &inode, sizeof(inode), pos);
	if (!(flags & WRONG_SUMS))
		badhost_seal(h->bh, h->dev);
}

/* ---- who owns what ---- */

struct owner {
	unsigned bits;
	uint8_t *may; /* a block each */
};

static bool may_write(void *ctx, uint64_t pos)
{
	const struct owner *o = ctx;

	return o->may[pos >> o->bits];
}

/* What the bitmaps show as free. */
static void own_free(struct host *h, struct owner *o)
{
	struct ext2_super_block super;

	patchdev_peek(h->dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	for (guint i = 0; i < h->bh->areas->len; i++) {
		const struct badhost_area *a =
			&g_array_index(h->bh->areas, struct badhost_area, i);
		uint64_t first = super.s_first_data_block +
				 (uint64_t)a->number * super.s_blocks_per_group;
		uint64_t n = MIN(super.s_blocks_per_group, h->blocks - first);
		struct ext2_group_desc desc;

		if (a->what != BADHOST_DESC)
			continue;
		patchdev_peek(h->dev, &desc, sizeof(desc), a->pos);
		for (uint64_t k = 0; k < n; k++) {
			uint8_t byte;

			patchdev_peek(h->dev, &byte, 1,
				      ((uint64_t)desc.bg_block_bitmap
				       << o->bits) +
					      k / 8);
			if (desc.bg_flags & EXT2_BG_BLOCK_UNINIT ||
			    !(byte >> k % 8 & 1))
				o->may[first + k] = 1;
		}
	}
}

static void own_runs(struct owner *o, const GArray *runs)
{
	for (guint i = 0; i < runs->len; i++) {
		const struct extent *e = &g_array_index(runs, struct extent, i);

		memset(o->may + e->phys.v, 1, e->len);
	}
}

/* False: the map is not known as a whole. */
static bool own_mapped(struct host *h, struct owner *o)
{
	const struct hostfs_options opt = { .readonly = true };
	g_autoptr(GArray)
		mapped = g_array_new(FALSE, FALSE, sizeof(struct extent));
	g_autoptr(GArray) zones = zones_of(h->dev);
	struct hostfs *fs = hostfs_open(h->dev, &opt, NULL);
	struct hostfile *hf;
	bool whole;

	g_assert(fs);
	hf = hostfile_open(fs, "/disk.img", 0, NULL);
	whole = hf && walk_map(hf, 0, zones, mapped);
	own_runs(o, mapped);
	hostfile_close(hf);
	hostfs_close(fs);
	return whole;
}

static void write_to_it(struct host *h, struct input *in)
{
	struct owner owner = { .bits = h->bh->bits };
	g_autofree uint8_t *may = g_malloc0(h->blocks);
	bool whole;

	owner.may = may;
	own_free(h, &owner);
	for (unsigned i = 0; i < SLOTS; i++)
		may[h->slot[i]] = 1;
	/* A node that is data as well goes through the log with its stamps. */
	own_runs(&owner, h->bh->journal);
	whole = own_mapped(h, &owner);
	change_it(h->dev, "/disk.img", in, whole ? may_write : NULL, &owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct hostfs_options opt = { .readonly = true };
	struct input in = { data, len };
	struct host *h = host_of(take8(&in) % KINDS);
	uint8_t flags = take8(&in);
	struct hostfs *fs;

	build_inode(h, &in, flags);
	patchdev_allow(h->dev, REQUESTS_MAX);
	patchdev_set_readonly(h->dev, true);
	fs = hostfs_open(h->dev, &opt, NULL);
	g_assert(fs);
	look(fs, "/disk.img", &in);
	g_assert(!hostfs_close(fs));
	g_assert(!patchdev_written(h->dev));
	patchdev_set_readonly(h->dev, false);
	if (flags & WRITE && h->bh->kind->writable)
		write_to_it(h, &in);
	return 0;
}
