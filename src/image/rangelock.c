/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Range locks: one list of all requests in arrival order, granted or waiting.
 *
 * A request is granted when nothing before it in the list conflicts with it.
 * That alone makes it fair: who comes later never overtakes a conflicting
 * earlier one, and who conflicts with nobody never waits. The list is as long
 * as there are I/Os in flight, some dozens, so a walk beats any tree.
 *
 * The mutex is held for the walk only; a waiter sleeps on the condition.
 */
#include <rawmap/image/rangelock.h>

#include <glib.h>

/* The table in the header. */
static bool modes_agree(enum rangelock_mode a, enum rangelock_mode b)
{
	static const bool agree[4][4] = {
		[RANGELOCK_READ] = {
			[RANGELOCK_READ] = true,
			[RANGELOCK_WRITE] = true,
			[RANGELOCK_FILL] = true,
		},
		[RANGELOCK_WRITE] = {
			[RANGELOCK_READ] = true,
			[RANGELOCK_WRITE] = true,
		},
		[RANGELOCK_FILL] = {
			[RANGELOCK_READ] = true,
		},
	};

	return agree[a][b];
}

static bool conflict(const struct rangelock_hold *a,
		     const struct rangelock_hold *b)
{
	return a->start < b->end && b->start < a->end &&
	       !modes_agree(a->mode, b->mode);
}

/* Must @hold wait for somebody in front of @stop (NULL: the whole list)? */
static bool must_wait(const struct rangelock *rl,
		      const struct rangelock_hold *hold,
		      const struct rangelock_hold *stop)
{
	const struct rangelock_hold *other;

	for (other = rl->first; other != stop; other = other->next)
		if (conflict(other, hold))
			return true;
	return false;
}

static void fill_in(struct rangelock_hold *hold, enum rangelock_mode mode,
		    lblk start, uint64_t len)
{
	hold->start = start.v;
	if (__builtin_add_overflow(start.v, len, &hold->end))
		hold->end = UINT64_MAX;
	hold->mode = mode;
	hold->granted = false;
	hold->next = NULL;
	hold->prev = NULL;
}

static void append(struct rangelock *rl, struct rangelock_hold *hold)
{
	hold->prev = rl->last;
	if (rl->last)
		rl->last->next = hold;
	else
		rl->first = hold;
	rl->last = hold;
}

void rangelock_init(struct rangelock *rl)
{
	mutex_init(&rl->lock);
	cond_init(&rl->changed);
	rl->first = NULL;
	rl->last = NULL;
}

void rangelock_clear(struct rangelock *rl)
{
	g_assert(!rl->first);
	cond_clear(&rl->changed);
	mutex_clear(&rl->lock);
}

void rangelock_take(struct rangelock *rl, struct rangelock_hold *hold,
		    enum rangelock_mode mode, lblk start, uint64_t len)
{
	fill_in(hold, mode, start, len);
	mutex_lock(&rl->lock);
	append(rl, hold);
	while (must_wait(rl, hold, hold))
		cond_wait(&rl->changed, &rl->lock);
	hold->granted = true;
	mutex_unlock(&rl->lock);
}

bool rangelock_try(struct rangelock *rl, struct rangelock_hold *hold,
		   enum rangelock_mode mode, lblk start, uint64_t len)
{
	bool granted;

	fill_in(hold, mode, start, len);
	mutex_lock(&rl->lock);
	granted = !must_wait(rl, hold, NULL);
	if (granted) {
		append(rl, hold);
		hold->granted = true;
	}
	mutex_unlock(&rl->lock);
	return granted;
}

void rangelock_drop(struct rangelock *rl, struct rangelock_hold *hold)
{
	mutex_lock(&rl->lock);
	g_assert(hold->granted);
	if (hold->prev)
		hold->prev->next = hold->next;
	else
		rl->first = hold->next;
	if (hold->next)
		hold->next->prev = hold->prev;
	else
		rl->last = hold->prev;
	hold->granted = false;
	cond_broadcast(&rl->changed);
	mutex_unlock(&rl->lock);
}
