/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that may wait. A queue, first come first served; a thread is started
 * when there is more to do than there are idle ones, up to the bound, and stays.
 */
#include "uring_priv.h"

#include <rawmap/base/thread.h>

/* NULL: nothing is left and it is time to end. */
static struct slot *next_slot(struct workers *w)
{
	struct slot *slot;

	mutex_lock(&w->lock);
	w->idle++;
	while (!w->first && !w->stop)
		cond_wait(&w->wake, &w->lock);
	w->idle--;
	slot = w->first;
	if (slot) {
		w->first = slot->next;
		if (!w->first)
			w->last = NULL;
		w->queued--;
	}
	mutex_unlock(&w->lock);
	return slot;
}

static void *worker_main(void *arg)
{
	struct workers *w = arg;
	struct slot *slot;

	while ((slot = next_slot(w)))
		slot->work(slot);
	return NULL;
}

/*
 * Under the lock, or before there is another. Not on the one processor of the
 * event thread that asks for it.
 */
static int start_one(struct workers *w)
{
	int err = thread_start(&w->threads[w->n], &w->cpus, worker_main, w);

	if (!err)
		w->n++;
	return err;
}

static void clear(struct workers *w)
{
	cond_clear(&w->wake);
	mutex_clear(&w->lock);
	g_clear_pointer(&w->threads, g_free);
}

int workers_start(struct workers *w, unsigned max)
{
	int err;

	*w = (struct workers){
		.max = max,
		.threads = g_new0(pthread_t, max),
	};
	mutex_init(&w->lock);
	cond_init(&w->wake);
	pthread_getaffinity_np(pthread_self(), sizeof(w->cpus), &w->cpus);
	err = start_one(w);
	if (err)
		clear(w);
	return err;
}

void workers_fill(struct workers *w)
{
	mutex_lock(&w->lock);
	while (w->n < w->max && !start_one(w))
		;
	mutex_unlock(&w->lock);
}

void workers_add(struct workers *w, struct slot *slot)
{
	slot->next = NULL;
	mutex_lock(&w->lock);
	if (w->last)
		w->last->next = slot;
	else
		w->first = slot;
	w->last = slot;
	w->queued++;
	/* Where no more can be had, those there are do it. */
	if (w->queued > w->idle && w->n < w->max)
		(void)start_one(w);
	if (w->idle)
		cond_signal(&w->wake);
	mutex_unlock(&w->lock);
}

void workers_stop(struct workers *w)
{
	mutex_lock(&w->lock);
	w->stop = true;
	cond_broadcast(&w->wake);
	mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n; i++)
		pthread_join(w->threads[i], NULL);
	clear(w);
}
