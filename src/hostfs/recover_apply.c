/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal goes home, and the disk says so.
 *
 *   step  written                                what a crash behind it leaves
 *         -- flush --                            the log that was read
 *   1     every copy, home                       the log, whole: all over again
 *   2     superblock: ERROR, only when journal   the same
 *         or superblock had recorded one
 *         -- flush --
 *   3     journal's superblock: empty, no error  an empty log, needs_recovery
 *         -- flush --                            set: only step 4 is left
 *   4     superblock: needs_recovery clear,      a recovered host
 *         orphan_present, too, unless there are
 *         orphans; free blocks and inodes counted
 *         -- flush --
 *
 * The first flush is for a log that a killed process has just written: nothing
 * of it may be home before it is durable itself.
 *
 * The error is in the superblock before it leaves the journal, so it cannot be
 * lost in between.
 *
 * The kernel does not log the superblock's counts of free blocks and inodes: it
 * takes them from the group descriptors when it mounts, e2fsck does when it
 * comes by, and so does step 4. Else a clean host would have wrong ones. Backups
 * of the superblock are never touched.
 */
#include "recover_priv.h"

#include <rawmap/base/bytes.h>

#include <stddef.h>

/* Fits the direct I/O of every device. */
#define BUF_ALIGN 4096

static void mark_error(struct ext2_super_block *super)
{
	super->s_state |= EXT2_ERROR_FS;
}

static void mark_recovered(const struct recovery *r,
			   struct ext2_super_block *super)
{
	super->s_feature_incompat &= ~(uint32_t)EXT3_FEATURE_INCOMPAT_RECOVER;
	if (!r->orphans)
		super->s_feature_ro_compat &=
			~(uint32_t)EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT;
	if (!r->counted)
		return;
	ext2fs_free_blocks_count_set(super, r->free_blocks);
	super->s_free_inodes_count = r->free_inodes;
}

static void fill_csum(struct ext2_super_block *super)
{
	if (super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)
		super->s_checksum = ext2fs_crc32c_le(
			~UINT32_C(0), (const uint8_t *)super,
			offsetof(struct ext2_super_block, s_checksum));
}

/*
 * Step 2, or with @done step 4. A whole block: a disk with sectors of that size
 * cannot tear it.
 */
static int change_super(const struct recovery *r, bool done)
{
	size_t size = (size_t)1 << r->bits;
	dev_off pos = dev_of_pblk(recovery_super_block(r), r->bits);
	uint8_t *buf =
		bytes_aligned_new(align_ceil(size, BUF_ALIGN), BUF_ALIGN);
	struct ext2_super_block *super =
		(void *)(buf + (SUPERBLOCK_OFFSET - pos.v));
	int err = blkdev_pread(r->dev, buf, size, pos);

	if (!err) {
		if (done)
			mark_recovered(r, super);
		else
			mark_error(super);
		fill_csum(super);
		err = blkdev_pwrite(r->dev, buf, size, pos);
	}
	bytes_aligned_free(buf);
	return err;
}

int recovery_apply(struct recovery *r)
{
	const struct journal_change empty = {
		.sequence = replay_report(r->replay)->next_sequence,
	};
	int err = blkdev_flush(r->dev);

	if (!err)
		err = replay_apply(r->replay, r->dev, r->opt->progress,
				   r->opt->ctx);
	if (!err && recovery_has_error(r))
		err = change_super(r, false);
	if (!err)
		err = blkdev_flush(r->dev);
	if (!err)
		err = journal_update(r->journal, &empty);
	if (!err)
		err = blkdev_flush(r->dev);
	if (!err)
		err = change_super(r, true);
	return err ? err : blkdev_flush(r->dev);
}
