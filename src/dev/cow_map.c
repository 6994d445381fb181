/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which clusters FILE has: the bitmap, in memory, and on its way to FILE.
 *
 *   state of a page     in memory          in FILE
 *   none                as FILE            durable
 *   DIRTY               has more bits      as it was
 *   LEAVING             as FILE will be    being written
 *   DIRTY | LEAVING     has more bits      being written
 *
 * Bits are only ever set, and only once the cluster's bytes stand in FILE. A
 * page leaves as a copy, made before the flush that makes these bytes durable:
 * a bit that is set during that flush has to wait for the next one, or it could
 * reach the disk before its cluster does.
 *
 * Readers take no lock. A page has its state before its bits can be seen: who
 * sees a cluster, writes to it and flushes must not find everything settled
 * before FILE knows of it.
 *
 * The lock is held for memory only, never across I/O.
 */
#include "cow_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <errno.h>

enum { DIRTY = 1, LEAVING = 2 };

#define WORD	   64
#define PAGE_BITS  (8 * COW_PAGE)
#define PAGE_WORDS (PAGE_BITS / WORD)
#define RUN	   256 /* pages of one read or write */

static uint64_t word_get(const struct cow_map *map, uint64_t i)
{
	return __atomic_load_n(&map->word[i], __ATOMIC_ACQUIRE);
}

static dev_off page_pos(size_t page)
{
	return dev_off_at(COW_HEADER + (uint64_t)page * COW_PAGE);
}

void cow_map_init(struct cow_map *map, const struct cow_layout *at)
{
	map->bits = at->clusters;
	map->pages = at->bitmap / COW_PAGE;
	/* Memory is taken as it is touched. */
	map->word = g_new0(uint64_t, map->pages * PAGE_WORDS);
	map->state = g_new0(uint8_t, map->pages);
	map->present = 0;
	map->unsettled = 0;
	mutex_init(&map->lock);
}

void cow_map_clear(struct cow_map *map)
{
	mutex_clear(&map->lock);
	g_free(map->state);
	g_free(map->word);
}

/* ---- loading ---- */

/* What is zeros anyway leaves the memory untouched. */
static void load_page(struct cow_map *map, size_t page, const void *bytes)
{
	const le64 *from = bytes;
	uint64_t *to = map->word + page * PAGE_WORDS;

	if (bytes_are_zero(bytes, COW_PAGE))
		return;
	for (size_t i = 0; i < PAGE_WORDS; i++) {
		to[i] = le64_get(from[i]);
		map->present += (unsigned)__builtin_popcountll(to[i]);
	}
}

static bool ends_clean(const struct cow_map *map)
{
	uint64_t words = map->pages * PAGE_WORDS, i = map->bits / WORD;

	if (map->bits % WORD && map->word[i++] >> map->bits % WORD)
		return false;
	for (; i < words; i++)
		if (map->word[i])
			return false;
	return true;
}

int cow_map_load(struct cow_map *map, struct blkdev *store)
{
	uint8_t *buf = bytes_aligned_new((size_t)RUN * COW_PAGE, COW_PAGE);
	int err = 0;

	for (size_t page = 0, n; page < map->pages && !err; page += n) {
		n = MIN(RUN, map->pages - page);
		err = blkdev_pread(store, buf, n * COW_PAGE, page_pos(page));
		for (size_t i = 0; i < n && !err; i++)
			load_page(map, page + i, buf + i * COW_PAGE);
	}
	bytes_aligned_free(buf);
	if (!err && !ends_clean(map))
		err = -EUCLEAN;
	return err;
}

/* ---- asking ---- */

/*
 * Each word is read once: another look at the first could say something else
 * than the answer already does.
 */
uint64_t cow_map_run(const struct cow_map *map, uint64_t first, uint64_t max,
		     bool *ret_present)
{
	uint64_t word = word_get(map, first / WORD);
	unsigned shift = first % WORD;
	bool present = word >> shift & 1;
	uint64_t n = 0;

	*ret_present = present;
	for (;;) {
		uint64_t other = (present ? ~word : word) >> shift;

		if (other)
			return u64_min(n + (unsigned)__builtin_ctzll(other),
				       max);
		n += WORD - shift;
		if (n >= max)
			return max;
		word = word_get(map, (first + n) / WORD);
		shift = 0;
	}
}

uint64_t cow_map_count(struct cow_map *map)
{
	uint64_t n;

	mutex_lock(&map->lock);
	n = map->present;
	mutex_unlock(&map->lock);
	return n;
}

bool cow_map_settled(const struct cow_map *map)
{
	return !g_atomic_int_get(&map->unsettled);
}

/* ---- setting ---- */

static void set_state(struct cow_map *map, size_t page, uint8_t state)
	REQUIRES(map->lock)
{
	if (state && !map->state[page])
		g_atomic_int_inc(&map->unsettled);
	else if (!state && map->state[page])
		g_atomic_int_add(&map->unsettled, -1);
	map->state[page] = state;
}

static void set_word(struct cow_map *map, uint64_t i, uint64_t mask)
	REQUIRES(map->lock)
{
	uint64_t old = word_get(map, i), more = mask & ~old;
	size_t page = i / PAGE_WORDS;

	if (!more)
		return;
	map->present += (unsigned)__builtin_popcountll(more);
	set_state(map, page, (uint8_t)(map->state[page] | DIRTY));
	__atomic_store_n(&map->word[i], old | mask, __ATOMIC_RELEASE);
}

void cow_map_set(struct cow_map *map, uint64_t first, uint64_t n)
{
	mutex_lock(&map->lock);
	while (n) {
		unsigned shift = first % WORD;
		uint64_t len = u64_min(n, WORD - shift);
		uint64_t mask = UINT64_MAX >> (WORD - len) << shift;

		set_word(map, first / WORD, mask);
		first += len;
		n -= len;
	}
	mutex_unlock(&map->lock);
}

/* ---- on the way to FILE ---- */

static void copy_page(const struct cow_map *map, size_t page, void *bytes)
{
	le64 *to = bytes;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		to[i] = le64_of(word_get(map, page * PAGE_WORDS + i));
}

static size_t count_dirty(const struct cow_map *map) REQUIRES(map->lock)
{
	size_t n = 0;

	for (size_t i = 0; i < map->pages; i++)
		n += map->state[i] & DIRTY;
	return n;
}

void cow_map_leave(struct cow_map *map, struct cow_leaving *ret)
{
	size_t n;

	*ret = (struct cow_leaving){ 0 };
	mutex_lock(&map->lock);
	n = count_dirty(map);
	if (n) {
		ret->page = g_new(uint32_t, n);
		ret->bytes = bytes_aligned_new(n * COW_PAGE, COW_PAGE);
	}
	for (size_t i = 0; ret->n < n; i++) {
		if (!(map->state[i] & DIRTY))
			continue;
		set_state(map, i, LEAVING);
		copy_page(map, i, ret->bytes + ret->n * COW_PAGE);
		ret->page[ret->n++] = (uint32_t)i;
	}
	mutex_unlock(&map->lock);
}

int cow_map_write(const struct cow_leaving *leaving, struct blkdev *store)
{
	int err = 0;

	for (size_t i = 0, n; i < leaving->n && !err; i += n) {
		for (n = 1; n < RUN && i + n < leaving->n; n++)
			if (leaving->page[i + n] != leaving->page[i] + n)
				break;
		err = blkdev_pwrite(store, leaving->bytes + i * COW_PAGE,
				    n * COW_PAGE, page_pos(leaving->page[i]));
	}
	return err;
}

void cow_map_arrive(struct cow_map *map, struct cow_leaving *leaving,
		    bool durable)
{
	mutex_lock(&map->lock);
	for (size_t i = 0; i < leaving->n; i++) {
		size_t page = leaving->page[i];
		unsigned state = map->state[page] & ~(unsigned)LEAVING;

		if (!durable)
			state |= DIRTY;
		set_state(map, page, (uint8_t)state);
	}
	mutex_unlock(&map->lock);
	g_free(leaving->page);
	bytes_aligned_free(leaving->bytes);
	*leaving = (struct cow_leaving){ 0 };
}
