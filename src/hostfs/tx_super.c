/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The primary superblock: its copies on the way out, and its state.
 *
 *                   in memory   in a copy and on the source
 *                               without a journal   with one
 *   before changes  as opened   as opened           as opened
 *   marked          as opened   VALID cleared       needs_recovery set
 *   finished        as opened   as opened           as opened
 *   broken          ERROR set   ERROR set, as far as it can be done
 *
 * A change of state alone is made on what the source holds: counts in memory
 * may belong to a transaction that is never committed. A whole block is
 * written, so that a disk with sectors of that size cannot tear it. Backups of
 * the superblock are never touched.
 *
 * Runs under hostfs.lock.
 */
#include "tx_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#define SUPER_POS  1024
#define SUPER_SIZE 1024
/* Fits the direct I/O of every device. */
#define BUF_ALIGN 4096

static pblk super_block(const struct hostfs *fs, size_t *ret_offset)
{
	*ret_offset = SUPER_POS & (fs->block_size - 1);
	return pblk_of_dev_floor(dev_off_at(SUPER_POS), fs->bits);
}

static int change_source(struct hostfs *fs, uint8_t *buf,
			 const struct super_change *change)
{
	size_t offset;
	pblk block = super_block(fs, &offset);
	struct ext2_super_block *sb = (void *)(buf + offset);
	dev_off pos = dev_of_pblk(block, fs->bits);
	int err;

	err = blkdev_pread(fs->dev, buf, fs->block_size, pos);
	if (err)
		return err;
	if (sb->s_magic != EXT2_SUPER_MAGIC)
		return -EUCLEAN;
	sb->s_state = (uint16_t)((sb->s_state | change->state_on) &
				 ~(uint32_t)change->state_off);
	if (change->recovery_on)
		ext2fs_set_feature_journal_needs_recovery(sb);
	if (change->recovery_off)
		ext2fs_clear_feature_journal_needs_recovery(sb);
	ext2fs_superblock_csum_set(fs->fs, sb);
	err = blkdev_pwrite(fs->dev, buf, fs->block_size, pos);
	/* A clean copy is stale now; a dirty one is stored again. */
	if (!overlay_is_dirty(fs->meta, block))
		overlay_drop(fs->meta, block);
	return err ? err : blkdev_flush(fs->dev);
}

int super_apply(struct hostfs *fs, const struct super_change *change)
{
	uint8_t *buf = bytes_aligned_new(align_ceil(fs->block_size, BUF_ALIGN),
					 BUF_ALIGN);
	int err = change_source(fs, buf, change);

	bytes_aligned_free(buf);
	return err;
}

int tx_store_super(struct hostfs *fs)
{
	g_autofree uint8_t *buf = g_malloc(fs->block_size);
	struct ext2_super_block copy;
	uint64_t now = (uint64_t)time(NULL);
	size_t offset;
	pblk block = super_block(fs, &offset);
	errcode_t code;
	int err;

	fs->fs->super->s_wtime = (uint32_t)now;
	fs->fs->super->s_wtime_hi = (uint8_t)(now >> 32);
	copy = *fs->fs->super;
	if (fs->marked && fs->jlog)
		ext2fs_set_feature_journal_needs_recovery(&copy);
	else if (fs->marked)
		copy.s_state &= (uint16_t)~EXT2_VALID_FS;
	code = ext2fs_superblock_csum_set(fs->fs, &copy);
	if (code)
		return errcode_to_errno(code);

	err = overlay_get_block(fs->meta, block, buf);
	if (err)
		return err;
	memcpy(buf + offset, &copy, SUPER_SIZE);
	err = overlay_put_block(fs->meta, block, buf, TX_FIRST);
	if (err)
		return err;
	/* libext2fs writes what differs from its idea of the source. */
	if (fs->fs->orig_super)
		memcpy(fs->fs->orig_super, &copy, SUPER_SIZE);
	fs->super_dirty = false;
	return 0;
}
