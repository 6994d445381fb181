/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The invariants of the extent cache, spelled out as code. Reads everything,
 * changes nothing; for tests and debug builds.
 */
#include "map_priv.h"

#include <inttypes.h>

static char *check_entries(const struct chunk *c)
{
	uint64_t at = c->start;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		const struct entry *e = &c->entries[i];

		if (!e->len || e->start < at || entry_end(e) > chunk_end(c))
			return g_strdup_printf("extent %" PRIu32 "+%" PRIu32
					       " is misplaced in chunk %" PRIu32
					       "+%" PRIu32,
					       e->start, e->len, c->start,
					       c->len);
		if (i && entry_joins(&c->entries[i - 1], e))
			return g_strdup_printf("extent %" PRIu32
					       " continues the one before",
					       e->start);
		if ((e->where & ~ENTRY_UNWRITTEN) >= ENTRY_PHYS_LIMIT)
			return g_strdup_printf("extent %" PRIu32
					       " is at an impossible block",
					       e->start);
		at = entry_end(e);
	}
	return NULL;
}

static char *check_chunk(const struct extmap *map, const struct chunk *c)
	REQUIRES_SHARED(map->lock)
{
	const char *what = NULL;

	if (!c->len || chunk_end(c) > LBLK_END)
		what = "is empty or too long";
	else if (c->count > c->cap || c->count > CHUNK_MAX)
		what = "holds too many extents";
	else if (c->cap > c->count + c->count / 4 + 2)
		what = "holds idle memory";
	else if (c->used > map->clock || c->made > map->clock)
		what = "was used in the future";
	else if (c->pinned != pins_touch(&map->pins, c->start, chunk_end(c)))
		what = "is pinned where no pin is, or not where one is";
	if (what)
		return g_strdup_printf("chunk %" PRIu32 "+%" PRIu32 " %s",
				       c->start, c->len, what);
	return check_entries(c);
}

static char *check_order(const struct chunk *a, const struct chunk *b)
{
	if (chunk_end(a) > b->start)
		return g_strdup_printf("chunks %" PRIu32 " and %" PRIu32
				       " overlap",
				       a->start, b->start);
	if (chunk_end(a) == b->start && a->pinned == b->pinned &&
	    a->count + b->count <= CHUNK_FULL)
		return g_strdup_printf("chunks %" PRIu32 " and %" PRIu32
				       " should be one",
				       a->start, b->start);
	return NULL;
}

static char *check_pins(const struct pins *pins)
{
	size_t i;

	for (i = 0; i < pins->n; i++)
		if (pins->v[i].from >= pins->v[i].to ||
		    pins->v[i].to > LBLK_END ||
		    (i && pins->v[i - 1].to >= pins->v[i].from))
			return g_strdup_printf("pin %zu is misplaced", i);
	return NULL;
}

char *index_check(const struct extmap *map)
{
	uint64_t pinned = 0, unpinned = 0, evictable = 0, extents = 0;
	char *wrong = check_pins(&map->pins);
	size_t i;

	for (i = 0; i < map->n && !wrong; i++) {
		const struct chunk *c = map->index[i];

		wrong = check_chunk(map, c);
		if (!wrong && i)
			wrong = check_order(map->index[i - 1], c);
		extents += c->count;
		if (c->pinned)
			pinned += chunk_bytes(c);
		else
			unpinned += chunk_bytes(c);
		if (!c->pinned && c->made != map->clock)
			evictable += chunk_bytes(c);
	}
	if (wrong)
		return wrong;
	if (extents != map->extents || pinned != map->pinned_bytes ||
	    unpinned != map->unpinned_bytes || map->n > map->cap)
		return g_strdup("the accounts are wrong");
	if (evictable && unpinned > map->budget)
		return g_strdup_printf("%" PRIu64 " bytes exceed the budget",
				       unpinned - map->budget);
	return NULL;
}
