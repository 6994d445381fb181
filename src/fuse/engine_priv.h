/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Engines: who reads requests from the kernel, on which threads they are
 * answered, and how the bytes of an image move.
 *
 *   threads   libfuse's loop: a thread a request, which waits for the device
 *   uring     one thread that waits for everything at once; it gives reads and
 *             writes of mapped blocks to the kernel's io_uring, and whatever
 *             may have to wait (fills, punches, commits, attributes) to a pool
 *             of threads that work as the other engine's do
 *
 * How requests come is another question. Both can have them from /dev/fuse, or,
 * with -o io_uring, out of io_uring: engine uring in its own ring, engine threads
 * where libfuse's loop can, in that loop's. Neither depends on it.
 *
 * What a request means does not depend on it: ops_io.c and ops_meta.c have the
 * operations, image.h has the meaning. An engine is chosen when the session is
 * opened, and constant then.
 */
#ifndef RAWMAP_ENGINE_PRIV_H
#define RAWMAP_ENGINE_PRIV_H

#include "fuse_priv.h"

struct engine_ops {
	const char *name;
	/*
	 * The request is in order and for @img. It is replied to, now or later,
	 * as engine_pread() and engine_pwrite() would have it; who has not
	 * replied before the return may use @buf until then.
	 */
	void (*read)(struct session *s, fuse_req_t req, struct image *img,
		     size_t size, img_off pos);
	/* @sync: durable before the reply; the error of that is the reply. */
	void (*write)(struct session *s, fuse_req_t req, struct image *img,
		      const char *buf, size_t size, img_off pos, bool sync);
	void (*flush)(struct session *s, fuse_req_t req, struct image *img);
	/* Until the end. 0: unmounted; > 0: the signal; else -errno. */
	int (*serve)(struct session *s);
};

extern const struct engine_ops engine_threads;

/* Its loop with -o pin, all threads from the beginning. As engine_ops.serve. */
int crew_serve(struct session *s);

/*
 * Choose s->engine, once the source is open. False when @wanted names one that
 * cannot be had: UNSUPPORTED and a sentence. AUTO always succeeds.
 */
bool engine_open(struct session *s, enum mount_engine wanted, GError **error);
/* FUSE_INIT: libfuse's answer, with what the engine adds. */
void engine_negotiate(struct session *s, const struct fuse_buf *buf);
/* Before the end of the mount: the connection is libfuse's alone. */
void engine_disconnect(struct session *s);
void engine_close(struct session *s);

/*
 * Everything up to @size or the end of the image: bytes read, or -errno. Unlike
 * image_pread() never short because of an error: the kernel takes a short reply
 * for the end of the file.
 */
ssize_t engine_pread(struct image *img, void *buf, size_t size, img_off pos);

/* image_pwrite(); with @sync behind it image_flush(), whose error it is then. */
ssize_t engine_pwrite(struct image *img, const void *buf, size_t size,
		      img_off pos, bool sync);

#ifdef HAVE_LIBURING
extern const struct engine_ops engine_uring;

/*
 * Make s->uring, to be used by this thread only. NULL on success, or why it
 * cannot be had.
 */
const char *uring_open(struct session *s);
void uring_close(struct uring *u); /* NULL is fine */

/* As engine_...(), with s->uring. */
void uring_negotiate(struct session *s, const struct fuse_buf *buf);
void uring_disconnect(struct session *s);
#endif

#endif
