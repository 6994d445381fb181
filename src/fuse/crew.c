/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop of the engine of threads with -o pin: all threads are there before
 * the first request. libfuse starts them when requests come; but the request
 * may be the write that the kernel needs in order to have memory, and then it
 * must not wait for the memory of a thread.
 *
 *   the end comes by   who sees it first
 *   an unmount         a thread, whose read says so; it wakes the others' waiter
 *   a signal           the calling thread, which waits with ppoll(2)
 *
 * Either way the others are cancelled, where they wait for a request and
 * nowhere else: what a thread has taken up it replies to.
 */
#include "engine_priv.h"

#include <rawmap/base/thread.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct crew {
	struct session *s;  /* set once */
	int over;	    /* set once: an eventfd, readable at the end */
	gint err;	    /* atomic: 0, or -errno of the connection */
	pthread_t *threads; /* set once */
	unsigned n;
};

static void say_over(struct crew *crew)
{
	const uint64_t one = 1;

	while (write(crew->over, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static int receive(struct fuse_session *se, struct fuse_buf *buf)
{
	int n;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = fuse_session_receive_buf(se, buf);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return n;
}

/* 0: it is over; -errno: the connection broke. */
static int work(struct fuse_session *se, struct fuse_buf *buf)
{
	while (!fuse_session_exited(se)) {
		int n = receive(se, buf);

		if (n > 0)
			fuse_session_process_buf(se, buf);
		else if (n != -EINTR && n != -EAGAIN)
			return n;
	}
	return 0;
}

static void free_message(void *arg)
{
	free(((struct fuse_buf *)arg)->mem);
}

static void *crew_main(void *arg)
{
	struct crew *crew = arg;
	struct fuse_buf buf = { 0 };

	session_stay();
	pthread_cleanup_push(free_message, &buf);
	g_atomic_int_compare_and_exchange(&crew->err, 0,
					  work(crew->s->se, &buf));
	pthread_cleanup_pop(1);
	fuse_session_exit(crew->s->se);
	say_over(crew);
	return NULL;
}

/* Fewer than were asked for will do. 0, or -errno when there is none. */
static int start(struct crew *crew)
{
	int err = 0;

	for (; crew->n < crew->s->threads && !err; crew->n += !err)
		err = thread_start(&crew->threads[crew->n], NULL, crew_main,
				   crew);
	return crew->n ? 0 : err;
}

/* With the signals blocked, but for the time of the wait: none is missed. */
static void await(const struct crew *crew, const sigset_t *unblocked)
{
	struct pollfd over = { .fd = crew->over, .events = POLLIN };

	while (!fuse_session_exited(crew->s->se))
		if (ppoll(&over, 1, NULL, unblocked) > 0)
			break;
}

static void stop(struct crew *crew)
{
	for (unsigned i = 0; i < crew->n; i++)
		pthread_cancel(crew->threads[i]);
	for (unsigned i = 0; i < crew->n; i++)
		pthread_join(crew->threads[i], NULL);
}

static int run(struct crew *crew)
{
	sigset_t ending, old;
	int err;

	sigemptyset(&ending);
	sigaddset(&ending, SIGHUP);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ending, &old);
	err = start(crew);
	if (!err) {
		await(crew, &old);
		stop(crew);
		err = g_atomic_int_get(&crew->err);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

int crew_serve(struct session *s)
{
	struct crew crew = {
		.s = s,
		.over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.threads = g_new0(pthread_t, s->threads),
	};
	int err = crew.over < 0 ? -errno : run(&crew);

	if (crew.over >= 0)
		close(crew.over);
	g_free(crew.threads);
	/* It does not read any more; it knows which signal it was. */
	return err ? err : fuse_session_loop(s->se);
}
