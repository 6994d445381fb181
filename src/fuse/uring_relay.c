/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libfuse between the kernel's queues and us. It knows nothing of them: it is
 * given messages, and writes replies to its descriptor. Reads, writes and
 * flushes are replied to past it; of the others, which nobody counts the
 * microseconds of, the replies have to be had. So while requests come through
 * the ring its descriptor is one end of a pair of sockets, the kernel's stands
 * in relay.kernel, and what comes out at the other end belongs to an entry
 * or, with no entry that waits for it, to the kernel.
 *
 * There is room in the sockets for a reply to every entry; so neither a worker
 * nor the event thread, which reads them, waits for it.
 *
 *   FUSE_INIT    offered by the kernel?   no: said once, and all is as without
 *                                         yes: the pair; libfuse's reply is
 *                                         passed on with our wish in it
 *   serving      relay_replies()
 *   the end      relay_undo(): libfuse unmounts with the kernel's descriptor,
 *                and is the only one to have it open
 *
 * An entry that the kernel holds keeps the connection alive. Unmounting waits
 * for requests that nobody would serve any more, so the ring goes before it.
 */
#include "uring_proto.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* No reply of libfuse's is longer: a page of a directory is MAX_DIR_REPLY. */
#define LONGEST (sizeof(struct fuse_out_header) + MAX_DIR_REPLY)

static const char *not_offered(const struct uring *u,
			       const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;
	const struct fuse_init_in *init = (const void *)(in + 1);
	uint64_t flags;

	if (buf->flags & FUSE_BUF_IS_FD || in->opcode != FUSE_INIT ||
	    buf->size < sizeof(*in) + sizeof(*init) ||
	    !(init->flags & FUSE_INIT_EXT))
		return "the kernel is older than 6.14";
	flags = (uint64_t)init->flags2 << 32;
	if (!(flags & FUSE_OVER_IO_URING) ||
	    !(u->ring[0].io.flags & URING_WIDE))
		return "the kernel does not offer more; it takes Linux 6.14 "
		       "and a Y in /sys/module/fuse/parameters/enable_uring";
	return NULL;
}

/* From here on libfuse writes to us. */
static int intercept(struct uring *u)
{
	struct relay *rl = &u->relay;
	int pair[2], fuse = fuse_session_fd(u->s->se);
	int err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	rl->kernel = fcntl(fuse, F_DUPFD_CLOEXEC, 0);
	err = rl->kernel < 0 || dup3(pair[1], fuse, O_CLOEXEC) < 0 ? -errno : 0;
	close(pair[1]);
	rl->replies = pair[0];
	rl->relayed = g_malloc(LONGEST);
	return err;
}

/* Bytes of the next reply, 0: there is none now. */
static size_t next_reply(struct uring *u)
{
	ssize_t n;

	do {
		n = recv(u->relay.replies, u->relay.relayed, LONGEST,
			 MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < (ssize_t)sizeof(struct fuse_out_header) ? 0 : (size_t)n;
}

/* ENOENT: it was interrupted; ENODEV, ENOTCONN: unmounted, as will be seen. */
static void to_kernel(struct uring *u, size_t len)
{
	while (write(u->relay.kernel, u->relay.relayed, len) < 0)
		if (errno != EINTR)
			break;
}

static void accept_offer(struct uring *u)
{
	struct fuse_out_header *out = (void *)u->relay.relayed;
	struct fuse_init_out *init = (void *)(out + 1);
	size_t n = next_reply(u);

	if (n >= sizeof(*out) + sizeof(*init) && !out->error) {
		init->flags |= FUSE_INIT_EXT;
		init->flags2 |= (uint32_t)(FUSE_OVER_IO_URING >> 32);
		u->relay.granted = true;
		log_info("requests come through io_uring");
	}
	if (n)
		to_kernel(u, n);
}

void uring_negotiate(struct session *s, const struct fuse_buf *buf)
{
	struct uring *u = s->uring;
	const char *reason = NULL;
	int err;

	if (u->relay.wanted)
		reason = not_offered(u, buf);
	if (u->relay.wanted && !reason) {
		err = rings_start(u);
		if (!err)
			err = intercept(u);
		if (err) {
			relay_undo(u);
			reason = g_strerror(-err);
		}
	}
	if (reason)
		log_warning("requests come from /dev/fuse in spite of "
			    "'io_uring': %s",
			    reason);

	fuse_session_process_buf(s->se, buf);
	if (u->relay.wanted && !reason)
		accept_offer(u);
}

void relay_replies(struct uring *u)
{
	const struct fuse_out_header *out = (const void *)u->relay.relayed;
	size_t n;

	mutex_lock(&u->relay.lock);
	while ((n = next_reply(u)))
		if (out->len != n || !entry_relay(u, out, out + 1))
			to_kernel(u, n);
	mutex_unlock(&u->relay.lock);
}

bool relay_undo(struct uring *u)
{
	struct relay *rl = &u->relay;
	bool ours;

	mutex_lock(&rl->lock);
	ours = rl->kernel >= 0 && !rl->undone;
	rl->undone = true;
	if (ours)
		dup3(rl->kernel, fuse_session_fd(u->s->se), O_CLOEXEC);
	mutex_unlock(&rl->lock);
	return ours;
}

void uring_disconnect(struct session *s)
{
	struct uring *u = s->uring;

	if (u->relay.kernel < 0)
		return;
	relay_undo(u);
	rings_end(u);
	for (unsigned i = 0; i < u->rings; i++)
		ring_leave(&u->ring[i]);
	close(u->relay.kernel);
	u->relay.kernel = -1;
}

void relay_init(struct uring *u)
{
	u->relay.wanted = u->s->over_uring;
	u->relay.kernel = -1;
	u->relay.replies = -1;
	mutex_init(&u->relay.lock);
}

void relay_close(struct uring *u)
{
	mutex_clear(&u->relay.lock);
	if (u->relay.replies >= 0)
		close(u->relay.replies);
	g_free(u->relay.relayed);
}
