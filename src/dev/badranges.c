/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges of bad bytes: a sorted array.
 *
 *   count   at most max; at most room, what the array has space for
 *   at      ascending, each behind the end of the one before with a gap
 *   total   the sum of all lengths
 *
 * A map of a damaged disk comes sorted, so it is appended; what is found later
 * costs the disk so much time that moving some megabytes is nothing. In return
 * a range takes 16 bytes, and finding one touches little memory.
 *
 * At the limit gaps are closed, an eighth of them at a time: the narrowest, as
 * told by the number of their bits, so that two passes over the array do.
 */
#include <rawmap/dev/badranges.h>

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>

#include <string.h>

#define ROOM_FIRST 16
/* One of so many ranges goes at the limit. */
#define COARSER 8

struct badranges {
	struct badrange *at;
	size_t count;
	size_t room;
	size_t max; /* set once */
	uint64_t total;
	bool coarse;
};

static uint64_t end_of(const struct badrange *r)
{
	return r->start.v + r->len;
}

static uint64_t checked_end(dev_off start, uint64_t len)
{
	uint64_t end = 0;
	bool fits = u64_add(start.v, len, &end);

	g_assert(fits);
	return end;
}

/* The first that ends at @pos or behind it; the count when there is none. */
static size_t first_ending(const struct badranges *set, uint64_t pos)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (end_of(&set->at[mid]) < pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Put @by_n ranges in the place of the @n at @first. */
static void replace(struct badranges *set, size_t first, size_t n,
		    const struct badrange *by, size_t by_n)
{
	size_t count = set->count - n + by_n;
	size_t behind = set->count - first - n;

	g_assert(count <= set->max);
	while (set->room < count) {
		set->room *= 2;
		set->at = g_renew(struct badrange, set->at, set->room);
	}
	for (size_t i = 0; i < n; i++)
		set->total -= set->at[first + i].len;
	memmove(set->at + first + by_n, set->at + first + n,
		behind * sizeof(*set->at));
	for (size_t i = 0; i < by_n; i++) {
		set->at[first + i] = by[i];
		set->total += by[i].len;
	}
	set->count = count;
}

static uint64_t gap_before(const struct badranges *set, size_t i)
{
	return set->at[i].start.v - end_of(&set->at[i - 1]);
}

static unsigned bits_of(uint64_t gap)
{
	return 64 - (unsigned)__builtin_clzll(gap);
}

/*
 * Which gaps to close: those of less than *ret_bits bits, and *ret_more of
 * those that have as many.
 */
static void choose_gaps(const struct badranges *set, unsigned *ret_bits,
			size_t *ret_more)
{
	size_t want = MAX(set->count / COARSER, 1);
	size_t number[65] = { 0 };
	unsigned bits = 1;

	for (size_t i = 1; i < set->count; i++)
		number[bits_of(gap_before(set, i))]++;
	while (number[bits] < want)
		want -= number[bits++];
	*ret_bits = bits;
	*ret_more = want;
}

static void say_coarse(struct badranges *set)
{
	if (!set->coarse)
		log_warning("more than %zu ranges of bad bytes; those that lie "
			    "closest count as one from now on, with the good "
			    "bytes between them",
			    set->max);
	set->coarse = true;
}

/* At the limit: there is a gap, and afterwards there is room. */
static void make_coarser(struct badranges *set)
{
	unsigned bits;
	size_t more, last = 0;

	choose_gaps(set, &bits, &more);
	for (size_t i = 1; i < set->count; i++) {
		struct badrange *r = &set->at[last];
		uint64_t gap = set->at[i].start.v - end_of(r);
		bool close = bits_of(gap) < bits;

		if (!close && more && bits_of(gap) == bits) {
			close = true;
			more--;
		}
		if (close) {
			set->total += gap;
			r->len += gap + set->at[i].len;
		} else {
			set->at[++last] = set->at[i];
		}
	}
	set->count = last + 1;
	say_coarse(set);
}

struct badranges *badranges_new(size_t max)
{
	struct badranges *set = g_new0(struct badranges, 1);

	g_assert(max >= 2);
	set->max = max;
	set->room = ROOM_FIRST;
	set->at = g_new(struct badrange, set->room);
	return set;
}

void badranges_free(struct badranges *set)
{
	if (!set)
		return;
	g_free(set->at);
	g_free(set);
}

struct badranges *badranges_copy(const struct badranges *set)
{
	struct badranges *copy = g_new(struct badranges, 1);

	*copy = *set;
	copy->room = MAX(set->count, ROOM_FIRST);
	copy->at = g_new(struct badrange, copy->room);
	memcpy(copy->at, set->at, set->count * sizeof(*set->at));
	return copy;
}

void badranges_add(struct badranges *set, dev_off start, uint64_t len)
{
	struct badrange r = { start, len };
	uint64_t end = checked_end(start, len);
	size_t first, behind;

	if (!len)
		return;
	first = first_ending(set, start.v);
	for (behind = first; behind < set->count; behind++)
		if (set->at[behind].start.v > end)
			break;
	if (first == behind && set->count == set->max) {
		make_coarser(set);
		badranges_add(set, start, len);
		return;
	}
	if (first < behind) {
		r.start.v = u64_min(start.v, set->at[first].start.v);
		end = u64_max(end, end_of(&set->at[behind - 1]));
		r.len = end - r.start.v;
	}
	replace(set, first, behind - first, &r, 1);
}

void badranges_merge(struct badranges *set, const struct badranges *from)
{
	struct badranges *all = badranges_new(set->max);
	size_t i = 0, j = 0;

	all->coarse = set->coarse || from->coarse;
	/* Ascending: each is appended. */
	while (i < set->count || j < from->count) {
		bool own = j == from->count ||
			   (i < set->count &&
			    set->at[i].start.v < from->at[j].start.v);
		const struct badrange *r = own ? &set->at[i++] : &from->at[j++];

		badranges_add(all, r->start, r->len);
	}
	g_free(set->at);
	*set = *all;
	g_free(all);
}

void badranges_remove(struct badranges *set, dev_off start, uint64_t len)
{
	struct badrange rest[2], *last;
	uint64_t end = checked_end(start, len);
	size_t first, behind, n = 0;

	if (!len)
		return;
	first = first_ending(set, start.v + 1);
	for (behind = first; behind < set->count; behind++)
		if (set->at[behind].start.v >= end)
			break;
	if (first == behind)
		return;
	last = &set->at[behind - 1];
	if (set->at[first].start.v < start.v)
		rest[n++] = (struct badrange){
			set->at[first].start,
			start.v - set->at[first].start.v,
		};
	if (end_of(last) > end)
		rest[n++] = (struct badrange){
			dev_off_at(end),
			end_of(last) - end,
		};
	/* One that falls in two. */
	if (n > behind - first && set->count == set->max) {
		make_coarser(set);
		badranges_remove(set, start, len);
		return;
	}
	replace(set, first, behind - first, rest, n);
}

bool badranges_find(const struct badranges *set, dev_off pos,
		    struct badrange *ret)
{
	size_t i;

	if (pos.v == UINT64_MAX)
		return false;
	i = first_ending(set, pos.v + 1);
	if (i == set->count)
		return false;
	*ret = set->at[i];
	return true;
}

bool badranges_touches(const struct badranges *set, dev_off pos, uint64_t len)
{
	struct badrange r;

	return len && badranges_find(set, pos, &r) &&
	       (r.start.v <= pos.v || r.start.v - pos.v < len);
}

size_t badranges_count(const struct badranges *set)
{
	return set->count;
}

struct badrange badranges_at(const struct badranges *set, size_t i)
{
	g_assert(i < set->count);
	return set->at[i];
}

uint64_t badranges_total(const struct badranges *set)
{
	return set->total;
}

bool badranges_has_room(const struct badranges *set)
{
	return set->count < set->max;
}

bool badranges_is_coarse(const struct badranges *set)
{
	return set->coarse;
}
