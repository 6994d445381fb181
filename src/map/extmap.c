/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The extent cache's contract over its parts (map_priv.h): cut the range to
 * what ext4 can number, take the lock, change, merge, evict.
 *
 * A lookup holds the lock shared and writes two kinds of things only, both
 * relaxed atomics that order nothing: the counters and the age of a chunk.
 * Everything else holds it exclusively, for a time that is bounded by the
 * number of chunks touched; none does I/O or waits for anything else.
 */
#include <rawmap/map/extmap.h>

#include "map_priv.h"

#include <rawmap/base/bytes.h>

/* How many chunks one lookup walks; merging leaves few reasons to need more. */
#define MAX_HOPS 8

/* The part of [start, start + len) that block numbers exist for. */
static struct range range_of(lblk start, uint64_t len)
{
	struct range r = { u64_min(start.v, LBLK_END), LBLK_END };

	if (len < r.to - r.from)
		r.to = r.from + len;
	return r;
}

static void touch(const struct extmap *map, struct chunk *c)
	REQUIRES_SHARED(map->lock)
{
	/* Mostly it is there: spare the other CPUs the cache line. */
	if (atomic_load_explicit(&c->used, memory_order_relaxed) != map->clock)
		atomic_store_explicit(&c->used, map->clock,
				      memory_order_relaxed);
}

static bool continues(const struct extent *e, const struct extent *next)
{
	return e->state == next->state &&
	       (e->state == EXTENT_HOLE || e->phys.v + e->len == next->phys.v);
}

static bool lookup_locked(const struct extmap *map, uint64_t at, uint64_t max,
			  struct extent *ret) REQUIRES_SHARED(map->lock)
{
	size_t i = index_find(map, at), hops;
	struct extent run, next;

	if (i == map->n || map->index[i]->start > at)
		return false;
	chunk_get(map->index[i], at, &run);
	touch(map, map->index[i]);
	for (hops = 1; hops < MAX_HOPS && run.len < max; hops++) {
		uint64_t end = extent_end(&run);

		if (end < chunk_end(map->index[i]) || ++i == map->n ||
		    map->index[i]->start != end)
			break;
		chunk_get(map->index[i], end, &next);
		if (!continues(&run, &next))
			break;
		run.len += next.len;
		touch(map, map->index[i]);
	}
	run.len = u64_min(run.len, max);
	*ret = run;
	return true;
}

static void load_locked(struct extmap *map, struct range r,
			const struct extent *extents, size_t n)
	REQUIRES(map->lock)
{
	g_autoptr(GPtrArray) list = NULL;
	uint64_t room = 0;
	size_t pos;
	guint i;

	map->loads++;
	if (r.from == r.to)
		return;
	map->clock++;
	list = chunks_build(r, extents, n, map->clock);
	for (i = 0; i < list->len; i++)
		room += chunk_bytes(g_ptr_array_index(list, i));

	/*
	 * Make room before the new chunks merge with old neighbours, which
	 * would make these survive, too: with no budget at all only the new
	 * ones shall.
	 */
	index_clear(map, r.from, r.to);
	index_evict(map, room);
	pos = index_find(map, r.from);
	index_insert(map, pos, (struct chunk **)list->pdata, list->len);
	index_coalesce(map, pos ? pos - 1 : 0, pos + list->len + 1);
	index_evict(map, 0);
}

static void set_locked(struct extmap *map, struct range r,
		       const struct extent *e) REQUIRES(map->lock)
{
	size_t first = index_find(map, r.from), i = first;

	if (first == map->n || map->index[first]->start >= r.to)
		return;
	map->clock++;
	while (i < map->n && map->index[i]->start < r.to) {
		struct chunk **c = &map->index[i];

		index_uncount(map, *c);
		chunk_replace(c, u64_max(r.from, (*c)->start),
			      u64_min(r.to, chunk_end(*c)), e);
		(*c)->used = map->clock;
		(*c)->made = map->clock;
		index_count(map, *c);
		i += index_halve(map, i);
	}
	index_coalesce(map, first, i);
	index_evict(map, 0);
}

static void drop_locked(struct extmap *map, struct range r) REQUIRES(map->lock)
{
	size_t pos = index_clear(map, r.from, r.to);

	/*
	 * What is left on either side may be little. The hole between them
	 * may have cost a header: look at the budget.
	 */
	index_coalesce(map, pos ? pos - 1 : 0, pos + 1);
	index_evict(map, 0);
}

/* The pins changed there: derive what depends on them. */
static void repin_locked(struct extmap *map, struct range r) REQUIRES(map->lock)
{
	size_t first = index_find(map, r.from), i;

	for (i = first; i < map->n && map->index[i]->start < r.to; i++) {
		index_uncount(map, map->index[i]);
		index_count(map, map->index[i]);
	}
	index_coalesce(map, first, i);
	index_evict(map, 0);
}

struct extmap *extmap_new(uint64_t budget)
{
	struct extmap *map = g_new0(struct extmap, 1);

	rwlock_init(&map->lock);
	map->budget = budget;
	return map;
}

void extmap_free(struct extmap *map)
{
	size_t i;

	if (!map)
		return;
	for (i = 0; i < map->n; i++)
		g_free(map->index[i]);
	g_free(map->index);
	g_free(map->pins.v);
	rwlock_clear(&map->lock);
	g_free(map);
}

bool extmap_lookup(struct extmap *map, lblk at, uint64_t max,
		   struct extent *ret)
{
	bool known;

	g_assert(max);
	rwlock_rdlock(&map->lock);
	known = lookup_locked(map, at.v, max, ret);
	rwlock_rdunlock(&map->lock);
	atomic_fetch_add_explicit(known ? &map->hits : &map->misses, 1,
				  memory_order_relaxed);
	return known;
}

void extmap_load(struct extmap *map, lblk start, uint64_t len,
		 const struct extent *extents, size_t n)
{
	rwlock_wrlock(&map->lock);
	load_locked(map, range_of(start, len), extents, n);
	rwlock_wrunlock(&map->lock);
}

void extmap_set(struct extmap *map, const struct extent *e)
{
	struct range r = range_of(e->start, e->len);

	if (r.from == r.to)
		return;
	rwlock_wrlock(&map->lock);
	set_locked(map, r, e);
	rwlock_wrunlock(&map->lock);
}

void extmap_drop(struct extmap *map, lblk start, uint64_t len)
{
	struct range r = range_of(start, len);

	if (r.from == r.to)
		return;
	rwlock_wrlock(&map->lock);
	drop_locked(map, r);
	rwlock_wrunlock(&map->lock);
}

void extmap_drop_all(struct extmap *map)
{
	extmap_drop(map, lblk_at(0), LBLK_END);
}

void extmap_pin(struct extmap *map, lblk start, uint64_t len)
{
	struct range r = range_of(start, len);

	if (r.from == r.to)
		return;
	rwlock_wrlock(&map->lock);
	pins_add(&map->pins, r.from, r.to);
	repin_locked(map, r);
	rwlock_wrunlock(&map->lock);
}

void extmap_unpin(struct extmap *map, lblk start, uint64_t len)
{
	struct range r = range_of(start, len);

	if (r.from == r.to)
		return;
	rwlock_wrlock(&map->lock);
	pins_remove(&map->pins, r.from, r.to);
	repin_locked(map, r);
	rwlock_wrunlock(&map->lock);
}

void extmap_stats(struct extmap *map, struct extmap_stats *ret)
{
	rwlock_rdlock(&map->lock);
	*ret = (struct extmap_stats){
		.extents = map->extents,
		.chunks = map->n,
		.bytes = index_bytes(map),
		.pinned_bytes = map->pinned_bytes,
		.budget = map->budget,
		.hits = map->hits,
		.misses = map->misses,
		.loads = map->loads,
		.evictions = map->evictions,
	};
	rwlock_rdunlock(&map->lock);
}

char *extmap_check(struct extmap *map)
{
	char *wrong;

	rwlock_rdlock(&map->lock);
	wrong = index_check(map);
	rwlock_rdunlock(&map->lock);
	return wrong;
}
