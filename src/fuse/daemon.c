/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pipe between command and server. One byte in it means ready; its end
 * without a byte means that the server is gone, and its exit status becomes the
 * command's. Until ready both share terminal and process group, so that an
 * interrupt while a big journal is looked at ends both.
 */
#include <rawmap/fuse/daemon.h>

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What became of a server that closed the pipe without a word. */
static int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		log_error("the server was killed by signal %d (%s) before the "
			  "mount was ready",
			  WTERMSIG(status), strsignal(WTERMSIG(status)));
	return 1;
}

static int wait_for_server(int fd, pid_t pid)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : status_of(pid);
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
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"cannot make a pipe to the server");
		return false;
	}
	pid = fork();
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
	*ret_status = wait_for_server(fds[0], pid);
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
