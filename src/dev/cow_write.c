/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes, zeros and discards of copy on write.
 *
 *   range                           write, zero
 *   clusters that FILE has          there, at once
 *   whole clusters that it lacks    there, then their bits
 *   part of one that it lacks       copied up: below
 *
 * To copy up is to read the cluster from below, put the new bytes over it,
 * write it to FILE as a whole and set its bit. Two writers of parts of one
 * cluster must not both do that, or the later would undo the earlier: whoever
 * copies a cluster has an entry in the list of copies meanwhile, another one
 * who comes to this very cluster waits, and finds it in FILE afterwards. The
 * list is as long as there are threads; nobody waits for another cluster.
 *
 * A whole cluster needs no entry: who writes it covers all that others could
 * write to it, and overlapping writes are the callers' to order.
 *
 * A bit is set when the bytes stand in FILE, and before the write is answered:
 * a flush that comes later finds both. When anything fails before that, the
 * cluster is what it was.
 *
 * What FILE holds at a cluster without its bit is left over from a crash, or
 * nothing: it is never read, and a zero that brings the cluster to life has to
 * make it zeros.
 */
#include "cow_priv.h"

#include <rawmap/base/bytes.h>

#include <string.h>

/* Zeros when @buf is NULL. */
struct change {
	const uint8_t *buf;
	uint64_t len;
	dev_off pos;
};

static int put(struct cow *cow, const struct change *c)
{
	dev_off pos = cow_in_store(cow, c->pos);

	if (c->buf)
		return blkdev_pwrite(cow->store, c->buf, c->len, pos);
	return blkdev_zero(cow->store, c->len, pos);
}

/* ---- part of a cluster ---- */

static struct cow_copy **find_copy(struct cow *cow, uint64_t cluster)
	REQUIRES(cow->lock)
{
	struct cow_copy **at = &cow->copies;

	while (*at && (*at)->cluster != cluster)
		at = &(*at)->next;
	return at;
}

static void copy_begin(struct cow *cow, struct cow_copy *self)
{
	struct cow_copy **at;

	mutex_lock(&cow->lock);
	while (*(at = find_copy(cow, self->cluster)))
		cond_wait(&cow->over, &cow->lock);
	self->next = NULL;
	*at = self;
	mutex_unlock(&cow->lock);
}

static void copy_end(struct cow *cow, struct cow_copy *self)
{
	mutex_lock(&cow->lock);
	*find_copy(cow, self->cluster) = self->next;
	cond_broadcast(&cow->over);
	mutex_unlock(&cow->lock);
}

/*
 * The bytes of the cluster around the @len at @head. In one read; but sectors
 * that are to be overwritten may be bad, that is how they are healed.
 */
static int read_around(struct cow *cow, uint8_t *buf, uint64_t start,
		       uint64_t valid, uint64_t head, uint64_t len)
{
	uint64_t tail = head + len;
	int err = blkdev_pread(cow->lower, buf, valid, dev_off_at(start));

	if (!err)
		return 0;
	err = blkdev_pread(cow->lower, buf, head, dev_off_at(start));
	if (err)
		return err;
	return blkdev_pread(cow->lower, buf + tail, valid - tail,
			    dev_off_at(start + tail));
}

static int copy_up(struct cow *cow, const struct change *c)
{
	uint32_t cluster = cow->at.cluster;
	uint64_t start = align_floor(c->pos.v, cluster);
	uint64_t head = c->pos.v - start;
	uint64_t valid = u64_min(cluster, cow->at.size - start);
	uint8_t *buf = bytes_aligned_new(cluster, COW_PAGE);
	int err = read_around(cow, buf, start, valid, head, c->len);

	if (!err && c->buf)
		memcpy(buf + head, c->buf, c->len);
	else if (!err)
		memset(buf + head, 0, c->len);
	/* As a whole, behind the device's end, too: aligned, whatever that is. */
	if (!err)
		err = blkdev_pwrite(cow->store, buf, cluster,
				    cow_in_store(cow, dev_off_at(start)));
	if (!err)
		cow_map_set(&cow->map, start / cluster, 1);
	bytes_aligned_free(buf);
	return err;
}

static int put_part(struct cow *cow, const struct change *c)
{
	struct cow_copy self = { .cluster = c->pos.v / cow->at.cluster };
	bool present;
	int err = 0;

	copy_begin(cow, &self);
	cow_map_run(&cow->map, self.cluster, 1, &present);
	if (!present)
		err = copy_up(cow, c);
	copy_end(cow, &self);
	return present ? put(cow, c) : err;
}

/* ---- any range ---- */

static int put_whole(struct cow *cow, const struct change *c)
{
	uint64_t first = c->pos.v / cow->at.cluster;
	uint64_t last = (c->pos.v + c->len - 1) / cow->at.cluster;
	int err = put(cow, c);

	if (!err)
		cow_map_set(&cow->map, first, last - first + 1);
	return err;
}

/* Of clusters that FILE lacks: those at the start of @c that are whole. */
static uint64_t whole_len(const struct cow *cow, const struct change *c)
{
	uint32_t cluster = cow->at.cluster;

	return is_aligned(c->pos.v, cluster) ? align_floor(c->len, cluster) : 0;
}

/* A beginning of the range; *ret_done bytes of it. */
static int put_some(struct cow *cow, const struct change *all,
		    uint64_t *ret_done)
{
	uint64_t in_cluster = all->pos.v & (cow->at.cluster - 1);
	struct change c = *all;
	uint64_t whole;
	bool present;

	c.len = cow_span(cow, all->pos, all->len, &present);
	*ret_done = c.len;
	if (present)
		return put(cow, &c);
	whole = whole_len(cow, &c);
	if (whole) {
		*ret_done = c.len = whole;
		return put_whole(cow, &c);
	}
	*ret_done = c.len = u64_min(c.len, cow->at.cluster - in_cluster);
	return put_part(cow, &c);
}

static int put_all(struct cow *cow, struct change c)
{
	int err = 0;

	while (c.len && !err) {
		uint64_t n;

		err = put_some(cow, &c, &n);
		if (c.buf)
			c.buf += n;
		c.len -= n;
		c.pos = dev_off_add(c.pos, n);
	}
	return err;
}

int cow_pwrite(struct blkdev *dev, const void *buf, size_t len, dev_off pos)
{
	return put_all(cow_of(dev), (struct change){ buf, len, pos });
}

int cow_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return put_all(cow_of(dev), (struct change){ NULL, len, pos });
}

/*
 * In FILE, whether it has these clusters or not; there is nothing of those that
 * it lacks. Bits stay: bytes of the lower device that were covered once would
 * come to light again.
 */
int cow_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct cow *cow = cow_of(dev);

	return blkdev_discard(cow->store, len, cow_in_store(cow, pos));
}
