/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking a server about its images.
 *
 * A request to a server that is stopped, or waits for a disk that is, cannot be
 * given up by who made it. So a child makes it and is left behind when it does
 * not come back in time. It writes a record for each image into a pipe.
 *
 * The kernel lets nobody but their owner look into other people's mounts, not
 * even root; the child of root becomes that owner.
 */
#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US (3 * G_USEC_PER_SEC)

struct record {
	int err; /* errno of looking at the mount; there is nothing else then */
	bool known;
	struct rawmap_about about;
	char path[PATH_MAX];
};

/* ---- the child ---- */

static void put_record(int fd, const struct record *r)
{
	const char *from = (const char *)r;
	size_t left = sizeof(*r);

	while (left) {
		ssize_t n = write(fd, from, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		from += n;
		left -= (size_t)n;
	}
}

static int describe_file(const char *path, int to)
{
	g_autofree struct record *r = g_new0(struct record, 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno;
	g_strlcpy(r->path, path, sizeof(r->path));
	r->known = ioctl(fd, RAWMAP_IOC_ABOUT, &r->about) == 0;
	close(fd);
	put_record(to, r);
	return 0;
}

static int describe_folder(const char *where, int to)
{
	DIR *dir = opendir(where);
	int err = 0;

	if (!dir)
		return errno;
	while (!err) {
		const struct dirent *entry;
		g_autofree char *path = NULL;

		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			err = errno;
			break;
		}
		if (entry->d_name[0] == '.' &&
		    (!entry->d_name[1] || strcmp(entry->d_name, "..") == 0))
			continue;
		path = g_build_filename(where, entry->d_name, NULL);
		err = describe_file(path, to);
	}
	closedir(dir);
	return err;
}

static int describe(const struct mount_entry *m, int to)
{
	struct stat st;

	if (stat(m->where, &st) < 0)
		return errno;
	if (st.st_dev != m->dev)
		return EXDEV; /* something else is mounted over it */
	return S_ISREG(st.st_mode) ? describe_file(m->where, to)
				   : describe_folder(m->where, to);
}

static bool become_owner(const struct mount_entry *m)
{
	return geteuid() == 0 && m->uid != (uid_t)-1 && m->uid != 0 &&
	       m->gid != (gid_t)-1 && setgroups(0, NULL) == 0 &&
	       setresgid(m->gid, m->gid, m->gid) == 0 &&
	       setresuid(m->uid, m->uid, m->uid) == 0;
}

static void be_child(const struct mount_entry *m, int to) G_GNUC_NORETURN;
static void be_child(const struct mount_entry *m, int to)
{
	g_autofree struct record *last = g_new0(struct record, 1);

	last->err = describe(m, to);
	if (last->err == EACCES && become_owner(m))
		last->err = describe(m, to);
	if (last->err)
		put_record(to, last);
	_exit(0);
}

/* ---- who asks ---- */

static void shown_free(struct shown *s)
{
	g_free(s->path);
	g_free(s);
}

/* To the end of the pipe; false when that does not come in time. */
static bool read_all(int fd, GByteArray *to)
{
	gint64 until = g_get_monotonic_time() + PATIENCE_US;

	for (;;) {
		gint64 left = until - g_get_monotonic_time();
		struct pollfd poller = { .fd = fd, .events = POLLIN };
		guint8 bytes[4096];
		ssize_t n;

		n = poll(&poller, 1, (int)(MAX(left, 0) / 1000));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		g_byte_array_append(to, bytes, (guint)n);
	}
}

static enum answer answer_of(int err)
{
	switch (err) {
	case 0:
		return ANSWER_OK;
	case ENOTCONN: /* which of the two depends on for how long */
	case ECONNABORTED:
		return ANSWER_DEAD;
	default:
		return ANSWER_UNREACHABLE;
	}
}

static void end_text(char *text, size_t size)
{
	text[size - 1] = '\0';
}

static struct shown *take_record(const struct record *r)
{
	struct shown *s = g_new0(struct shown, 1);

	s->path = g_strndup(r->path, sizeof(r->path));
	s->known = r->known;
	s->about = r->about;
	end_text(s->about.engine, sizeof(s->about.engine));
	end_text(s->about.source, sizeof(s->about.source));
	end_text(s->about.image, sizeof(s->about.image));
	end_text(s->about.mountpoint, sizeof(s->about.mountpoint));
	return s;
}

static enum answer take_records(const GByteArray *bytes, GPtrArray *shown)
{
	g_autofree struct record *r = g_new(struct record, 1);
	int err = 0;

	for (guint at = 0; !err && bytes->len - at >= sizeof(*r);
	     at += (guint)sizeof(*r)) {
		memcpy(r, bytes->data + at, sizeof(*r));
		err = r->err;
		if (!err)
			g_ptr_array_add(shown, take_record(r));
	}
	if (err)
		g_ptr_array_set_size(shown, 0);
	else if (!shown->len)
		err = EIO;
	return answer_of(err);
}

/* What does not end now ends when the server answers: nobody waits for it. */
static void leave_child(pid_t pid, bool ended)
{
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, ended ? 0 : WNOHANG) < 0 && errno == EINTR)
		;
}

enum answer server_ask(const struct mount_entry *m, GPtrArray **ret)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	int fds[2];
	bool ended;
	pid_t pid;

	*ret = g_ptr_array_new_with_free_func((GDestroyNotify)shown_free);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return ANSWER_UNREACHABLE;
	pid = fork();
	if (pid == 0)
		be_child(m, fds[1]);
	close(fds[1]);
	ended = pid > 0 && read_all(fds[0], bytes);
	close(fds[0]);
	if (pid < 0)
		return ANSWER_UNREACHABLE;
	leave_child(pid, ended);
	return ended ? take_records(bytes, *ret) : ANSWER_SILENT;
}
