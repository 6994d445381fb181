/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes of whole sectors against writes of parts of one.
 *
 *   whole    any number at a time, from begin to end, which may be called by
 *            different threads: what writes may be a ring of the kernel's
 *   ragged   alone: it reads the rest of a sector and writes it back
 *
 * A ragged write that waits goes before new whole ones, or a busy writer next
 * door would starve it.
 */
#include "dev_priv.h"

void edges_init(struct edges *e)
{
	mutex_init(&e->lock);
	cond_init(&e->changed);
	e->whole = 0;
	e->waiting = 0;
	e->ragged = false;
}

void edges_clear(struct edges *e)
{
	g_assert(!e->whole && !e->waiting && !e->ragged);
	cond_clear(&e->changed);
	mutex_clear(&e->lock);
}

bool edges_whole_try(struct edges *e)
{
	bool granted;

	mutex_lock(&e->lock);
	granted = !e->ragged && !e->waiting;
	if (granted)
		e->whole++;
	mutex_unlock(&e->lock);
	return granted;
}

void edges_whole_begin(struct edges *e)
{
	mutex_lock(&e->lock);
	while (e->ragged || e->waiting)
		cond_wait(&e->changed, &e->lock);
	e->whole++;
	mutex_unlock(&e->lock);
}

void edges_whole_end(struct edges *e)
{
	mutex_lock(&e->lock);
	g_assert(e->whole);
	if (!--e->whole && e->waiting)
		cond_broadcast(&e->changed);
	mutex_unlock(&e->lock);
}

void edges_ragged_begin(struct edges *e) NO_TSA
{
	mutex_lock(&e->lock);
	e->waiting++;
	while (e->ragged || e->whole)
		cond_wait(&e->changed, &e->lock);
	e->waiting--;
	e->ragged = true;
	mutex_unlock(&e->lock);
}

void edges_ragged_end(struct edges *e) NO_TSA
{
	mutex_lock(&e->lock);
	e->ragged = false;
	cond_broadcast(&e->changed);
	mutex_unlock(&e->lock);
}
