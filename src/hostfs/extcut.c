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

static void append(GArray *list, const struct extent *e)
{
	struct extent *last;

	if (list->len) {
		last = extnode_at(list, list->len - 1);
		if (last->state == e->state && extent_end(last) == e->start.v &&
		    last->phys.v + last->len == e->phys.v &&
		    last->len + e->len <= max_len(e->state)) {
			last->len += e->len;
			return;
		}
	}
	g_array_append_vals(list, e, 1);
}

static void append_pieces(GArray *list, const struct extent *e)
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

bool extcut_apply(const GArray *old, const struct extent *e, GArray *ret,
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
		return ret->len &&
		       extent_end(extnode_at(ret, ret->len - 1)) <= end;
	for (; i < old->len; i++)
		append(ret, extnode_at(old, i));
	return false;
}
