/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One node of an extent tree: parsed with every check that needs no other
 * node, built from entries. Nothing that a disk says is trusted: a node that
 * parses has a sane header, ascending entries that do not overlap, no empty
 * extent, and points nowhere into the filesystem's own blocks.
 *
 * A block has room for (size - 12) / 12 entries; the four bytes of checksum
 * fit behind them for every block size, as size % 12 >= 4 for all of them.
 */
#include "ext_priv.h"

#include <rawmap/base/bytes.h>

#include <ext2fs/ext3_extents.h>

#include <errno.h>
#include <string.h>

G_STATIC_ASSERT(sizeof(struct ext3_extent_header) == 12);
G_STATIC_ASSERT(sizeof(struct ext3_extent_idx) == 12);
G_STATIC_ASSERT(sizeof(struct ext3_extent) == 12);

#define ENTRY_BYTES 12

void extnode_init(struct extnode *node)
{
	*node = (struct extnode){
		.entries = g_array_new(FALSE, FALSE, sizeof(struct extent)),
	};
}

void extnode_clear(struct extnode *node)
{
	if (node->entries)
		g_array_unref(node->entries);
	*node = (struct extnode){ 0 };
}

unsigned extnode_capacity(size_t size)
{
	return (unsigned)((size - sizeof(struct ext3_extent_header)) /
			  ENTRY_BYTES);
}

static struct extent parse_extent(const struct ext3_extent *raw)
{
	uint32_t len = ext2fs_le16_to_cpu(raw->ee_len);
	uint64_t high = ext2fs_le16_to_cpu(raw->ee_start_hi);
	bool unwritten = len > EXT_MAPPED_MAX;

	return (struct extent){
		.start = lblk_at(ext2fs_le32_to_cpu(raw->ee_block)),
		.len = unwritten ? len - EXT_MAPPED_MAX : len,
		.phys = pblk_at(high << 32 | ext2fs_le32_to_cpu(raw->ee_start)),
		.state = unwritten ? EXTENT_UNWRITTEN : EXTENT_MAPPED,
	};
}

static struct extent parse_index(const struct ext3_extent_idx *raw)
{
	uint64_t high = ext2fs_le16_to_cpu(raw->ei_leaf_hi);

	return (struct extent){
		.start = lblk_at(ext2fs_le32_to_cpu(raw->ei_block)),
		.phys = pblk_at(high << 32 | ext2fs_le32_to_cpu(raw->ei_leaf)),
		.state = EXTENT_HOLE,
	};
}

static const char *parse_leaf(const struct ext3_extent *raw, unsigned n,
			      struct extent *ret)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < n; i++) {
		ret[i] = parse_extent(&raw[i]);
		if (!ret[i].len)
			return "an extent of no blocks";
		if (ret[i].start.v < end)
			return "extents out of order";
		end = extent_end(&ret[i]);
		if (end > LBLK_END + 1)
			return "an extent beyond the largest file";
	}
	return NULL;
}

static const char *parse_inner(const struct ext3_extent_idx *raw, unsigned n,
			       struct extent *ret)
{
	for (unsigned i = 0; i < n; i++) {
		ret[i] = parse_index(&raw[i]);
		if (i && ret[i].start.v <= ret[i - 1].start.v)
			return "extents out of order";
	}
	return NULL;
}

/* @ret's fields but the entries; *ret_n: how many there are. */
static const char *parse_header(const struct ext3_extent_header *eh,
				size_t size, struct extnode *ret,
				unsigned *ret_n)
{
	unsigned n = ext2fs_le16_to_cpu(eh->eh_entries);
	unsigned max = ext2fs_le16_to_cpu(eh->eh_max);

	if (ext2fs_le16_to_cpu(eh->eh_magic) != EXT3_EXT_MAGIC)
		return "no extent header";
	if (!max || max > extnode_capacity(size) || n > max)
		return "impossible counts in an extent header";
	ret->depth = ext2fs_le16_to_cpu(eh->eh_depth);
	if (ret->depth > EXT_DEPTH_MAX)
		return "an extent tree too deep";
	ret->generation = ext2fs_le32_to_cpu(eh->eh_generation);
	if (ret->depth && !n)
		return "an index node without entries";
	*ret_n = n;
	return NULL;
}

const char *extnode_parse(const void *raw, size_t size, struct extnode *ret)
{
	const struct ext3_extent_header *eh = raw;
	const char *wrong;
	struct extent *e;
	unsigned n;

	extnode_init(ret);
	wrong = parse_header(eh, size, ret, &n);
	if (wrong || !n)
		return wrong;
	g_array_set_size(ret->entries, n);
	e = extnode_at(ret->entries, 0);
	return ret->depth ? parse_inner((const void *)(eh + 1), n, e)
			  : parse_leaf((const void *)(eh + 1), n, e);
}

bool extnode_root_depth(struct hostfile *hf, unsigned *ret)
{
	const void *raw = hostfile_inode(hf)->i_block;
	struct extnode root;
	unsigned n;

	if (parse_header(raw, EXT_ROOT_BYTES, &root, &n))
		return false;
	*ret = root.depth;
	return true;
}

static void build_extent(const struct extent *e, struct ext3_extent *raw)
{
	uint64_t len = e->len;

	if (e->state == EXTENT_UNWRITTEN)
		len += EXT_MAPPED_MAX;
	raw->ee_block = ext2fs_cpu_to_le32((uint32_t)e->start.v);
	raw->ee_len = ext2fs_cpu_to_le16((uint16_t)len);
	raw->ee_start_hi = ext2fs_cpu_to_le16((uint16_t)(e->phys.v >> 32));
	raw->ee_start = ext2fs_cpu_to_le32((uint32_t)e->phys.v);
}

static void build_index(const struct extent *e, struct ext3_extent_idx *raw)
{
	raw->ei_block = ext2fs_cpu_to_le32((uint32_t)e->start.v);
	raw->ei_leaf = ext2fs_cpu_to_le32((uint32_t)e->phys.v);
	raw->ei_leaf_hi = ext2fs_cpu_to_le16((uint16_t)(e->phys.v >> 32));
	raw->ei_unused = 0;
}

void extnode_build(const struct extnode *node, void *raw, size_t size)
{
	struct ext3_extent_header *eh = raw;
	unsigned max = extnode_capacity(size);

	g_assert(node->entries->len <= max && node->depth <= EXT_DEPTH_MAX);
	memset(raw, 0, size);
	eh->eh_magic = ext2fs_cpu_to_le16(EXT3_EXT_MAGIC);
	eh->eh_entries = ext2fs_cpu_to_le16((uint16_t)node->entries->len);
	eh->eh_max = ext2fs_cpu_to_le16((uint16_t)max);
	eh->eh_depth = ext2fs_cpu_to_le16((uint16_t)node->depth);
	eh->eh_generation = ext2fs_cpu_to_le32(node->generation);
	for (unsigned i = 0; i < node->entries->len; i++) {
		void *at = (uint8_t *)raw + ENTRY_BYTES * (i + 1);

		if (node->depth)
			build_index(extnode_at(node->entries, i), at);
		else
			build_extent(extnode_at(node->entries, i), at);
	}
}

static uint64_t target_len(const struct extnode *node, const struct extent *e)
{
	return node->depth ? 1 : e->len;
}

/* One question for all of a node's targets, with what lies between them. */
static bool is_hull_free(struct hostfs *fs, const struct extnode *node)
{
	uint64_t first = UINT64_MAX, end = 0;

	for (unsigned i = 0; i < node->entries->len; i++) {
		const struct extent *e = extnode_at(node->entries, i);

		first = u64_min(first, e->phys.v);
		end = u64_max(end, e->phys.v + target_len(node, e));
	}
	return first < end && !hostfs_owns(fs, pblk_at(first), end - first);
}

/*
 * Nothing may point at what is not the file's. Most nodes point into one
 * stretch of data, so that a map of a million extents needs no million searches.
 */
static const char *check_targets(struct hostfs *fs, const struct extnode *node)
{
	if (is_hull_free(fs, node))
		return NULL;
	for (unsigned i = 0; i < node->entries->len; i++) {
		const struct extent *e = extnode_at(node->entries, i);

		if (hostfs_owns(fs, e->phys, target_len(node, e)))
			return "an extent into the filesystem's own blocks";
	}
	return NULL;
}

static const char *check_place(const struct extnode *node, unsigned depth,
			       uint64_t low, uint64_t high)
{
	const struct extent *first, *last;

	if (node->depth != depth)
		return "an extent node of the wrong depth";
	if (!node->entries->len)
		return NULL;
	first = extnode_at(node->entries, 0);
	last = extnode_at(node->entries, node->entries->len - 1);
	if (first->start.v < low || extent_end(last) > high)
		return "extents outside of their node's range";
	return NULL;
}

int extnode_read_root(struct hostfile *hf, struct extnode *ret)
{
	const char *wrong =
		extnode_parse(hostfile_inode(hf)->i_block, EXT_ROOT_BYTES, ret);

	if (!wrong)
		wrong = check_targets(hf->fs, ret);
	return wrong ? hostfile_corrupt(hf, pblk_at(0), wrong) : 0;
}

/* From what the load under way has read at once, or one by one. */
static int read_block(struct hostfile *hf, pblk block, void *raw, bool *made)
{
	uint64_t i = block.v - hf->ahead.first;

	if (block.v < hf->ahead.first || i >= hf->ahead.n)
		return meta_read_node(hf->fs, hf->ino, block, raw, made);
	memcpy(raw, hf->ahead.blocks + (i << hf->fs->bits), hf->fs->block_size);
	*made = false;
	return 0;
}

static int read_node(struct hostfile *hf, pblk block, unsigned depth,
		     uint64_t low, uint64_t high, bool believe,
		     struct extnode *ret)
{
	struct hostfs *fs = hf->fs;
	g_autofree void *raw = g_malloc(fs->block_size);
	const char *wrong;
	bool made;
	int err;

	extnode_init(ret);
	if (hostfs_owns(fs, block, 1))
		return hostfile_corrupt(hf, block,
					"an extent node that lies "
					"in the filesystem's own blocks");
	err = read_block(hf, block, raw, &made);
	if (err)
		return err;
	/* The header first: it says where the checksum lies. */
	extnode_clear(ret);
	wrong = extnode_parse(raw, fs->block_size, ret);
	made = made && believe;
	if (!wrong && !made && !extnode_sum_is_right(hf, raw))
		wrong = "a wrong checksum in an extent node";
	if (!wrong)
		wrong = check_place(ret, depth, low, high);
	if (!wrong && !made)
		wrong = check_targets(fs, ret);
	return wrong ? hostfile_corrupt(hf, block, wrong) : 0;
}

int extnode_read(struct hostfile *hf, pblk block, unsigned depth, uint64_t low,
		 uint64_t high, struct extnode *ret)
{
	return read_node(hf, block, depth, low, high, true, ret);
}

int extnode_verify(struct hostfile *hf, pblk block, unsigned depth,
		   uint64_t low, uint64_t high, struct extnode *ret)
{
	return read_node(hf, block, depth, low, high, false, ret);
}

int extnode_write(struct hostfile *hf, pblk block, const struct extnode *node)
{
	struct hostfs *fs = hf->fs;
	g_autofree void *raw = g_malloc(fs->block_size);

	extnode_build(node, raw, fs->block_size);
	extnode_sum_set(hf, raw);
	return meta_write_node(fs, hf->ino, block, raw);
}

void extnode_write_root(struct hostfile *hf, const struct extnode *node)
{
	extnode_build(node, hostfile_inode(hf)->i_block, EXT_ROOT_BYTES);
	hf->inode_dirty = true;
}
