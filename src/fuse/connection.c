/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection to the kernel: which operations there are, and what is agreed
 * at FUSE_INIT. Differences between libfuse's releases and between kernels live
 * here and in op_open().
 *
 * Extended attributes, locks and copy_file_range are absent on purpose: the
 * kernel asks once, then does without or by itself.
 */
#include "engine_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readdir = op_readdir,
	.opendir = op_opendir,
	.open = op_open,
	.release = op_release,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.symlink = op_symlink,
	.link = op_link,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_unlink,
	.rename = op_rename,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.ioctl = op_ioctl,
};

static void log_for_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
	G_GNUC_PRINTF(2, 0);

/* libfuse ends its lines; a message of ours does not. */
static void log_for_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	enum log_level ours = LOG_LEVEL_INFO;
	char text[1024];

	if (level <= FUSE_LOG_ERR)
		ours = LOG_LEVEL_ERROR;
	else if (level == FUSE_LOG_WARNING)
		ours = LOG_LEVEL_WARNING;
	else if (level == FUSE_LOG_DEBUG)
		ours = LOG_LEVEL_DEBUG;

	if (!log_enabled(ours))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	log_message(ours, "%s", g_strchomp(text));
}

static bool add_arguments(const struct session *s, const struct mountopts *opt,
			  bool others, bool debug, struct fuse_args *args)
{
	g_autofree char *name = g_strconcat("fsname=", s->source, NULL);
	char *list = NULL;
	bool done;

	/* The user's own come last: they win. */
	done = fuse_opt_add_opt(&list, "subtype=rawmap") == 0 &&
	       fuse_opt_add_opt_escaped(&list, name) == 0 &&
	       fuse_opt_add_opt(&list, "default_permissions") == 0 &&
	       fuse_opt_add_opt(&list, s->readonly ? "ro" : "rw") == 0 &&
	       (!others || fuse_opt_add_opt(&list, "allow_other") == 0);
	/* To libfuse it says how its own loop, that engine's, takes requests. */
	if (done && opt->over_uring && opt->engine == MOUNT_ENGINE_THREADS)
		done = fuse_opt_add_opt(&list, "io_uring") == 0;
	for (guint i = 0; done && i < opt->fuse->len; i++) {
		const char *option = g_ptr_array_index(opt->fuse, i);

		done = fuse_opt_add_opt(&list, option) == 0;
	}
	done = done && fuse_opt_add_arg(args, "rawmap") == 0 &&
	       fuse_opt_add_arg(args, "-o") == 0 &&
	       fuse_opt_add_arg(args, list) == 0 &&
	       (!debug || fuse_opt_add_arg(args, "-d") == 0);
	free(list);
	return done;
}

static void want(struct fuse_conn_info *conn, uint64_t cap, bool on)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	if (on)
		fuse_set_feature_flag(conn, cap);
	else
		fuse_unset_feature_flag(conn, cap);
#else
	if (on)
		conn->want |= conn->capable & (unsigned)cap;
	else
		conn->want &= ~(unsigned)cap;
#endif
}

/*
 * AUTO_INVAL_DATA would drop the page cache whenever mtime moved, though every
 * change came through this very mount. No writeback cache: a write that
 * returned has reached the source, an error is the writer's, and an O_SYNC or
 * loop FLUSH costs what it says.
 */
void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct session *s = userdata;

	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_ASYNC_DIO, true);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC, false);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
	want(conn, FUSE_CAP_WRITEBACK_CACHE, false);
#ifdef FUSE_CAP_OVER_IO_URING
	/* Of libfuse's threads, which its environment could start, too. */
	if (s->engine != &engine_threads)
		want(conn, FUSE_CAP_OVER_IO_URING, false);
#endif

	if (conn->max_write > MAX_TRANSFER)
		conn->max_write = MAX_TRANSFER;
	conn->max_read = s->max_read;
	conn->max_background = 128;
	conn->congestion_threshold = 96;
	conn->time_gran = 1;

	/*
	 * Only since Linux 6.6 (protocol 7.39) a write of a FOPEN_DIRECT_IO
	 * file drops what a cached opener of the same file has in memory.
	 */
	s->uncached_writes = conn->proto_major == 7 && conn->proto_minor >= 39;
}

bool connection_new(struct session *s, const struct mountopts *opt, bool debug,
		    GError **error)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	bool others;

	if (!others_decide(opt, &others, error))
		return false;
	fuse_set_log_func(log_for_fuse);
	if (add_arguments(s, opt, others, debug, &args))
		s->se = fuse_session_new(&args, &operations, sizeof(operations),
					 s);
	fuse_opt_free_args(&args);
	if (!s->se)
		g_set_error(
			error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			"libfuse refuses the options, together, for the reason "
			"above; leave one away");
	return s->se != NULL;
}
