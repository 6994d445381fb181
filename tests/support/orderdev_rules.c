/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judging what is written outside the log.
 *
 *   the block                        may become (the bytes that are written)
 *   filesystem's own                 its last durable copy, or what it was
 *   superblock                       the same, but for state, errors, times;
 *                                    with an empty log its counts, too
 *   logged, not durable              its last durable copy, or what it was
 *   logged, durable, not revoked     its last durable copy
 *   logged, revoked durably          anything but a copy from before
 *   else                             anything
 */
#include "support/orderdev_priv.h"

#include <rawmap/base/bytes.h>

#include <ext2fs/ext2fs.h>

#include <stddef.h>
#include <string.h>

/* ---- the superblock ---- */

bool order_super_recovers(const struct orderdev *o, const uint8_t *block)
{
	struct ext2_super_block sb;

	memcpy(&sb, block + o->layout->super_at, sizeof(sb));
	return (GUINT32_FROM_LE(sb.s_feature_incompat) &
		EXT3_FEATURE_INCOMPAT_RECOVER) != 0;
}

#define FIELD(name)                                                  \
	{                                                            \
		offsetof(struct ext2_super_block, name),             \
			sizeof(((struct ext2_super_block *)0)->name) \
	}

struct field {
	size_t at, len;
};

/* Zero what may change in place. */
static void mask_super(const struct orderdev *o, uint8_t *sb)
{
	static const struct field fields[] = {
		FIELD(s_state),
		FIELD(s_mtime),
		FIELD(s_wtime),
		FIELD(s_lastcheck),
		FIELD(s_error_count),
		{ offsetof(struct ext2_super_block, s_first_error_time),
		  offsetof(struct ext2_super_block, s_mount_opts) -
			  offsetof(struct ext2_super_block,
				   s_first_error_time) },
		FIELD(s_wtime_hi),
		FIELD(s_mtime_hi),
		FIELD(s_lastcheck_hi),
		FIELD(s_first_error_time_hi),
		FIELD(s_last_error_time_hi),
		FIELD(s_first_error_errcode),
		FIELD(s_last_error_errcode),
		FIELD(s_checksum),
	};
	/* Little-endian: needs_recovery is in the first byte. */
	size_t incompat = offsetof(struct ext2_super_block, s_feature_incompat);

	/* A recovery counts anew, when it is through. */
	static const struct field counts[] = {
		FIELD(s_free_blocks_count),
		FIELD(s_free_inodes_count),
		FIELD(s_free_blocks_hi),
	};
	bool empty = !o->jsb.start && !o->jsb_durable.start;

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
		memset(sb + fields[i].at, 0, fields[i].len);
	for (size_t i = 0; empty && i < G_N_ELEMENTS(counts); i++)
		memset(sb + counts[i].at, 0, counts[i].len);
	sb[incompat] &= (uint8_t)~EXT3_FEATURE_INCOMPAT_RECOVER;
}

bool order_super_equal(const struct orderdev *o, const uint8_t *a,
		       const uint8_t *b, size_t from, size_t to)
{
	g_autofree uint8_t *x = g_memdup2(a, o->layout->bs);
	g_autofree uint8_t *y = g_memdup2(b, o->layout->bs);

	mask_super(o, x + o->layout->super_at);
	mask_super(o, y + o->layout->super_at);
	return !memcmp(x + from, y + from, to - from);
}

/* ---- one block ---- */

static bool agree(const struct orderdev *o, const struct order_touch *t,
		  const uint8_t *a, const uint8_t *b)
{
	if (t->role == ORDER_SUPER)
		return order_super_equal(o, a, b, t->from, t->to);
	return !memcmp(a + t->from, b + t->from, t->to - t->from);
}

static bool says(struct orderdev *o, const struct order_touch *t,
		 const struct order_copy *c, const uint8_t *now)
{
	g_autofree uint8_t *copy = order_copy_read(o, c);

	return agree(o, t, copy, now);
}

/* Freed and perhaps somebody else's: its old copy has no business here. */
static void judge_revoked(struct orderdev *o, const struct order_touch *t,
			  const struct order_known *k, const uint8_t *now)
{
	size_t bs = o->layout->bs;

	if (t->to - t->from == bs && memcmp(now, t->before, bs) &&
	    !bytes_are_zero(now, bs) && says(o, t, &k->copy, now))
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " got its copy of"
			       " transaction %u, which is revoked",
			       t->block, k->copy.seq);
}

static void complain_change(struct orderdev *o, const struct order_touch *t,
			    const struct order_known *k,
			    const struct order_copy *pending,
			    const uint8_t *now)
{
	if (pending && now && says(o, t, pending, now))
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " went home before"
			       " transaction %u is durable",
			       t->block, pending->seq);
	else if (t->role == ORDER_SUPER || t->role == ORDER_OWN)
		order_complain(o,
			       "block %" G_GUINT64_FORMAT ", the filesystem's"
			       " own, changed to what no durable transaction"
			       " says",
			       t->block);
	else if (pending)
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " changed while"
			       " transaction %u, which logs it, is not"
			       " durable",
			       t->block, pending->seq);
	else
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " was %s, but no"
			       " durable revoke kills its copy of"
			       " transaction %u",
			       t->block, now ? "reused" : "discarded",
			       k->copy.seq);
}

/* @now: what the block is; NULL: nobody knows, it was discarded. */
static void judge_home(struct orderdev *o, const struct order_touch *t,
		       const uint8_t *now)
{
	const struct order_copy *pending = order_pending(o, t->block);
	struct order_known *k = order_known(o, t->block);
	bool own = t->role == ORDER_SUPER || t->role == ORDER_OWN;
	bool ok = false;

	if (k)
		o->stats.home_writes++;
	if (now && k && !k->revoked)
		ok = says(o, t, &k->copy, now);
	/* Of an own block that is logged, what it was is older than the copy. */
	if (now && !ok && (t->role == ORDER_SUPER || !k || k->revoked))
		ok = agree(o, t, t->before, now);
	if (!ok && !own && !pending && (!k || k->revoked)) {
		ok = true;
		if (k && now)
			judge_revoked(o, t, k, now);
	}
	if (!ok)
		complain_change(o, t, k, pending, now);
	if (k)
		k->written = o->gen;
}

static void judge_super(struct orderdev *o, const struct order_touch *t,
			const uint8_t *now)
{
	bool recover = order_super_recovers(o, now);

	if (o->recover && !recover && (o->jsb.start || o->jsb_durable.start))
		order_complain(o, "needs_recovery was cleared, but the log is"
				  " not durably empty");
	judge_home(o, t, now);
	o->recover = recover;
}

static void judge(struct orderdev *o, const struct order_touch *t)
{
	g_autofree uint8_t *now = order_read(o, t->block);

	switch (t->role) {
	case ORDER_OTHER:
	case ORDER_OWN:
		judge_home(o, t, now);
		break;
	case ORDER_SUPER:
		judge_super(o, t, now);
		break;
	case ORDER_JSB:
		order_jsb_written(o, t->before, now);
		break;
	case ORDER_LOG:
		order_log_hit(o, t->at, t->to - t->from == o->layout->bs);
		break;
	case ORDER_JTREE:
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " of the journal's"
			       " map was written",
			       t->block);
		break;
	}
}

static void judge_discard(struct orderdev *o, const struct order_touch *t)
{
	if (t->role == ORDER_OTHER || t->role == ORDER_OWN ||
	    t->role == ORDER_SUPER)
		judge_home(o, t, NULL);
	else
		order_complain(o,
			       "block %" G_GUINT64_FORMAT " of the journal was"
			       " discarded",
			       t->block);
}

void order_judge(struct orderdev *o, GArray *touches, bool discard)
{
	for (guint i = 0; i < touches->len; i++) {
		const struct order_touch *t =
			&g_array_index(touches, struct order_touch, i);

		if (discard)
			judge_discard(o, t);
		else
			judge(o, t);
	}
	if (o->layout)
		order_log_advance(o);
}

/* ---- which blocks ---- */

static void touch_clear(gpointer data)
{
	struct order_touch *t = data;

	g_free(t->before);
}

GArray *order_touches(struct orderdev *o, uint64_t len, dev_off pos)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct order_touch));
	uint64_t end = pos.v + len, bs;

	g_array_set_clear_func(list, touch_clear);
	if (!o->layout)
		return list;
	bs = o->layout->bs;
	end = u64_min(end, o->layout->blocks * bs);
	for (uint64_t at = pos.v; at < end;) {
		struct order_touch t = { .block = at / bs, .from = at % bs };
		uint64_t next = u64_min(end, (t.block + 1) * bs);

		t.to = t.from + (next - at);
		at = next;
		t.role = order_role(o->layout, t.block, &t.at);
		if (t.role == ORDER_OTHER && !order_known(o, t.block) &&
		    !order_pending(o, t.block))
			continue;
		if (t.role != ORDER_LOG)
			t.before = order_read(o, t.block);
		g_array_append_val(list, t);
	}
	return list;
}
