/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine of threads: libfuse's multi-threaded loop calls the operations,
 * and each does its work where it is called.
 *
 * From release 3.18 on that loop can take requests out of rings that it shares
 * with the kernel (-o io_uring); nothing here depends on how they come.
 */
#include "engine_priv.h"

#include <unistd.h>

static void read_now(struct session *s, fuse_req_t req, struct image *img,
		     size_t size, img_off pos)
{
	uint64_t since = image_request_begin(img);
	void *buf = bufpool_get(&s->pool, size);
	ssize_t n = engine_pread(img, buf, size, pos);

	image_request_end(img, since);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	bufpool_put(&s->pool, buf, size);
}

static void write_now(struct session *s, fuse_req_t req, struct image *img,
		      const char *buf, size_t size, img_off pos, bool sync)
{
	uint64_t since = image_request_begin(img);
	ssize_t n = engine_pwrite(img, buf, size, pos, sync);

	(void)s;
	image_request_end(img, since);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void flush_now(struct session *s, fuse_req_t req, struct image *img)
{
	uint64_t since = image_request_begin(img);
	int err = image_flush(img);

	(void)s;
	image_request_end(img, since);
	fuse_reply_err(req, -err);
}

static int libfuse_loop(struct session *s)
{
	/* A worker with a descriptor of its own does not queue for /dev/fuse. */
	bool clone_fd = access("/dev/fuse", R_OK | W_OK) == 0;
#if FUSE_USE_VERSION >= FUSE_MAKE_VERSION(3, 12)
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int res;

	fuse_loop_cfg_set_clone_fd(cfg, clone_fd);
	fuse_loop_cfg_set_max_threads(cfg, s->threads);
	res = fuse_session_loop_mt(s->se, cfg);
	fuse_loop_cfg_destroy(cfg);
	return res;
#else
	struct fuse_loop_config cfg = {
		.clone_fd = clone_fd,
		.max_idle_threads = s->threads,
	};

	return fuse_session_loop_mt(s->se, &cfg);
#endif
}

/* Only libfuse's own loop can take requests out of rings. */
static int serve(struct session *s)
{
	return s->pin && !s->over_uring ? crew_serve(s) : libfuse_loop(s);
}

const struct engine_ops engine_threads = {
	.name = "threads",
	.read = read_now,
	.write = write_now,
	.flush = flush_now,
	.serve = serve,
};
