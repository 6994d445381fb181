/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything about where things lie is read off the bytes that mke2fs made, by
 * the format's document and not by the code under test.
 */
#include "support/badhost.h"

#include "support/hostimg.h"
#include "support/patchdev.h"

#include <rawmap/map/extent.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include <string.h>

#define MIB (UINT64_C(1) << 20)

/* So that two runs damage the same bytes. */
#define FIXED                                      \
	" -U 6d6f7265-6461-4d61-8765-626164686f73" \
	" -E hash_seed=6d6f7265-6461-4d61-8765-626164686f73"
#define FAKE_TIME "1700000000"

#define LONG_TARGET                                                      \
	"../vm/../vm/../vm/../vm/../vm/../vm/../vm/../vm/../vm/../vm/.." \
	"/vm/../vm/../disk.img"

const struct badhost_kind badhost_kinds[] = {
	{ .name = "ext2",
	  .mkfs = "-t ext2 -b 1024 -g 1024 -N 64",
	  .size = 2 * MIB,
	  .writable = true },
	{ .name = "ext4 without journal and checksums",
	  .mkfs = "-t ext4 -b 1024 -g 1024 -N 64 -O ^has_journal,"
		  "^metadata_csum,^resize_inode",
	  .size = 2 * MIB,
	  .extents = true,
	  .writable = true },
	{ .name = "ext4",
	  .mkfs = "-t ext4 -b 1024 -N 64 -J size=1",
	  .size = 4 * MIB,
	  .extents = true,
	  .journal = true,
	  .csum = true,
	  .writable = true },
	{ .name = "ext3",
	  .mkfs = "-t ext3 -b 1024 -N 64 -J size=1",
	  .size = 4 * MIB,
	  .journal = true,
	  .writable = true },
	{ .name = "ext4 with data in inodes",
	  .mkfs = "-t ext4 -b 4096 -N 64 -I 256 -O ^has_journal,inline_data",
	  .size = 4 * MIB,
	  .extents = true,
	  .csum = true,
	  .writable = true },
	{ .name = "ext4 with scattered descriptors",
	  .mkfs = "-t ext4 -b 1024 -g 512 -N 128 -O meta_bg,^resize_inode,"
		  "^has_journal,^metadata_csum,uninit_bg",
	  .size = 4 * MIB,
	  .extents = true,
	  .writable = true },
	{ .name = "ext4 with clusters",
	  .mkfs = "-t ext4 -b 4096 -C 16384 -N 64 -O bigalloc,^has_journal,"
		  "^metadata_csum",
	  .size = 8 * MIB,
	  .extents = true },
	{ .name = "ext4, dirty",
	  .mkfs = "-t ext4 -b 1024 -N 64 -J size=1",
	  .size = 4 * MIB,
	  .extents = true,
	  .journal = true,
	  .csum = true,
	  .dirty = true },
	{ .name = "ext3, dirty",
	  .mkfs = "-t ext3 -b 1024 -N 64 -J size=1",
	  .size = 4 * MIB,
	  .journal = true,
	  .dirty = true },
};
const unsigned badhost_n = G_N_ELEMENTS(badhost_kinds);

/* Inodes of interest: root, resize, journal, those of the essay, orphan file. */
static const uint32_t inodes[] = { 2, 7, 8, 12, 13, 14, 15, 16 };

/* Blocks of the log that are damaged, its superblock apart. */
#define LOG_BLOCKS 8

/* ---- where things lie ---- */

static const uint8_t *at_byte(const struct badhost *b, uint64_t pos)
{
	return (const uint8_t *)g_bytes_get_data(b->bytes, NULL) + pos;
}

static const struct ext2_super_block *super_of(const struct badhost *b)
{
	return (const void *)at_byte(b, SUPERBLOCK_OFFSET);
}

static uint32_t inode_size(const struct badhost *b)
{
	return EXT2_INODE_SIZE(super_of(b));
}

static uint32_t desc_size(const struct badhost *b)
{
	return super_of(b)->s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT
		       ? super_of(b)->s_desc_size
		       : EXT2_MIN_DESC_SIZE;
}

static uint32_t groups(const struct badhost *b)
{
	return super_of(b)->s_inodes_count / super_of(b)->s_inodes_per_group;
}

/* The kinds are small: all descriptors lie behind the superblock. */
static uint64_t desc_pos(const struct badhost *b, uint32_t group)
{
	return ((super_of(b)->s_first_data_block + UINT64_C(1)) << b->bits) +
	       (uint64_t)group * desc_size(b);
}

static const struct ext2_group_desc *desc_of(const struct badhost *b,
					     uint32_t group)
{
	return (const void *)at_byte(b, desc_pos(b, group));
}

uint64_t badhost_inode_pos(const struct badhost *b, uint32_t ino)
{
	uint32_t per_group = super_of(b)->s_inodes_per_group;
	uint64_t table = desc_of(b, (ino - 1) / per_group)->bg_inode_table;

	return (table << b->bits) +
	       (uint64_t)((ino - 1) % per_group) * inode_size(b);
}

static void add(struct badhost *b, enum badhost_what what, uint32_t number,
		uint64_t pos, uint32_t len)
{
	struct badhost_area area = { what, number, pos, len };

	g_array_append_val(b->areas, area);
}

static void add_blocks(struct badhost *b, enum badhost_what what,
		       uint32_t number, GArray *runs, uint64_t from,
		       uint64_t most)
{
	for (guint i = 0; i < runs->len; i++) {
		const struct extent *e = &g_array_index(runs, struct extent, i);

		for (uint64_t k = 0; k < e->len && most; k++) {
			if (from) {
				from--;
				continue;
			}
			add(b, what, number, (e->phys.v + k) << b->bits,
			    UINT32_C(1) << b->bits);
			most--;
		}
	}
	g_array_unref(runs);
}

static void find_fixed(struct badhost *b)
{
	add(b, BADHOST_SUPER, 0, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE);
	for (uint32_t g = 0; g < groups(b); g++) {
		const struct ext2_group_desc *d = desc_of(b, g);

		add(b, BADHOST_DESC, g, desc_pos(b, g), desc_size(b));
		add(b, BADHOST_BITMAP, g,
		    (uint64_t)d->bg_block_bitmap << b->bits, 128);
		add(b, BADHOST_BITMAP, g,
		    (uint64_t)d->bg_inode_bitmap << b->bits, 8);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(inodes); i++) {
		uint64_t pos = badhost_inode_pos(b, inodes[i]);
		const struct ext2_inode *inode = (const void *)at_byte(b, pos);

		/* What is not in use has no checksum either. */
		if (inode->i_links_count)
			add(b, BADHOST_INODE, inodes[i], pos, inode_size(b));
	}
}

static void find_files(struct badhost *b, struct hostimg *img)
{
	add_blocks(b, BADHOST_DIR, 2, hostimg_extents(img, "/"), 0, 1);
	add_blocks(b, BADHOST_DIR, 13, hostimg_extents(img, "/vm"), 0, 1);
	add_blocks(b, BADHOST_DIR, 15, hostimg_extents(img, "/vm/long"), 0, 1);
	add_blocks(b, BADHOST_TREE, BADHOST_DISK,
		   hostimg_tree_blocks(img, "/disk.img"), 0, UINT64_MAX);
	if (!b->kind->journal)
		return;
	if (b->kind->dirty && b->kind->extents)
		add_blocks(b, BADHOST_DIR, 16, hostimg_extents(img, "<16>"), 0,
			   1);
	add_blocks(b, BADHOST_JSUPER, 8, hostimg_extents(img, "<8>"), 0, 1);
	add_blocks(b, BADHOST_LOG, 8, hostimg_extents(img, "<8>"), 1,
		   LOG_BLOCKS);
}

/* ---- making ---- */

static void refresh(struct badhost *b, struct hostimg *img)
{
	size_t len;
	uint8_t *bytes = hostimg_bytes(img, &len);

	if (b->bytes)
		g_bytes_unref(b->bytes);
	b->bytes = g_bytes_new_take(bytes, len);
	b->bits = super_of(b)->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
}

/*
 * Two transactions whose copies are what is there already: the bitmap and the
 * inode table; of the first one, one block is revoked by the second. ext4 gets
 * an orphan file, behind the other inodes, that may have entries, as after
 * every mount.
 */
static void make_dirty(struct badhost *b, struct hostimg *img)
{
	const struct ext2_group_desc *d;
	uint64_t blocks[2];
	g_autofree char *path =
		g_build_filename(hostimg_dir(img), "copies", NULL);
	g_autoptr(GByteArray) copies = g_byte_array_new();

	d = desc_of(b, 0);
	blocks[0] = d->bg_block_bitmap;
	blocks[1] = d->bg_inode_table;
	for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++)
		g_byte_array_append(copies, at_byte(b, blocks[i] << b->bits),
				    1u << b->bits);
	g_assert(g_file_set_contents(path, (const char *)copies->data,
				     (gssize)copies->len, NULL));
	if (b->kind->extents) {
		hostimg_tune(img, "-O orphan_file");
		hostimg_edit(img, "feature orphan_present\n");
		refresh(b, img);
	}
	hostimg_edit(img,
		     "journal_open %s\n"
		     "journal_write -b %lu,%lu %s\n"
		     "journal_write -b %lu -r %lu %s\n"
		     "journal_close\n",
		     b->kind->csum ? "-c" : "", (unsigned long)blocks[0],
		     (unsigned long)blocks[1], path, (unsigned long)blocks[0],
		     (unsigned long)blocks[1], path);
	refresh(b, img);
}

struct badhost *badhost_new(unsigned kind)
{
	struct badhost *b = g_new0(struct badhost, 1);
	g_autofree char *mkfs =
		g_strconcat(badhost_kinds[kind].mkfs, FIXED, NULL);
	const struct hostimg_spec spec = { mkfs, badhost_kinds[kind].size };
	struct hostimg *img;

	g_setenv("E2FSPROGS_FAKE_TIME", FAKE_TIME, TRUE);
	b->kind = &badhost_kinds[kind];
	b->areas = g_array_new(FALSE, TRUE, sizeof(struct badhost_area));
	img = hostimg_make(&spec);
	refresh(b, img);
	hostimg_put_comb(img, "disk.img", kind + 1, 1u << b->bits,
			 BADHOST_COMB);
	hostimg_edit(img, "mkdir vm\n"
			  "symlink /vm/link ../disk.img\n"
			  "symlink /vm/long " LONG_TARGET "\n");
	refresh(b, img);
	if (b->kind->dirty)
		make_dirty(b, img);
	b->disk = hostimg_cat(img, "/disk.img", &b->disk_len);
	b->extents = hostimg_extents(img, "/disk.img");
	b->journal = hostimg_extents(img, "<8>");
	g_assert(b->extents->len == BADHOST_COMB);
	find_fixed(b);
	find_files(b, img);
	/* What the numbers above are worth. */
	g_assert(b->disk_len ==
		 ((const struct ext2_inode *)(const void *)at_byte(
			  b, badhost_inode_pos(b, BADHOST_DISK)))
			 ->i_size);
	hostimg_free(img);
	g_unsetenv("E2FSPROGS_FAKE_TIME");
	return b;
}

void badhost_free(struct badhost *b)
{
	if (!b)
		return;
	g_bytes_unref(b->bytes);
	g_array_unref(b->areas);
	g_array_unref(b->extents);
	g_array_unref(b->journal);
	g_free(b->disk);
	g_free(b);
}

/* ---- checksums (Documentation/filesystems/ext4/checksums.rst) ---- */

static uint32_t host_seed(struct blkdev *dev)
{
	struct ext2_super_block super;

	patchdev_peek(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	if (super.s_feature_incompat & EXT4_FEATURE_INCOMPAT_CSUM_SEED)
		return super.s_checksum_seed;
	return ext2fs_crc32c_le(~UINT32_C(0), super.s_uuid,
				sizeof(super.s_uuid));
}

static void seal_super(struct blkdev *dev)
{
	struct ext2_super_block super;

	patchdev_peek(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	super.s_checksum =
		ext2fs_crc32c_le(~UINT32_C(0), (const uint8_t *)&super,
				 offsetof(struct ext2_super_block, s_checksum));
	patchdev_poke(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
}

static void seal_desc(const struct badhost *b, struct blkdev *dev,
		      uint32_t group)
{
	const size_t at = offsetof(struct ext2_group_desc, bg_checksum);
	uint32_t sum, len = desc_size(b);
	g_autofree uint8_t *desc = g_malloc(len);
	uint16_t low;

	patchdev_peek(dev, desc, len, desc_pos(b, group));
	memset(desc + at, 0, sizeof(low));
	sum = ext2fs_crc32c_le(host_seed(dev), (const uint8_t *)&group,
			       sizeof(group));
	sum = ext2fs_crc32c_le(sum, desc, len);
	low = (uint16_t)sum;
	memcpy(desc + at, &low, sizeof(low));
	patchdev_poke(dev, desc, len, desc_pos(b, group));
}

uint32_t badhost_inode_seed(const struct badhost *b, struct blkdev *dev,
			    uint32_t ino)
{
	uint32_t generation, sum;

	patchdev_peek(dev, &generation, sizeof(generation),
		      badhost_inode_pos(b, ino) +
			      offsetof(struct ext2_inode, i_generation));
	sum = ext2fs_crc32c_le(host_seed(dev), (const uint8_t *)&ino,
			       sizeof(ino));
	return ext2fs_crc32c_le(sum, (const uint8_t *)&generation,
				sizeof(generation));
}

static void seal_inode(const struct badhost *b, struct blkdev *dev,
		       uint32_t ino)
{
	const size_t end_of_high =
		offsetof(struct ext2_inode_large, i_checksum_hi) +
		sizeof(uint16_t);
	uint32_t sum, len = inode_size(b);
	g_autofree struct ext2_inode_large *inode =
		g_malloc0(MAX(len, sizeof(*inode)));
	bool high;

	patchdev_peek(dev, inode, len, badhost_inode_pos(b, ino));
	high = len > EXT2_GOOD_OLD_INODE_SIZE &&
	       EXT2_GOOD_OLD_INODE_SIZE + (size_t)inode->i_extra_isize >=
		       end_of_high;
	inode->i_checksum_lo = 0;
	if (high)
		inode->i_checksum_hi = 0;
	sum = ext2fs_crc32c_le(badhost_inode_seed(b, dev, ino),
			       (const uint8_t *)inode, len);
	inode->i_checksum_lo = (uint16_t)sum;
	if (high)
		inode->i_checksum_hi = (uint16_t)(sum >> 16);
	patchdev_poke(dev, inode, len, badhost_inode_pos(b, ino));
}

void badhost_seal(const struct badhost *b, struct blkdev *dev)
{
	if (!b->kind->csum)
		return;
	seal_super(dev);
	for (guint i = 0; i < b->areas->len; i++) {
		const struct badhost_area *a =
			&g_array_index(b->areas, struct badhost_area, i);

		if (a->what == BADHOST_DESC)
			seal_desc(b, dev, a->number);
		else if (a->what == BADHOST_INODE)
			seal_inode(b, dev, a->number);
	}
}
