/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the transaction share.
 *
 *   tx.c         what is pending, how much of it, failure
 *   tx_meta.c    tree blocks within it
 *   tx_super.c   the superblock's copies and its state
 *   commit.c     the cycle: freeze, write, settle; who leads and who waits
 *   ordered.c    writing a commit on a host without a journal
 *   journalled.c the same with one: log, checkpoint, tail
 */
#ifndef TX_PRIV_H
#define TX_PRIV_H

#include "hostfs_priv.h"

#include <rawmap/jbd/jlog.h>

/* ---- tx.c ---- */

/* Anything that a commit would write, times included? */
bool tx_dirty(struct hostfs *fs);
/* At most so many blocks would be in a commit of what is pending. */
uint64_t tx_size(struct hostfs *fs);
/* After a failure: the source is told, once, as far as it can be. */
void tx_mark_error(struct hostfs *fs);

/* ---- tx_super.c ---- */

/*
 * Change the superblock on the source itself, past the overlays: bits of
 * s_state on and off, needs_recovery to what it shall be; everything else as it
 * stands there. Durable when it returns 0. Else -EUCLEAN (no superblock there),
 * -EIO.
 */
struct super_change {
	uint16_t state_on, state_off;
	bool recovery_on, recovery_off;
};

int super_apply(struct hostfs *fs, const struct super_change *change);

/* ---- ordered.c and journalled.c: how a commit gets onto the source ---- */

/* What a commit carries, frozen: the blocks' content is in fs->stable. */
struct batch {
	pblk *blocks; /* ascending; owned */
	size_t n;
	GArray *revokes; /* of pblk; owned */
	bool durable;	 /* more than times and old bits */
};

/*
 * Before the first commit, or after the host was settled: the source says "not
 * clean", durably. With the lock held. Return 0 or -errno.
 */
int ordered_mark(struct hostfs *fs);
int journalled_mark(struct hostfs *fs);

/* Write the batch; durable on 0. Called by the leader, without the lock. */
int ordered_write(struct hostfs *fs, const struct batch *b);
int journalled_write(struct hostfs *fs, const struct batch *b);

/*
 * All that was committed is home and durable; the source says "clean" again.
 * Nothing is pending. With the lock held throughout. Return 0 or -errno.
 */
int ordered_finish(struct hostfs *fs);
int journalled_finish(struct hostfs *fs);

/* The journal of a read-write host; a sentence when it cannot be written. */
bool journalled_open(struct hostfs *fs, GError **error);
void journalled_close(struct hostfs *fs);
/* Has the log room for what is pending now? With the lock held. */
bool journalled_has_room(struct hostfs *fs);
/*
 * The leader's, without the lock, while nothing is frozen: committed blocks go
 * home; with @restart they are flushed, and the log starts over.
 */
int journalled_checkpoint(struct hostfs *fs, bool restart);
/* So much is committed and not home that memory asks for a checkpoint. */
bool journalled_is_heavy(struct hostfs *fs);

#endif
