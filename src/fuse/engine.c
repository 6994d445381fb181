/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The choice of the engine, and the synchronous moves that all of them use.
 *
 *   asked for   io_uring can be had   it cannot
 *   auto        uring                 threads, said once
 *   uring       uring                 refused
 *   threads     threads               threads
 *
 * It can be had where it was built in, the kernel has it and lets us (a sysctl
 * and a container's seccomp filter may not), and the source is a descriptor:
 * a filter over one has to be asked through its functions.
 */
#include "engine_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#ifdef HAVE_LIBURING
static const char *try_uring(struct session *s)
{
	const char *reason = uring_open(s);

	if (!reason)
		s->engine = &engine_uring;
	return reason;
}

void engine_negotiate(struct session *s, const struct fuse_buf *buf)
{
	if (s->uring)
		uring_negotiate(s, buf);
	else
		fuse_session_process_buf(s->se, buf);
}

void engine_disconnect(struct session *s)
{
	if (s->uring)
		uring_disconnect(s);
}

void engine_close(struct session *s)
{
	g_clear_pointer(&s->uring, uring_close);
}
#else
static const char *try_uring(struct session *s)
{
	(void)s;
	return "this rawmap was built without liburing";
}

void engine_negotiate(struct session *s, const struct fuse_buf *buf)
{
	fuse_session_process_buf(s->se, buf);
}

void engine_disconnect(struct session *s)
{
	(void)s;
}

void engine_close(struct session *s)
{
	(void)s;
}
#endif

bool engine_open(struct session *s, enum mount_engine wanted, GError **error)
{
	const char *reason;

	s->engine = &engine_threads;
	if (wanted == MOUNT_ENGINE_THREADS) {
		log_info("worker threads serve requests: engine=threads "
			 "asks for them");
		return true;
	}
	reason = try_uring(s);
	if (!reason) {
		log_info("io_uring serves requests: this kernel has what it "
			 "takes");
		return true;
	}
	if (wanted == MOUNT_ENGINE_AUTO) {
		log_message(s->over_uring ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
			    "no io_uring, worker threads do its work: %s",
			    reason);
		return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "engine=uring cannot be had: %s; use engine=auto", reason);
	return false;
}

ssize_t engine_pread(struct image *img, void *buf, size_t size, img_off pos)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = image_pread(img, (char *)buf + done, size - done,
					img_off_add(pos, done));

		if (n < 0)
			return n;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t engine_pwrite(struct image *img, const void *buf, size_t size,
		      img_off pos, bool sync)
{
	ssize_t n = image_pwrite(img, buf, size, pos);
	int err = n < 0 || !sync ? 0 : image_flush(img);

	return err ? err : n;
}
