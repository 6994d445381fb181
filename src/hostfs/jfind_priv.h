/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding the journal of a host: for its recovery, and to look through it. */
#ifndef HOSTFS_JFIND_PRIV_H
#define HOSTFS_JFIND_PRIV_H

#include "hostfs_priv.h"

#include <rawmap/jbd/journal.h>

/* Everything is borrowed. */
struct jfind {
	struct blkdev *dev;	    /* the host's, as it lies there */
	struct blkdev *journal_dev; /* for a journal outside; NULL: none named */
	struct blkdev *bad;	    /* as in struct hostfs_options */
	const char *name;	    /* of the host: for sentences */
	uint64_t super_block;	    /* as in struct hostfs_options */
	const struct ext2_super_block *super; /* on dev; the gate let it in */
};

/*
 * The journal that the superblock, which has the feature, names. NULL with a
 * sentence: as journal_open(); and for a journal outside DIRTY (no device is
 * named), CORRUPT (no journal on it), NOT_FOUND (that of another host),
 * UNSUPPORTED (shared); USAGE: a device is named for a journal inside.
 */
struct journal *jfind_open(const struct jfind *jf, GError **error);

/* Has @now, the superblock behind the log, the same blocks? Else CORRUPT. */
bool jfind_same_blocks(const struct jfind *jf,
		       const struct ext2_super_block *now, GError **error);

#endif
