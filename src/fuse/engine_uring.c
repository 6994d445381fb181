/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine of io_uring, from open to close.
 *
 * The ring is made when the session is opened: whether it can be had is known
 * while somebody still reads messages. Its completion queue has room for all
 * that can ever be under way, so that none is lost and none is refused. Nothing
 * is registered with it: the kernel takes a ring down later, behind the back of
 * a process that is gone, and would keep the source open, and locked, so long.
 *
 * Signals: libfuse's handlers only set a flag, and a signal between a look at
 * the flag and the start of a wait would be slept over. So they are blocked
 * while the engine serves, and come through a descriptor.
 */
#include "uring_proto.h"

#include <rawmap/base/log.h>
#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
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
static unsigned completions(const struct uring *u)
{
	unsigned entries = u->entries.slots.n;
	unsigned n = (URING_SLOTS + entries) * IMAGE_SEGS + entries;

	return MIN(n + 2 * WATCHES, MOST_COMPLETIONS);
}

static int make_ring(struct uring *u, unsigned flags)
{
	int err = -EINVAL;

	/* A kernel that does not know a manner says EINVAL. */
	for (unsigned i = 0; err == -EINVAL && i < G_N_ELEMENTS(manners); i++) {
		struct io_uring_params params = {
			.flags = IORING_SETUP_CQSIZE | manners[i] | flags,
			.cq_entries = completions(u),
		};

		err = io_uring_queue_init_params(SUBMISSIONS, &u->ring,
						 &params);
	}
	return err;
}

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

static int prepare(struct uring *u)
{
	int err;

	u->ring.ring_fd = -1;
	if (u->entries.wanted) {
		err = entries_init(u);
		if (err)
			return err;
	}
	err = make_ring(u, u->entries.wanted ? URING_WIDE : 0);
	/* FUSE_INIT tells what else is missing in a kernel that old. */
	if (err == -EINVAL && u->entries.wanted)
		err = make_ring(u, 0);
	if (err) {
		u->ring.ring_fd = -1;
		return err;
	}
	if (!knows_all(&u->ring))
		return -EINVAL;
	err = slots_init(&u->slots, URING_SLOTS, u);
	if (err)
		return err;
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return u->wake_fd < 0 ? -errno : 0;
}

const char *uring_open(struct session *s)
{
	struct blkdev *dev = hostfs_data_dev(s->fs);
	int source = filedev_raw_fd(dev);
	struct uring *u;
	int err;

	if (source < 0)
		return "the source is not read and written directly";
	u = g_new0(struct uring, 1);
	u->s = s;
	u->dev = dev;
	u->source = source;
	u->wake_fd = -1;
	u->entries.wanted = s->over_uring;
	u->entries.kernel = -1;
	u->entries.replies = -1;
	err = prepare(u);
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
	if (u->ring.ring_fd >= 0)
		io_uring_queue_exit(&u->ring);
	slots_clear(&u->slots);
	slots_clear(&u->entries.slots);
	relay_close(u);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
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
	return err;
}

static int serve_with(struct uring *u, int signal_fd)
{
	int err;

	u->fd[WATCH_FUSE] = u->entries.kernel < 0 ? fuse_session_fd(u->s->se)
						  : u->entries.kernel;
	u->fd[WATCH_REPLIES] = u->entries.replies;
	u->fd[WATCH_WAKE] = u->wake_fd;
	u->fd[WATCH_SIGNAL] = signal_fd;
	err = set_nonblocking(u->fd[WATCH_FUSE]);
	if (!err)
		err = start_lanes(u);
	if (err)
		return err;
	uring_loop(u);
	workers_stop(&u->workers);
	workers_stop(&u->host);
	workers_stop(&u->ends);
	if (u->entries.granted)
		entries_finish(u);
	return u->res;
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
