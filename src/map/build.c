/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what somebody read off the disk to chunks: cut to the range, joined
 * where possible, portioned so that a change does not split them at once.
 *
 * The extents should be sorted and disjoint. If they are not, the first who
 * claims a block has it, and the chunks are as sound as ever.
 */
#include "map_priv.h"

#include <rawmap/base/bytes.h>

/* Room for what is still to come, not more than the chunk shall hold. */
static struct chunk *start(uint64_t from, uint64_t to, size_t left)
{
	return chunk_new(from, to, (uint32_t)u64_min(left, CHUNK_FULL));
}

static void seal(GPtrArray *list, struct chunk *c, uint64_t end, uint64_t clock)
{
	c->len = (uint32_t)(end - c->start);
	c->used = clock;
	c->made = clock;
	chunk_trim(&c);
	g_ptr_array_add(list, c);
}

GPtrArray *chunks_build(struct range r, const struct extent *extents, size_t n,
			uint64_t clock)
{
	GPtrArray *list = g_ptr_array_new();
	uint64_t at = r.from;
	struct chunk *c;
	size_t i;

	c = start(r.from, r.to, n);
	for (i = 0; i < n && extents[i].start.v < r.to; i++) {
		const struct extent *e = &extents[i];
		uint64_t from = u64_max(e->start.v, at);
		uint64_t to = r.to;
		struct entry entry;

		if (e->len < r.to - e->start.v)
			to = extent_end(e);
		if (from >= to || e->state == EXTENT_HOLE)
			continue;
		entry = entry_of(e, from, to);
		if (c->count >= CHUNK_FULL &&
		    !entry_joins(&c->entries[c->count - 1], &entry)) {
			seal(list, c, from, clock);
			c = start(from, r.to, n - i);
		}
		chunk_append(&c, &entry);
		at = to;
	}
	seal(list, c, r.to, clock);
	return list;
}
