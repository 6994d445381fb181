/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One chunk: a completely known range of image blocks and its mapped and
 * unwritten runs, sorted in an array that is part of the same allocation.
 *
 * Entries are disjoint, inside the range, never empty; two that could be one
 * are one. Capacity grows by an eighth and is given back when a quarter is
 * idle: that, not the header, is what the memory bound of the map rests on.
 */
#include "map_priv.h"

#include <rawmap/base/bytes.h>

#include <string.h>

_Static_assert(sizeof(struct entry) == 16, "an entry is packed");

/* The first entry that ends behind @at. */
static uint32_t first_ending_after(const struct chunk *c, uint64_t at)
{
	uint32_t lo = 0, hi = c->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (entry_end(&c->entries[mid]) > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static struct entry entry_cut(const struct entry *e, uint64_t from, uint64_t to)
{
	return (struct entry){
		.start = (uint32_t)from,
		.len = (uint32_t)(to - from),
		.where = e->where + (from - e->start),
	};
}

/* Add @e to @n entries at @v, as a part of the last one if that fits. */
static uint32_t push(struct entry *v, uint32_t n, const struct entry *e)
{
	if (n && entry_joins(&v[n - 1], e)) {
		v[n - 1].len += e->len;
		return n;
	}
	v[n] = *e;
	return n + 1;
}

static void set_capacity(struct chunk **c, uint32_t cap)
{
	*c = g_realloc(*c, sizeof(**c) + cap * sizeof(struct entry));
	(*c)->cap = cap;
}

static void reserve(struct chunk **c, uint32_t need)
{
	if (need > (*c)->cap)
		set_capacity(c, need + need / 8 + 1);
}

/* Put the @n entries at @v in the place of @old entries at @pos. */
static void splice(struct chunk **pc, uint32_t pos, uint32_t old,
		   const struct entry *v, uint32_t n)
{
	struct chunk *c;

	reserve(pc, (*pc)->count - old + n);
	c = *pc;
	memmove(&c->entries[pos + n], &c->entries[pos + old],
		(c->count - pos - old) * sizeof(*v));
	memcpy(&c->entries[pos], v, n * sizeof(*v));
	c->count = c->count - old + n;
}

struct entry entry_of(const struct extent *e, uint64_t from, uint64_t to)
{
	uint64_t phys = e->phys.v + (from - e->start.v);

	g_assert(phys < ENTRY_PHYS_LIMIT);
	return (struct entry){
		.start = (uint32_t)from,
		.len = (uint32_t)(to - from),
		.where = phys |
			 (e->state == EXTENT_UNWRITTEN ? ENTRY_UNWRITTEN : 0),
	};
}

struct chunk *chunk_new(uint64_t start, uint64_t end, uint32_t cap)
{
	struct chunk *c;

	c = g_malloc(sizeof(*c) + cap * sizeof(struct entry));
	*c = (struct chunk){
		.start = (uint32_t)start,
		.len = (uint32_t)(end - start),
		.cap = cap,
	};
	return c;
}

void chunk_append(struct chunk **c, const struct entry *e)
{
	/* One too many when it joins, which chunk_trim() evens out. */
	reserve(c, (*c)->count + 1);
	(*c)->count = push((*c)->entries, (*c)->count, e);
}

void chunk_get(const struct chunk *c, uint64_t at, struct extent *ret)
{
	uint32_t i = first_ending_after(c, at);
	const struct entry *e = &c->entries[i];
	uint64_t end;

	if (i == c->count || e->start > at) {
		end = i == c->count ? chunk_end(c) : e->start;
		*ret = (struct extent){
			.start = lblk_at(at),
			.len = end - at,
			.state = EXTENT_HOLE,
		};
		return;
	}
	*ret = (struct extent){
		.start = lblk_at(at),
		.len = entry_end(e) - at,
		.phys = pblk_at((e->where & ~ENTRY_UNWRITTEN) +
				(at - e->start)),
		.state = e->where & ENTRY_UNWRITTEN ? EXTENT_UNWRITTEN
						    : EXTENT_MAPPED,
	};
}

void chunk_replace(struct chunk **pc, uint64_t from, uint64_t to,
		   const struct extent *e)
{
	const struct entry *old = (*pc)->entries;
	uint32_t count = (*pc)->count;
	uint32_t first = first_ending_after(*pc, from);
	uint32_t end = first_ending_after(*pc, to);
	uint32_t lo, hi, n = 0;
	struct entry v[5], part;

	if (end < count && old[end].start < to)
		end++;

	/* The new run may join the neighbours: they are replaced with it. */
	lo = first ? first - 1 : 0;
	hi = end < count ? end + 1 : count;
	if (lo < first)
		n = push(v, n, &old[lo]);
	if (first < end && old[first].start < from) {
		part = entry_cut(&old[first], old[first].start, from);
		n = push(v, n, &part);
	}
	if (e->state != EXTENT_HOLE) {
		part = entry_of(e, from, to);
		n = push(v, n, &part);
	}
	if (first < end && entry_end(&old[end - 1]) > to) {
		part = entry_cut(&old[end - 1], to, entry_end(&old[end - 1]));
		n = push(v, n, &part);
	}
	if (end < hi)
		n = push(v, n, &old[end]);
	splice(pc, lo, hi - lo, v, n);
	chunk_trim(pc);
}

struct chunk *chunk_split(struct chunk **pc, uint64_t at)
{
	struct chunk *left = *pc, *right;
	uint32_t i = first_ending_after(left, at);
	uint32_t n = left->count - i;

	right = chunk_new(at, chunk_end(left), n);
	memcpy(right->entries, &left->entries[i], n * sizeof(struct entry));
	right->count = n;
	right->used = left->used;
	right->made = left->made;
	left->len = (uint32_t)(at - left->start);
	left->count = i;
	if (n && right->entries[0].start < at) {
		struct entry *e = &right->entries[0];

		left->entries[i] = entry_cut(e, e->start, at);
		left->count++;
		*e = entry_cut(e, at, entry_end(e));
	}
	chunk_trim(pc);
	return right;
}

void chunk_absorb(struct chunk **pa, struct chunk *b)
{
	struct chunk *a;
	uint32_t i;

	reserve(pa, (*pa)->count + b->count);
	a = *pa;
	a->len += b->len;
	a->used = u64_max(a->used, b->used);
	a->made = u64_max(a->made, b->made);
	for (i = 0; i < b->count; i++)
		a->count = push(a->entries, a->count, &b->entries[i]);
	g_free(b);
}

void chunk_trim(struct chunk **c)
{
	uint32_t count = (*c)->count;

	if ((*c)->cap > count + count / 4 + 2)
		set_capacity(c, count + count / 8);
}
