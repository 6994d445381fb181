/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The runs next to a block: for whoever looks for a place for new ones.
 *
 * An answer stands only on what is known without a gap from @at to the run, or
 * to the end of all blocks. Chunks without an entry are few (they merge), but
 * for those that pins keep apart: a search that crosses too many gives up.
 */
#include <rawmap/map/extmap.h>

#include "map_priv.h"

#define MAX_HOPS 8

/* The number of entries that start before @at. */
static uint32_t count_before(const struct chunk *c, uint64_t at)
{
	uint32_t lo = 0, hi = c->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->entries[mid].start < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * Both answer true when they know, with what chunk_get() says of the run's
 * first block in *ret, or nothing when there is none.
 */
static bool find_before(const struct extmap *map, size_t i, uint64_t at,
			struct extent *ret) REQUIRES_SHARED(map->lock)
{
	for (unsigned hops = 0; hops < MAX_HOPS; hops++, i--) {
		const struct chunk *c = map->index[i];
		uint32_t n = count_before(c, at);

		if (n) {
			chunk_get(c, c->entries[n - 1].start, ret);
			return true;
		}
		if (!c->start)
			return true;
		if (!i || chunk_end(map->index[i - 1]) != c->start)
			return false;
	}
	return false;
}

static bool find_behind(const struct extmap *map, size_t i, uint64_t at,
			struct extent *ret) REQUIRES_SHARED(map->lock)
{
	for (unsigned hops = 0; hops < MAX_HOPS; hops++, i++) {
		const struct chunk *c = map->index[i];
		uint32_t n = count_before(c, at);

		if (n < c->count) {
			chunk_get(c, c->entries[n].start, ret);
			return true;
		}
		if (chunk_end(c) == LBLK_END)
			return true;
		if (i + 1 == map->n || map->index[i + 1]->start != chunk_end(c))
			return false;
	}
	return false;
}

bool extmap_near(struct extmap *map, lblk at, struct extent *ret)
{
	struct extent e = { .start = at, .state = EXTENT_HOLE };
	bool known = false;
	size_t i;

	rwlock_rdlock(&map->lock);
	i = index_find(map, at.v);
	if (i < map->n && map->index[i]->start <= at.v)
		known = find_before(map, i, at.v, &e) &&
			(e.len || find_behind(map, i, at.v, &e));
	rwlock_rdunlock(&map->lock);
	if (known)
		*ret = e;
	return known;
}
