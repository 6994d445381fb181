/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a log: which blocks a recovered filesystem has, and where in the log
 * their last committed copies are.
 *
 * The three passes of every JBD2 recovery (fs/jbd2/recovery.c is the document):
 * scan finds the end of the log, revoke collects what must not be replayed,
 * replay notes for each block its last copy. Nothing is copied: the result is an
 * index, 16 bytes or so a block, so a log of any length costs little memory.
 * Nothing is written but by replay_apply().
 *
 * What counts as damage, and what as the end of the log, is decided as the
 * kernel decides it: a transaction without its commit block ends the log; a
 * wrong checksum in what must have been complete is damage, and an error here.
 */
#ifndef RAWMAP_JBD_REPLAY_H
#define RAWMAP_JBD_REPLAY_H

#include <rawmap/base/progress.h>
#include <rawmap/jbd/journal.h>

struct replay;

struct replay_report {
	uint32_t first_sequence; /* of the oldest transaction */
	uint32_t next_sequence;	 /* one beyond the last that counts: a number
				    that no block of this log bears */
	uint32_t transactions;	 /* committed ones */
	uint32_t log_blocks;	 /* from the tail to the end */
	uint64_t blocks;	 /* to be written home: distinct ones */
	uint64_t revokes;	 /* revoke records */
	uint64_t revoked;	 /* copies that a revoke kept from replay */
};

/*
 * For long logs. @done of @total log blocks, total > 0, are read in this pass;
 * @pass counts from 1 to REPLAY_PASSES, replay_apply() is the last. In one pass
 * @done never falls and ends at @total; a pass with nothing to be read tells
 * nothing. May be NULL.
 */
#define REPLAY_PASSES 4
typedef void (*replay_progress)(void *ctx, unsigned pass, uint64_t done,
				uint64_t total);

/* One that shows it, for who sits there: the struct progress at @ctx. */
void replay_show_begin(struct progress *p);
void replay_show(void *ctx, unsigned pass, uint64_t done, uint64_t total);

/*
 * Read the log of @j (borrowed; it must outlive the result and stay as it is).
 * An empty log gives an empty index. @fs_blocks: a copy for a block at or
 * beyond it is damage, as is one for a block of the journal itself. A filesystem
 * that was growing while it was mounted may have its new size only in the log:
 * what the superblock at home says is too little then, the device's size is not.
 * NULL with a sentence: CORRUPT (damage; names the log block), UNSUPPORTED
 * (a fast-commit area in use), IO.
 */
struct replay *replay_scan(struct journal *j, uint64_t fs_blocks,
			   replay_progress progress, void *ctx, GError **error);
void replay_free(struct replay *r); /* NULL is fine */

const struct replay_report *replay_report(const struct replay *r);

/*
 * Is there a copy of @block? Then *buf gets its content as it belongs home (one
 * block, unescaped; buf NULL: only asked). Thread-safe.
 * Returns 1, 0 (no copy; buf untouched) or the device's -errno.
 */
int replay_get(struct replay *r, pblk block, void *buf);

/*
 * A read-only device that shows @lower as it will be once the log is home.
 * @r is borrowed and must outlive it; a reference to @lower is taken.
 */
struct blkdev *replay_view_new(struct replay *r, struct blkdev *lower);

/*
 * Write every copy home, to @dev, ascending, neighbours together. Not flushed.
 * May be repeated from the start at any time, also after a crash in its middle:
 * the log stays as it is. Returns 0 or -errno of the first failure.
 */
int replay_apply(struct replay *r, struct blkdev *dev, replay_progress progress,
		 void *ctx);

#endif
