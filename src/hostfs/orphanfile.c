/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The orphan file (feature orphan_file; fs/ext4/orphan.c of the kernel is the
 * document): blocks full of inode numbers, 0 where none is, each with a magic
 * number and a checksum at its end. The kernel sets orphan_present when it
 * mounts, whether an orphan comes or not; so only the file itself can tell.
 */
#include "recover_priv.h"

#include <errno.h>

#define ORPHAN_MAGIC 0x0b10ca04u /* EXT4_ORPHAN_BLOCK_MAGIC */
/* The kernel refuses larger ones. */
#define ORPHAN_BYTES_MAX (UINT64_C(8) << 20)

static int check_block(ext2_filsys fs, blk64_t block, char *buf, bool *ret_any)
{
	ext2_ino_t ino = fs->super->s_orphan_file_inum;
	const uint32_t *entries = (const uint32_t *)(void *)buf;
	int n = ext2fs_inodes_per_orphan_block(fs);
	errcode_t err;

	if (block < fs->super->s_first_data_block ||
	    block >= ext2fs_blocks_count(fs->super))
		return -EUCLEAN;
	err = io_channel_read_blk64(fs->io, block, 1, buf);
	if (err)
		return errcode_to_errno(err);
	if (ext2fs_le32_to_cpu(ext2fs_orphan_block_tail(fs, buf)->ob_magic) !=
		    ORPHAN_MAGIC ||
	    !ext2fs_orphan_file_block_csum_verify(fs, ino, block, buf))
		return -EUCLEAN;
	for (int i = 0; i < n; i++)
		*ret_any |= entries[i] != 0;
	return 0;
}

int orphanfile_look(ext2_filsys fs, bool *ret_any)
{
	g_autofree char *buf = g_malloc(fs->blocksize);
	ext2_ino_t ino = fs->super->s_orphan_file_inum;
	struct ext2_inode inode;
	uint64_t blocks;
	int rc = 0;
	errcode_t err = ext2fs_read_inode(fs, ino, &inode);

	if (err)
		return errcode_to_errno(err);
	if (!LINUX_S_ISREG(inode.i_mode) ||
	    EXT2_I_SIZE(&inode) > ORPHAN_BYTES_MAX)
		return -EUCLEAN;
	*ret_any = false;
	blocks = EXT2_I_SIZE(&inode) / fs->blocksize;
	for (uint64_t i = 0; !rc && i < blocks; i++) {
		blk64_t block;
		int flags = 0;

		err = ext2fs_bmap2(fs, ino, &inode, NULL, 0, i, &flags, &block);
		if (!err && (flags & BMAP_RET_UNINIT))
			return -EUCLEAN;
		rc = err ? errcode_to_errno(err)
			 : check_block(fs, block, buf, ret_any);
	}
	return rc;
}
