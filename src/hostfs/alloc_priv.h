/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the allocator share.
 *
 *   alloc_scan.c    bit arrays and the search for free runs
 *   alloc_group.c   one group: load, evict, store
 *   alloc.c         the search over groups, states of blocks, accounting
 *   alloc_store.c   the allocator's part of a commit
 *
 * A group in memory is "held" while it is dirty or has a busy block, and on the
 * idle queue otherwise. Only idle groups are evicted, the one used longest ago
 * first, so a pointer to a group stays good while its block is busy, and in any
 * case until the next group_get().
 */
#ifndef ALLOC_PRIV_H
#define ALLOC_PRIV_H

#include "hostfs_priv.h"

/* A run of bits within one group. */
struct bits {
	uint32_t start, len;
};

/* A run of blocks. */
struct run {
	uint64_t start, len;
};

struct group {
	uint32_t index;
	uint32_t blocks;   /* the last group may be shorter */
	uint32_t reserved; /* blocks with used 0, busy 1 */
	uint32_t released; /* the other blocks with busy 1 */
	uint32_t longest;  /* no free run is longer than this */
	bool dirty;	   /* used changed since the last store */
	bool urgent;	   /* of that, something was published */
	bool idle;
	GList link;	/* on alloc.idle while idle */
	uint64_t *used; /* little-endian words, block_size bytes */
	uint64_t *busy; /* the same, or NULL: none */
};

struct alloc {		    /* all guarded by hostfs.lock */
	struct hostfs *fs;  /* set once */
	GHashTable *groups; /* index to struct group, owned */
	GQueue idle;	    /* used last at the head */
	GArray *pending; /* struct run: released by the running transaction */
	GArray *frozen;	 /* the same of the one that is being committed */
	uint64_t pending_blocks, frozen_blocks, reserved, promised;
	uint32_t dirty_groups, urgent_groups, released_groups;
	bool corrupt_said;
};

/* ---- alloc_scan.c ---- */

void bits_fill(uint64_t *map, uint32_t start, uint32_t len, bool on);
uint32_t bits_count(const uint64_t *map, uint32_t start, uint32_t len);

/* How many of these blocks are neither used nor busy? */
uint32_t group_count_free(const struct group *g, uint32_t start, uint32_t len);
/*
 * The first free run of at least @want blocks within [from, end), else the
 * longest one there; its length is 0 when nothing is free. Not cut to @want.
 */
struct bits group_search(const struct group *g, uint32_t from, uint32_t end,
			 uint32_t want);

/* ---- alloc_group.c ---- */

/* Take the part of @r that lies in its first group off it; which group? */
uint32_t alloc_next_part(struct alloc *a, struct run *r, struct bits *ret);
/* The group, loaded when it is not there. Returns 0, -EUCLEAN, -EIO. */
int group_get(struct alloc *a, uint32_t index, struct group **ret);
/* The same for a group that is known to be held. */
struct group *group_held(struct alloc *a, uint32_t index);
/* Free blocks of a group, loaded or not, without those that are reserved. */
uint32_t group_free_blocks(struct alloc *a, uint32_t index);
/* Busy bits on or off; the caller keeps the counts. */
void group_set_busy(struct group *g, uint32_t start, uint32_t len, bool on);
/*
 * The same for blocks that become released or are no more (free again, or, to
 * undo it, used), counted.
 */
void group_set_released(struct alloc *a, struct group *g, struct bits b,
			bool on);
/*
 * Used bits on or off, with the free counts of the descriptor and of the
 * superblock. @urgent: a durable sync has to write it.
 */
void group_set_used(struct alloc *a, struct group *g, uint32_t start,
		    uint32_t len, bool on, bool urgent);
/* After a change: held or idle? */
void group_settle(struct alloc *a, struct group *g);
/* Checksums, and the bitmap into the overlay. The group is clean then. */
int group_store(struct alloc *a, struct group *g);
void group_free(struct group *g);
/* Say once that the host's bitmaps are corrupt. Returns -EUCLEAN. */
int alloc_corrupt(struct alloc *a, uint64_t block, const char *what);

/* ---- alloc.c, for tx.c ---- */

/* Are there dirty groups that a durable sync must write? */
bool alloc_urgent(const struct alloc *a);
/* Groups that a commit would let go: dirty ones, and with released blocks. */
uint64_t alloc_held(const struct alloc *a);
/* What is being committed: valid until alloc_committed(). */
const struct run *alloc_frozen(const struct alloc *a, size_t *ret_n);
/* Do the bits of a block clear in the commit that frees it? */
bool alloc_clears_at_once(const struct alloc *a);

#endif
