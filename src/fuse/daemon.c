/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pipe between command and server. One byte in it means ready; its end
 * without a byte means that the server is gone, and its exit status becomes the
 * command's. Until ready both share terminal and process group, so that an
 * interrupt while a big journal is looked at reaches both. The server may have
 * something to take back first: a command that a signal ends waits for the
 * server's end, so that who sees the one can rely on the other. The second signal
 * is for who does not want to wait for a disk that hangs; those that come together
 * are one, as timeout(1) sends them, to the command and to its group.
 *
 *   a signal from   goes to              by
 *   the terminal    both                 the kernel
 *   its hangup      a session's leader   the command, to the server
 *   a process       the command alone    the command, to the server
 */
#include <rawmap/fuse/daemon.h>

#include <rawmap/base/error.h>
#include <rawmap/base/lock.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the command waits for. */
struct waiting_for {
	pid_t pid;
	int ready;	/* the pipe */
	int signals;	/* a signalfd, or -1 */
	int signo;	/* what ends the command; 0 */
	uint64_t since; /* when it was told the first time */
	unsigned told;
};

/* Nobody presses a key twice in that time. */
#define TOGETHER_NS (UINT64_C(200) * 1000 * 1000)

/* What became of a server that closed the pipe without a word. */
static int status_of(const struct waiting_for *w)
{
	int status;

	while (waitpid(w->pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status) && WTERMSIG(status) != w->signo)
		log_error("the server was killed by signal %d (%s) before the "
			  "mount was ready",
			  WTERMSIG(status), strsignal(WTERMSIG(status)));
	return 1;
}

/*
 * Of a terminal's, unless it has left the group, as it is ready. A hangup is told
 * to the leader of the session; to all others when he is gone.
 */
static bool server_has_it(const struct waiting_for *w,
			  const struct signalfd_siginfo *info)
{
	return info->ssi_code == SI_KERNEL && getpgid(w->pid) == getpgrp() &&
	       (info->ssi_signo != SIGHUP || getsid(0) != getpid());
}

static void take_signal(struct waiting_for *w)
{
	struct signalfd_siginfo info;
	uint64_t now = monotonic_now_ns();

	if (read(w->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (w->told && now - w->since < TOGETHER_NS)
		return;
	w->signo = (int)info.ssi_signo;
	w->since = now;
	w->told++;
	if (!server_has_it(w, &info))
		kill(w->pid, w->signo);
}

/* Until @fd can be read; false: the second signal came first. */
static bool await(struct waiting_for *w, int fd)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = w->signals, .events = POLLIN },
	};

	while (!fds[0].revents && w->told < 2)
		if (poll(fds, 2, -1) > 0 && fds[1].revents)
			take_signal(w);
	return fds[0].revents;
}

/* It was ready already; it ends as a mount does. */
static int see_off(struct waiting_for *w)
{
	int end = (int)syscall(SYS_pidfd_open, w->pid, 0);

	if (end >= 0) {
		await(w, end);
		close(end);
	}
	return 1;
}

static int wait_for_server(struct waiting_for *w)
{
	char byte;
	ssize_t n;

	if (!await(w, w->ready))
		return 1;
	do {
		n = read(w->ready, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n != 1)
		return status_of(w);
	/* One that came at the last moment. */
	take_signal(w);
	return w->signo ? see_off(w) : 0;
}

/* A signal that is blocked is delivered even so. */
static bool is_ignored(int signo)
{
	struct sigaction now;

	return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/*
 * Those that end a process; but for what @held has, whose owner waits anyhow, and
 * what does not end this one, as after nohup(1).
 */
static void signals_of(const sigset_t *held, sigset_t *ret)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGTERM };

	sigemptyset(ret);
	for (unsigned i = 0; i < G_N_ELEMENTS(ending); i++)
		if (!sigismember(held, ending[i]) && !is_ignored(ending[i]))
			sigaddset(ret, ending[i]);
}

/* In the command, with @signals blocked; @before: what was. */
static int follow(pid_t pid, int ready, const sigset_t *signals,
		  const sigset_t *before)
{
	struct waiting_for w = {
		.pid = pid,
		.ready = ready,
		.signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK),
	};
	int status = wait_for_server(&w);

	if (w.signals >= 0)
		close(w.signals);
	/* Later than that none ends the command: it could not tell the server. */
	if (status)
		pthread_sigmask(SIG_SETMASK, before, NULL);
	if (w.signo)
		raise(w.signo);
	return status;
}

/*
 * What the caller happened to have open is not the server's: it would hold
 * somebody's lock or pipe for days. Runs before anything of its own is open.
 */
static int keep_only(int fd)
{
	const int lowest = STDERR_FILENO + 1;

	if (fd != lowest && dup3(fd, lowest, O_CLOEXEC) >= 0)
		fd = lowest;
	if (fd == lowest)
		close_range((unsigned)lowest + 1, ~0U, 0);
	return fd;
}

bool daemon_fork(struct daemon *d, bool *ret_parent, int *ret_status,
		 GError **error)
{
	sigset_t before, signals;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"cannot make a pipe to the server");
		return false;
	}
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	signals_of(&before, &signals);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	pid = fork();
	if (pid <= 0)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"cannot start the server");
		close(fds[0]);
		close(fds[1]);
		return false;
	}
	if (pid == 0) {
		close(fds[0]);
		d->fd = keep_only(fds[1]);
		*ret_parent = false;
		return true;
	}
	close(fds[1]);
	d->fd = -1;
	*ret_parent = true;
	*ret_status = follow(pid, fds[0], &signals, &before);
	close(fds[0]);
	return true;
}

void daemon_ready(struct daemon *d)
{
	int null;
	ssize_t n;

	if (d->fd < 0)
		return;
	setsid();
	if (chdir("/") < 0)
		log_debug("cannot change to '/': %s", strerror(errno));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		log_use_syslog(true);
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		if (null > STDERR_FILENO)
			close(null);
	}

	do {
		n = write(d->fd, "", 1);
	} while (n < 0 && errno == EINTR);
	close(d->fd);
	d->fd = -1;
}
