/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One recovery: what recover.c finds out, recover_apply.c writes. */
#ifndef HOSTFS_RECOVER_PRIV_H
#define HOSTFS_RECOVER_PRIV_H

#include "hostfs_priv.h"

#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/journal.h>
#include <rawmap/jbd/replay.h>

struct recovery {
	struct blkdev *dev; /* borrowed */
	const struct recover_options *opt;
	const char *name;
	struct ext2_super_block super; /* as it lies on the disk */
	unsigned bits;		       /* log2 of the block size */
	struct journal *journal;       /* NULL: there is none */
	struct replay *replay;

	/* What the descriptors count once the log is home. */
	bool orphans; /* left where they are */
	bool counted;
	uint64_t free_blocks;
	uint32_t free_inodes;
};

static inline pblk recovery_super_block(const struct recovery *r)
{
	return pblk_of_dev_floor(dev_off_at(SUPERBLOCK_OFFSET), r->bits);
}

/* Recorded by the journal, or by a superblock that an older copy replaces. */
static inline bool recovery_has_error(const struct recovery *r)
{
	return journal_info(r->journal)->error ||
	       (r->super.s_state & EXT2_ERROR_FS);
}

/*
 * Does the orphan file hold an inode? Returns 0, -EUCLEAN (it makes no sense),
 * -EIO.
 */
int orphanfile_look(ext2_filsys fs, bool *ret_any);

/* All steps; durable on 0, else the device's -errno. */
int recovery_apply(struct recovery *r);

#endif
