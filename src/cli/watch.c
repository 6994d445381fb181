/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the end of a server that is not a child: after the unmount it
 * still commits, and whether that went well only it knows.
 *
 * Its number is asked of the server itself, and asked again when the descriptor
 * is open: who answered in between was there all the time, so that it is his.
 * A server that cannot be waited for (its processes have other numbers than
 * ours, or the kernel does not let us) is at least flushed before the unmount.
 */
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/inuse.h>
#include <rawmap/fuse/outcome.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_AROUND_MS 1000
#define SAY_AFTER      10 /* looks around */

static bool is_own_namespace(uint64_t ino)
{
	struct stat st;

	return ino && stat("/proc/self/ns/pid", &st) == 0 &&
	       (uint64_t)st.st_ino == ino;
}

static const struct rawmap_about *about_of(GPtrArray *shown)
{
	const struct shown *s = shown->len ? g_ptr_array_index(shown, 0) : NULL;

	return s && s->known && is_own_namespace(s->about.pid_namespace)
		       ? &s->about
		       : NULL;
}

static bool is_still(const struct mount_entry *m, pid_t pid)
{
	g_autoptr(GPtrArray) shown = NULL;
	const struct rawmap_about *about;

	if (server_ask(m, &shown) != ANSWER_OK)
		return false;
	about = about_of(shown);
	return about && about->pid == pid;
}

/* 0 or the errno. */
static int flush(GPtrArray *shown)
{
	const struct shown *s = shown->len ? g_ptr_array_index(shown, 0) : NULL;
	int fd = s ? open(s->path, O_RDONLY | O_CLOEXEC) : -1;
	int err = fd < 0 || fsync(fd) < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

void watch_begin(struct watch *w, const struct mount_entry *m, GPtrArray *shown)
{
	const struct rawmap_about *about = about_of(shown);

	*w = (struct watch){ .pidfd = -1, .outcome = -1 };
	if (about) {
		w->pid = about->pid;
		w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
		w->outcome = outcome_open(w->pid, about->outcome);
	}
	if (w->pidfd < 0 || !is_still(m, w->pid))
		watch_end(w);
	if (w->outcome < 0 && !m->readonly)
		w->flush = flush(shown);
}

void watch_end(struct watch *w)
{
	if (w->pidfd >= 0)
		close(w->pidfd);
	if (w->outcome >= 0)
		close(w->outcome);
	w->pidfd = w->outcome = -1;
}

/*
 * Whoever copied the table of mounts before the unmount may still have it; then
 * the server does not end.
 */
static bool goes_on(const struct mount_entry *m, GError **error)
{
	g_autofree char *where = NULL;
	g_autofree char *process = inuse_mounted(m, &where);

	if (!process)
		return false;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
		    "'%s' is unmounted here, and still mounted on '%s' for %s; "
		    "the server goes on until that ends",
		    m->where, where, process);
	return true;
}

static bool wait_for_end(const struct watch *w, const struct mount_entry *m,
			 GError **error)
{
	struct pollfd poller = { .fd = w->pidfd, .events = POLLIN };
	unsigned looks = 0;

	for (;;) {
		int n = poll(&poller, 1, LOOK_AROUND_MS);

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR) {
			error_set_errno(
				error, RAWMAP_ERROR_FAILED, errno,
				"cannot wait for the server of '%s', which "
				"may have it for a moment",
				m->source);
			return false;
		}
		if (n == 0 && goes_on(m, error))
			return false;
		if (n == 0 && ++looks == SAY_AFTER)
			log_warning("waiting for the server of '%s', process "
				    "%d, to end",
				    m->source, (int)w->pid);
	}
}

static bool judge(const struct watch *w, const struct mount_entry *m,
		  GError **error)
{
	g_autofree char *why = NULL;

	switch (outcome_read(w->outcome, &why)) {
	case OUTCOME_DURABLE:
		return true;
	case OUTCOME_FAILED:
		g_set_error_literal(error, RAWMAP_ERROR, RAWMAP_ERROR_IO, why);
		return false;
	case OUTCOME_NONE:
		break;
	}
	if (m->readonly)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_IO,
		    "the server of '%s' ended before it had written the last "
		    "changes; check it with e2fsck -f",
		    m->source);
	return false;
}

bool watch_wait(const struct watch *w, const struct mount_entry *m,
		GError **error)
{
	if (w->pidfd < 0)
		log_warning("the server of '%s' cannot be waited for; it may "
			    "have the source for a moment",
			    m->source);
	else if (!wait_for_end(w, m, error))
		return false;
	if (w->outcome >= 0)
		return judge(w, m, error);
	if (!w->flush)
		return true;
	error_set_errno(error, RAWMAP_ERROR_IO, w->flush,
			"the last changes could not be written to '%s'; check "
			"it with e2fsck -f",
			m->source);
	return false;
}
