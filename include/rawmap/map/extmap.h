/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The extent cache of one image: pure data, no I/O.
 *
 * It knows, for ranges that were loaded, every extent *and every hole*; what
 * was not loaded (or was evicted) is unknown. Kept as chunks: a chunk is a
 * range of image blocks that is completely known, with its extents sorted in
 * an array; what no extent of the chunk covers is a hole. Neighbouring chunks
 * merge while they are small, so the cost is at most 24 bytes an extent, index
 * and slack included, from a thousand extents on.
 *
 * Invariants (extmap_check()): chunks sorted, disjoint; extents of a chunk
 * sorted, disjoint, inside it, never empty, neighbours that could be one are
 * one (within a chunk); memory accounted exactly; unpinned memory within the
 * budget, but for the chunks that the last load or set made.
 *
 * Locks: one rwlock inside, never held across anything that blocks. Lookups
 * take it shared and allocate nothing. The owner serialises the changes with
 * the on-disk map by a lock of its own (the host's).
 *
 * Blocks are those below LBLK_END: ranges are cut to that, what is beyond is
 * never known. Empty ranges are fine and change nothing.
 */
#ifndef RAWMAP_MAP_EXTMAP_H
#define RAWMAP_MAP_EXTMAP_H

#include <rawmap/map/extent.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extmap;

struct extmap_stats {
	uint64_t extents, chunks;
	uint64_t bytes;	       /* all memory of the map */
	uint64_t pinned_bytes; /* of it, not evictable */
	uint64_t budget;       /* of extmap_new() */
	uint64_t hits, misses, loads, evictions;
};

/*
 * @budget: bytes that unpinned content may take; eviction (least recently used
 * chunks, approximately) starts above it. 0 keeps only what was loaded last.
 */
struct extmap *extmap_new(uint64_t budget);
void extmap_free(struct extmap *map); /* NULL is fine */

/*
 * What is at block @at? On true *ret starts exactly at @at and runs as far as
 * this state (and contiguous phys) goes, at most @max (> 0) blocks, possibly
 * less (up to a chunk's end). On false the answer is unknown: load and ask
 * again.
 */
bool extmap_lookup(struct extmap *map, lblk at, uint64_t max,
		   struct extent *ret);

/*
 * The run next to @at, for who looks for a place near a file's other blocks:
 * the last one that starts before it; where the file has none there, the first
 * one behind; where it has none at all, a HOLE of no blocks. *ret starts where
 * the run does, or a part of it. On false the map does not know enough. Does not
 * count as a lookup.
 */
bool extmap_near(struct extmap *map, lblk at, struct extent *ret);

/*
 * Make [start, start + len) known: the @n extents (sorted, disjoint, MAPPED or
 * UNWRITTEN, may reach beyond the range: they are cut) and holes between them.
 * Where extents overlap all the same, the first has the block. phys is less
 * than 2^62. Replaces what was known there. Counts as one load. All of it is
 * known until the next load, set or drop, whatever the budget.
 */
void extmap_load(struct extmap *map, lblk start, uint64_t len,
		 const struct extent *extents, size_t n);

/*
 * The map changed: [e->start, +len) now is *e (HOLE for a punch). In ranges
 * that are unknown nothing is recorded.
 */
void extmap_set(struct extmap *map, const struct extent *e);

/*
 * Forget a range / everything, pinned or not; the pins themselves stay.
 * Changes nothing on disk.
 */
void extmap_drop(struct extmap *map, lblk start, uint64_t len);
void extmap_drop_all(struct extmap *map);

/*
 * Pinned ranges are not evicted, nor is what shares a chunk with one. A pin
 * covers what is known now and what is loaded later inside the range; unpin
 * makes it evictable again. Pins do not nest: one unpin undoes any number.
 */
void extmap_pin(struct extmap *map, lblk start, uint64_t len);
void extmap_unpin(struct extmap *map, lblk start, uint64_t len);

void extmap_stats(struct extmap *map, struct extmap_stats *ret);

/* NULL, or what is wrong (the caller frees): the invariants above. */
char *extmap_check(struct extmap *map);

#endif
