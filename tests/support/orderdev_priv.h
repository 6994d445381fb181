/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of orderdev share: orderdev.c is the device, orderdev_look.c
 * finds out what the host's blocks are, orderdev_log.c follows the log,
 * orderdev_rules.c judges what is written elsewhere. All of it runs under
 * orderdev.lock.
 *
 * "Durable" is counted in flushes: what was written when @gen flushes had
 * completed is durable as soon as more have.
 */
#ifndef ORDERDEV_PRIV_H
#define ORDERDEV_PRIV_H

#include "support/orderdev.h"

#include <rawmap/base/lock.h>

/* ---- orderdev_look.c ---- */

enum order_role {
	ORDER_OTHER, /* data, trees, free blocks */
	ORDER_SUPER, /* the block with the primary superblock */
	ORDER_OWN,   /* the filesystem's own, by its place */
	ORDER_JSB,   /* the journal's superblock */
	ORDER_LOG,   /* any other block of the journal */
	ORDER_JTREE, /* a block of the journal's map */
};

struct order_layout {
	unsigned bits;
	uint32_t bs;
	uint64_t blocks;   /* of the filesystem */
	uint64_t super;	   /* the block ... */
	size_t super_at;   /* ... and the byte in it */
	GArray *own;	   /* of struct order_run, ascending */
	GArray *journal;   /* of uint64_t: where its blocks are */
	GHashTable *roles; /* block -> place in the journal */
};

/* NULL: no ext filesystem, or no journal inside it. */
struct order_layout *order_layout_new(struct blkdev *lower);
void order_layout_free(struct order_layout *l);
/* *ret_at: for JSB and LOG, the block's number in the journal. */
enum order_role order_role(const struct order_layout *l, uint64_t block,
			   uint32_t *ret_at);

/* ---- the state ---- */

struct order_copy {	/* a logged block */
	uint64_t block; /* the key */
	uint32_t seq;	/* of its transaction */
	uint32_t at;	/* where in the journal */
	bool escaped;
};

struct order_known {	/* a block that the live log has durable copies of */
	uint64_t block; /* the key */
	struct order_copy copy; /* the last one */
	bool revoked;		/* by a durable transaction, after the copy */
	uint64_t written;	/* gen of the last write at home */
};

struct order_tx {
	uint32_t seq, start, end; /* blocks of the journal, end: its commit */
	uint64_t gen;		  /* of its newest block, but the commit */
	uint64_t commit_gen;
	GHashTable *copies;  /* of struct order_copy */
	GHashTable *revokes; /* of gint64 */
};

struct order_jsb {
	uint32_t start, seq, compat, incompat;
};

struct order_format {
	bool csum_v2, csum_v3, is_64bit;
	uint32_t tag; /* bytes */
	uint32_t seed;
	uint8_t uuid[16];
};

enum order_slot {
	ORDER_FREE,
	ORDER_WAITING, /* written, not yet parsed: something before it lacks */
	ORDER_TAKEN,   /* part of a transaction since the tail */
};

struct orderdev {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	struct mutex lock;

	bool fatal;
	char *complaint;
	struct orderdev_stats stats;
	uint64_t gen; /* flushes that completed */

	struct order_layout *layout;   /* NULL: pass through */
	bool recover, recover_durable; /* needs_recovery */
	struct order_jsb jsb, jsb_durable;
	struct order_format format;

	uint32_t first, last;  /* the log: [first, last) */
	uint8_t *slots;	       /* enum order_slot of each journal block */
	uint64_t *slot_gens;   /* when it was written */
	uint32_t cursor;       /* the log block to be parsed next */
	uint32_t next_seq;     /* of the next transaction */
	uint32_t seen_seq;     /* the highest that any log block bore */
	GArray *tags;	       /* of struct order_tag: the descriptor's */
	guint tags_done;       /* whose data blocks were parsed */
	bool scanning;	       /* a look reads, nobody writes */
	struct order_tx *open; /* may be NULL */
	GQueue committed;      /* of struct order_tx: not yet durable */
	GQueue live;	       /* the same, durable; emptied of content */
	GHashTable *known;     /* of struct order_known */
};

/* ---- orderdev.c ---- */

void order_complain(struct orderdev *o, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);
/* One block of the lower device; g_free(). */
uint8_t *order_read(struct orderdev *o, uint64_t block);

/* ---- orderdev_log.c ---- */

/* Take over the journal of @o->layout; false: it is none that can be read. */
bool order_log_open(struct orderdev *o);
void order_log_close(struct orderdev *o);
/* A write hit log block @at, as a whole or in part. */
void order_log_hit(struct orderdev *o, uint32_t at, bool whole);
/* Parse what has become complete. */
void order_log_advance(struct orderdev *o);
/* Committed transactions are durable; gen counts the flush already. */
void order_log_flushed(struct orderdev *o);
/* Forget the transactions before @seq; @all: the log begins anew at @start. */
void order_log_drop(struct orderdev *o, uint32_t seq, bool all, uint32_t start);

/* What the copy says; as it belongs home, g_free(). */
uint8_t *order_copy_read(struct orderdev *o, const struct order_copy *c);
/* The copy of @block in a transaction that is not durable, or NULL. */
const struct order_copy *order_pending(struct orderdev *o, uint64_t block);
struct order_known *order_known(struct orderdev *o, uint64_t block);

/* Is @a an older sequence number than @b? They count round the end. */
static inline bool order_seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ---- orderdev_format.c: these return NULL, or (g_free()) what is wrong ---- */

struct order_tag {
	uint64_t block;
	uint32_t csum;
	bool escaped;
};

/* Follow the features of @o->jsb, whose block is @jsb. */
void order_format_learn(struct orderdev *o, const uint8_t *jsb);
/* Is it a block with a header? */
bool order_format_header(const uint8_t *buf, uint32_t *ret_type,
			 uint32_t *ret_seq);
/* A block with a header, at the cursor: tags to @o->tags, revokes to @tx. */
char *order_format_block(struct orderdev *o, struct order_tx *tx, uint32_t type,
			 const uint8_t *buf);
/* A logged block, at the cursor. */
char *order_format_data(const struct orderdev *o, const struct order_tx *tx,
			const struct order_tag *tag, const uint8_t *buf);

/* ---- orderdev_jsb.c ---- */

/* NULL, or (g_free()) what is wrong with the journal superblock in @buf. */
char *order_jsb_parse(const uint8_t *buf, struct order_jsb *ret);
/* Where the log lies; false: that makes no sense. */
bool order_jsb_bounds(const struct orderdev *o, const uint8_t *buf,
		      uint32_t *ret_first, uint32_t *ret_last);
void order_jsb_written(struct orderdev *o, const uint8_t *before,
		       const uint8_t *after);
/* The superblocks are durable as they were written last. */
void order_jsb_flushed(struct orderdev *o);

/* ---- orderdev_rules.c ---- */

struct order_touch { /* what a change does to one block */
	uint64_t block;
	enum order_role role;
	uint32_t at;	 /* JSB, LOG */
	size_t from, to; /* bytes in it */
	uint8_t *before; /* the block; NULL for the log */
};

/* Which blocks of the range have to be judged: of struct order_touch. */
GArray *order_touches(struct orderdev *o, uint64_t len, dev_off pos);
/* The lower device has made the change. */
void order_judge(struct orderdev *o, GArray *touches, bool discard);
/* Do bytes [from, to) agree, but for what may change in place? */
bool order_super_equal(const struct orderdev *o, const uint8_t *a,
		       const uint8_t *b, size_t from, size_t to);
bool order_super_recovers(const struct orderdev *o, const uint8_t *block);

#endif
