/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the passes of a replay hand to each other.
 *
 *   pass  file             reads                  makes
 *   1     replay_scan.c    control blocks         copies, revoke blocks
 *   2     replay_index.c   revoke blocks          which copies count
 *   3     replay_index.c   copies, if they have   the index
 *                          checksums
 *   4     replay_apply.c   copies                 (writes them home)
 *
 * A position is the distance of a log block from the tail: positions ascend
 * where log blocks wrap. A transaction is numbered from the oldest, which is 0;
 * so neither needs a comparison that wraps.
 */
#ifndef REPLAY_PRIV_H
#define REPLAY_PRIV_H

#include "jbd_priv.h"

#include <rawmap/jbd/replay.h>

/* A block that a descriptor of a committed transaction announces. */
struct replay_copy {
	uint64_t block; /* home */
	uint32_t pos;	/* its content in the log */
	uint32_t tx;
	uint32_t csum; /* csum v2: the low 16 bits */
	bool escaped;
	bool revoked;
};

struct replay_revoke { /* a revoke block */
	uint32_t pos, tx;
};

/* What pass 1 found out. */
struct replay_log {
	GArray *copies;	 /* struct replay_copy, in the log's order */
	GArray *revokes; /* struct replay_revoke, in the log's order */
	uint32_t ntx;	 /* committed transactions */
	uint32_t seen;	 /* ntx, or more where blocks behind them were met */
	uint32_t blocks; /* log blocks of the committed ones */
};

/* The last copy that counts of one block. */
struct replay_entry {
	uint64_t block;
	uint32_t at; /* log block */
	uint32_t escaped;
};
static_assert(sizeof(struct replay_entry) == 16, "the index is dense");

struct replay {
	/* All set once. */
	struct journal *j; /* borrowed */
	unsigned bits;
	struct replay_entry *entries; /* n of them, by block */
	size_t n;
	struct replay_report report;
};

/* ---- the log as it is read ---- */

/* Nobody needs more than one block at once; the rest is reading ahead. */
struct replay_reader {
	struct journal *j;
	const struct journal_info *info;
	size_t block_size;
	uint32_t start; /* log block of position 0 */
	uint32_t at, n; /* log blocks in @buf */
	uint32_t max;
	uint8_t *buf;
	uint32_t seed; /* of checksums */
	/* Where to tell how far it is. */
	unsigned pass;
	replay_progress progress;
	void *ctx;
};

void replay_reader_init(struct replay_reader *rd, struct journal *j,
			replay_progress progress, void *ctx);
void replay_reader_clear(struct replay_reader *rd);

/* Blocks of the log: the first position that does not exist. */
uint32_t replay_log_size(const struct replay_reader *rd);
/* The log block of a position below that. */
uint32_t replay_log_block(const struct replay_reader *rd, uint32_t pos);

/*
 * The content of the block at @pos, aligned, until the next call; NULL with an
 * IO error. @done of @total of this pass.
 */
const uint8_t *replay_reader_get(struct replay_reader *rd, uint32_t pos,
				 GError **error);
void replay_reader_tell(const struct replay_reader *rd, uint64_t done,
			uint64_t total);

/* False, with CORRUPT: what is wrong with the log block at @pos. */
bool replay_damaged(const struct replay_reader *rd, uint32_t pos,
		    GError **error, const char *fmt, ...) G_GNUC_PRINTF(4, 5);

/* ---- the passes ---- */

void replay_log_init(struct replay_log *log);
void replay_log_clear(struct replay_log *log);

/* Pass 1: fills @log. False: CORRUPT, IO. */
bool replay_scan_log(struct replay_reader *rd, struct replay_log *log,
		     GError **error);

/*
 * The journal's own blocks as runs, by place, none for one that has a device of
 * its own; the caller unrefs. NULL: CORRUPT, two of them overlap. So no log is
 * longer than the device, and what it costs to read one is bounded.
 */
GArray *replay_own_runs(const struct replay_reader *rd, GError **error);

/*
 * Pass 2 and 3: fill @r's index and the counts in its report that depend on
 * revokes. @log's copies change their order. False: CORRUPT, IO.
 */
bool replay_index_log(struct replay_reader *rd, struct replay_log *log,
		      const GArray *own, uint64_t fs_blocks, struct replay *r,
		      GError **error);

/* ---- the index ---- */

/* The first entry at or behind @block; r->n: none. */
size_t replay_find(const struct replay *r, uint64_t block);

/* How many entries from @i on, 1 to @max, are neighbours at home. */
size_t replay_home_run(const struct replay *r, size_t i, size_t max);

/*
 * The content of @n entries from @i on that are neighbours at home, as it
 * belongs there. 0 or -errno.
 */
int replay_read_run(const struct replay *r, size_t i, size_t n, uint8_t *buf);

#endif
