/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings, and the threads of all but the first one.
 *
 * A ring's completion queue has room for all that can ever be under way, so
 * that none is lost and none is refused. Nothing is registered with it: the
 * kernel takes a ring down later, behind the back of a process that is gone, and
 * would keep the source open, and locked, so long.
 *
 * One is enough where requests come from /dev/fuse. Where they come through
 * rings there is one for each processor, up to MAX_RINGS; its thread stays on
 * that processor, whose queue it has: who waits for a reply there is not woken
 * from elsewhere.
 *
 *   rings_start()   before the kernel's offer is taken: what may fail
 *   rings_go()      from now on requests come
 *   rings_end()     all I/O is seen through
 */
#include "uring_proto.h"

#include <rawmap/base/thread.h>

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The kernel makes no larger ring. */
#define MOST_COMPLETIONS 65536U
/* A turn seldom has more to submit; more is submitted in between. */
#define SUBMISSIONS 256

/* What saves the event thread interrupts, in the order of preference. */
static const unsigned manners[] = {
#if defined(IORING_SETUP_DEFER_TASKRUN) && defined(IORING_SETUP_SINGLE_ISSUER)
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
#endif
#ifdef IORING_SETUP_COOP_TASKRUN
	IORING_SETUP_COOP_TASKRUN,
#endif
	0,
};

/* Watches, and their cancellation, beside the I/O of all slots. */
static unsigned completions(const struct ring *r)
{
	unsigned entries = r->entries.slots.n;
	unsigned n = (URING_SLOTS + entries) * IMAGE_SEGS + entries;

	return MIN(n + 2 * WATCHES, MOST_COMPLETIONS);
}

static int make_ring(struct ring *r, unsigned flags)
{
	int err = -EINVAL;

	/* A kernel that does not know a manner says EINVAL. */
	for (unsigned i = 0; err == -EINVAL && i < G_N_ELEMENTS(manners); i++) {
		struct io_uring_params params = {
			.flags = IORING_SETUP_CQSIZE | manners[i] | flags,
			.cq_entries = completions(r),
		};

		err = io_uring_queue_init_params(SUBMISSIONS, &r->io, &params);
	}
	return err;
}

int ring_init(struct ring *r, struct uring *u, unsigned nr)
{
	bool wanted = u->relay.wanted;
	int err = 0;

	r->u = u;
	r->nr = nr;
	r->io.ring_fd = -1;
	r->wake_fd = -1;
	for (unsigned what = 0; what < WATCHES; what++)
		r->fd[what] = -1;
	if (wanted)
		err = entries_init(r);
	if (!err)
		err = slots_init(&r->slots, nr ? 0 : URING_SLOTS, r);
	if (err)
		return err;
	err = make_ring(r, wanted ? URING_WIDE : 0);
	/* FUSE_INIT tells what else is missing in a kernel that old. */
	if (err == -EINVAL && wanted)
		err = make_ring(r, 0);
	if (err) {
		r->io.ring_fd = -1;
		return err;
	}
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->fd[WATCH_WAKE] = r->wake_fd;
	return r->wake_fd < 0 ? -errno : 0;
}

void ring_leave(struct ring *r)
{
	if (r->io.ring_fd >= 0)
		io_uring_queue_exit(&r->io);
	r->io.ring_fd = -1;
}

static void ring_free(struct ring *r)
{
	ring_leave(r);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	r->wake_fd = -1;
	slots_clear(&r->slots);
	slots_clear(&r->entries.slots);
}

/* ---- the others ---- */

void rings_init(struct uring *u)
{
	u->rings = 1;
	if (u->relay.wanted)
		u->rings = MIN(entries_queues(), MAX_RINGS);
	for (unsigned i = 0; i < u->rings; i++)
		u->ring[i].io.ring_fd = u->ring[i].wake_fd = -1;
	mutex_init(&u->start.lock);
	cond_init(&u->start.changed);
}

void rings_free(struct uring *u)
{
	for (unsigned i = 0; i < u->rings; i++)
		ring_free(&u->ring[i]);
	cond_clear(&u->start.changed);
	mutex_clear(&u->start.lock);
}

void ring_stay(const struct ring *r)
{
	cpu_set_t cpus;

	/* With fewer rings than processors it would be on the wrong one. */
	if (!r->u->relay.granted || r->u->rings != entries_queues())
		return;
	CPU_ZERO(&cpus);
	CPU_SET(r->nr, &cpus);
	/* Where it may not, or there is none now, it runs where it can. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

static void *ring_main(void *arg)
{
	struct ring *r = arg;
	struct starting *st = &r->u->start;
	bool go;
	int err;

	r->thread = pthread_self();
	err = ring_init(r, r->u, r->nr);
	mutex_lock(&st->lock);
	st->ready++;
	st->err = st->err ? st->err : err;
	cond_broadcast(&st->changed);
	while (!st->go && !st->stop)
		cond_wait(&st->changed, &st->lock);
	go = !st->stop;
	mutex_unlock(&st->lock);
	if (go)
		ring_loop(r);
	return NULL;
}

int rings_start(struct uring *u)
{
	struct starting *st = &u->start;
	int err = 0;

	for (unsigned i = 1; i < u->rings && !err; i++) {
		u->ring[i].u = u;
		u->ring[i].nr = i;
		err = thread_start(&st->thread[i], NULL, ring_main,
				   &u->ring[i]);
		st->created += !err;
	}
	mutex_lock(&st->lock);
	while (st->ready < st->created)
		cond_wait(&st->changed, &st->lock);
	err = err ? err : st->err;
	mutex_unlock(&st->lock);
	if (err)
		rings_end(u);
	return err;
}

static void say(struct starting *st, bool *what)
{
	mutex_lock(&st->lock);
	*what = true;
	cond_broadcast(&st->changed);
	mutex_unlock(&st->lock);
}

void rings_go(struct uring *u)
{
	say(&u->start, &u->start.go);
}

void rings_end(struct uring *u)
{
	struct starting *st = &u->start;

	if (!st->go)
		say(st, &st->stop);
	for (; st->created; st->created--)
		pthread_join(st->thread[st->created], NULL);
}
