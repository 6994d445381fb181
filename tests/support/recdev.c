/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event is allocated on its own: growing the record moves none. */
#include "support/recdev.h"

#include <rawmap/base/lock.h>

#include <string.h>

struct recdev {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	struct mutex lock;
	GPtrArray *events; /* guarded by lock */
	unsigned epoch;	   /* guarded by lock: the one under way */
};

static const struct blkdev_ops recdev_ops;

static struct recdev *recdev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &recdev_ops);
	return (struct recdev *)dev;
}

static void event_free(gpointer data)
{
	struct recdev_event *e = data;

	g_free(e->bytes);
	g_free(e);
}

static struct recdev_event *record(struct recdev *r, enum recdev_kind kind,
				   uint64_t len, dev_off pos) REQUIRES(r->lock)
{
	struct recdev_event *e = g_new0(struct recdev_event, 1);

	e->kind = kind;
	e->epoch = r->epoch;
	e->since = r->epoch;
	e->pos = pos;
	e->len = len;
	g_ptr_array_add(r->events, e);
	return e;
}

static int recdev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	return blkdev_pread(recdev_of(dev)->lower, buf, len, pos);
}

static int recdev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	struct recdev *r = recdev_of(dev);
	int ret;

	mutex_lock(&r->lock);
	ret = blkdev_pwrite(r->lower, buf, len, pos);
	if (!ret)
		record(r, RECDEV_WRITE, len, pos)->bytes = g_memdup2(buf, len);
	mutex_unlock(&r->lock);
	return ret;
}

static int recdev_flush(struct blkdev *dev)
{
	struct recdev *r = recdev_of(dev);
	int ret;

	mutex_lock(&r->lock);
	ret = blkdev_flush(r->lower);
	if (!ret) {
		record(r, RECDEV_FLUSH, 0, dev_off_at(0));
		r->epoch++;
	}
	mutex_unlock(&r->lock);
	return ret;
}

static int recdev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct recdev *r = recdev_of(dev);
	int ret;

	mutex_lock(&r->lock);
	ret = blkdev_discard(r->lower, len, pos);
	if (!ret)
		record(r, RECDEV_DISCARD, len, pos);
	mutex_unlock(&r->lock);
	return ret;
}

static int recdev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct recdev *r = recdev_of(dev);
	int ret;

	mutex_lock(&r->lock);
	ret = blkdev_zero(r->lower, len, pos);
	if (!ret)
		record(r, RECDEV_ZERO, len, pos);
	mutex_unlock(&r->lock);
	return ret;
}

static void recdev_close(struct blkdev *dev)
{
	struct recdev *r = recdev_of(dev);

	g_ptr_array_unref(r->events);
	mutex_clear(&r->lock);
	blkdev_unref(r->lower);
	g_free(r);
}

static const struct blkdev_ops recdev_ops = {
	.name = "record",
	.pread = recdev_pread,
	.pwrite = recdev_pwrite,
	.flush = recdev_flush,
	.discard = recdev_discard,
	.zero = recdev_zero,
	.close = recdev_close,
};

static bool is_change(const struct recdev_event *e)
{
	return e->kind == RECDEV_WRITE || e->kind == RECDEV_ZERO ||
	       e->kind == RECDEV_DISCARD;
}

/* Half of the sectors that the event touches, as bytes from its start. */
static uint64_t half_of(const struct recdev_event *e, uint32_t sector)
{
	uint64_t first = e->pos.v / sector;
	uint64_t n = (e->pos.v + e->len - 1) / sector - first + 1;
	uint64_t middle = (first + n / 2) * sector;

	return middle > e->pos.v ? middle - e->pos.v : 0;
}

static void apply(const struct recdev_event *e, enum recdev_fate fate,
		  uint32_t sector, uint8_t *bytes)
{
	uint64_t from = 0, to = e->len;

	if (fate == RECDEV_LOST)
		return;
	if (fate == RECDEV_HEAD)
		to = half_of(e, sector);
	else if (fate == RECDEV_TAIL)
		from = half_of(e, sector);
	bytes += e->pos.v + from;
	if (e->kind == RECDEV_WRITE)
		memcpy(bytes, e->bytes + from, to - from);
	else
		memset(bytes, e->kind == RECDEV_ZERO ? 0 : RECDEV_DISCARDED,
		       to - from);
}

struct blkdev *recdev_new(struct blkdev *lower)
{
	struct recdev *r = g_new0(struct recdev, 1);

	blkdev_init(&r->dev, &recdev_ops, blkdev_geometry(lower));
	r->lower = blkdev_ref(lower);
	mutex_init(&r->lock);
	r->events = g_ptr_array_new_with_free_func(event_free);
	return &r->dev;
}

void recdev_began(struct blkdev *dev, unsigned since)
{
	struct recdev *r = recdev_of(dev);
	struct recdev_event *e;

	mutex_lock(&r->lock);
	e = r->events->pdata[r->events->len - 1];
	g_assert(since <= e->epoch);
	e->since = since;
	mutex_unlock(&r->lock);
}

void recdev_mark(struct blkdev *dev, int id)
{
	struct recdev *r = recdev_of(dev);

	mutex_lock(&r->lock);
	record(r, RECDEV_MARK, 0, dev_off_at(0))->mark = id;
	mutex_unlock(&r->lock);
}

GPtrArray *recdev_events(struct blkdev *dev)
{
	struct recdev *r = recdev_of(dev);
	GPtrArray *all = g_ptr_array_new();

	mutex_lock(&r->lock);
	for (guint i = 0; i < r->events->len; i++)
		g_ptr_array_add(all, r->events->pdata[i]);
	mutex_unlock(&r->lock);
	return all;
}

void recdev_clear(struct blkdev *dev)
{
	struct recdev *r = recdev_of(dev);

	mutex_lock(&r->lock);
	g_ptr_array_set_size(r->events, 0);
	r->epoch = 0;
	mutex_unlock(&r->lock);
}

unsigned recdev_epochs(struct blkdev *dev)
{
	struct recdev *r = recdev_of(dev);
	unsigned n;

	mutex_lock(&r->lock);
	n = r->epoch + 1;
	mutex_unlock(&r->lock);
	return n;
}

gssize recdev_find_mark(struct blkdev *dev, int id)
{
	g_autoptr(GPtrArray) all = recdev_events(dev);

	for (guint i = 0; i < all->len; i++) {
		const struct recdev_event *e = all->pdata[i];

		if (e->kind == RECDEV_MARK && e->mark == id)
			return i;
	}
	return -1;
}

size_t recdev_changes(struct blkdev *dev, unsigned epoch)
{
	g_autoptr(GPtrArray) all = recdev_events(dev);
	size_t n = 0;

	for (guint i = 0; i < all->len; i++) {
		const struct recdev_event *e = all->pdata[i];

		n += is_change(e) && e->epoch == epoch;
	}
	return n;
}

void recdev_replay(struct blkdev *dev, unsigned epoch,
		   const enum recdev_fate *fates, uint8_t *bytes)
{
	g_autoptr(GPtrArray) all = recdev_events(dev);
	uint32_t sector = blkdev_geometry(dev)->sector;
	size_t n = 0;

	for (guint i = 0; i < all->len; i++) {
		const struct recdev_event *e = all->pdata[i];

		if (!is_change(e) || e->epoch > epoch)
			continue;
		if (e->epoch < epoch)
			apply(e, RECDEV_KEPT, sector, bytes);
		else if (fates)
			apply(e, fates[n++], sector, bytes);
	}
}

void recdev_replay_prefix(struct blkdev *dev, size_t n, uint8_t *bytes)
{
	g_autoptr(GPtrArray) all = recdev_events(dev);
	uint32_t sector = blkdev_geometry(dev)->sector;

	for (size_t i = 0; i < n && i < all->len; i++) {
		const struct recdev_event *e = all->pdata[i];

		if (is_change(e))
			apply(e, RECDEV_KEPT, sector, bytes);
	}
}
