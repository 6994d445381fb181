/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recovery: apply the host's journal to the disk, and nothing else.
 *
 * What the kernel does when it mounts, and e2fsck -p before it looks at
 * anything: every committed transaction goes home, the journal becomes empty,
 * the superblock says so. Order, each step durable before the next: copies home,
 * journal empty, needs_recovery clear. So it can be cut off anywhere and run
 * again.
 *
 * Only for hosts whose state is complete after that. Orphans (files that were
 * open while they were deleted, or being truncated) are the business of the
 * kernel or e2fsck: such a host is refused, untouched, unless it is to stay
 * nobody else's (keep_orphans).
 */
#ifndef RAWMAP_HOSTFS_RECOVER_H
#define RAWMAP_HOSTFS_RECOVER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct blkdev;

struct recover_report {
	bool needed;	/* there was a log to be applied */
	bool had_error; /* journal or superblock recorded an error: the
			       host is marked with it, and needs e2fsck -f */
	uint32_t transactions;
	uint64_t log_blocks; /* read */
	uint64_t blocks;     /* written home */
	uint64_t revoked;    /* copies that were not */
};

struct recover_options {
	const char *name, *source; /* as in struct hostfs_options */
	bool dry_run;	    /* find out, write nothing: @dev may be read-only */
	bool keep_orphans;  /* no reason to refuse; they stay what they are */
	struct blkdev *bad; /* as in struct hostfs_options */
	/* As replay_progress in jbd/replay.h; may be NULL. */
	void (*progress)(void *ctx, unsigned pass, uint64_t done,
			 uint64_t total);
	void *ctx;
};

/*
 * Recover the host on @dev. True: it is clean now, as far as the journal goes
 * (nothing to be done is fine: *ret->needed says so, and nothing was written);
 * durable. False with a sentence that says what to do, nothing written but by
 * an IO error in the middle, after which it may be run again: CORRUPT (no ext
 * filesystem, damaged journal), UNSUPPORTED (a feature, a journal on another
 * device), DIRTY (orphans; a log in use that the superblock does not know of:
 * e2fsck), BUSY (mounted), IO.
 */
bool hostfs_recover(struct blkdev *dev, const struct recover_options *opt,
		    struct recover_report *ret, GError **error);

#endif
