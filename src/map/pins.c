/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pinned ranges: sorted, and what touches is one. They outlive what the
 * map knows of them, so they are a list of their own and not a bit of a chunk
 * (that bit is derived, see index_count()).
 */
#include "map_priv.h"

#include <rawmap/base/bytes.h>

#include <string.h>

/* The first pin whose end is behind @at, or at it if @touching. */
static size_t find(const struct pins *pins, uint64_t at, bool touching)
{
	size_t lo = 0, hi = pins->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint64_t end = pins->v[mid].to;

		if (end > at || (touching && end == at))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Put the @n pins at @v in the place of those in [@pos, @end). */
static void splice(struct pins *pins, size_t pos, size_t end,
		   const struct range *v, size_t n)
{
	size_t total = pins->n - (end - pos) + n;

	if (total > pins->cap) {
		pins->cap = total + total / 2;
		pins->v = g_renew(struct range, pins->v, pins->cap);
	}
	if (pins->n > end)
		memmove(&pins->v[pos + n], &pins->v[end],
			(pins->n - end) * sizeof(*v));
	if (n)
		memcpy(&pins->v[pos], v, n * sizeof(*v));
	pins->n = total;
}

void pins_add(struct pins *pins, uint64_t from, uint64_t to)
{
	size_t first = find(pins, from, true), end = first;
	struct range all = { from, to };

	while (end < pins->n && pins->v[end].from <= to) {
		all.from = u64_min(all.from, pins->v[end].from);
		all.to = u64_max(all.to, pins->v[end].to);
		end++;
	}
	splice(pins, first, end, &all, 1);
}

void pins_remove(struct pins *pins, uint64_t from, uint64_t to)
{
	size_t first = find(pins, from, false), end = first;
	struct range rest[2];
	size_t n = 0;

	while (end < pins->n && pins->v[end].from < to)
		end++;
	if (first == end)
		return;
	if (pins->v[first].from < from)
		rest[n++] = (struct range){ pins->v[first].from, from };
	if (pins->v[end - 1].to > to)
		rest[n++] = (struct range){ to, pins->v[end - 1].to };
	splice(pins, first, end, rest, n);
}

bool pins_touch(const struct pins *pins, uint64_t from, uint64_t to)
{
	size_t i = find(pins, from, false);

	return i < pins->n && pins->v[i].from < to;
}
