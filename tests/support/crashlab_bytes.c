/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a state, from the record. */
#include <support/crashlab_priv.h>

#include <rawmap/base/bytes.h>

#include <string.h>

#define SECTOR 512

static const struct crashlab_op *op_at(const struct crashlab *lab, guint i)
{
	return &g_array_index(lab->ops, struct crashlab_op, i);
}

/* ---- epochs ---- */

bool crashlab_is_change(const struct recdev_event *e)
{
	return e->kind != RECDEV_FLUSH && e->kind != RECDEV_MARK;
}

static bool is_data_place(const struct crashlab *lab,
			  const struct recdev_event *e)
{
	uint64_t block = e->pos.v / lab->spec.block_size;

	return e->kind == RECDEV_WRITE && lab->log_index[block] < 0 &&
	       !lab->is_system[block] && block != crashlab_super_block(lab);
}

bool crashlab_is_data(const struct crashlab *lab, size_t event)
{
	if (lab->outside)
		return is_data_place(lab, lab->events->pdata[event]);
	for (guint i = 1; i < lab->ops->len; i++) {
		const struct crashlab_op *op = op_at(lab, i);

		if (event >= op->first_event && event < op->last_event)
			return op->moves_data;
	}
	return false;
}

void crashlab_epoch_load(const struct crashlab *lab, unsigned first,
			 unsigned last, struct crashlab_epoch *ret)
{
	*ret = (struct crashlab_epoch){ .first = first, .last = last };
	ret->changes = g_ptr_array_new();
	ret->is_data = g_array_new(FALSE, FALSE, sizeof(gboolean));
	for (guint i = 0; i < lab->events->len; i++) {
		struct recdev_event *e = lab->events->pdata[i];
		gboolean data;

		/* One that began here may be there, too. */
		if (!crashlab_is_change(e) || e->epoch < first ||
		    e->since > last)
			continue;
		data = crashlab_is_data(lab, i);
		g_ptr_array_add(ret->changes, e);
		g_array_append_val(ret->is_data, data);
	}
}

void crashlab_epoch_clear(struct crashlab_epoch *e)
{
	g_ptr_array_unref(e->changes);
	g_array_unref(e->is_data);
}

/* ---- bytes ---- */

static void apply_part(const struct recdev_event *e, uint64_t from, uint64_t to,
		       uint8_t *bytes)
{
	uint8_t *at = bytes + e->pos.v + from;

	if (e->kind == RECDEV_WRITE)
		memcpy(at, e->bytes + from, to - from);
	else
		memset(at, e->kind == RECDEV_ZERO ? 0 : RECDEV_DISCARDED,
		       to - from);
}

void crashlab_apply(const struct recdev_event *e, uint8_t *bytes)
{
	apply_part(e, 0, e->len, bytes);
}

/*
 * The end of what lands as a whole, from byte @pos of the host on. A journal
 * makes up for blocks that are torn between sectors.
 */
static uint64_t end_of_unit(const struct crashlab *lab, uint64_t pos)
{
	uint32_t bs = lab->spec.block_size;
	uint64_t block = pos / bs;
	bool whole = !lab->journal || block == crashlab_super_block(lab);

	return whole ? (block + 1) * bs : pos / SECTOR * SECTOR + SECTOR;
}

/* Every unit of it by the toss of a coin. */
static void apply_torn(const struct crashlab *lab, GRand *rand,
		       const struct recdev_event *e, uint8_t *bytes)
{
	uint64_t from = 0;

	while (from < e->len) {
		uint64_t to = end_of_unit(lab, e->pos.v + from) - e->pos.v;

		to = u64_min(to, e->len);
		if (g_rand_boolean(rand))
			apply_part(e, from, to, bytes);
		from = to;
	}
}

bool crashlab_can_tear(const struct crashlab *lab, const struct recdev_event *e)
{
	return end_of_unit(lab, e->pos.v) < e->pos.v + e->len;
}

static void apply_random(const struct crashlab *lab,
			 const struct crashlab_epoch *ep, uint32_t seed,
			 uint8_t *bytes)
{
	GRand *rand = g_rand_new_with_seed(seed);
	/* Few, half or most of them. */
	gint32 of_ten = 2 + 3 * g_rand_int_range(rand, 0, 3);

	for (guint i = 0; i < ep->changes->len; i++) {
		const struct recdev_event *e = ep->changes->pdata[i];

		if (crashlab_can_tear(lab, e) && !g_rand_int_range(rand, 0, 3))
			apply_torn(lab, rand, e, bytes);
		else if (g_rand_int_range(rand, 0, 10) < of_ten)
			crashlab_apply(e, bytes);
	}
	g_rand_free(rand);
}

static void apply_one_torn(const struct crashlab *lab,
			   const struct crashlab_epoch *ep, uint32_t seed,
			   uint8_t *bytes)
{
	GRand *rand = g_rand_new_with_seed(seed);
	bool others = g_rand_boolean(rand);
	guint start = (guint)g_rand_int(rand) % ep->changes->len;
	guint torn = start;

	for (guint i = 0; i < ep->changes->len; i++) {
		guint k = (start + i) % ep->changes->len;

		if (crashlab_can_tear(lab, ep->changes->pdata[k])) {
			torn = k;
			break;
		}
	}
	for (guint i = 0; i < ep->changes->len; i++) {
		if (i == torn)
			apply_torn(lab, rand, ep->changes->pdata[i], bytes);
		else if (others)
			crashlab_apply(ep->changes->pdata[i], bytes);
	}
	g_rand_free(rand);
}

void crashlab_cut(const struct crashlab *lab, struct blkdev *rec, GRand *rand,
		  uint8_t *bytes)
{
	g_autoptr(GPtrArray) events = recdev_events(rec);
	unsigned epoch =
		(unsigned)g_rand_int_range(rand, 0, (gint32)recdev_epochs(rec));

	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];
		gint32 fate = g_rand_int_range(rand, 0, 3);

		if (!crashlab_is_change(e) || e->epoch > epoch)
			continue;
		if (e->epoch < epoch || fate == 1)
			crashlab_apply(e, bytes);
		else if (fate == 2 && crashlab_can_tear(lab, e))
			apply_torn(lab, rand, e, bytes);
	}
}

void crashlab_build(struct crashlab *lab, const struct crashlab_epoch *ep,
		    const struct crashlab_state *s, enum crashlab_fault fault)
{
	memcpy(lab->state.bytes, lab->now, lab->host_size);
	if (s->how == RANDOM) {
		apply_random(lab, ep, s->param, lab->state.bytes);
	} else if (s->how == TORN) {
		apply_one_torn(lab, ep, s->param, lab->state.bytes);
	} else if (s->how == FAULTY) {
		crashlab_apply_faulty(lab, ep, fault, s->param);
	} else {
		for (guint i = 0; i < ep->changes->len; i++) {
			bool keep = s->how == SUBSET   ? s->param >> i & 1
				    : s->how == PREFIX ? i < s->param
						       : i != s->param;

			if (keep)
				crashlab_apply(ep->changes->pdata[i],
					       lab->state.bytes);
		}
	}
	crashlab_unmark(lab, fault);
}

/* All changes of the epochs from @from to before @to. */
void crashlab_advance(struct crashlab *lab, unsigned from, unsigned to)
{
	for (guint i = 0; i < lab->events->len; i++) {
		const struct recdev_event *e = lab->events->pdata[i];

		if (crashlab_is_change(e) && e->epoch >= from && e->epoch < to)
			crashlab_apply(e, lab->now);
	}
}
