/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal superblock: features, and the tail.
 *
 *   start, sequence   from 0          to 0              elsewhere
 *   sequence          never used      never used        the next one, or that of
 *                                                       the transaction at start
 *   needs             needs_recovery  what is dropped   what is dropped is home
 *                     durable         is home           and flushed, or revoked
 *
 * Until it is flushed the old tail counts for what may be overwritten; nothing
 * is dropped before.
 */
#include "support/orderdev_priv.h"

#include <rawmap/jbd/format.h>

#include <ext2fs/ext2fs.h>

#include <stddef.h>
#include <string.h>

#define KNOWN_INCOMPAT                                      \
	(JBD_INCOMPAT_REVOKE | JBD_INCOMPAT_64BIT |         \
	 JBD_INCOMPAT_ASYNC_COMMIT | JBD_INCOMPAT_CSUM_V2 | \
	 JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_FAST_COMMIT)
#define CSUM_FEATURES (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3)

static uint32_t sum_of(const struct jbd_super *s)
{
	struct jbd_super copy = *s;

	copy.checksum = be32_of(0);
	return ext2fs_crc32c_le(~0U, (void *)&copy, sizeof(copy));
}

char *order_jsb_parse(const uint8_t *buf, struct order_jsb *ret)
{
	const struct jbd_super *s = (const void *)buf;
	uint32_t type = be32_get(s->header.blocktype);

	if (be32_get(s->header.magic) != JBD_MAGIC ||
	    (type != JBD_SUPER_V1 && type != JBD_SUPER_V2))
		return g_strdup("the journal superblock is none any more");
	*ret = (struct order_jsb){
		.start = be32_get(s->start),
		.seq = be32_get(s->sequence),
	};
	if (type == JBD_SUPER_V1)
		return NULL;
	ret->compat = be32_get(s->compat);
	ret->incompat = be32_get(s->incompat);
	if ((ret->incompat & ~KNOWN_INCOMPAT) ||
	    (ret->incompat & CSUM_FEATURES) == CSUM_FEATURES)
		return g_strdup_printf("the journal superblock has features"
				       " %#x",
				       ret->incompat);
	if ((ret->incompat & CSUM_FEATURES) &&
	    (s->checksum_type != JBD_CSUM_CRC32C ||
	     be32_get(s->checksum) != sum_of(s)))
		return g_strdup("wrong checksum of the journal superblock");
	return NULL;
}

bool order_jsb_bounds(const struct orderdev *o, const uint8_t *buf,
		      uint32_t *ret_first, uint32_t *ret_last)
{
	const struct jbd_super *s = (const void *)buf;
	uint32_t first = be32_get(s->first), last = be32_get(s->maxlen);
	uint32_t fast = 0;

	if (last > o->layout->journal->len ||
	    be32_get(s->blocksize) != o->layout->bs)
		return false;
	if (o->jsb.incompat & JBD_INCOMPAT_FAST_COMMIT)
		fast = be32_get(s->num_fc_blocks);
	if (o->jsb.incompat & JBD_INCOMPAT_FAST_COMMIT && !fast)
		fast = JBD_FAST_COMMIT_BLOCKS;
	if (!first || first >= last || fast >= last - first)
		return false;
	*ret_first = first;
	*ret_last = last - fast;
	return !o->jsb.start ||
	       (o->jsb.start >= first && o->jsb.start < *ret_last);
}

/* ---- the tail ---- */

static struct order_tx *live_at(struct orderdev *o, const struct order_jsb *j)
{
	for (GList *i = o->live.head; i; i = i->next) {
		struct order_tx *tx = i->data;

		if (tx->seq == j->seq)
			return tx->start == j->start ? tx : NULL;
	}
	return NULL;
}

static bool is_home(struct orderdev *o, const struct order_known *k)
{
	g_autofree uint8_t *copy = order_copy_read(o, &k->copy);
	g_autofree uint8_t *home = order_read(o, k->block);

	if (k->block == o->layout->super)
		return order_super_equal(o, home, copy, 0, o->layout->bs);
	return !memcmp(home, copy, o->layout->bs);
}

static void check_dropped(struct orderdev *o, uint32_t seq, bool all)
{
	GHashTableIter i;
	gpointer item;

	if (!g_queue_is_empty(&o->committed))
		order_complain(o, "the tail moved before the last commit block"
				  " was flushed");
	g_hash_table_iter_init(&i, o->known);
	while (g_hash_table_iter_next(&i, NULL, &item)) {
		const struct order_known *k = item;

		if (k->revoked || (!all && !order_seq_before(k->copy.seq, seq)))
			continue;
		if (!is_home(o, k))
			order_complain(o,
				       "the tail moved, but block"
				       " %" G_GUINT64_FORMAT
				       " of transaction %u is not home",
				       k->block, k->copy.seq);
		else if (k->written >= o->gen)
			order_complain(o,
				       "the tail moved, but block"
				       " %" G_GUINT64_FORMAT
				       " of transaction %u is home without"
				       " a flush",
				       k->block, k->copy.seq);
	}
}

static void check_tail(struct orderdev *o, const struct order_jsb *next)
{
	bool kept = next->start && live_at(o, next);

	if (next->start && (next->start < o->first || next->start >= o->last))
		order_complain(o, "the journal's start is %u, outside its log",
			       next->start);
	if (!kept && !order_seq_before(o->seen_seq, next->seq))
		order_complain(o,
			       "the journal's sequence became %u, but %u was"
			       " used already",
			       next->seq, o->seen_seq);
	if (!kept && o->jsb.start && next->start && next->seq != o->next_seq)
		order_complain(o,
			       "the journal's sequence became %u instead of %u",
			       next->seq, o->next_seq);
	if (!o->jsb.start && order_seq_before(next->seq, o->jsb.seq))
		order_complain(o, "the journal's sequence fell from %u to %u",
			       o->jsb.seq, next->seq);
	check_dropped(o, next->seq, !kept);
}

static void check_fixed(struct orderdev *o, const uint8_t *before,
			const uint8_t *after)
{
	const struct jbd_super *a = (const void *)before;
	const struct jbd_super *b = (const void *)after;

	if (a->header.blocktype.raw != b->header.blocktype.raw ||
	    a->blocksize.raw != b->blocksize.raw ||
	    a->maxlen.raw != b->maxlen.raw || a->first.raw != b->first.raw ||
	    memcmp(a->uuid, b->uuid, sizeof(a->uuid)))
		order_complain(o, "the journal superblock changed in what"
				  " never changes");
}

void order_jsb_written(struct orderdev *o, const uint8_t *before,
		       const uint8_t *after)
{
	struct order_jsb next;
	g_autofree char *wrong = order_jsb_parse(after, &next);

	if (wrong) {
		order_complain(o, "%s", wrong);
		return;
	}
	check_fixed(o, before, after);
	if ((next.compat != o->jsb.compat ||
	     next.incompat != o->jsb.incompat) &&
	    (o->jsb.start || o->jsb_durable.start))
		order_complain(o, "the journal's features changed while its"
				  " log was in use");
	if (next.start && !(o->recover && o->recover_durable))
		order_complain(o, "the journal was opened while needs_recovery"
				  " is not durable");
	if (next.start != o->jsb.start || next.seq != o->jsb.seq)
		check_tail(o, &next);
	o->jsb = next;
	order_format_learn(o, after);
}

void order_jsb_flushed(struct orderdev *o)
{
	const struct order_jsb *next = &o->jsb;
	bool moved = next->start != o->jsb_durable.start ||
		     next->seq != o->jsb_durable.seq;
	bool all = !next->start || !live_at(o, next);

	o->recover_durable = o->recover;
	o->jsb_durable = *next;
	if (!moved)
		return;
	o->stats.tails++;
	order_log_drop(o, next->seq, all, next->start);
}
