/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event thread. One turn: read requests until there are no more, or no more
 * slots; hand what came of them to the kernel and wait, in one system call; take
 * the completions, which reply.
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

/* Below any address: what a completion is for when it is no xfer's. */
enum { TAG_WATCH = 1, TAG_CANCEL = TAG_WATCH + WATCHES, TAGS };

/* It may be interrupted, or short of memory: what is queued stays so then. */
static void entered(int ret)
{
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		g_error("io_uring_enter: %s", g_strerror(-ret));
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&u->ring)))
		entered(io_uring_submit(&u->ring));
	u->outstanding++;
	return sqe;
}

void uring_end(struct uring *u, int res)
{
	u->over = true;
	if (!u->res)
		u->res = res;
}

/* ---- from other threads ---- */

static void wake(struct uring *u)
{
	const uint64_t one = 1;

	while (write(u->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void uring_put(struct slot *slot)
{
	struct uring *u = slot->u;

	if (slots_put(slot->home, slot))
		wake(u);
}

void uring_give_back(struct slot *slot)
{
	struct uring *u = slot->u;

	if (slots_give_back(&u->slots, slot))
		wake(u);
}

/* ---- requests ---- */

static void work_message(struct slot *slot)
{
	struct fuse_buf buf = { .mem = slot->message, .size = slot->len };

	fuse_session_process_buf(slot->u->s->se, &buf);
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

void uring_dispatch(struct uring *u, struct slot *slot)
{
	const struct fuse_in_header *in = (const void *)slot->message;
	struct fuse_buf buf = { .mem = slot->message, .size = slot->len };

	if (!is_for_us(in->opcode)) {
		uring_job_message(slot, work_message);
		return;
	}
	u->current = slot;
	fuse_session_process_buf(u->s->se, &buf);
	/* libfuse has replied, or there is nothing to reply. */
	if (u->current) {
		u->current = NULL;
		slots_put(slot->home, slot);
	}
}

/* As libfuse has it: what does an error of a read from the kernel mean? */
static void read_failed(struct uring *u, int err)
{
	switch (err) {
	case EAGAIN:
		u->readable = false;
		break;
	case EINTR:
	case ENOENT: /* the request was interrupted */
		break;
	case ENODEV: /* unmounted */
		uring_end(u, 0);
		break;
	default:
		uring_end(u, -err);
	}
}

/* One request; false when there is no slot for it. */
static bool take_request(struct uring *u)
{
	struct slot *slot = slots_get(&u->slots);
	size_t room;
	ssize_t n;

	if (!slot)
		return false;
	room = (size_t)(slot->payload - slot->message) + MAX_TRANSFER;
	n = read(u->fd[WATCH_FUSE], slot->message, room);
	if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
		slot->len = (size_t)n;
		uring_dispatch(u, slot);
		return true;
	}
	read_failed(u, n < 0 ? errno : EIO);
	slots_put(&u->slots, slot);
	return true;
}

/* False when it stopped for want of slots. Completions get their turn, too. */
static bool take_requests(struct uring *u)
{
	for (unsigned i = 0; i < URING_SLOTS; i++) {
		if (!u->readable || u->over)
			return true;
		if (!take_request(u))
			return false;
	}
	return true;
}

/* ---- the ring ---- */

static void watch(struct uring *u, enum watch what)
{
	struct io_uring_sqe *sqe;

	if (u->watched[what])
		return;
	sqe = uring_sqe(u);
	io_uring_prep_poll_add(sqe, u->fd[what], POLLIN);
	io_uring_sqe_set_data64(sqe, TAG_WATCH + (unsigned)what);
	u->watched[what] = true;
}

static void unwatch(struct uring *u, enum watch what)
{
	struct io_uring_sqe *sqe;

	if (!u->watched[what])
		return;
	sqe = uring_sqe(u);
	io_uring_prep_poll_remove(sqe, TAG_WATCH + (unsigned)what);
	io_uring_sqe_set_data64(sqe, TAG_CANCEL);
}

static void seen(struct uring *u, enum watch what)
{
	struct signalfd_siginfo info;
	uint64_t count;

	u->watched[what] = false;
	switch (what) {
	case WATCH_FUSE:
		u->readable = true;
		break;
	case WATCH_WAKE:
		/* The next turn finds what there is. */
		while (read(u->fd[what], &count, sizeof(count)) < 0 &&
		       errno == EINTR)
			;
		break;
	case WATCH_REPLIES:
		relay_replies(u);
		break;
	case WATCH_SIGNAL:
		if (read(u->fd[what], &info, sizeof(info)) == sizeof(info))
			uring_end(u, (int)info.ssi_signo);
		break;
	case WATCHES:
		g_assert_not_reached();
	}
}

static void completed(struct uring *u, uint64_t data, int res)
{
	if (data & URING_ENTRY && data >= TAGS) {
		entry_done((struct slot *)(uintptr_t)(data & ~URING_ENTRY),
			   res);
		return;
	}
	u->outstanding--;
	if (data >= TAGS)
		uring_io_done((struct xfer *)(uintptr_t)data, res);
	else if (data != TAG_CANCEL)
		seen(u, (enum watch)(data - TAG_WATCH));
}

static void turn(struct uring *u, bool wait)
{
	struct io_uring_cqe *cqe;

	if (wait)
		entered(io_uring_submit_and_wait(&u->ring, 1));
	else
		entered(io_uring_submit_and_get_events(&u->ring));

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		uint64_t data = cqe->user_data;
		int res = cqe->res;

		/* Its place first: what comes of it needs one again. */
		io_uring_cqe_seen(&u->ring, cqe);
		completed(u, data, res);
	}
}

static void take_back(struct uring *u)
{
	struct slot *slot = slots_take_back(&u->slots);

	while (slot) {
		struct slot *next = slot->next;

		uring_io_begun(slot);
		slot = next;
	}
}

static void watch_replies(struct uring *u)
{
	if (u->entries.granted)
		watch(u, WATCH_REPLIES);
}

/* No request is under way any more. What comes back is not free till taken. */
static bool at_rest(struct uring *u)
{
	take_back(u);
	if (u->entries.granted)
		entries_give(u);
	watch_replies(u);
	return slots_all_free(&u->slots) && !u->entries.busy;
}

void uring_loop(struct uring *u)
{
	u->readable = true;
	while (!u->over && !fuse_session_exited(u->s->se)) {
		bool fed;

		take_back(u);
		fed = take_requests(u);

		watch(u, WATCH_SIGNAL);
		watch(u, WATCH_WAKE);
		if (!u->readable)
			watch(u, WATCH_FUSE);
		if (u->entries.granted)
			entries_give(u);
		watch_replies(u);
		turn(u, (!u->readable || !fed) && !u->over);
	}
	unwatch(u, WATCH_FUSE);
	unwatch(u, WATCH_SIGNAL);
	while (!at_rest(u)) {
		watch(u, WATCH_WAKE);
		turn(u, true);
	}
	unwatch(u, WATCH_WAKE);
	unwatch(u, WATCH_REPLIES);
	while (u->outstanding)
		turn(u, true);
}
