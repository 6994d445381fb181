/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entries of one leaf with one range changed: pure arithmetic on arrays.
 *
 * What the format demands: a written extent has at most 32768 blocks, an
 * unwritten one 32767. Neighbours are merged when they continue each other,
 * have the same state, and fit one extent together.
 */
#include "ext_priv.h"

static uint64_t max_len(enum extent_state state)
{
	return state == EXTENT_UNWRITTEN ? EXT_UNWRITTEN_MAX : EXT_MAPPED_MAX;
}

/* What becomes of a leaf: there is room for all of it. */
struct list {
	struct extent *v;
	unsigned n;
};

static inline void append(struct list *list, const struct extent *e)
{
	if (list->n) {
		struct extent *last = &list->v[list->n - 1];

		if (extent_end(last) == e->start.v && last->state == e->state &&
		    last->phys.v + last->len == e->phys.v &&
		    last->len + e->len <= max_len(e->state)) {
			last->len += e->len;
			return;
		}
	}
	list->v[list->n++] = *e;
}

static void append_pieces(struct list *list, const struct extent *e)
{
	struct extent piece = *e;
	uint64_t left = e->len;

	while (left) {
		piece.len = MIN(left, max_len(e->state));
		append(list, &piece);
		left -= piece.len;
		piece.start = lblk_add(piece.start, piece.len);
		piece.phys = pblk_add(piece.phys, piece.len);
	}
}

/* The part of @o inside [start, end), which it touches. */
static struct extent part(const struct extent *o, uint64_t start, uint64_t end)
{
	uint64_t from = MAX(o->start.v, start);
	uint64_t to = MIN(extent_end(o), end);

	return (struct extent){
		.start = lblk_at(from),
		.len = to - from,
		.phys = pblk_add(o->phys, from - o->start.v),
		.state = o->state,
	};
}

/* Fills @ret; otherwise extcut_apply(). */
static bool apply(const GArray *old, const struct extent *e, struct list *ret,
		  GArray *freed)
{
	uint64_t start = e->start.v, end = extent_end(e);
	struct extent cut;
	unsigned i;

	for (i = 0; i < old->len && extnode_at(old, i)->start.v < start; i++) {
		cut = part(extnode_at(old, i), 0, start);
		append(ret, &cut);
	}
	if (e->state != EXTENT_HOLE)
		append_pieces(ret, e);

	/* The one before the range may reach into it, or over it. */
	if (i && extent_end(extnode_at(old, i - 1)) > start)
		i--;
	for (; i < old->len && extnode_at(old, i)->start.v < end; i++) {
		cut = part(extnode_at(old, i), start, end);
		if (freed)
			g_array_append_val(freed, cut);
		if (extent_end(extnode_at(old, i)) > end) {
			cut = part(extnode_at(old, i), end, UINT64_MAX);
			append(ret, &cut);
		}
	}
	if (i == old->len)
		return ret->n && extent_end(&ret->v[ret->n - 1]) <= end;
	for (; i < old->len; i++)
		append(ret, extnode_at(old, i));
	return false;
}

bool extcut_apply(const GArray *old, const struct extent *e, GArray *ret,
		  GArray *freed)
{
	struct list list = { 0 };
	uint64_t pieces = 1; /* one of the old may be cut in two */
	bool at_end;

	if (e->state != EXTENT_HOLE)
		pieces += e->len / max_len(e->state) + 1;
	g_array_set_size(ret, old->len + (guint)pieces);
	list.v = extnode_at(ret, 0);
	at_end = apply(old, e, &list, freed);
	g_array_set_size(ret, list.n);
	return at_end;
}
