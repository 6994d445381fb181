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
	g_autoptr(GArray)
		runs = g_array_new(FALSE, FALSE, sizeof(struct journal_run));
	uint64_t seen = 0;
	int err = jmap_read(fs, fs->super->s_orphan_file_inum, runs, NULL);

	*ret_any = false;
	for (guint i = 0; !err && i < runs->len; i++) {
		const struct journal_run *run =
			&g_array_index(runs, struct journal_run, i);

		seen += run->len * fs->blocksize;
		if (seen > ORPHAN_BYTES_MAX)
			return -EUCLEAN;
		for (uint64_t b = 0; !err && b < run->len; b++)
			err = check_block(fs, run->phys.v + b, buf, ret_any);
	}
	return err;
}
