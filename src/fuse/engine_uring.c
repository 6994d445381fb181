/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine of io_uring, from open to close.
 *
 * The ring is made when the session is opened: whether it can be had is known
 * while somebody still reads messages.
 *
 * Signals: libfuse's handlers only set a flag, and a signal between a look at
 * the flag and the start of a wait would be slept over. So they are blocked
 * while the engine serves, and come through a descriptor.
 */
#include "uring_proto.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool knows_all(struct io_uring *ring)
{
	static const int needed[] = {
		IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE, IORING_OP_READ,
		IORING_OP_WRITE,    IORING_OP_FSYNC,
	};
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool all = probe != NULL;

	for (unsigned i = 0; all && i < G_N_ELEMENTS(needed); i++)
		all = io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	return all;
}

static const char *reason_of(int err)
{
	switch (err) {
	case -ENOSYS:
		return "this kernel has no io_uring";
	case -EPERM:
	case -EACCES:
		return "io_uring is forbidden here (by the sysctl "
		       "kernel.io_uring_disabled, or by a seccomp filter)";
	case -ENOMEM:
		return "there is not enough memory for a ring, or the limit of "
		       "locked memory is too low";
	case -EINVAL:
		return "the io_uring of this kernel is too old";
	default:
		return "a ring cannot be made";
	}
}

const char *uring_open(struct session *s)
{
	struct uring *u = g_new0(struct uring, 1);
	int err;

	u->s = s;
	u->dev = hostfs_data_dev(s->fs);
	relay_init(u);
	rings_init(u);
	err = ring_init(&u->ring[0], u, 0);
	if (!err && !knows_all(&u->ring[0].io))
		err = -EINVAL;
	if (err) {
		uring_close(u);
		return reason_of(err);
	}
	s->uring = u;
	return NULL;
}

void uring_close(struct uring *u)
{
	if (!u)
		return;
	rings_free(u);
	relay_close(u);
	g_free(u);
}

/* The three that end a mount, but for those that nobody is to notice. */
static void signals_of(sigset_t *ret)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGTERM };

	sigemptyset(ret);
	for (unsigned i = 0; i < G_N_ELEMENTS(ending); i++) {
		struct sigaction now;

		if (sigaction(ending[i], NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			sigaddset(ret, ending[i]);
	}
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int start_lanes(struct uring *u)
{
	int err = workers_start(&u->workers, u->s->threads);

	if (err)
		return err;
	err = workers_start(&u->host, 1);
	if (!err) {
		err = workers_start(&u->ends, 1);
		if (err)
			workers_stop(&u->host);
	}
	if (err)
		workers_stop(&u->workers);
	if (!err && u->s->pin) {
		workers_fill(&u->workers);
		/* image_pin() has asked it. */
		g_atomic_int_set(&u->guard_done, 1);
	}
	return err;
}

static int serve_with(struct uring *u, int signal_fd)
{
	struct ring *first = &u->ring[0];
	int err;

	first->fd[WATCH_FUSE] = u->relay.kernel < 0 ? fuse_session_fd(u->s->se)
						    : u->relay.kernel;
	first->fd[WATCH_REPLIES] = u->relay.replies;
	first->fd[WATCH_SIGNAL] = signal_fd;
	err = set_nonblocking(first->fd[WATCH_FUSE]);
	if (!err)
		err = start_lanes(u);
	if (err)
		return err;
	rings_go(u);
	ring_loop(first);
	rings_end(u);
	workers_stop(&u->workers);
	workers_stop(&u->host);
	workers_stop(&u->ends);
	return g_atomic_int_get(&u->res);
}

static int serve(struct session *s)
{
	sigset_t ending, old;
	int fd, res = 0;

	signals_of(&ending);
	pthread_sigmask(SIG_BLOCK, &ending, &old);
	fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	/* One that came before has set libfuse's flag. */
	if (fd < 0)
		res = -errno;
	else if (!fuse_session_exited(s->se))
		res = serve_with(s->uring, fd);
	if (fd >= 0)
		close(fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return res;
}

const struct engine_ops engine_uring = {
	.name = "uring",
	.read = uring_read,
	.write = uring_write,
	.flush = uring_flush,
	.serve = serve,
};
