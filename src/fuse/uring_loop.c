/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event thread. One turn: read some requests, as long as there are any, and
 * slots; hand what came of them to the kernel and, if there is nothing else to
 * do, wait, in one system call; take some completions, which reply.
 *
 *   watched        means                          looked at
 *   the requests   the kernel has some            when the last look found none
 *   the eventfd    a slot was missed, or is back  always
 *   the signalfd   SIGHUP, SIGINT or SIGTERM      always
 *   the replies    libfuse wrote one              with -o io_uring only
 *
 * Without a free slot no request is read; the kernel keeps them. With
 * -o io_uring most requests are completions, too: uring_entries.c.
 *
 * It ends when the kernel says that nothing is mounted any more, when a signal
 * comes, or when the connection breaks. Then nothing is read any more, but every
 * I/O is seen through and replied to.
 */
#include "uring_priv.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * Requests, and completions, of one turn. A disk gives its completions in heaps.
 * Were each heap replied to as a whole, and then what comes of the replies taken
 * as a whole, the disk would wait for us, and we for it, in turn.
 */
#define BITE 8

/* Below any address: what a completion is for when it is no xfer's. */
enum { TAG_WATCH = 1, TAG_CANCEL = TAG_WATCH + WATCHES, TAGS };

/* It may be interrupted, or short of memory: what is queued stays so then. */
static void entered(int ret)
{
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		g_error("io_uring_enter fails, and the mount with it; "
			"-o engine=threads does without: %s",
			g_strerror(-ret));
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&r->io)))
		entered(io_uring_submit(&r->io));
	r->outstanding++;
	return sqe;
}

static void wake(struct ring *r)
{
	const uint64_t one = 1;

	while (write(r->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void uring_end(struct uring *u, int res)
{
	g_atomic_int_compare_and_exchange(&u->res, 0, res);
	g_atomic_int_set(&u->over, 1);
	for (unsigned i = 0; i < u->rings; i++)
		wake(&u->ring[i]);
}

/* ---- from other threads ---- */

void uring_put(struct slot *slot)
{
	struct ring *r = slot->ring;

	if (slots_put(slot->home, slot))
		wake(r);
}

void uring_give_back(struct slot *slot)
{
	struct ring *r = slot->ring;

	if (slots_give_back(&r->slots, slot))
		wake(r);
}

/* ---- requests ---- */

static void work_message(struct slot *slot)
{
	struct fuse_buf buf = { .mem = slot->message, .size = slot->len };

	fuse_session_process_buf(slot->ring->u->s->se, &buf);
	uring_put(slot);
}

/* What never waits: it is ours, or libfuse needs none of our operations. */
static bool is_for_us(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return true;
	default:
		return false;
	}
}

void uring_dispatch(struct slot *slot)
{
	struct ring *r = slot->ring;
	const struct fuse_in_header *in = (const void *)slot->message;
	struct fuse_buf buf = { .mem = slot->message, .size = slot->len };

	if (!is_for_us(in->opcode)) {
		uring_job_message(slot, work_message);
		return;
	}
	r->current = slot;
	fuse_session_process_buf(r->u->s->se, &buf);
	/* libfuse has replied, or there is nothing to reply. */
	if (r->current) {
		r->current = NULL;
		slots_put(slot->home, slot);
	}
}

/* As libfuse has it: what does an error of a read from the kernel mean? */
static void read_failed(struct ring *r, int err)
{
	switch (err) {
	case EAGAIN:
		r->readable = false;
		break;
	case EINTR:
	case ENOENT: /* the request was interrupted */
		break;
	case ENODEV: /* unmounted */
		uring_end(r->u, 0);
		break;
	default:
		uring_end(r->u, -err);
	}
}

/* One request; false when there is no slot for it. */
static bool take_request(struct ring *r)
{
	struct slot *slot = slots_get(&r->slots);
	size_t room;
	ssize_t n;

	if (!slot)
		return false;
	room = (size_t)(slot->payload - slot->message) + MAX_TRANSFER;
	n = read(r->fd[WATCH_FUSE], slot->message, room);
	if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
		slot->len = (size_t)n;
		uring_dispatch(slot);
		return true;
	}
	read_failed(r, n < 0 ? errno : EIO);
	slots_put(&r->slots, slot);
	return true;
}

/* False when it stopped for want of slots. */
static bool take_requests(struct ring *r)
{
	for (unsigned i = 0; i < BITE; i++) {
		if (!r->readable || uring_is_over(r->u))
			return true;
		if (!take_request(r))
			return false;
	}
	return true;
}

/* ---- the ring ---- */

static void watch(struct ring *r, enum watch what)
{
	struct io_uring_sqe *sqe;

	if (r->watched[what] || r->fd[what] < 0)
		return;
	sqe = ring_sqe(r);
	io_uring_prep_poll_add(sqe, r->fd[what], POLLIN);
	io_uring_sqe_set_data64(sqe, TAG_WATCH + (unsigned)what);
	r->watched[what] = true;
}

static void unwatch(struct ring *r, enum watch what)
{
	struct io_uring_sqe *sqe;

	if (!r->watched[what])
		return;
	sqe = ring_sqe(r);
	io_uring_prep_poll_remove(sqe, TAG_WATCH + (unsigned)what);
	io_uring_sqe_set_data64(sqe, TAG_CANCEL);
}

static void seen(struct ring *r, enum watch what)
{
	struct signalfd_siginfo info;
	uint64_t count;

	r->watched[what] = false;
	switch (what) {
	case WATCH_FUSE:
		r->readable = true;
		break;
	case WATCH_WAKE:
		/* The next turn finds what there is. */
		while (read(r->fd[what], &count, sizeof(count)) < 0 &&
		       errno == EINTR)
			;
		break;
	case WATCH_REPLIES:
		relay_replies(r->u);
		break;
	case WATCH_SIGNAL:
		if (read(r->fd[what], &info, sizeof(info)) == sizeof(info))
			uring_end(r->u, (int)info.ssi_signo);
		break;
	case WATCHES:
		g_assert_not_reached();
	}
}

static void completed(struct ring *r, uint64_t data, int res)
{
	if (data & URING_ENTRY && data >= TAGS) {
		entry_done((struct slot *)(uintptr_t)(data & ~URING_ENTRY),
			   res);
		return;
	}
	r->outstanding--;
	if (data >= TAGS)
		uring_io_done((struct xfer *)(uintptr_t)data, res);
	else if (data != TAG_CANCEL)
		seen(r, (enum watch)(data - TAG_WATCH));
}

/* What is queued goes to the kernel in any case. */
static void enter(struct ring *r, bool wait)
{
	if (io_uring_cq_ready(&r->io)) {
		if (io_uring_sq_ready(&r->io))
			entered(io_uring_submit(&r->io));
	} else if (wait) {
		entered(io_uring_submit_and_wait(&r->io, 1));
	} else {
		entered(io_uring_submit_and_get_events(&r->io));
	}
}

static void turn(struct ring *r, bool wait)
{
	struct io_uring_cqe *cqe;

	enter(r, wait);
	for (unsigned i = 0; i < BITE; i++) {
		uint64_t data;
		int res;

		if (io_uring_peek_cqe(&r->io, &cqe) < 0)
			break;
		data = cqe->user_data;
		res = cqe->res;
		/* Its place first: what comes of it needs one again. */
		io_uring_cqe_seen(&r->io, cqe);
		completed(r, data, res);
	}
}

static void take_back(struct ring *r)
{
	struct slot *slot = slots_take_back(&r->slots);

	while (slot) {
		struct slot *next = slot->next;

		uring_io_begun(slot);
		slot = next;
	}
}

static void watch_replies(struct ring *r)
{
	if (r->u->relay.granted)
		watch(r, WATCH_REPLIES);
}

/* No request is under way any more. What comes back is not free till taken. */
static bool at_rest(struct ring *r)
{
	take_back(r);
	if (r->u->relay.granted)
		entries_give(r);
	watch_replies(r);
	return slots_all_free(&r->slots) && !r->entries.busy;
}

void ring_loop(struct ring *r)
{
	ring_stay(r);
	r->readable = r->fd[WATCH_FUSE] >= 0;
	while (!uring_is_over(r->u) && !fuse_session_exited(r->u->s->se)) {
		bool fed;

		take_back(r);
		fed = take_requests(r);

		watch(r, WATCH_SIGNAL);
		watch(r, WATCH_WAKE);
		if (!r->readable)
			watch(r, WATCH_FUSE);
		if (r->u->relay.granted)
			entries_give(r);
		watch_replies(r);
		turn(r, (!r->readable || !fed) && !uring_is_over(r->u));
	}
	/* For all rings, whatever it was that ended this one. */
	uring_end(r->u, 0);
	unwatch(r, WATCH_FUSE);
	unwatch(r, WATCH_SIGNAL);
	while (!at_rest(r)) {
		watch(r, WATCH_WAKE);
		turn(r, true);
	}
	if (r->u->relay.granted)
		entries_finish(r);
	unwatch(r, WATCH_WAKE);
	unwatch(r, WATCH_REPLIES);
	while (r->outstanding)
		turn(r, true);
}
