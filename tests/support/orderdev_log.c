/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Following the log while it is written, in whatever pieces and order.
 *
 *   log block   becomes
 *   free        waiting   when it is written as a whole
 *   waiting     taken     when the cursor reaches it: all before it is parsed
 *   taken       free      when the tail has moved past it, durably
 *
 * The transaction that the cursor is in is open; its commit block makes it
 * committed; the next flush after that makes it durable, and only now its
 * copies and revokes count: the table of known blocks has the last durable copy
 * of each block that was logged since the tail. No content is kept, the live
 * log has it.
 */
#include "support/orderdev_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/jbd/format.h>

#include <string.h>

static struct order_tx *tx_new(uint32_t seq, uint32_t start)
{
	struct order_tx *tx = g_new0(struct order_tx, 1);

	tx->seq = seq;
	tx->start = start;
	tx->copies = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
					   g_free);
	tx->revokes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
					    NULL);
	return tx;
}

static void tx_free(gpointer data)
{
	struct order_tx *tx = data;

	if (!tx)
		return;
	g_hash_table_unref(tx->copies);
	g_hash_table_unref(tx->revokes);
	g_free(tx);
}

static uint64_t place_of(const struct orderdev *o, uint32_t at)
{
	return g_array_index(o->layout->journal, uint64_t, at);
}

static uint32_t after(const struct orderdev *o, uint32_t at)
{
	return at + 1 == o->last ? o->first : at + 1;
}

uint8_t *order_copy_read(struct orderdev *o, const struct order_copy *c)
{
	be32 magic = be32_of(JBD_MAGIC);
	uint8_t *buf = order_read(o, place_of(o, c->at));

	if (c->escaped)
		memcpy(buf, &magic, sizeof(magic));
	return buf;
}

struct order_known *order_known(struct orderdev *o, uint64_t block)
{
	gint64 key = (gint64)block;

	return g_hash_table_lookup(o->known, &key);
}

const struct order_copy *order_pending(struct orderdev *o, uint64_t block)
{
	const struct order_copy *c = NULL;
	gint64 key = (gint64)block;

	if (o->open)
		c = g_hash_table_lookup(o->open->copies, &key);
	for (GList *i = o->committed.tail; i && !c; i = i->prev) {
		struct order_tx *tx = i->data;

		c = g_hash_table_lookup(tx->copies, &key);
	}
	return c;
}

/* ---- the cursor ---- */

static char *take_header(struct orderdev *o, const uint8_t *buf)
{
	uint32_t at = o->cursor, type, seq;
	struct order_tx *tx;
	char *wrong;

	if (!order_format_header(buf, &type, &seq))
		return g_strdup_printf("log block %u has no header, but"
				       " transaction %u should go on",
				       at, o->next_seq);
	if (seq != o->next_seq)
		return g_strdup_printf("log block %u bears sequence %u instead"
				       " of %u",
				       at, seq, o->next_seq);
	o->seen_seq = seq;
	if (!o->open)
		o->open = tx_new(seq, at);
	tx = o->open;
	tx->end = at;
	wrong = order_format_block(o, tx, type, buf);
	if (wrong)
		return wrong;
	if (type != JBD_COMMIT) {
		tx->gen = MAX(tx->gen, o->slot_gens[at]);
		return NULL;
	}
	if (!o->scanning && o->slot_gens[at] <= tx->gen)
		return g_strdup_printf("transaction %u: its commit block %u"
				       " was written before a flush had"
				       " covered the rest of it",
				       seq, at);
	tx->commit_gen = o->slot_gens[at];
	g_queue_push_tail(&o->committed, tx);
	o->open = NULL;
	o->next_seq++;
	return NULL;
}

static char *take_data(struct orderdev *o, const uint8_t *buf)
{
	const struct order_tag *tag =
		&g_array_index(o->tags, struct order_tag, o->tags_done++);
	struct order_tx *tx = o->open;
	g_autofree uint8_t *home = NULL;
	struct order_copy *c;
	char *wrong = order_format_data(o, tx, tag, buf);

	if (wrong)
		return wrong;
	tx->gen = MAX(tx->gen, o->slot_gens[o->cursor]);
	c = g_new(struct order_copy, 1);
	*c = (struct order_copy){ tag->block, tx->seq, o->cursor,
				  tag->escaped };
	g_hash_table_replace(tx->copies, &c->block, c);
	if (tag->block != o->layout->super || o->scanning)
		return NULL;
	home = order_copy_read(o, c);
	if (!order_super_recovers(o, home))
		return g_strdup_printf("transaction %u logs a superblock"
				       " without needs_recovery",
				       tx->seq);
	return NULL;
}

/* The block at the cursor; NULL, or (g_free()) what is wrong. */
static char *take(struct orderdev *o)
{
	g_autofree uint8_t *buf = order_read(o, place_of(o, o->cursor));
	char *wrong;

	if (o->tags_done < o->tags->len)
		wrong = take_data(o, buf);
	else
		wrong = take_header(o, buf);
	if (wrong)
		return wrong;
	o->slots[o->cursor] = ORDER_TAKEN;
	o->cursor = after(o, o->cursor);
	return NULL;
}

/* Zeros where a header should be: the place of a commit block yet to come. */
static bool is_reserved(struct orderdev *o)
{
	g_autofree uint8_t *buf = order_read(o, place_of(o, o->cursor));

	return o->tags_done == o->tags->len &&
	       bytes_are_zero(buf, o->layout->bs);
}

void order_log_advance(struct orderdev *o)
{
	while (!o->complaint && o->slots[o->cursor] == ORDER_WAITING) {
		g_autofree char *wrong = NULL;

		if (is_reserved(o)) {
			o->slots[o->cursor] = ORDER_FREE;
			break;
		}
		wrong = take(o);
		if (wrong)
			order_complain(o, "%s", wrong);
	}
}

void order_log_hit(struct orderdev *o, uint32_t at, bool whole)
{
	if (at < o->first || at >= o->last)
		order_complain(o,
			       "block %u of the journal was written, which is"
			       " not in its log",
			       at);
	else if (!o->recover || !o->recover_durable)
		order_complain(o,
			       "log block %u was written while needs_recovery"
			       " is not durable",
			       at);
	else if (!o->jsb_durable.start ||
		 o->jsb.start != o->jsb_durable.start ||
		 o->jsb.seq != o->jsb_durable.seq)
		order_complain(o,
			       "log block %u was written while start and"
			       " sequence of the journal are not durable",
			       at);
	else if (o->slots[at] == ORDER_TAKEN)
		order_complain(o,
			       "log block %u was written over, though a"
			       " transaction since the tail has it",
			       at);
	if (o->complaint)
		return;
	o->slots[at] = whole ? ORDER_WAITING : ORDER_FREE;
	o->slot_gens[at] = o->gen;
}

/* ---- durable, and dropped ---- */

static void know_copy(struct orderdev *o, const struct order_copy *c)
{
	struct order_known *k = order_known(o, c->block);

	if (!k) {
		k = g_new0(struct order_known, 1);
		k->block = c->block;
		g_hash_table_replace(o->known, &k->block, k);
	}
	k->copy = *c;
	k->revoked = false;
}

static void fold(struct orderdev *o, struct order_tx *tx)
{
	GHashTableIter i;
	gpointer item;

	g_hash_table_iter_init(&i, tx->copies);
	while (g_hash_table_iter_next(&i, NULL, &item))
		know_copy(o, item);
	g_hash_table_iter_init(&i, tx->revokes);
	while (g_hash_table_iter_next(&i, &item, NULL)) {
		struct order_known *k =
			order_known(o, (uint64_t) * (gint64 *)item);

		if (k)
			k->revoked = true;
	}
	o->stats.transactions++;
	o->stats.copies += g_hash_table_size(tx->copies);
	o->stats.revokes += g_hash_table_size(tx->revokes);
	g_hash_table_remove_all(tx->copies);
	g_hash_table_remove_all(tx->revokes);
	g_queue_push_tail(&o->live, tx);
}

void order_log_flushed(struct orderdev *o)
{
	struct order_tx *tx;

	while ((tx = g_queue_peek_head(&o->committed)) &&
	       tx->commit_gen < o->gen)
		fold(o, g_queue_pop_head(&o->committed));
}

static void free_slots(struct orderdev *o, const struct order_tx *tx)
{
	for (uint32_t at = tx->start;; at = after(o, at)) {
		o->slots[at] = ORDER_FREE;
		if (at == tx->end)
			return;
	}
}

static void drop_open(struct orderdev *o)
{
	g_clear_pointer(&o->open, tx_free);
	g_array_set_size(o->tags, 0);
	o->tags_done = 0;
}

void order_log_drop(struct orderdev *o, uint32_t seq, bool all, uint32_t start)
{
	GHashTableIter i;
	gpointer item;

	g_hash_table_iter_init(&i, o->known);
	while (g_hash_table_iter_next(&i, NULL, &item)) {
		struct order_known *k = item;

		if (all || order_seq_before(k->copy.seq, seq))
			g_hash_table_iter_remove(&i);
	}
	for (struct order_tx *tx; (tx = g_queue_peek_head(&o->live));) {
		if (!all && !order_seq_before(tx->seq, seq))
			break;
		free_slots(o, tx);
		tx_free(g_queue_pop_head(&o->live));
	}
	if (!all)
		return;
	drop_open(o);
	memset(o->slots, ORDER_FREE, o->last);
	o->cursor = start ? start : o->first;
	o->next_seq = seq;
}

/* ---- a look ---- */

/* What a recovery would find; anything odd ends the log. */
static void scan(struct orderdev *o)
{
	o->scanning = true;
	while (o->slots[o->cursor] == ORDER_FREE) {
		g_autofree char *wrong = take(o);

		if (wrong)
			break;
	}
	o->scanning = false;
	if (o->open) {
		uint32_t start = o->open->start;

		for (uint32_t at = start; at != o->cursor; at = after(o, at))
			o->slots[at] = ORDER_FREE;
		o->cursor = start;
		drop_open(o);
	}
	while (!g_queue_is_empty(&o->committed))
		fold(o, g_queue_pop_head(&o->committed));
}

bool order_log_open(struct orderdev *o)
{
	g_autofree uint8_t *buf = order_read(o, place_of(o, 0));
	g_autofree char *wrong = order_jsb_parse(buf, &o->jsb);

	if (wrong || !order_jsb_bounds(o, buf, &o->first, &o->last))
		return false;
	o->jsb_durable = o->jsb;
	order_format_learn(o, buf);
	o->slots = g_new0(uint8_t, o->last);
	o->slot_gens = g_new0(uint64_t, o->last);
	o->tags = g_array_new(FALSE, FALSE, sizeof(struct order_tag));
	o->tags_done = 0;
	o->known = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
					 g_free);
	o->cursor = o->jsb.start ? o->jsb.start : o->first;
	o->next_seq = o->jsb.seq;
	o->seen_seq = o->jsb.seq - 1;
	/* Without needs_recovery nobody reads the log. */
	if (o->jsb.start && o->recover)
		scan(o);
	return true;
}

void order_log_close(struct orderdev *o)
{
	if (!o->slots)
		return;
	drop_open(o);
	g_queue_clear_full(&o->committed, tx_free);
	g_queue_clear_full(&o->live, tx_free);
	g_clear_pointer(&o->known, g_hash_table_unref);
	g_clear_pointer(&o->tags, g_array_unref);
	g_clear_pointer(&o->slots, g_free);
	g_clear_pointer(&o->slot_gens, g_free);
}
