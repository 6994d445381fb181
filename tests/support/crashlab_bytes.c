/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a state, from the record. */
#include <support/crashlab_priv.h>

#include <rawmap/base/bytes.h>

#include <string.h>

static const struct crashlab_op *op_at(const struct crashlab *lab, guint i)
{
	return &g_array_index(lab->ops, struct crashlab_op, i);
}

/* ---- epochs ---- */

static bool is_change(const struct recdev_event *e)
{
	return e->kind != RECDEV_FLUSH && e->kind != RECDEV_MARK;
}

/* Was the event issued by an operation that wrote data only? */
static bool event_is_data(const struct crashlab *lab, size_t event)
{
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
	ret->first = first;
	ret->last = last;
	ret->changes = g_ptr_array_new();
	ret->is_data = g_array_new(FALSE, FALSE, sizeof(gboolean));
	for (guint i = 0; i < lab->events->len; i++) {
		struct recdev_event *e = lab->events->pdata[i];
		gboolean data;

		if (!is_change(e) || e->epoch < first || e->epoch > last)
			continue;
		data = event_is_data(lab, i);
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

static void apply(const struct recdev_event *e, uint8_t *bytes)
{
	apply_part(e, 0, e->len, bytes);
}

/* Every block of it by the toss of a coin. */
static void apply_torn(const struct crashlab *lab, GRand *rand,
		       const struct recdev_event *e, uint8_t *bytes)
{
	uint32_t bs = lab->spec.block_size;
	uint64_t from = 0;

	while (from < e->len) {
		uint64_t to = (e->pos.v + from) / bs * bs + bs - e->pos.v;

		to = u64_min(to, e->len);
		if (g_rand_boolean(rand))
			apply_part(e, from, to, bytes);
		from = to;
	}
}

bool crashlab_spans_blocks(const struct crashlab *lab,
			   const struct recdev_event *e)
{
	uint32_t bs = lab->spec.block_size;

	return e->pos.v / bs != (e->pos.v + e->len - 1) / bs;
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

		if (crashlab_spans_blocks(lab, e) &&
		    !g_rand_int_range(rand, 0, 3))
			apply_torn(lab, rand, e, bytes);
		else if (g_rand_int_range(rand, 0, 10) < of_ten)
			apply(e, bytes);
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

		if (crashlab_spans_blocks(lab, ep->changes->pdata[k])) {
			torn = k;
			break;
		}
	}
	for (guint i = 0; i < ep->changes->len; i++) {
		if (i == torn)
			apply_torn(lab, rand, ep->changes->pdata[i], bytes);
		else if (others)
			apply(ep->changes->pdata[i], bytes);
	}
	g_rand_free(rand);
}

/* All of the last epoch; of those before it what the fault left. */
static void apply_faulty(const struct crashlab *lab,
			 const struct crashlab_epoch *ep,
			 enum crashlab_fault fault, uint32_t seed,
			 uint8_t *bytes)
{
	GRand *rand = g_rand_new_with_seed(seed);

	(void)lab;
	for (guint i = 0; i < ep->changes->len; i++) {
		const struct recdev_event *e = ep->changes->pdata[i];
		gboolean data = g_array_index(ep->is_data, gboolean, i);
		bool keep = e->epoch == ep->last;

		if (!keep && fault == CRASHLAB_LATE_DATA)
			keep = !data;
		else if (!keep)
			keep = g_rand_boolean(rand);
		if (keep)
			apply(e, bytes);
	}
	g_rand_free(rand);
}

void crashlab_build(struct crashlab *lab, const struct crashlab_epoch *ep,
		    const struct crashlab_state *s, enum crashlab_fault fault)
{
	memcpy(lab->state, lab->now, lab->host_size);
	if (s->how == RANDOM) {
		apply_random(lab, ep, s->param, lab->state);
	} else if (s->how == TORN) {
		apply_one_torn(lab, ep, s->param, lab->state);
	} else if (s->how == FAULTY) {
		apply_faulty(lab, ep, fault, s->param, lab->state);
	} else {
		for (guint i = 0; i < ep->changes->len; i++) {
			bool keep = s->how == SUBSET   ? s->param >> i & 1
				    : s->how == PREFIX ? i < s->param
						       : i != s->param;

			if (keep)
				apply(ep->changes->pdata[i], lab->state);
		}
	}
	if (fault == CRASHLAB_NO_MARK)
		lab->state[1024 + 58] |= 1;
}

/* All changes of the epochs from @from to before @to. */
void crashlab_advance(struct crashlab *lab, unsigned from, unsigned to)
{
	for (guint i = 0; i < lab->events->len; i++) {
		const struct recdev_event *e = lab->events->pdata[i];

		if (is_change(e) && e->epoch >= from && e->epoch < to)
			apply(e, lab->now);
	}
}
