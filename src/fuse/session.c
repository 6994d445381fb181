/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From options to a served mount and back. session_open() builds bottom-up
 * (device, host, images, libfuse's session), session_close() takes the same
 * apart in reverse, from whatever stage was reached.
 *
 * The first request, FUSE_INIT, is answered on the calling thread by
 * session_mount(); so a mount that the kernel and libfuse cannot agree on fails
 * while somebody still reads the message, and so does one that has no thread for
 * its commits.
 */
#include "audit.h"
#include "engine_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/fuse/outcome.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool open_images(struct session *s, const struct mountopts *opt,
			GError **error)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < opt->images->len; i++) {
		const char *path = g_ptr_array_index(opt->images, i);
		struct hostfile *hf =
			hostfile_open(s->fs, path, opt->cache, error);

		if (!hf)
			return false;
		g_ptr_array_add(s->images, image_new(hf, s->readonly));
		if (!g_hash_table_add(names, (gpointer)hostfile_name(hf))) {
			g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
				    "two images are called '%s'; give each a "
				    "mount of its own",
				    hostfile_name(hf));
			return false;
		}
	}
	return true;
}

static bool open_source(struct session *s, const struct mountopts *opt,
			GError **error)
{
	struct hostsource_options source = opt->source; /* borrowed paths */

	source.use_reserved = geteuid() == 0;
	if (!hostsource_open(&s->src, s->source, &source, error))
		return false;
	s->fs = s->src.fs;
	return true;
}

static bool open_record(struct session *s, const struct mountopts *opt,
			GError **error)
{
	if (opt->audit)
		s->audit = audit_begin(opt->audit, s, opt, error);
	return s->audit || !opt->audit;
}

static bool check_mountpoint(struct session *s, guint images, GError **error)
{
	const char *where = s->mountpoint;
	struct stat st, source;
	int err = stat(where, &st) < 0 ? errno : 0;

	/* Which of the two it is depends on how long it has been gone. */
	if (err == ENOTCONN || err == ECONNABORTED) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "the server of the mount on '%s' is gone; remove "
			    "the mount first: fusermount3 -u '%s'",
			    where, where);
		return false;
	}
	if (err) {
		error_set_errno(error, RAWMAP_ERROR_NOT_FOUND, err,
				"cannot use the mountpoint '%s'", where);
		return false;
	}
	/* It would be there, but no path leads to what covers the root. */
	if (strcmp(where, "/") == 0) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "the mountpoint is '/', where nobody would see the "
			    "images; name another directory, or a file");
		return false;
	}
	s->naked = S_ISREG(st.st_mode);
	if (!s->naked && !S_ISDIR(st.st_mode)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "the mountpoint '%s' is neither a directory nor a "
			    "regular file; name one of these",
			    where);
		return false;
	}
	/* Nobody could reach the source to check it, nor wait for its lock. */
	if (s->naked && stat(s->source, &source) == 0 &&
	    source.st_dev == st.st_dev && source.st_ino == st.st_ino) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "the mountpoint '%s' is the source itself; name "
			    "another file or a directory",
			    where);
		return false;
	}
	if (s->naked && images > 1) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "the mountpoint '%s' is a file and can become one "
			    "image only; name a directory for %u of them",
			    where, images);
		return false;
	}
	return true;
}

void session_stay(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

struct image *session_image(const struct session *s, fuse_ino_t ino)
{
	fuse_ino_t first = s->naked ? FUSE_ROOT_ID : FUSE_ROOT_ID + 1;

	session_stay();
	if (ino < first || ino - first >= s->images->len)
		return NULL;
	return g_ptr_array_index(s->images, ino - first);
}

int session_changed(struct session *s, struct image *img)
{
	return s->sync ? image_flush(img) : 0;
}

static uint64_t own_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

struct session *session_open(const struct mountopts *opt, const char *source,
			     const char *mountpoint, bool debug, GError **error)
{
	struct session *s = g_new0(struct session, 1);

	s->pid_namespace = own_pid_namespace();
	s->outcome = outcome_new();
	s->source = g_strdup(source);
	s->mountpoint = g_strdup(mountpoint);
	s->images = g_ptr_array_new_with_free_func((GDestroyNotify)image_free);
	s->readonly = opt->source.stack.readonly;
	s->sync = opt->sync;
	s->over_uring = opt->over_uring;
	s->pin = opt->pin;
	s->commit = opt->commit;
	s->threads = opt->threads;
	s->max_read = opt->max_read;
	s->uid = getuid();
	s->gid = getgid();
	clock_gettime(CLOCK_REALTIME, &s->started);
	bufpool_init(&s->pool);

	if (!check_mountpoint(s, opt->images->len, error) ||
	    !open_source(s, opt, error) || !open_images(s, opt, error) ||
	    !engine_open(s, opt->engine, error) ||
	    !connection_new(s, opt, debug, error) ||
	    !open_record(s, opt, error)) {
		session_close(s, NULL);
		return NULL;
	}
	session_explain(s, opt);
	return s;
}

/* While the command still waits: it has a limit of processes to tell of. */
static bool start_committer(struct session *s, GError **error)
{
	int err;

	if (s->readonly)
		return true;
	s->committer = committer_start(s->fs, s->commit, &err);
	if (s->committer)
		return true;
	error_set_errno(error, RAWMAP_ERROR_FAILED, err,
			"cannot start the thread that commits '%s'; raise the "
			"limit of processes (ulimit -u)",
			s->source);
	return false;
}

/*
 * Not beside a thread: libfuse forks where fusermount3 has to mount, and the child
 * asks for memory, under whatever lock the thread held in that moment.
 */
static bool join_tree(struct session *s, GError **error)
{
	if (fuse_session_mount(s->se, s->mountpoint) == 0)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "cannot mount on '%s' for the reason above", s->mountpoint);
	return false;
}

/* The kernel says what it can. */
static bool meet_kernel(struct session *s, GError **error)
{
	struct fuse_buf buf = { 0 };
	int n;

	n = fuse_session_receive_buf(s->se, &buf);
	if (n > 0 && !fuse_session_exited(s->se)) {
		pinning_keep(s);
		engine_negotiate(s, &buf);
	}
	free(buf.mem);
	if (n <= 0 || fuse_session_exited(s->se)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "the mount on '%s' ended before it began; try "
			    "again, -d shows what the kernel said",
			    s->mountpoint);
		return false;
	}
	return true;
}

bool session_mount(struct session *s, GError **error)
{
	bool done;

	if (fuse_set_signal_handlers(s->se) < 0) {
		g_set_error(
			error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			"cannot set the signal handlers for the reason above; "
			"no sandbox may forbid sigaction(2)");
		return false;
	}
	s->signals = true;
	/* Threads inherit it; those of io_uring come with the first request. */
	if (!s->pin && !s->readonly)
		hygiene_apply();
	done = (!s->pin || pinning_do(s, error)) && join_tree(s, error) &&
	       start_committer(s, error) && meet_kernel(s, error);
	if (!done)
		pinning_undo(s);
	return done;
}

bool session_run(struct session *s, GError **error)
{
	struct reporter *reporter;
	int res;

	s->since = monotonic_now_ns();
	reporter = reporter_start(s);
	log_info("'%s' is mounted on '%s'%s, engine=%s", s->source,
		 s->mountpoint, s->readonly ? ", read-only" : "",
		 s->engine->name);
	res = s->engine->serve(s);
	reporter_stop(reporter);
	if (res > 0)
		log_info("signal %d: unmounting '%s'", res, s->mountpoint);
	if (res >= 0)
		return true;
	error_set_errno(error, RAWMAP_ERROR_FAILED, -res,
			"the connection of '%s' to the kernel broke; mount "
			"it again",
			s->mountpoint);
	return false;
}

/* The last commit is written by now, and its bytes are in the record. */
static bool close_source(struct session *s, GError **error)
{
	int err = hostfs_close(s->src.fs);
	bool recorded;

	s->src.fs = NULL;
	recorded = audit_end(s->audit, s, err ? NULL : error);
	hostsource_close(&s->src);
	if (err)
		error_set_errno(
			error, RAWMAP_ERROR_IO, -err,
			"the last changes could not be written to '%s'; "
			"check it with e2fsck -f",
			s->source);
	return !err && recorded;
}

bool session_close(struct session *s, GError **error)
{
	GError *why = NULL;
	bool done;

	if (!s)
		return true;
	if (s->signals)
		fuse_remove_signal_handlers(s->se);
	if (s->se) {
		engine_disconnect(s);
		fuse_session_unmount(s->se);
		fuse_session_destroy(s->se);
	}
	committer_stop(s->committer);
	engine_close(s);
	g_ptr_array_unref(s->images);
	done = close_source(s, &why);
	outcome_set(s->outcome, why);
	if (why)
		g_propagate_error(error, why);
	bufpool_clear(&s->pool);
	g_free(s->source);
	g_free(s->mountpoint);
	g_free(s);
	return done;
}
