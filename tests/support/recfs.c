/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread does all of it, so that a flush that comes while writes wait is
 * answered before any of them. How long they wait is a number of requests, or
 * until none comes for PATIENCE.
 *
 *   parent                 child
 *   recfs_new()            mounts; ready
 *   closes stop            serves
 *   recfs_finish()         unmounts, tells stats and events, ends
 */
#define FUSE_USE_VERSION 314

#include <support/recfs.h>

#include <support/recdev.h>

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 1  /* milliseconds */
#define MOST	 24 /* writes that wait */
#define FOREVER	 86400.0

struct waiting {
	fuse_req_t req;
	uint64_t pos;
	size_t len;
	uint8_t *bytes;
	unsigned since; /* epoch */
};

struct recfs {
	struct blkdev *rec; /* set once */
	atomic_uint *epoch; /* set once; in memory that both share */
	/* the parent's */
	pid_t pid;
	int stop; /* closed: the child is to end */
	FILE *told;
	/* the child's */
	struct fuse_session *se;
	GRand *rand;
	GPtrArray *waiting; /* of struct waiting */
	struct recfs_stats stats;
};

/* An event as it is told; its bytes follow. */
struct told {
	enum recdev_kind kind;
	unsigned since;
	uint64_t pos, len;
};

static struct recfs *recfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* ---- writes that wait ---- */

static void free_waiting(gpointer data)
{
	struct waiting *w = data;

	g_free(w->bytes);
	g_free(w);
}

static void look_for_clash(struct recfs *r, uint64_t pos, uint64_t len)
{
	for (guint i = 0; i < r->waiting->len; i++) {
		const struct waiting *w = r->waiting->pdata[i];

		if (pos < w->pos + w->len && w->pos < pos + len) {
			r->stats.clashes++;
			return;
		}
	}
}

static void carry_out_one(struct recfs *r)
{
	guint i = (guint)g_rand_int_range(r->rand, 0, (gint32)r->waiting->len);
	const struct waiting *w = r->waiting->pdata[i];
	int err = blkdev_pwrite(r->rec, w->bytes, w->len, dev_off_at(w->pos));

	if (err) {
		fuse_reply_err(w->req, -err);
	} else {
		recdev_began(r->rec, w->since);
		fuse_reply_write(w->req, w->len);
	}
	g_ptr_array_remove_index_fast(r->waiting, i);
}

/* ---- requests ---- */

static void attr_of(struct recfs *r, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = FUSE_ROOT_ID,
		.st_mode = S_IFREG | 0600,
		.st_nlink = 1,
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_size = (off_t)blkdev_geometry(r->rec)->size,
		.st_blksize = 4096,
	};
}

static void recfs_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want |= conn->capable & FUSE_CAP_ASYNC_DIO;
	conn->max_background = 4 * MOST;
}

static void recfs_getattr(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct stat st;

	(void)ino;
	(void)fi;
	attr_of(recfs_of(req), &st);
	fuse_reply_attr(req, &st, FOREVER);
}

/*
 * fuse_reply_open() of this libfuse has no way to say that writes may come side
 * by side, so the answer is put together here.
 */
static void recfs_open(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	const struct fuse_open_out out = {
		.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES,
	};

	(void)ino;
	(void)fi;
	fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static void recfs_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t pos,
		       struct fuse_file_info *fi)
{
	struct recfs *r = recfs_of(req);
	uint64_t size = blkdev_geometry(r->rec)->size;
	g_autofree uint8_t *buf = NULL;
	int err;

	(void)ino;
	(void)fi;
	if ((uint64_t)pos >= size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	len = MIN(len, size - (uint64_t)pos);
	buf = g_malloc(len);
	err = blkdev_pread(r->rec, buf, len, dev_off_at((uint64_t)pos));
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (char *)buf, len);
}

static void recfs_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
			size_t len, off_t pos, struct fuse_file_info *fi)
{
	struct recfs *r = recfs_of(req);
	struct waiting *w;

	(void)ino;
	(void)fi;
	look_for_clash(r, (uint64_t)pos, len);
	r->stats.writes++;
	r->stats.beside += r->waiting->len > 0;
	w = g_new(struct waiting, 1);
	*w = (struct waiting){
		.req = req,
		.pos = (uint64_t)pos,
		.len = len,
		.bytes = g_memdup2(buf, len),
		.since = recdev_epochs(r->rec) - 1,
	};
	g_ptr_array_add(r->waiting, w);
	while (r->waiting->len > MOST)
		carry_out_one(r);
}

static void recfs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	struct recfs *r = recfs_of(req);
	int err;

	(void)ino;
	(void)datasync;
	(void)fi;
	r->stats.overtook += r->waiting->len > 0;
	err = blkdev_flush(r->rec);
	/* Before the answer: who has it finds the new epoch. */
	atomic_store(r->epoch, recdev_epochs(r->rec) - 1);
	fuse_reply_err(req, -err);
}

static void recfs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t pos,
			    off_t len, struct fuse_file_info *fi)
{
	struct recfs *r = recfs_of(req);

	(void)ino;
	(void)fi;
	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) &&
	    mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	look_for_clash(r, (uint64_t)pos, (uint64_t)len);
	fuse_reply_err(req, -blkdev_zero(r->rec, (uint64_t)len,
					 dev_off_at((uint64_t)pos)));
}

static const struct fuse_lowlevel_ops operations = {
	.init = recfs_init,
	.getattr = recfs_getattr,
	.open = recfs_open,
	.read = recfs_read,
	.write = recfs_write,
	.fsync = recfs_fsync,
	.fallocate = recfs_fallocate,
};

/* ---- the child ---- */

/* False: there is nothing to come any more. */
static bool take_request(struct recfs *r, struct fuse_buf *buf)
{
	int n = fuse_session_receive_buf(r->se, buf);

	if (n == -EINTR || n == -EAGAIN)
		return true;
	if (n <= 0)
		return false;
	fuse_session_process_buf(r->se, buf);
	return true;
}

static void serve(struct recfs *r, int stop)
{
	struct fuse_buf buf = { .mem = NULL };
	struct pollfd fds[] = {
		{ .fd = fuse_session_fd(r->se), .events = POLLIN },
		{ .fd = stop, .events = POLLIN },
	};

	while (!fuse_session_exited(r->se)) {
		int n = poll(fds, G_N_ELEMENTS(fds),
			     r->waiting->len ? PATIENCE : -1);

		if (fds[1].revents && !r->waiting->len)
			break;
		if (n > 0 && fds[0].revents && !take_request(r, &buf))
			break;
		/* Some stay for a while, though others come. */
		if (r->waiting->len &&
		    (n == 0 || !g_rand_int_range(r->rand, 0, 6)))
			carry_out_one(r);
	}
	free(buf.mem);
}

static void tell(struct recfs *r, FILE *out)
{
	g_autoptr(GPtrArray) events = recdev_events(r->rec);

	fwrite(&r->stats, sizeof(r->stats), 1, out);
	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];
		const struct told t = { e->kind, e->since, e->pos.v, e->len };

		fwrite(&t, sizeof(t), 1, out);
		if (e->kind == RECDEV_WRITE)
			fwrite(e->bytes, e->len, 1, out);
	}
}

static bool mount_it(struct recfs *r, const char *path)
{
	char *argv[] = { (char *)"recfs", (char *)"-o",
			 (char *)"fsname=recfs,subtype=recfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	r->se = fuse_session_new(&args, &operations, sizeof(operations), r);
	fuse_opt_free_args(&args);
	return r->se && !fuse_session_mount(r->se, path);
}

/* The exit status. */
static int child(struct recfs *r, const char *path, int ready, int stop)
{
	r->waiting = g_ptr_array_new_with_free_func(free_waiting);
	if (!mount_it(r, path) || write(ready, "", 1) != 1)
		return EXIT_FAILURE;
	close(ready);
	serve(r, stop);
	fuse_session_unmount(r->se);
	fuse_session_destroy(r->se);
	tell(r, r->told);
	return fclose(r->told) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the parent ---- */

struct recfs *recfs_new(struct blkdev *rec, const char *path, uint32_t seed)
{
	struct recfs *r = g_new0(struct recfs, 1);
	int ready[2], stop[2];
	char byte;

	r->rec = blkdev_ref(rec);
	r->rand = g_rand_new_with_seed(seed);
	r->told = tmpfile();
	r->epoch = mmap(NULL, sizeof(*r->epoch), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!r->told || r->epoch == MAP_FAILED || pipe2(ready, O_CLOEXEC) ||
	    pipe2(stop, O_CLOEXEC))
		g_error("recfs: %s", g_strerror(errno));
	r->pid = fork();
	if (!r->pid) {
		close(stop[1]);
		close(ready[0]);
		_exit(child(r, path, ready[1], stop[0]));
	}
	close(ready[1]);
	close(stop[0]);
	r->stop = stop[1];
	if (r->pid < 0 || read(ready[0], &byte, 1) != 1)
		g_error("recfs: '%s' cannot be mounted", path);
	close(ready[0]);
	return r;
}

const atomic_uint *recfs_epoch(const struct recfs *r)
{
	return r->epoch;
}

static int end_child(struct recfs *r)
{
	int status = -1;

	if (r->stop >= 0)
		close(r->stop);
	r->stop = -1;
	while (r->pid > 0 && waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
	return status;
}

static void repeat(struct recfs *r, const struct told *t, const uint8_t *bytes)
{
	int err = 0;

	if (t->kind == RECDEV_FLUSH)
		err = blkdev_flush(r->rec);
	else if (t->kind == RECDEV_ZERO)
		err = blkdev_zero(r->rec, t->len, dev_off_at(t->pos));
	else
		err = blkdev_pwrite(r->rec, bytes, t->len, dev_off_at(t->pos));
	g_assert(!err);
	recdev_began(r->rec, t->since);
}

bool recfs_finish(struct recfs *r, struct recfs_stats *ret)
{
	g_autofree uint8_t *bytes = g_malloc(blkdev_geometry(r->rec)->size);
	struct told t;

	if (end_child(r))
		return false;
	rewind(r->told);
	if (fread(ret, sizeof(*ret), 1, r->told) != 1)
		return false;
	while (fread(&t, sizeof(t), 1, r->told) == 1) {
		if (t.kind == RECDEV_WRITE &&
		    fread(bytes, t.len, 1, r->told) != 1)
			return false;
		repeat(r, &t, bytes);
	}
	return feof(r->told);
}

void recfs_free(struct recfs *r)
{
	end_child(r);
	fclose(r->told);
	munmap(r->epoch, sizeof(*r->epoch));
	g_rand_free(r->rand);
	blkdev_unref(r->rec);
	g_free(r);
}
