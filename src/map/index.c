/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sorted array of chunks: which exist, where they are cut and merged,
 * which go when memory is short, and the accounts.
 *
 * A chunk in the index is in the accounts with its present size and state of
 * being pinned. Who changes one takes it out of the accounts before and in
 * again behind, which also derives the pinned bit anew from its range.
 *
 * Age is a tick of the map's clock that advances with loads and sets, not
 * with lookups: a lookup stores the present tick, mostly the one that is there
 * already, and readers do not fight for a counter. Eviction goes below the
 * budget by a sixteenth, so that the search for the oldest is paid rarely.
 */
#include "map_priv.h"

#include <rawmap/base/bytes.h>

#include <stdlib.h>
#include <string.h>

struct victim {
	uint64_t used;
	size_t pos;
};

size_t index_find(const struct extmap *map, uint64_t at)
{
	size_t lo = 0, hi = map->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (chunk_end(map->index[mid]) > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void index_count(struct extmap *map, struct chunk *c)
{
	c->pinned = pins_touch(&map->pins, c->start, chunk_end(c));
	if (c->pinned)
		map->pinned_bytes += chunk_bytes(c);
	else
		map->unpinned_bytes += chunk_bytes(c);
	map->extents += c->count;
}

void index_uncount(struct extmap *map, struct chunk *c)
{
	if (c->pinned)
		map->pinned_bytes -= chunk_bytes(c);
	else
		map->unpinned_bytes -= chunk_bytes(c);
	map->extents -= c->count;
}

static void set_capacity(struct extmap *map, size_t cap) REQUIRES(map->lock)
{
	map->index = g_renew(struct chunk *, map->index, cap);
	map->cap = cap;
}

/* Close the gap [@pos, @end), whose chunks are gone. */
static void close_gap(struct extmap *map, size_t pos, size_t end)
	REQUIRES(map->lock)
{
	if (pos == end)
		return;
	memmove(&map->index[pos], &map->index[end],
		(map->n - end) * sizeof(*map->index));
	map->n -= end - pos;
	if (map->cap / 4 > map->n)
		set_capacity(map, map->n + map->n / 2);
}

void index_insert(struct extmap *map, size_t pos, struct chunk **chunks,
		  size_t n)
{
	size_t i;

	if (map->n + n > map->cap)
		set_capacity(map, map->n + n + map->n / 4);
	memmove(&map->index[pos + n], &map->index[pos],
		(map->n - pos) * sizeof(*chunks));
	memcpy(&map->index[pos], chunks, n * sizeof(*chunks));
	map->n += n;
	for (i = pos; i < pos + n; i++)
		index_count(map, map->index[i]);
}

/* Cut the chunk at @pos in two at block @at, strictly inside it. */
static void split(struct extmap *map, size_t pos, uint64_t at)
	REQUIRES(map->lock)
{
	struct chunk *right;

	index_uncount(map, map->index[pos]);
	right = chunk_split(&map->index[pos], at);
	index_count(map, map->index[pos]);
	index_insert(map, pos + 1, &right, 1);
}

size_t index_clear(struct extmap *map, uint64_t from, uint64_t to)
{
	size_t first = index_find(map, from), end;

	if (first < map->n && map->index[first]->start < from) {
		split(map, first, from);
		first++;
	}
	for (end = first; end < map->n; end++) {
		if (map->index[end]->start >= to)
			break;
		if (chunk_end(map->index[end]) > to)
			split(map, end, to);
		index_uncount(map, map->index[end]);
		g_free(map->index[end]);
	}
	close_gap(map, first, end);
	return first;
}

size_t index_halve(struct extmap *map, size_t pos)
{
	const struct chunk *c = map->index[pos];

	if (c->count <= CHUNK_MAX)
		return 1;
	split(map, pos, c->entries[c->count / 2].start);
	return 2;
}

static bool mergeable(const struct chunk *a, const struct chunk *b)
{
	return chunk_end(a) == b->start && a->pinned == b->pinned &&
	       a->count + b->count <= CHUNK_FULL;
}

void index_coalesce(struct extmap *map, size_t first, size_t end)
{
	size_t to = first ? first - 1 : 0, from;

	end = end < map->n ? end + 1 : map->n;
	for (from = to + 1; from < end; from++) {
		struct chunk *next = map->index[from];

		if (!mergeable(map->index[to], next)) {
			map->index[++to] = next;
			continue;
		}
		index_uncount(map, map->index[to]);
		index_uncount(map, next);
		chunk_absorb(&map->index[to], next);
		chunk_trim(&map->index[to]);
		index_count(map, map->index[to]);
	}
	if (to + 1 < end)
		close_gap(map, to + 1, end);
}

static int compare_victims(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;

	return (x->used > y->used) - (x->used < y->used);
}

/* Who may go, oldest first; the caller frees. */
static struct victim *list_victims(const struct extmap *map, size_t *ret_n)
	REQUIRES_SHARED(map->lock)
{
	struct victim *v = g_new(struct victim, map->n);
	size_t i, n = 0;

	for (i = 0; i < map->n; i++) {
		const struct chunk *c = map->index[i];

		if (!c->pinned && c->made != map->clock)
			v[n++] = (struct victim){ c->used, i };
	}
	if (n)
		qsort(v, n, sizeof(*v), compare_victims);
	*ret_n = n;
	return v;
}

void index_evict(struct extmap *map, uint64_t room)
{
	g_autofree struct victim *v = NULL;
	uint64_t target;
	size_t i, n, kept;

	if (map->unpinned_bytes <= map->budget &&
	    room <= map->budget - map->unpinned_bytes)
		return;

	target = map->budget - map->budget / 16;
	target -= u64_min(target, room);
	v = list_victims(map, &n);
	for (i = 0; i < n && map->unpinned_bytes > target; i++) {
		struct chunk *c = g_steal_pointer(&map->index[v[i].pos]);

		index_uncount(map, c);
		g_free(c);
		map->evictions++;
	}
	for (i = 0, kept = 0; i < map->n; i++)
		if (map->index[i])
			map->index[kept++] = map->index[i];
	close_gap(map, kept, map->n);
}

uint64_t index_bytes(const struct extmap *map)
{
	/* A chunk's own place in the index is part of chunk_bytes(). */
	return sizeof(*map) + map->pinned_bytes + map->unpinned_bytes +
	       (map->cap - map->n) * sizeof(*map->index) +
	       map->pins.cap * sizeof(*map->pins.v);
}
