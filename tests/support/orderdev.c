/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change is looked at before it is made, and judged when it has been. */
#include "support/orderdev_priv.h"

#include <stdarg.h>

static const struct blkdev_ops orderdev_ops;

static struct orderdev *orderdev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &orderdev_ops);
	return (struct orderdev *)dev;
}

void order_complain(struct orderdev *o, const char *fmt, ...)
{
	va_list args;

	if (o->complaint)
		return;
	va_start(args, fmt);
	o->complaint = g_strdup_vprintf(fmt, args);
	va_end(args);
	if (o->fatal)
		g_error("orderdev: %s", o->complaint);
}

uint8_t *order_read(struct orderdev *o, uint64_t block)
{
	uint8_t *buf = g_malloc0(o->layout->bs);
	dev_off pos = dev_of_pblk(pblk_at(block), o->layout->bits);

	if (blkdev_pread(o->lower, buf, o->layout->bs, pos))
		g_error("orderdev: cannot read block %" G_GUINT64_FORMAT,
			block);
	return buf;
}

static void forget(struct orderdev *o)
{
	order_log_close(o);
	order_layout_free(o->layout);
	o->layout = NULL;
	o->stats.journal = false;
}

static void look(struct orderdev *o)
{
	g_autofree uint8_t *super = NULL;

	forget(o);
	o->layout = order_layout_new(o->lower);
	if (!o->layout)
		return;
	super = order_read(o, o->layout->super);
	o->recover = o->recover_durable = order_super_recovers(o, super);
	o->stats.journal = order_log_open(o);
	if (!o->stats.journal)
		forget(o);
}

/* ---- the device ---- */

static int orderdev_pread(struct blkdev *dev, void *buf, size_t len,
			  dev_off pos)
{
	return blkdev_pread(orderdev_of(dev)->lower, buf, len, pos);
}

static int orderdev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			   dev_off pos)
{
	struct orderdev *o = orderdev_of(dev);
	GArray *touches;
	int ret;

	mutex_lock(&o->lock);
	touches = order_touches(o, len, pos);
	ret = blkdev_pwrite(o->lower, buf, len, pos);
	if (!ret)
		order_judge(o, touches, false);
	g_array_unref(touches);
	mutex_unlock(&o->lock);
	return ret;
}

static int orderdev_flush(struct blkdev *dev)
{
	struct orderdev *o = orderdev_of(dev);
	int ret;

	mutex_lock(&o->lock);
	ret = blkdev_flush(o->lower);
	if (!ret) {
		o->gen++;
		o->stats.flushes++;
		if (o->layout) {
			order_log_flushed(o);
			order_jsb_flushed(o);
		}
	}
	mutex_unlock(&o->lock);
	return ret;
}

static int orderdev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct orderdev *o = orderdev_of(dev);
	GArray *touches;
	int ret;

	mutex_lock(&o->lock);
	touches = order_touches(o, len, pos);
	ret = blkdev_discard(o->lower, len, pos);
	if (!ret)
		order_judge(o, touches, true);
	g_array_unref(touches);
	mutex_unlock(&o->lock);
	return ret;
}

static int orderdev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct orderdev *o = orderdev_of(dev);
	GArray *touches;
	int ret;

	mutex_lock(&o->lock);
	touches = order_touches(o, len, pos);
	ret = blkdev_zero(o->lower, len, pos);
	if (!ret)
		order_judge(o, touches, false);
	g_array_unref(touches);
	mutex_unlock(&o->lock);
	return ret;
}

static void orderdev_close(struct blkdev *dev)
{
	struct orderdev *o = orderdev_of(dev);

	forget(o);
	mutex_clear(&o->lock);
	blkdev_unref(o->lower);
	g_free(o->complaint);
	g_free(o);
}

static const struct blkdev_ops orderdev_ops = {
	.name = "order",
	.pread = orderdev_pread,
	.pwrite = orderdev_pwrite,
	.flush = orderdev_flush,
	.discard = orderdev_discard,
	.zero = orderdev_zero,
	.close = orderdev_close,
};

struct blkdev *orderdev_new(struct blkdev *lower)
{
	struct orderdev *o = g_new0(struct orderdev, 1);

	blkdev_init(&o->dev, &orderdev_ops, blkdev_geometry(lower));
	o->lower = blkdev_ref(lower);
	o->fatal = true;
	mutex_init(&o->lock);
	look(o);
	return &o->dev;
}

void orderdev_set_fatal(struct blkdev *dev, bool fatal)
{
	struct orderdev *o = orderdev_of(dev);

	mutex_lock(&o->lock);
	o->fatal = fatal;
	mutex_unlock(&o->lock);
}

void orderdev_look(struct blkdev *dev)
{
	struct orderdev *o = orderdev_of(dev);

	mutex_lock(&o->lock);
	look(o);
	mutex_unlock(&o->lock);
}

const char *orderdev_complaint(struct blkdev *dev)
{
	struct orderdev *o = orderdev_of(dev);
	const char *complaint;

	mutex_lock(&o->lock);
	complaint = o->complaint;
	mutex_unlock(&o->lock);
	return complaint;
}

void orderdev_stats(struct blkdev *dev, struct orderdev_stats *ret)
{
	struct orderdev *o = orderdev_of(dev);

	mutex_lock(&o->lock);
	*ret = o->stats;
	mutex_unlock(&o->lock);
}
