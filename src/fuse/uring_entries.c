/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests through the ring: FUSE over io_uring (Linux 6.14, fs/fuse/dev_uring.c).
 *
 * The kernel has a queue for each processor, and a queue has entries. An entry
 * is memory of ours, given to the kernel by a command in the very ring that has
 * the I/O. The command completes when a request stands in that memory; the next
 * one gives the reply, and the memory for another request. So one system call
 * hands over replies and I/O, and waits for both; nobody reads, writes or polls
 * per request. All queues are served by the event thread.
 *
 *   an entry is       its slot
 *   the kernel's      is in no list
 *   a request's       as any slot: the event thread's, a worker's, in the ring
 *   through           is free in entries.slots, until entries_give()
 *
 * /dev/fuse still has what nobody waits for (FORGET, INTERRUPT), and the end of
 * the mount.
 *
 * libfuse wants a message in one piece: the two headers, which the kernel
 * writes apart, are copied in front of the payload, where there is room for
 * them as a slot is laid out. The payload is where direct I/O wants it.
 */
#include "uring_proto.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The requests of one processor at a time; more wait in the kernel. */
#define LEAST_DEPTH 8

/*
 * Processors that there can ever be: "0-3" or "0-1,4-7". Without a queue for
 * each the kernel waits for the rest of them, and all requests with it.
 */
static unsigned count_queues(void)
{
	g_autofree char *text = NULL;
	const char *c;
	unsigned n = 0;

	if (!g_file_get_contents("/sys/devices/system/cpu/possible", &text,
				 NULL, NULL))
		return (unsigned)sysconf(_SC_NPROCESSORS_CONF);
	for (c = text; g_ascii_isdigit(*c); c += *c == ',') {
		char *end;
		guint64 first = g_ascii_strtoull(c, &end, 10), last = first;

		if (*end == '-')
			last = g_ascii_strtoull(end + 1, &end, 10);
		if (last < first || last > G_MAXUINT16)
			break;
		n += (unsigned)(last - first + 1);
		c = end;
	}
	return CLAMP(n, 1, G_MAXUINT16);
}

int entries_init(struct uring *u)
{
	struct entries *e = &u->entries;
	unsigned queues = count_queues();
	unsigned depth = MAX(URING_SLOTS / queues, LEAST_DEPTH);
	int err = slots_init(&e->slots, queues * depth, u);

	for (unsigned i = 0; !err && i < e->slots.n; i++) {
		struct slot *slot = &e->slots.all[i];

		slot->queue = (uint16_t)(i % queues);
		slot->head = slots_page(slot);
		slot->iov[0].iov_base = slot->head;
		slot->iov[0].iov_len = sizeof(*slot->head);
		slot->iov[1].iov_base = slot->payload;
		slot->iov[1].iov_len = MAX_TRANSFER;
	}
	return err;
}

/* ---- to the kernel ---- */

static void give(struct slot *slot)
{
	struct uring *u = slot->u;
	struct io_uring_sqe *sqe = uring_sqe(u);
	struct fuse_uring_cmd_req *cmd;

	/* It may never complete: there is nothing to wait for at the end. */
	u->outstanding--;
	memset((void *)sqe, 0, URING_SQE_LEN);
	cmd = (void *)((uint8_t *)sqe + offsetof(struct io_uring_sqe, cmd));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = u->entries.kernel;
	if (slot->unique) {
		sqe->cmd_op = FUSE_IO_URING_CMD_COMMIT_AND_FETCH;
		cmd->commit_id = slot->unique;
		u->entries.busy--;
	} else {
		sqe->cmd_op = FUSE_IO_URING_CMD_REGISTER;
		sqe->addr = (uintptr_t)slot->iov;
		sqe->len = G_N_ELEMENTS(slot->iov);
	}
	cmd->qid = slot->queue;
	io_uring_sqe_set_data64(sqe, (uintptr_t)slot | URING_ENTRY);
	slot->unique = 0;
}

void entries_give(struct uring *u)
{
	struct slot *slot;

	while ((slot = slots_get(&u->entries.slots))) {
		/* Then libfuse has, before the slot was put. */
		if (slot->unique && !slot->replied)
			relay_replies(u);
		if (slot->unique && !slot->replied)
			entry_reply(slot, -EIO, 0);
		give(slot);
	}
}

void entries_finish(struct uring *u)
{
	relay_replies(u);
	entries_give(u);
	io_uring_submit(&u->ring);
}

static void set_out(struct slot *slot, int err, size_t len)
{
	struct fuse_out_header *out = (void *)slot->head->in_out;

	out->len = (uint32_t)(sizeof(*out) + len);
	out->error = err;
	out->unique = slot->unique;
	slot->head->ring_ent_in_out.payload_sz = (uint32_t)len;
	slot->replied = true;
}

void entry_reply(struct slot *slot, int err, size_t len)
{
	const struct fuse_write_out written = { .size = (uint32_t)len };

	if (err || slot->op == BLKDEV_FLUSH) {
		len = 0;
	} else if (slot->op == BLKDEV_WRITE) {
		memcpy(slot->payload, &written, sizeof(written));
		len = sizeof(written);
	}
	set_out(slot, err, len);
	/* libfuse is told that there will be none from it. */
	if (slot->req)
		fuse_reply_none(g_steal_pointer(&slot->req));
}

bool entry_relay(struct uring *u, const struct fuse_out_header *out,
		 const void *data)
{
	const struct slots *slots = &u->entries.slots;

	for (unsigned i = 0; i < slots->n; i++) {
		struct slot *slot = &slots->all[i];
		size_t len = out->len - sizeof(*out);

		if (slot->unique != out->unique)
			continue;
		memcpy(slot->payload, data, len);
		set_out(slot, out->error, len);
		return true;
	}
	return false;
}

/* ---- from the kernel ---- */

static bool take_message(struct slot *slot)
{
	const struct fuse_in_header *in = (const void *)slot->head->in_out;
	const struct fuse_uring_ent_in_out *ent = &slot->head->ring_ent_in_out;
	size_t payload = ent->payload_sz, op;

	slot->unique = ent->commit_id;
	slot->replied = false;
	slot->req = NULL;
	slot->u->entries.busy++;
	if (payload > MAX_TRANSFER || in->len < sizeof(*in) + payload)
		return false;
	op = in->len - sizeof(*in) - payload;
	if (op > sizeof(slot->head->op_in))
		return false;
	slot->message = slot->payload - op - sizeof(*in);
	memcpy(slot->message, in, sizeof(*in));
	memcpy(slot->message + sizeof(*in), slot->head->op_in, op);
	slot->len = in->len;
	return true;
}

/* The kernel turns to /dev/fuse by itself. */
static void refused(struct uring *u, int err)
{
	if (u->entries.undone)
		return;
	log_warning("requests come from /dev/fuse, the kernel takes no queues: "
		    "%s",
		    g_strerror(-err));
	relay_undo(u);
}

void entry_done(struct slot *slot, int res)
{
	struct uring *u = slot->u;

	/* At the end they are left to the kernel, as those in /dev/fuse are. */
	if (u->over || res == -ENOTCONN || res == -ECONNABORTED)
		return;
	if (res < 0) {
		if (slot->len)
			uring_end(u, res);
		else
			refused(u, res);
	} else if (take_message(slot)) {
		uring_dispatch(u, slot);
	} else {
		entry_reply(slot, -EIO, 0);
		slots_put(slot->home, slot);
	}
}
