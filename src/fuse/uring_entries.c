/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests through the ring: FUSE over io_uring (Linux 6.14, fs/fuse/dev_uring.c).
 *
 * The kernel has a queue for each processor, and a queue has entries. An entry
 * is memory of ours, given to the kernel by a command in the very ring that has
 * the I/O. The command completes when a request stands in that memory; the next
 * one gives the reply, and the memory for another request. So one system call
 * hands over replies and I/O, and waits for both; nobody reads, writes or polls
 * per request. Queues are shared out among the rings, one after the other.
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

/* "0-3" or "0-1,4-7". The kernel waits for the queues of all of them. */
unsigned entries_queues(void)
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

int entries_init(struct ring *r)
{
	struct slots *slots = &r->entries.slots;
	unsigned rings = r->u->rings, queues = entries_queues();
	unsigned depth = MAX(URING_SLOTS / queues, LEAST_DEPTH);
	unsigned mine = (queues - r->nr + rings - 1) / rings;
	int err = slots_init(slots, mine * depth, r);

	for (unsigned i = 0; !err && i < slots->n; i++) {
		struct slot *slot = &slots->all[i];

		slot->queue = (uint16_t)(r->nr + i % mine * rings);
		slot->head = slots_page(slot);
		slot->iov[0].iov_base = slot->head;
		slot->iov[0].iov_len = sizeof(*slot->head);
		slot->iov[1].iov_base = slot->payload;
		slot->iov[1].iov_len = MAX_TRANSFER;
	}
	return err;
}

/* ---- what a slot says to all rings ---- */

static uint64_t unique_of(const struct slot *slot)
{
	return __atomic_load_n(&slot->unique, __ATOMIC_RELAXED);
}

static void set_unique(struct slot *slot, uint64_t unique)
{
	__atomic_store_n(&slot->unique, unique, __ATOMIC_RELAXED);
}

/* With it come head and payload. */
static bool is_replied(const struct slot *slot)
{
	return __atomic_load_n(&slot->replied, __ATOMIC_ACQUIRE);
}

static void set_replied(struct slot *slot, bool replied)
{
	__atomic_store_n(&slot->replied, replied, __ATOMIC_RELEASE);
}

/* ---- to the kernel ---- */

static void give(struct slot *slot)
{
	struct ring *r = slot->ring;
	struct io_uring_sqe *sqe = ring_sqe(r);
	struct fuse_uring_cmd_req *cmd;

	/* It may never complete: there is nothing to wait for at the end. */
	r->outstanding--;
	memset((void *)sqe, 0, URING_SQE_LEN);
	cmd = (void *)((uint8_t *)sqe + offsetof(struct io_uring_sqe, cmd));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = r->u->relay.kernel;
	cmd->commit_id = unique_of(slot);
	if (cmd->commit_id) {
		sqe->cmd_op = FUSE_IO_URING_CMD_COMMIT_AND_FETCH;
		r->entries.busy--;
	} else {
		sqe->cmd_op = FUSE_IO_URING_CMD_REGISTER;
		sqe->addr = (uintptr_t)slot->iov;
		sqe->len = G_N_ELEMENTS(slot->iov);
	}
	cmd->qid = slot->queue;
	io_uring_sqe_set_data64(sqe, (uintptr_t)slot | URING_ENTRY);
	set_unique(slot, 0);
}

static void give_replied(struct slot *slot)
{
	bool asked = unique_of(slot);

	/* Then libfuse has, before the slot was put. */
	if (asked && !is_replied(slot))
		relay_replies(slot->ring->u);
	if (asked && !is_replied(slot))
		entry_reply(slot, -EIO, 0);
	give(slot);
}

void entries_give(struct ring *r)
{
	struct slot *slot;

	while ((slot = slots_get(&r->entries.slots)))
		give_replied(slot);
}

void entries_finish(struct ring *r)
{
	relay_replies(r->u);
	entries_give(r);
	io_uring_submit(&r->io);
}

static void set_out(struct slot *slot, int err, size_t len)
{
	struct fuse_out_header *out = (void *)slot->head->in_out;

	out->len = (uint32_t)(sizeof(*out) + len);
	out->error = err;
	out->unique = unique_of(slot);
	slot->head->ring_ent_in_out.payload_sz = (uint32_t)len;
	set_replied(slot, true);
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

static struct slot *asked(struct slots *slots, uint64_t unique)
{
	for (unsigned i = 0; i < slots->n; i++)
		if (unique_of(&slots->all[i]) == unique)
			return &slots->all[i];
	return NULL;
}

bool entry_relay(struct uring *u, const struct fuse_out_header *out,
		 const void *data)
{
	size_t len = out->len - sizeof(*out);

	for (unsigned i = 0; i < u->rings; i++) {
		struct slot *slot =
			asked(&u->ring[i].entries.slots, out->unique);

		if (!slot)
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

	set_replied(slot, false);
	set_unique(slot, ent->commit_id);
	slot->req = NULL;
	slot->ring->entries.busy++;
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
	if (relay_undo(u))
		log_warning("requests come from /dev/fuse, the kernel takes no "
			    "queues: %s",
			    g_strerror(-err));
}

void entry_done(struct slot *slot, int res)
{
	struct uring *u = slot->ring->u;

	/* At the end they are left to the kernel, as those in /dev/fuse are. */
	if (uring_is_over(u) || res == -ENOTCONN || res == -ECONNABORTED)
		return;
	if (res < 0) {
		if (slot->len)
			uring_end(u, res);
		else
			refused(u, res);
	} else if (take_message(slot)) {
		uring_dispatch(slot);
	} else {
		entry_reply(slot, -EIO, 0);
		slots_put(slot->home, slot);
	}
}
