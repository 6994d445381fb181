/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the extent cache, bottom-up:
 *
 *	chunk.c   one chunk: sorted entries of a completely known range
 *	pins.c    the sorted list of pinned ranges
 *	build.c   chunks out of loaded extents
 *	index.c   the sorted array of chunks: split, merge, evict, account
 *	check.c   the invariants
 *	near.c    the runs next to a block
 *	extmap.c  the contract: locks, then one of the above
 *
 * Positions are plain uint64_t here: there is one unit only, the image block,
 * and ends are exclusive. Everything is cut to [0, LBLK_END) at the door, so
 * no sum in here can overflow and starts and lengths fit 32 bits at rest.
 */
#ifndef RAWMAP_MAP_PRIV_H
#define RAWMAP_MAP_PRIV_H

#include <rawmap/base/lock.h>
#include <rawmap/map/extmap.h>

#include <stdatomic.h>

/*
 * CHUNK_MAX entries make a chunk split in halves; neighbours merge when they
 * have CHUNK_FULL together. The distance keeps a chunk at the limit from
 * flapping, and any two neighbours hold more than CHUNK_FULL, so headers and
 * index cost less than half a byte an extent.
 */
#define CHUNK_MAX  512u
#define CHUNK_FULL 384u

#define ENTRY_UNWRITTEN	 (UINT64_C(1) << 63)
#define ENTRY_PHYS_LIMIT (UINT64_C(1) << 62)

/* A mapped or unwritten run. Holes are what lies between. */
struct entry {
	uint32_t start, len;
	uint64_t where; /* phys | ENTRY_UNWRITTEN */
};

struct chunk {
	uint32_t start, len; /* the known range, never empty */
	uint32_t count, cap;
	_Atomic uint64_t used; /* atomic: map clock at the last use */
	uint64_t made;	       /* map clock at the last load or set */
	bool pinned;	       /* touches a pinned range */
	struct entry entries[];
};

struct range {
	uint64_t from, to;
};

/* Disjoint, not even touching, sorted. */
struct pins {
	struct range *v;
	size_t n, cap;
};

struct extmap {
	struct rwlock lock;
	uint64_t budget;	       /* set once at creation */
	_Atomic uint64_t hits, misses; /* atomic */

	/* All below is guarded by lock. */
	struct chunk **index; /* sorted, disjoint */
	size_t n, cap;
	struct pins pins;
	uint64_t clock;		 /* one tick a load or set */
	uint64_t extents;	 /* these three are sums over */
	uint64_t pinned_bytes;	 /* the chunks in the index, */
	uint64_t unpinned_bytes; /* kept by index_count() */
	uint64_t loads, evictions;
};

static inline uint64_t entry_end(const struct entry *e)
{
	return (uint64_t)e->start + e->len;
}

static inline uint64_t chunk_end(const struct chunk *c)
{
	return (uint64_t)c->start + c->len;
}

/* What the chunk costs, its place in the index included. */
static inline uint64_t chunk_bytes(const struct chunk *c)
{
	return sizeof(*c) + (uint64_t)c->cap * sizeof(struct entry) + sizeof(c);
}

/* Can @b be the continuation of @a? (The unwritten bit takes part.) */
static inline bool entry_joins(const struct entry *a, const struct entry *b)
{
	return entry_end(a) == b->start && a->where + a->len == b->where;
}

/* The run @e, MAPPED or UNWRITTEN, cut to [@from, @to), which it contains. */
struct entry entry_of(const struct extent *e, uint64_t from, uint64_t to);

/*
 * chunk.c. A function that takes a struct chunk ** may move the chunk. None
 * knows the map: the caller keeps the accounts.
 */

/* A hole over [start, end) with room for @cap entries. Freed by g_free(). */
struct chunk *chunk_new(uint64_t start, uint64_t end, uint32_t cap);

/* Behind the last entry; joined with it where that is possible. */
void chunk_append(struct chunk **c, const struct entry *e);

/* The run at @at, which is in the chunk, up to its end or the chunk's. */
void chunk_get(const struct chunk *c, uint64_t at, struct extent *ret);

/* [@from, @to), within the chunk, becomes what @e says of it. */
void chunk_replace(struct chunk **c, uint64_t from, uint64_t to,
		   const struct extent *e);

/* Cut at @at, strictly inside; the caller owns the right part. */
struct chunk *chunk_split(struct chunk **c, uint64_t at);

/* Append @b, which starts where *@a ends, and free it. */
void chunk_absorb(struct chunk **a, struct chunk *b);

/* Give back capacity that is more than slack. */
void chunk_trim(struct chunk **c);

/*
 * build.c: chunks that make @r known, never an empty list. The caller frees
 * the list, and the chunks unless he gives them to the index.
 */
GPtrArray *chunks_build(struct range r, const struct extent *extents, size_t n,
			uint64_t clock);

/* pins.c */
void pins_add(struct pins *pins, uint64_t from, uint64_t to);
void pins_remove(struct pins *pins, uint64_t from, uint64_t to);
bool pins_touch(const struct pins *pins, uint64_t from, uint64_t to);

/* index.c. All want the lock, exclusively if they change something. */

/* The first chunk that ends behind @at; n if there is none. */
size_t index_find(const struct extmap *map, uint64_t at)
	REQUIRES_SHARED(map->lock);

/* Take a chunk in and out of the accounts, around each change of it. */
void index_count(struct extmap *map, struct chunk *c) REQUIRES(map->lock);
void index_uncount(struct extmap *map, struct chunk *c) REQUIRES(map->lock);

/* Put @n chunks, sorted, at @pos. Takes over the chunks, not the array. */
void index_insert(struct extmap *map, size_t pos, struct chunk **chunks,
		  size_t n) REQUIRES(map->lock);

/* Make [@from, @to) unknown; returns where a chunk for it would go. */
size_t index_clear(struct extmap *map, uint64_t from, uint64_t to)
	REQUIRES(map->lock);

/* Cut the chunk at @pos in halves if it is too large; returns how many. */
size_t index_halve(struct extmap *map, size_t pos) REQUIRES(map->lock);

/* Merge small neighbours among [@first, @end) and those next to them. */
void index_coalesce(struct extmap *map, size_t first, size_t end)
	REQUIRES(map->lock);

/*
 * Evict until @room bytes more fit the budget. Spares what is pinned and what
 * the last load or set made, else nobody could look up what he has loaded.
 */
void index_evict(struct extmap *map, uint64_t room) REQUIRES(map->lock);

uint64_t index_bytes(const struct extmap *map) REQUIRES_SHARED(map->lock);

/* check.c: NULL or what is wrong. */
char *index_check(const struct extmap *map) REQUIRES_SHARED(map->lock);

#endif
