/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bit arrays as they stand in a block bitmap, and the search for free runs.
 *
 * Owns nothing and does no I/O. Bit n is bit n % 8 of byte n / 8, so a 64-bit
 * little-endian word holds 64 of them in order; everything goes word by word.
 */
#include "alloc_priv.h"

#include <endian.h>

#define WORD_BITS 64u

/* One word's part of a range of bits; takes it off the range. */
static uint64_t next_mask(uint32_t *start, uint32_t *len, uint32_t *ret_word)
{
	uint32_t low = *start % WORD_BITS;
	uint32_t n = MIN(WORD_BITS - low, *len);
	uint64_t mask = n == WORD_BITS ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;

	*ret_word = *start / WORD_BITS;
	*start += n;
	*len -= n;
	return mask << low;
}

void bits_fill(uint64_t *map, uint32_t start, uint32_t len, bool on)
{
	while (len) {
		uint32_t word;
		uint64_t mask = htole64(next_mask(&start, &len, &word));

		if (on)
			map[word] |= mask;
		else
			map[word] &= ~mask;
	}
}

uint32_t bits_count(const uint64_t *map, uint32_t start, uint32_t len)
{
	uint32_t count = 0;

	while (len) {
		uint32_t word;
		uint64_t mask = next_mask(&start, &len, &word);
		int ones = __builtin_popcountll(le64toh(map[word]) & mask);

		count += (uint32_t)ones;
	}
	return count;
}

static uint64_t word_taken(const struct group *g, uint32_t word)
{
	uint64_t taken = g->used[word];

	if (g->busy)
		taken |= g->busy[word];
	return le64toh(taken);
}

uint32_t group_count_free(const struct group *g, uint32_t start, uint32_t len)
{
	uint32_t count = 0;

	while (len) {
		uint32_t word;
		uint64_t mask = next_mask(&start, &len, &word);
		int ones = __builtin_popcountll(~word_taken(g, word) & mask);

		count += (uint32_t)ones;
	}
	return count;
}

/* The first block in [from, end) that is free, or is taken; @end if none. */
static uint32_t next_block(const struct group *g, uint32_t from, uint32_t end,
			   bool free)
{
	while (from < end) {
		uint32_t word = from / WORD_BITS;
		uint64_t hits = word_taken(g, word) ^ (free ? ~UINT64_C(0) : 0);

		hits &= ~UINT64_C(0) << (from % WORD_BITS);
		if (hits) {
			int bit = __builtin_ctzll(hits);

			from = word * WORD_BITS + (uint32_t)bit;
			return MIN(from, end);
		}
		from = (word + 1) * WORD_BITS;
	}
	return end;
}

struct bits group_search(const struct group *g, uint32_t from, uint32_t end,
			 uint32_t want)
{
	struct bits best = { 0, 0 };

	while (best.len < want) {
		uint32_t start = next_block(g, from, end, true);

		if (start == end)
			break;
		from = next_block(g, start, end, false);
		if (from - start > best.len)
			best = (struct bits){ start, from - start };
	}
	return best;
}
