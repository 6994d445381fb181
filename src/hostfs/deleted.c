/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deleted files: inodes without links that still say what they were.
 *
 *   deleted by                        size    map
 *   ext2 of the kernel, debugfs       stays   stays
 *   ext3 and ext4, also for ext2      zero    zeroed: nothing to read
 *   nobody yet: open when the host    stays   stays
 *   was left (an orphan)
 *   ext3 and ext4 interrupted         zero    as far as they had not come,
 *                                             which is its beginning
 *
 * What the map names is read as if it were the file's. It need not be: a free
 * block may have been used in between, and one in use belongs to somebody else.
 * The same goes for the blocks of the map; an extent node that was overwritten
 * shows (magic, checksum), an indirect block need not. Reading does not ask the
 * bitmaps, hostfile_remains() does; a map that names more blocks than there are
 * names some of them again and again, and counting them would take for ever.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <ext2fs/ext3_extents.h>

#include <errno.h>
#include <string.h>

/* Leaves to be looked at from the end; an honest map has something in one. */
#define EMPTY_MAX 4096

time_t deleted_time(struct hostfile *hf)
{
	uint32_t dtime = hf->inode->i_dtime;

	/* The list of orphans goes through this field, as inode numbers. */
	return dtime > hf->fs->fs->super->s_inodes_count ? dtime : 0;
}

static bool map_is_empty(struct hostfile *hf)
{
	const void *raw = hf->inode->i_block;
	const struct ext3_extent_header *eh = raw;

	if (hf->extent_mapped && eh->eh_magic == EXT3_EXT_MAGIC)
		return !eh->eh_entries;
	return bytes_are_zero(raw, sizeof(hf->inode->i_block));
}

static GArray *extents_new(void)
{
	return g_array_new(FALSE, FALSE, sizeof(struct extent));
}

/* The end of the last extent. 0, -EUCLEAN, -EIO. */
static int map_end(struct hostfile *hf, uint64_t *ret)
{
	g_autoptr(GArray) extents = extents_new();
	uint64_t at = LBLK_END;
	int err;

	for (unsigned n = 0; at; n++) {
		struct leaf leaf = { .extents = extents };

		err = n < EMPTY_MAX
			      ? hostfile_load_leaf(hf, lblk_at(at - 1), &leaf)
			      : -EUCLEAN;
		if (err)
			return err;
		if (extents->len) {
			*ret = extent_end(&g_array_index(extents, struct extent,
							 extents->len - 1));
			return 0;
		}
		at = leaf.start.v;
	}
	*ret = 0;
	return 0;
}

static bool fail_gone(struct hostfile *hf, GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
		    "'%s' is deleted, and its map with it: nothing says which"
		    " blocks it had",
		    hf->path);
	return false;
}

bool deleted_open(struct hostfile *hf, GError **error)
{
	uint64_t end = 0;
	int err;

	if (map_is_empty(hf))
		return fail_gone(hf, error);
	if (hf->size)
		return true;
	err = map_end(hf, &end);
	if (err) {
		error_set_errno(error,
				err == -EUCLEAN ? RAWMAP_ERROR_CORRUPT
						: RAWMAP_ERROR_IO,
				-err,
				"'%s' is deleted, its size is gone, and what is"
				" left of its map cannot be read",
				hf->path);
		return false;
	}
	if (!end)
		return fail_gone(hf, error);
	hf->size = end << hf->fs->bits;
	hf->max_size = MAX(hf->max_size, hf->size);
	return true;
}

/* ---- what the bitmaps say ---- */

/* One bitmap at a time: extents next to each other share it. */
struct look {
	struct hostfs *fs;
	bool loaded;
	dgrp_t group;
	uint8_t *bits;
	struct hostfile_remains found;
};

static int read_bitmap(struct look *l, dgrp_t group)
{
	ext2_filsys ext = l->fs->fs;
	int size = (int)(EXT2_CLUSTERS_PER_GROUP(ext->super) / 8);
	pblk block = pblk_at(ext2fs_block_bitmap_loc(ext, group));
	int err;

	if (ext2fs_has_group_desc_csum(ext) &&
	    ext2fs_bg_flags_test(ext, group, EXT2_BG_BLOCK_UNINIT)) {
		memset(l->bits, 0, l->fs->block_size);
		return 0;
	}
	err = meta_read(l->fs, block, l->bits);
	if (!err &&
	    !ext2fs_block_bitmap_csum_verify(ext, group, (char *)l->bits, size))
		err = -EUCLEAN;
	return err;
}

/* Blocks from @at on that lie in one group. */
static int look_at_group(struct look *l, uint64_t at, uint64_t len)
{
	ext2_filsys ext = l->fs->fs;
	dgrp_t group = ext2fs_group_of_blk2(ext, at);
	uint64_t first = ext2fs_group_first_block2(ext, group);

	if (!l->loaded || l->group != group) {
		int err = read_bitmap(l, group);

		l->loaded = !err;
		l->group = group;
		if (err)
			return err;
	}
	for (uint64_t i = at - first; i < at - first + len; i++) {
		uint64_t bit = i >> ext->cluster_ratio_bits;

		l->found.in_use += l->bits[bit / 8] >> bit % 8 & 1;
	}
	l->found.blocks += len;
	return l->found.blocks > ext2fs_blocks_count(ext->super) ? -EUCLEAN : 0;
}

static int look_at_extent(struct look *l, const struct extent *e)
{
	ext2_filsys ext = l->fs->fs;
	uint64_t at = e->phys.v, left = e->len;
	int err = 0;

	while (left && !err) {
		dgrp_t group = ext2fs_group_of_blk2(ext, at);
		uint64_t room = ext2fs_group_last_block2(ext, group) - at + 1;
		uint64_t len = MIN(left, room);

		err = look_at_group(l, at, len);
		at += len;
		left -= len;
	}
	return err;
}

static int look_at_map(struct look *l, struct hostfile *hf)
{
	g_autoptr(GArray) extents = extents_new();
	int err = 0;

	for (uint64_t at = 0; at < LBLK_END && !err;) {
		struct leaf leaf = { .extents = extents };

		err = hostfile_load_leaf(hf, lblk_at(at), &leaf);
		for (guint i = 0; i < extents->len && !err; i++)
			err = look_at_extent(
				l, &g_array_index(extents, struct extent, i));
		g_array_set_size(extents, 0);
		at = leaf.start.v + leaf.len;
	}
	return err;
}

static int look_at_inode(struct look *l, ext2_ino_t ino)
{
	ext2_filsys ext = l->fs->fs;
	dgrp_t group = ext2fs_group_of_ino(ext, ino);
	uint32_t bit = (ino - 1) % EXT2_INODES_PER_GROUP(ext->super);
	int size = (int)(EXT2_INODES_PER_GROUP(ext->super) / 8);
	int err;

	if (bit / 8 >= l->fs->block_size)
		return -EUCLEAN;
	if (ext2fs_has_group_desc_csum(ext) &&
	    ext2fs_bg_flags_test(ext, group, EXT2_BG_INODE_UNINIT))
		return 0;
	err = meta_read(l->fs, pblk_at(ext2fs_inode_bitmap_loc(ext, group)),
			l->bits);
	if (!err &&
	    !ext2fs_inode_bitmap_csum_verify(ext, group, (char *)l->bits, size))
		err = -EUCLEAN;
	if (!err)
		l->found.orphan = l->bits[bit / 8] >> bit % 8 & 1;
	return err;
}

int hostfile_remains(struct hostfile *hf, struct hostfile_remains *ret)
{
	struct hostfs *fs = hf->fs;
	struct look look = { .fs = fs };
	int err;

	if (fs->super_block)
		return -EOPNOTSUPP;
	look.bits = g_malloc(fs->block_size);
	mutex_lock(&fs->lock);
	err = look_at_inode(&look, hf->ino);
	if (!err)
		err = look_at_map(&look, hf);
	mutex_unlock(&fs->lock);
	g_free(look.bits);
	if (!err)
		*ret = look.found;
	return err;
}
