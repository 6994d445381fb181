/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pipe between command and server. One byte in it means ready; its end
 * without a byte means that the server is gone, and its exit status becomes the
 * command's. Until ready both share terminal and process group, so that an
 * interrupt while a big journal is looked at reaches both. The server may have
 * something to take back first: a command that a signal ends waits for the
 * server's end, so that who sees the one can rely on the other. The second signal
 * is for who does not want to wait for a disk that hangs.
 *
 *   a signal from   goes to              by
 *   the terminal    both                 the kernel
 *   a process       the command alone    the command, to the server
 */
#include <rawmap/fuse/daemon.h>

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the command waits for. */
struct waiting_for {
	pid_t pid;
	int ready;   /* the pipe */
	int signals; /* a signalfd, or -1 */
	int signo;   /* what ends the command; 0 */
	unsigned told;
};

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

static void take_signal(struct waiting_for *w)
{
	struct signalfd_siginfo info;

	if (read(w->signals, &info, sizeof(info)) != sizeof(info))
		return;
	w->signo = (int)info.ssi_signo;
	w->told++;
	if (info.ssi_code != SI_KERNEL)
		kill(w->pid, w->signo);
}

static int wait_for_server(struct waiting_for *w)
{
	struct pollfd fds[] = {
		{ .fd = w->ready, .events = POLLIN },
		{ .fd = w->signals, .events = POLLIN },
	};
	char byte;
	ssize_t n;

	while (!fds[0].revents && w->told < 2)
		if (poll(fds, 2, -1) > 0 && fds[1].revents)
			take_signal(w);
	if (!fds[0].revents)
		return 1;
	do {
		n = read(w->ready, &byte, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : status_of(w);
}

/* Those that end a process, but for what @held has: its owner waits anyhow. */
static void signals_of(const sigset_t *held, sigset_t *ret)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGTERM };

	sigemptyset(ret);
	for (unsigned i = 0; i < G_N_ELEMENTS(ending); i++)
		if (!sigismember(held, ending[i]))
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
