/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a log: one lap after the other from its first block, never round the
 * end.
 *
 *   state     superblock on the device        how to leave it
 *   closed    start 0                         jlog_begin()
 *   open      start, sequence of the tail     jlog_commit(), then jlog_restart()
 *                                             when there is no room, jlog_end()
 *   failed    whatever it was                 nothing but jlog_mark_error() and
 *                                             jlog_free()
 *
 * The tail only moves by jlog_begin(), jlog_restart() and jlog_end(): then
 * everything logged so far must be home and durable, which the caller sees to.
 * A sequence number is never used twice: the first one is the superblock's plus
 * one, the end leaves one that was not used.
 *
 * The order inside jlog_commit(): descriptor, data and revoke blocks, flush,
 * commit block, flush. The first flush covers whatever the caller had written
 * before, the data that the transaction's metadata points to: data before
 * mapping. Two flushes, whatever the size.
 *
 * After the first error of jlog_begin(), jlog_commit(), jlog_restart() or jlog_end()
 * the log has failed: these answer -EROFS from then on.
 *
 * Not thread-safe: one caller at a time, but jlog_has() and the questions about
 * room, which may be asked from any thread that excludes the others by itself.
 */
#ifndef RAWMAP_JBD_JLOG_H
#define RAWMAP_JBD_JLOG_H

#include <rawmap/jbd/journal.h>

struct jlog;

/*
 * A writer for @j (borrowed), whose log must be empty. @fs_blocks decides whether
 * block numbers need 64 bits.
 * NULL with a sentence: DIRTY (the log holds something, or an error is
 * recorded), READONLY (a superblock of version 1, a fast-commit area, a log too
 * short to be used).
 */
struct jlog *jlog_new(struct journal *j, uint64_t fs_blocks, GError **error);
void jlog_free(struct jlog *log); /* NULL is fine; writes nothing */

/* ---- room, in log blocks ---- */

/* What a transaction of @blocks blocks and @revokes revokes takes. */
uint64_t jlog_need(const struct jlog *log, uint64_t blocks, uint64_t revokes);
/* What a whole lap has, at most 65536, and what is left of this one. */
uint64_t jlog_capacity(const struct jlog *log);
uint64_t jlog_room(const struct jlog *log);

/* ---- the log ---- */

/*
 * Open it: the superblock gets the features that are needed, start and
 * sequence. The filesystem must bear needs_recovery durably before. Durable on
 * return. Returns 0, -EROFS, -EIO or the device's errno.
 */
int jlog_begin(struct jlog *log);
bool jlog_is_open(const struct jlog *log);
/* Neither open nor failed: nothing of this writer is in the log. */
bool jlog_is_closed(const struct jlog *log);

struct jlog_tx {
	const pblk *blocks; /* distinct */
	size_t n;
	/* The content of blocks[i], one block. 0 or -errno. */
	int (*get)(void *ctx, size_t i, void *buf);
	void *ctx;
	const pblk *revokes; /* distinct, none of them in blocks */
	size_t nrevokes;
};

/*
 * Write one transaction; on 0 it is durable, and so is everything that was
 * written to the device before the call. Blocks and revokes may not both be
 * none. Needs jlog_need() of jlog_room(): else -ENOSPC, and nothing happened.
 * Returns 0, -ENOSPC, -EROFS, or the errno of @get or the device (-EIO for their
 * -ENOSPC). After another error than -ENOSPC nobody can tell whether the
 * transaction is in the log or not.
 */
int jlog_commit(struct jlog *log, const struct jlog_tx *tx);

/*
 * Is a copy of @block in the log, so that freeing it needs a revoke? Not after a
 * revoke in a later transaction.
 */
bool jlog_has(const struct jlog *log, pblk block);

/* Back to the first block. Everything logged is home and durable (the caller
   flushed). Durable on return. As jlog_begin(). */
int jlog_restart(struct jlog *log);

/* Close it, empty; the same condition. Durable on return. As jlog_begin(). */
int jlog_end(struct jlog *log);

/*
 * Record @err (a positive errno) in the superblock, everything else as it is on
 * the device: the next mount will know. Works on a failed log. Durable on 0, else
 * -errno; -EUCLEAN where no sound superblock of this journal is left.
 */
int jlog_mark_error(struct jlog *log, int err);

struct jlog_stats {
	uint64_t transactions, blocks, revokes, restarts, escapes;
	uint32_t sequence; /* of the next transaction */
};

void jlog_stats(const struct jlog *log, struct jlog_stats *ret);

#endif
