/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a file of the filesystem's own lies, the journal before all: the whole
 * map of its inode. Whoever asks about the journal gives the disk as it is, never
 * a view through the journal. What is believed:
 *
 *   a regular file                          its blocks come in order, from 0 on,
 *   without holes or unwritten blocks       up to its size at least,
 *   no larger than its filesystem           each inside the filesystem
 *
 * Everything else is -EUCLEAN. What the walk takes, blocks of the tree included,
 * is limited by the size, so that a hostile tree costs no more than a filesystem
 * full of one file: a tree has less than one block of its own per 64 blocks that
 * it maps.
 *
 * libext2fs' block_iterate is not used: it does not tell unwritten blocks from
 * written ones, and forgets a failed read of an indirect block when the next one
 * can be read.
 */
#include "ext_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>
#include <rawmap/jbd/journal.h>

#include <ext2fs/ext3_extents.h>

#include <errno.h>
#include <sys/stat.h>

#define BLOCKS_PER_TREE_BLOCK 64
#define TREE_BLOCKS_MORE      8 /* for short journals, and the upper levels */

struct walk {
	ext2_filsys fs;
	GArray *runs, *tree;
	uint64_t next; /* block of the journal that must come now */
	uint64_t left; /* blocks until the tree cannot be sane */
};

static int spend(struct walk *walk, uint64_t start, uint64_t len)
{
	if (!len || len > walk->left ||
	    start < walk->fs->super->s_first_data_block ||
	    !range_within(start, len, ext2fs_blocks_count(walk->fs->super)))
		return -EUCLEAN;
	walk->left -= len;
	return 0;
}

/* Blocks [@at, + @len) of the journal lie at @start. */
static int take_run(struct walk *walk, uint64_t at, uint64_t start,
		    uint64_t len)
{
	struct journal_run run = { .phys = pblk_at(start), .len = len };
	GArray *runs = walk->runs;
	struct journal_run *last =
		runs->len ? &g_array_index(runs, struct journal_run,
					   runs->len - 1)
			  : NULL;
	int err = at == walk->next ? spend(walk, start, len) : -EUCLEAN;

	if (err)
		return err;
	walk->next += len;
	if (last && last->phys.v + last->len == start)
		last->len += len;
	else
		g_array_append_val(runs, run);
	return 0;
}

static int take_tree_block(struct walk *walk, uint64_t block)
{
	pblk own = pblk_at(block);
	int err = spend(walk, block, 1);

	if (!err && walk->tree)
		g_array_append_val(walk->tree, own);
	return err;
}

/* ---- extents ---- */

static int take_extent(struct walk *walk, const struct ext2fs_extent *e)
{
	if (e->e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT)
		return 0;
	if (!(e->e_flags & EXT2_EXTENT_FLAGS_LEAF))
		return take_tree_block(walk, e->e_pblk);
	if (e->e_flags & EXT2_EXTENT_FLAGS_UNINIT)
		return -EUCLEAN;
	return take_run(walk, e->e_lblk, e->e_pblk, e->e_len);
}

bool jmap_too_deep(const struct ext2_inode *inode)
{
	const struct ext3_extent_header *eh = (const void *)inode->i_block;

	return (inode->i_flags & EXT4_EXTENTS_FL) &&
	       ext2fs_le16_to_cpu(eh->eh_depth) > EXT_DEPTH_MAX;
}

static int walk_extents(struct walk *walk, ext2_ino_t ino,
			struct ext2_inode *inode)
{
	ext2_extent_handle_t handle;
	struct ext2fs_extent extent;
	int op = EXT2_EXTENT_ROOT, err = 0;
	errcode_t code;

	if (jmap_too_deep(inode))
		return -EUCLEAN;
	code = ext2fs_extent_open2(walk->fs, ino, inode, &handle);
	if (code)
		return errcode_to_errno(code);
	while (!err && !(code = ext2fs_extent_get(handle, op, &extent))) {
		op = EXT2_EXTENT_NEXT;
		err = take_extent(walk, &extent);
	}
	ext2fs_extent_free(handle);
	if (!err && code != EXT2_ET_EXTENT_NO_NEXT)
		err = errcode_to_errno(code);
	return err;
}

/* ---- indirect blocks ---- */

/*
 * What hangs on the pointer @block, @level tree blocks above the data; *at is
 * the block of the journal that it starts with, and goes on.
 */
static int walk_pointer(struct walk *walk, uint64_t block, unsigned level,
			uint64_t *at)
{
	size_t n = walk->fs->blocksize / sizeof(le32);
	uint64_t span = 1;
	g_autofree le32 *pointers = NULL;
	int err;

	for (unsigned i = 0; i < level; i++)
		span *= n;
	if (!block || !level) {
		err = block ? take_run(walk, *at, block, 1) : 0;
		*at += span;
		return err;
	}
	err = take_tree_block(walk, block);
	if (err)
		return err;
	pointers = g_new(le32, n);
	err = errcode_to_errno(
		io_channel_read_blk64(walk->fs->io, block, 1, pointers));
	for (size_t i = 0; !err && i < n; i++)
		err = walk_pointer(walk, le32_get(pointers[i]), level - 1, at);
	return err;
}

static int walk_indirect(struct walk *walk, const struct ext2_inode *inode)
{
	uint64_t at = 0;
	int err = 0;

	for (unsigned i = 0; !err && i < EXT2_N_BLOCKS; i++) {
		unsigned level = i < EXT2_IND_BLOCK ? 0
						    : i - EXT2_IND_BLOCK + 1;

		err = walk_pointer(walk, inode->i_block[i], level, &at);
	}
	return err;
}

int jmap_read(ext2_filsys fs, ext2_ino_t ino, GArray *runs, GArray *tree)
{
	struct walk walk = { .fs = fs, .runs = runs, .tree = tree };
	unsigned bits = fs->super->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	struct ext2_inode inode;
	uint64_t blocks;
	errcode_t code = ext2fs_read_inode(fs, ino, &inode);
	int err;

	if (code)
		return errcode_to_errno(code);
	blocks = EXT2_I_SIZE(&inode) >> bits;
	if (!S_ISREG(inode.i_mode) || !blocks ||
	    blocks > ext2fs_blocks_count(fs->super) ||
	    (inode.i_flags & EXT4_INLINE_DATA_FL))
		return -EUCLEAN;
	walk.left = blocks + blocks / BLOCKS_PER_TREE_BLOCK + TREE_BLOCKS_MORE;
	err = inode.i_flags & EXT4_EXTENTS_FL ? walk_extents(&walk, ino, &inode)
					      : walk_indirect(&walk, &inode);
	if (!err && walk.next < blocks)
		err = -EUCLEAN;
	return err;
}
