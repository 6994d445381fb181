/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What jlog.c (state, room, tail) and jlog_write.c (a transaction) share. */
#ifndef JLOG_PRIV_H
#define JLOG_PRIV_H

#include "jbd_priv.h"

#include <rawmap/jbd/jlog.h>

enum jlog_state {
	JLOG_CLOSED,
	JLOG_OPEN,
	JLOG_FAILED,
};

struct jlog {
	struct journal *j; /* borrowed */
	enum jlog_state state;

	/* Set once: the format as it is while the log is open. */
	uint64_t fs_blocks;
	size_t block_size;
	enum journal_csum csum;
	bool is_64bit;
	uint32_t seed;
	size_t tags;	/* that a descriptor takes at most */
	size_t revokes; /* that a revoke block takes */

	/* first <= head <= end */
	uint32_t first, end; /* of a lap, log blocks; set once */
	uint32_t head;	     /* where the next transaction goes */
	uint32_t sequence;   /* of the next transaction */

	GHashTable *logged; /* uint64_t block numbers, owned */

	uint8_t *buf;	   /* aligned; what is on its way to the log */
	size_t buf_blocks; /* at least a descriptor and one block */

	struct jlog_stats stats;
};

/* Set what depends on the format: from csum, is_64bit, block_size, buf_blocks. */
void jlog_measure(struct jlog *log);

/*
 * Write @tx at the head with both flushes; there is room. Moves nothing in @log
 * but the counter of escapes. Returns 0 or -errno.
 */
int jlog_write(struct jlog *log, const struct jlog_tx *tx);

#endif
