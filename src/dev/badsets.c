/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of the bad bytes of a device.
 *
 *   set      what is in it                               the lower device
 *   bad      what was known at first; in zero mode over  is not read
 *            a read-only device also what it refused
 *   touched  those parts of bad that reads asked for     is not read
 *   found    zero mode: the sectors that were refused    is read, unless bad
 *            error mode: the requests that were refused  is read
 *            and what of them nobody could read since
 *
 * The report is touched and found together. All three lose what is written.
 *
 * A write that goes the raw way is not seen here. It only goes where neither
 * bad nor found has anything, and bad has nothing on a writable device that was
 * not there from the start: so nothing that was written is taken for bad. What
 * is found while somebody writes there may stay in found; that costs its bytes
 * the raw way, and no more.
 *
 * At the limit of a set: bad takes nothing more that was found, which is asked
 * for again then; the others get coarse. So does bad, but only when somebody
 * writes into the middle of one of a million ranges.
 */
#include "badsets.h"

#include <rawmap/base/bytes.h>

static void note_suspects(struct badsets *s) REQUIRES(s->lock)
{
	g_atomic_int_set(&s->suspects,
			 badranges_count(s->bad) || badranges_count(s->found));
}

void badsets_init(struct badsets *s, const struct badranges *known)
{
	mutex_init(&s->lock);
	s->bad = known ? badranges_copy(known) : badranges_new(BADRANGES_MAX);
	/* Every map says that what lies behind its end is bad. */
	badranges_remove(s->bad, dev_off_at(s->size), UINT64_MAX - s->size);
	s->touched = badranges_new(BADRANGES_MAX);
	s->found = badranges_new(BADRANGES_MAX);
	s->suspects = badranges_count(s->bad) > 0;
}

void badsets_clear(struct badsets *s)
{
	badranges_free(s->bad);
	badranges_free(s->touched);
	badranges_free(s->found);
	mutex_clear(&s->lock);
}

bool badsets_is_suspect(struct badsets *s, uint64_t len, dev_off pos)
{
	bool suspect;

	if (!g_atomic_int_get(&s->suspects))
		return false;
	mutex_lock(&s->lock);
	suspect = badranges_touches(s->bad, pos, len) ||
		  badranges_touches(s->found, pos, len);
	mutex_unlock(&s->lock);
	return suspect;
}

bool badsets_run(struct badsets *s, size_t *len, dev_off pos)
{
	struct badrange r;
	bool bad = false;

	if (!g_atomic_int_get(&s->suspects))
		return false;
	mutex_lock(&s->lock);
	if (badranges_find(s->bad, pos, &r)) {
		bad = r.start.v <= pos.v;
		*len = u64_min(*len, bad ? r.start.v + r.len - pos.v
					 : r.start.v - pos.v);
	}
	if (bad)
		badranges_add(s->touched, pos, *len);
	mutex_unlock(&s->lock);
	return bad;
}

bool badsets_meet(struct badsets *s, size_t len, dev_off pos)
{
	bool bad = false;

	while (len) {
		size_t n = len;

		if (badsets_run(s, &n, pos))
			bad = true;
		pos = dev_off_add(pos, n);
		len -= n;
	}
	return bad;
}

void badsets_heal(struct badsets *s, uint64_t len, dev_off pos)
{
	if (!g_atomic_int_get(&s->suspects))
		return;
	mutex_lock(&s->lock);
	badranges_remove(s->bad, pos, len);
	badranges_remove(s->touched, pos, len);
	badranges_remove(s->found, pos, len);
	note_suspects(s);
	mutex_unlock(&s->lock);
}

void badsets_refuse(struct badsets *s, size_t len, dev_off pos)
{
	uint64_t start = align_floor(pos.v, s->unit);
	uint64_t end = u64_min(align_ceil(pos.v + len, s->unit), s->size);

	mutex_lock(&s->lock);
	badranges_add(s->found, dev_off_at(start), end - start);
	note_suspects(s);
	mutex_unlock(&s->lock);
}

void badsets_succeed(struct badsets *s, size_t len, dev_off pos)
{
	if (!g_atomic_int_get(&s->suspects))
		return;
	mutex_lock(&s->lock);
	badranges_remove(s->found, pos, len);
	note_suspects(s);
	mutex_unlock(&s->lock);
}

/* The longest range of @set that @r will be one with. */
static uint64_t longest_neighbour(const struct badranges *set,
				  const struct badrange *r)
{
	dev_off pos = dev_off_at(r->start.v ? r->start.v - 1 : 0);
	uint64_t longest = 0;
	struct badrange old;

	while (badranges_find(set, pos, &old) &&
	       old.start.v <= r->start.v + r->len) {
		longest = u64_max(longest, old.len);
		pos = dev_off_add(old.start, old.len);
	}
	return longest;
}

/* By a power of two that @before had not reached. */
static bool is_much_longer(uint64_t len, uint64_t before)
{
	return !before || __builtin_clzll(len) < __builtin_clzll(before);
}

bool badsets_find(struct badsets *s, const struct badrange *r,
		  struct badrange *ret_all)
{
	uint64_t before;

	mutex_lock(&s->lock);
	before = longest_neighbour(s->found, r);
	badranges_add(s->found, r->start, r->len);
	badranges_find(s->found, r->start, ret_all);
	if (s->keep && badranges_has_room(s->bad))
		badranges_add(s->bad, r->start, r->len);
	note_suspects(s);
	mutex_unlock(&s->lock);
	return is_much_longer(ret_all->len, before);
}

struct badranges *badsets_report(struct badsets *s)
{
	g_autoptr(badranges) touched = NULL;
	struct badranges *report;

	mutex_lock(&s->lock);
	report = badranges_copy(s->found);
	touched = badranges_copy(s->touched);
	mutex_unlock(&s->lock);
	badranges_merge(report, touched);
	return report;
}
