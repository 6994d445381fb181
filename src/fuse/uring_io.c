/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read, a write or a flush on its way through the ring.
 *
 * Reads and writes go in parts, as image_begin() gives them. All segments of a
 * part are under way together; the next part begins when the last of them is
 * through. What the event thread may not do is a job for others (uring_jobs.c):
 *
 *   - to begin a part that would have to wait, load, or fill; it comes back
 *   - to end a part that has something to publish
 *   - to move what does not fit direct I/O, a write beside one of a partial
 *     sector, or one before the guard knows all that it guards
 *   - a flush with something to commit, or of a file of changes
 *   - what the kernel refuses, as it can have no thread for what may wait
 *
 * What is replied is what the synchronous calls in engine.c would say.
 */
#include "uring_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/baddev.h>
#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <string.h>

/* ---- replies, from both kinds of threads ---- */

void uring_reply(struct slot *slot)
{
	/* Before: who has the reply does not find himself in the queue. */
	image_request_end(slot->img, slot->since);
	if (slot->head)
		entry_reply(slot, slot->err, slot->done);
	else if (slot->op == BLKDEV_FLUSH || slot->err)
		fuse_reply_err(slot->req, -slot->err);
	else if (slot->op == BLKDEV_READ)
		fuse_reply_buf(slot->req, (char *)slot->buf, slot->done);
	else
		fuse_reply_write(slot->req, slot->done);
}

/* On the event thread: the loop looks for slots at each turn anyway. */
static void over(struct slot *slot)
{
	uring_reply(slot);
	slots_put(slot->home, slot);
}

/* What the device below says of it; filters above count it, too. */
static int raw_done(const struct xfer *x, enum blkdev_io io, int res)
{
	struct blkdev *dev = x->slot->ring->u->dev;
	int err = filedev_raw_done(x->at.dev, io, x->len, res);

	if (x->at.dev != dev)
		blkdev_count(dev, io, x->len, err);
	return err;
}

/* ---- flushes ---- */

static void queue_flush(struct xfer *x)
{
	struct io_uring_sqe *sqe = ring_sqe(x->slot->ring);

	io_uring_prep_fsync(sqe, x->at.fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, x);
}

static void start_flush(struct slot *slot)
{
	struct xfer *x = &slot->xfer[0];

	*x = (struct xfer){ .slot = slot };
	if (blkdev_raw(slot->ring->u->dev, BLKDEV_FLUSH, NULL, 0, dev_off_at(0),
		       &x->at) &&
	    image_flush_begin(slot->img))
		queue_flush(x);
	else
		uring_job_flush(slot);
}

static void flush_done(struct xfer *x, int res)
{
	struct slot *slot = x->slot;

	slot->err = raw_done(x, BLKDEV_FLUSH, res);
	if (!slot->err && image_flush_try_end(slot->img))
		over(slot);
	else
		uring_job_flush_end(slot);
}

/* ---- reads and writes ---- */

static bool plan_xfer(struct slot *slot, const struct image_seg *seg,
		      uint8_t *buf)
{
	struct xfer *x = &slot->xfer[slot->planned];

	*x = (struct xfer){
		.slot = slot,
		.buf = buf,
		.left = (uint32_t)seg->len,
		.len = (uint32_t)seg->len,
	};
	if (!blkdev_raw(slot->ring->u->dev, slot->op, buf, seg->len, seg->dev,
			&x->at))
		return false;
	slot->planned++;
	return slot->op == BLKDEV_READ || x->at.dev == slot->xfer[0].at.dev;
}

bool uring_fits(struct slot *slot)
{
	uint8_t *buf = slot->buf + slot->done;

	slot->planned = 0;
	for (unsigned i = 0; i < slot->io.nseg; i++) {
		const struct image_seg *seg = &slot->io.seg[i];

		if (seg->pad_head || seg->pad_tail)
			return false;
		if (seg->kind != IMAGE_SEG_ZERO &&
		    seg->kind != IMAGE_SEG_BYTES && !plan_xfer(slot, seg, buf))
			return false;
		buf += seg->len;
	}
	return true;
}

static bool hold_for_write(struct slot *slot)
{
	struct uring *u = slot->ring->u;
	struct blkdev *dev = slot->xfer[0].at.dev;

	if (slot->op == BLKDEV_READ)
		return true;
	if (!g_atomic_int_get(&u->guard_done) || !filedev_raw_hold(dev))
		return false;
	slot->held = dev;
	return true;
}

static int check_guard(const struct slot *slot)
{
	int err = 0;

	if (slot->op == BLKDEV_READ)
		return 0;
	for (unsigned i = 0; i < slot->io.nseg && !err; i++)
		err = hostfs_guard(slot->ring->u->s->fs, slot->io.seg[i].dev,
				   slot->io.seg[i].len);
	return err;
}

static void queue_xfer(struct xfer *x)
{
	struct io_uring_sqe *sqe = ring_sqe(x->slot->ring);

	if (x->slot->op == BLKDEV_READ)
		io_uring_prep_read(sqe, x->at.fd, x->buf, x->left, x->at.pos.v);
	else
		io_uring_prep_write(sqe, x->at.fd, x->buf, x->left,
				    x->at.pos.v);
	if (x->again)
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data(sqe, x);
}

static void queue_segments(struct slot *slot)
{
	uint8_t *buf = slot->buf + slot->done;

	for (unsigned i = 0; i < slot->io.nseg; i++) {
		const struct image_seg *seg = &slot->io.seg[i];

		if (seg->kind == IMAGE_SEG_ZERO)
			memset(buf, 0, seg->len);
		else if (seg->kind == IMAGE_SEG_BYTES)
			memcpy(buf, seg->bytes, seg->len);
		buf += seg->len;
	}
	slot->inflight = slot->planned;
	for (unsigned i = 0; i < slot->planned; i++)
		queue_xfer(&slot->xfer[i]);
}

/* 0: begun, and nobody has to wait for it; -EAGAIN: a job; -errno */
static int begin_part(struct slot *slot)
{
	enum image_op op = slot->op == BLKDEV_READ ? IMAGE_READ : IMAGE_WRITE;
	int err = image_begin(slot->img, op, img_off_add(slot->pos, slot->done),
			      slot->size - slot->done, IMAGE_NOWAIT, &slot->io);

	if (err)
		return err;
	if (!uring_fits(slot) || !hold_for_write(slot)) {
		image_cancel(slot->img, &slot->io);
		return -EAGAIN;
	}
	return 0;
}

static void move_part(struct slot *slot)
{
	slot->err = check_guard(slot);
	if (!slot->err)
		queue_segments(slot);
}

/* False: nothing comes behind it. */
static bool end_part(struct slot *slot)
{
	slot->err = image_end(slot->img, &slot->io, slot->err);
	if (slot->err || !slot->io.len)
		return false;
	slot->done += slot->io.len;
	return slot->done < slot->size;
}

static void moved(struct slot *slot)
{
	/* A read is never short because of an error, a write may be. */
	if (slot->op == BLKDEV_WRITE && slot->done)
		slot->err = 0;
	if (slot->sync && !slot->err)
		start_flush(slot);
	else
		over(slot);
}

static void part_over(struct slot *slot);

static void go_on(struct slot *slot)
{
	int err = begin_part(slot);

	if (err == -EAGAIN) {
		uring_job_begin(slot);
	} else if (err) {
		slot->err = err;
		moved(slot);
	} else {
		move_part(slot);
		if (!slot->inflight)
			part_over(slot);
	}
}

/* A filter may have something better to say than what lies below it. */
static bool filter_knows_better(const struct slot *slot)
{
	return slot->op == BLKDEV_READ && slot->planned &&
	       baddev_is_media_error(slot->err) &&
	       slot->xfer[0].at.dev != slot->ring->u->dev;
}

static void part_over(struct slot *slot)
{
	if (slot->held)
		filedev_raw_release(slot->held);
	slot->held = NULL;
	if (slot->refused || filter_knows_better(slot)) {
		slot->refused = false;
		uring_job_move(slot);
	} else if (image_end_blocks(&slot->io)) {
		uring_job_end(slot);
	} else if (end_part(slot)) {
		go_on(slot);
	} else {
		moved(slot);
	}
}

void uring_io_begun(struct slot *slot)
{
	if (!hold_for_write(slot)) {
		uring_job_move(slot);
		return;
	}
	move_part(slot);
	if (!slot->inflight)
		part_over(slot);
}

static void xfer_over(struct slot *slot)
{
	if (!--slot->inflight)
		part_over(slot);
}

static void xfer_done(struct xfer *x, int res)
{
	struct slot *slot = x->slot;
	int err;

	if (res > 0 && (uint32_t)res < x->left &&
	    is_aligned((uint64_t)res, blkdev_geometry(x->at.dev)->align)) {
		x->buf += res;
		x->at.pos = dev_off_add(x->at.pos, (uint32_t)res);
		x->left -= (uint32_t)res;
		queue_xfer(x);
		return;
	}
	if (res >= 0)
		res = (uint32_t)res == x->left ? 0 : -EIO;
	err = raw_done(x, slot->op, res);
	if (!slot->err)
		slot->err = err;
	xfer_over(slot);
}

/* A limit of threads: those there are do it. */
static void refused(struct xfer *x)
{
	struct slot *slot = x->slot;

	if (!x->len) {
		uring_job_flush_begun(slot);
		return;
	}
	slot->refused = true;
	xfer_over(slot);
}

void uring_io_done(struct xfer *x, int res)
{
	bool flush = !x->len;

	if (res == -EINTR || res == -EAGAIN) {
		/* By a thread of the kernel's, which waits where it must. */
		x->again = true;
		if (flush)
			queue_flush(x);
		else
			queue_xfer(x);
	} else if (res == -ECANCELED) {
		refused(x);
	} else if (flush) {
		flush_done(x, res);
	} else {
		xfer_done(x, res);
	}
}

/* ---- the engine's operations ---- */

static struct ring *ring_of_thread(struct uring *u)
{
	for (unsigned i = 1; i < u->rings; i++)
		if (pthread_equal(u->ring[i].thread, pthread_self()))
			return &u->ring[i];
	return &u->ring[0];
}

/* The slot that this thread's dispatch is about. */
static struct slot *take(struct session *s, fuse_req_t req, enum blkdev_io op,
			 struct image *img)
{
	struct ring *r = ring_of_thread(s->uring);
	struct slot *slot = g_steal_pointer(&r->current);

	g_assert(slot);
	slot->op = op;
	slot->req = req;
	slot->img = img;
	slot->since = image_request_begin(img);
	slot->buf = slot->payload;
	slot->done = 0;
	slot->sync = false;
	slot->err = 0;
	slot->inflight = 0;
	slot->refused = false;
	slot->held = NULL;
	return slot;
}

void uring_read(struct session *s, fuse_req_t req, struct image *img,
		size_t size, img_off pos)
{
	struct slot *slot = take(s, req, BLKDEV_READ, img);

	slot->size = size;
	slot->pos = pos;
	if (size > MAX_TRANSFER)
		uring_job_oversized(slot);
	else if (size)
		go_on(slot);
	else
		over(slot);
}

void uring_write(struct session *s, fuse_req_t req, struct image *img,
		 const char *buf, size_t size, img_off pos, bool sync)
{
	struct slot *slot = take(s, req, BLKDEV_WRITE, img);

	/* In the slot's memory: where the kernel put it. */
	slot->buf += buf - (const char *)slot->payload;
	slot->size = size;
	slot->pos = pos;
	slot->sync = sync;
	if (size)
		go_on(slot);
	else
		over(slot);
}

void uring_flush(struct session *s, fuse_req_t req, struct image *img)
{
	start_flush(take(s, req, BLKDEV_FLUSH, img));
}
