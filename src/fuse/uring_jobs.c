/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is done for a request beside the event thread, on one of three lanes:
 *
 *   lane      threads   has                          may wait for
 *   workers   many      whatever may wait            anything
 *   host      one       begin and end of fills       the host, the device, a
 *                                                    commit; no range lock
 *   ends      one       ends of flushes              the host's lock, and
 *                                                    the device for one that
 *                                                    the kernel has refused
 *
 * A fill is three steps. The host lane reserves the blocks, the event thread
 * moves the bytes, the host lane publishes. One thread that does one step after
 * the other gets its lock for nothing, where many would wake each other for it,
 * and blocks are given out in the order of the requests.
 *
 * Why three: slots on the host lane may have a range locked, so nothing on it
 * waits for a range. And all workers, and the host lane, may be waiting for a
 * flush to end, so that is on neither.
 */
#include "uring_priv.h"

#include <errno.h>

static void add(struct workers *lane, struct slot *slot,
		void (*work)(struct slot *))
{
	slot->work = work;
	workers_add(lane, slot);
}

/* ---- whole requests, as the other engine does them ---- */

static void put_replied(struct slot *slot)
{
	uring_reply(slot);
	uring_put(slot);
}

static void work_read(struct slot *slot)
{
	ssize_t n = engine_pread(slot->img, slot->buf + slot->done,
				 slot->size - slot->done,
				 img_off_add(slot->pos, slot->done));

	if (n < 0)
		slot->err = (int)n;
	else
		slot->done += (size_t)n;
	put_replied(slot);
}

/* The guard has been asked, and could tell. */
static void guard_knows(struct uring *u)
{
	g_atomic_int_set(&u->guard_done, 1);
}

static void work_changed(struct slot *slot)
{
	if (slot->sync)
		slot->err = image_flush(slot->img);
	put_replied(slot);
}

/* An error behind the first byte makes it short, as in image_pwrite(). */
static void work_write(struct slot *slot)
{
	ssize_t n = image_pwrite(slot->img, slot->buf + slot->done,
				 slot->size - slot->done,
				 img_off_add(slot->pos, slot->done));

	if (n > 0) {
		slot->done += (size_t)n;
		guard_knows(slot->ring->u);
	}
	if (!slot->done && n < 0) {
		slot->err = (int)n;
		put_replied(slot);
	} else {
		work_changed(slot);
	}
}

/* More than was agreed on: no slot has room for it. Counted there. */
static void work_oversized(struct slot *slot)
{
	image_request_end(slot->img, slot->since);
	engine_threads.read(slot->ring->u->s, slot->req, slot->img, slot->size,
			    slot->pos);
	uring_put(slot);
}

void uring_job_oversized(struct slot *slot)
{
	add(&slot->ring->u->workers, slot, work_oversized);
}

/* ---- flushes ---- */

static void work_flush(struct slot *slot)
{
	slot->err = image_flush(slot->img);
	put_replied(slot);
}

void uring_job_flush(struct slot *slot)
{
	add(&slot->ring->u->workers, slot, work_flush);
}

static void work_flush_end(struct slot *slot)
{
	slot->err = image_flush_end(slot->img, slot->err);
	put_replied(slot);
}

void uring_job_flush_end(struct slot *slot)
{
	add(&slot->ring->u->ends, slot, work_flush_end);
}

static void work_flush_begun(struct slot *slot)
{
	slot->err = blkdev_flush(slot->ring->u->dev);
	work_flush_end(slot);
}

void uring_job_flush_begun(struct slot *slot)
{
	add(&slot->ring->u->ends, slot, work_flush_begun);
}

/* ---- parts ---- */

/* Everything was moved, or something failed. */
static void part_is_last(struct slot *slot)
{
	if (slot->op == BLKDEV_WRITE && slot->done)
		slot->err = 0;
	if (slot->sync && !slot->err)
		add(&slot->ring->u->workers, slot, work_changed);
	else
		put_replied(slot);
}

static void begin(struct slot *slot)
{
	struct uring *u = slot->ring->u;
	enum image_op op = slot->op == BLKDEV_READ ? IMAGE_READ : IMAGE_WRITE;

	slot->err =
		image_begin(slot->img, op, img_off_add(slot->pos, slot->done),
			    slot->size - slot->done, IMAGE_TRYLOCK, &slot->io);
	if (!slot->err && slot->io.fill.n)
		guard_knows(u);
}

/* An I/O was begun that the ring cannot do. */
static void move(struct slot *slot)
{
	slot->err =
		image_transfer(slot->img, &slot->io, slot->buf + slot->done);
	if (!slot->err && slot->op == BLKDEV_WRITE)
		guard_knows(slot->ring->u);
}

/* False: nothing comes behind it. */
static bool end(struct slot *slot)
{
	slot->err = image_end(slot->img, &slot->io, slot->err);
	if (slot->err || !slot->io.len)
		return false;
	slot->done += slot->io.len;
	return slot->done < slot->size;
}

static void work_begin(struct slot *slot)
{
	do {
		begin(slot);
		if (slot->err == -EAGAIN) {
			slot->err = 0;
			add(&slot->ring->u->workers, slot,
			    slot->op == BLKDEV_READ ? work_read : work_write);
			return;
		}
		if (slot->err)
			break;
		if (uring_fits(slot)) {
			uring_give_back(slot);
			return;
		}
		move(slot);
	} while (end(slot));
	part_is_last(slot);
}

static void work_end(struct slot *slot)
{
	if (end(slot))
		work_begin(slot);
	else
		part_is_last(slot);
}

static void work_move(struct slot *slot)
{
	move(slot);
	work_end(slot);
}

void uring_job_begin(struct slot *slot)
{
	uint64_t mask = (UINT64_C(1) << image_block_bits(slot->img)) - 1;
	bool whole = !((slot->pos.v | slot->size) & mask);

	/* A part of a block needs zeros around it when it is new. */
	if (slot->op == BLKDEV_READ)
		add(&slot->ring->u->workers, slot, work_begin);
	else if (whole)
		add(&slot->ring->u->host, slot, work_begin);
	else
		add(&slot->ring->u->workers, slot, work_write);
}

void uring_job_move(struct slot *slot)
{
	add(&slot->ring->u->host, slot, work_move);
}

void uring_job_end(struct slot *slot)
{
	add(&slot->ring->u->host, slot, work_end);
}

void uring_job_message(struct slot *slot, void (*work)(struct slot *))
{
	add(&slot->ring->u->workers, slot, work);
}
