/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parts one behind the other.
 *
 *   part[0..n)   start ascending; an empty part starts where its successor does
 *   span         the part of a request that one part serves
 *
 * Every byte below the size belongs to the last part that starts at or before
 * it: that part is not empty, since the next one starts behind the byte.
 *
 * No lock: nothing changes after concat_new().
 */
#include <rawmap/dev/concat.h>

#include <rawmap/base/bytes.h>

#include <errno.h>

struct part {
	struct blkdev *dev; /* a reference */
	uint64_t start;
};

struct concat {
	struct blkdev dev; /* first */
	size_t n;
	struct part part[];
};

struct span {
	struct blkdev *dev;
	uint64_t len;
	dev_off pos; /* there */
};

static struct concat *concat_of(struct blkdev *dev)
{
	return (struct concat *)dev;
}

static const struct part *part_at(const struct concat *c, uint64_t pos)
{
	size_t low = 0, high = c->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (c->part[mid].start <= pos)
			low = mid;
		else
			high = mid;
	}
	return &c->part[low];
}

/* As much of the range as lies in the part that it begins in. */
static struct span span_at(const struct concat *c, uint64_t len, dev_off pos)
{
	const struct part *p = part_at(c, pos.v);
	uint64_t at = pos.v - p->start;

	return (struct span){
		.dev = p->dev,
		.len = u64_min(len, blkdev_geometry(p->dev)->size - at),
		.pos = dev_off_at(at),
	};
}

static int concat_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	int ret = 0;

	while (len && !ret) {
		struct span s = span_at(concat_of(dev), len, pos);

		ret = blkdev_pread(s.dev, buf, s.len, s.pos);
		buf = (char *)buf + s.len;
		pos = dev_off_add(pos, s.len);
		len -= s.len;
	}
	return ret;
}

static int concat_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	int ret = 0;

	while (len && !ret) {
		struct span s = span_at(concat_of(dev), len, pos);

		ret = blkdev_pwrite(s.dev, buf, s.len, s.pos);
		buf = (const char *)buf + s.len;
		pos = dev_off_add(pos, s.len);
		len -= s.len;
	}
	return ret;
}

static int concat_flush(struct blkdev *dev)
{
	const struct concat *c = concat_of(dev);
	int ret = 0;

	for (size_t i = 0; i < c->n; i++) {
		int err = blkdev_flush(c->part[i].dev);

		if (!ret)
			ret = err;
	}
	return ret;
}

static int each_span(struct blkdev *dev, uint64_t len, dev_off pos,
		     int (*op)(struct blkdev *, uint64_t, dev_off))
{
	int ret = 0;

	while (len && !ret) {
		struct span s = span_at(concat_of(dev), len, pos);

		ret = op(s.dev, s.len, s.pos);
		pos = dev_off_add(pos, s.len);
		len -= s.len;
	}
	return ret;
}

static int concat_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	if (!dev->geo.can_discard)
		return -EOPNOTSUPP;
	return each_span(dev, len, pos, blkdev_discard);
}

static int concat_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return each_span(dev, len, pos, blkdev_zero);
}

/*
 * There is one place to flush only when there is one part. A range that goes on
 * behind its part is none of that part, which says so.
 */
static bool concat_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		       uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	const struct concat *c = concat_of(dev);
	const struct part *p = &c->part[0];

	if (io == BLKDEV_FLUSH && c->n > 1)
		return false;
	if (io != BLKDEV_FLUSH)
		p = part_at(c, pos.v);
	return blkdev_raw(p->dev, io, buf, len, dev_off_at(pos.v - p->start),
			  ret);
}

/* What goes the raw way is counted by the parts alone. */
static void concat_counters(const struct blkdev *dev,
			    struct blkdev_counters *ret)
{
	const struct concat *c = (const struct concat *)dev;

	*ret = (struct blkdev_counters){ 0 };
	for (size_t i = 0; i < c->n; i++) {
		struct blkdev_counters one;

		blkdev_counters(c->part[i].dev, &one);
		ret->reads += one.reads;
		ret->read_bytes += one.read_bytes;
		ret->writes += one.writes;
		ret->write_bytes += one.write_bytes;
		ret->flushes += one.flushes;
		ret->discards += one.discards;
		ret->zeros += one.zeros;
		ret->errors += one.errors;
	}
}

static void concat_close(struct blkdev *dev)
{
	struct concat *c = concat_of(dev);

	for (size_t i = 0; i < c->n; i++)
		blkdev_unref(c->part[i].dev);
	g_free(c);
}

static const struct blkdev_ops concat_ops = {
	.name = "concat",
	.pread = concat_pread,
	.pwrite = concat_pwrite,
	.flush = concat_flush,
	.discard = concat_discard,
	.zero = concat_zero,
	.raw = concat_raw,
	.counters = concat_counters,
	.close = concat_close,
};

/* Adds a part to the sum. False: too large. */
static bool add_geometry(struct blkdev_geometry *sum,
			 const struct blkdev_geometry *geo)
{
	if (!u64_add(sum->size, geo->size, &sum->size) || sum->size > INT64_MAX)
		return false;
	sum->sector = (uint32_t)u64_max(sum->sector, geo->sector);
	sum->align = (uint32_t)u64_max(sum->align, geo->align);
	sum->readonly = sum->readonly || geo->readonly;
	sum->can_discard = sum->can_discard && geo->can_discard;
	return true;
}

struct blkdev *concat_new(struct blkdev *const *parts, size_t n)
{
	struct blkdev_geometry sum = {
		.sector = 1,
		.align = 1,
		.can_discard = true,
	};
	struct concat *c;

	g_assert(n);
	for (size_t i = 0; i < n; i++)
		if (!add_geometry(&sum, blkdev_geometry(parts[i])))
			return NULL;
	c = g_malloc0(sizeof(*c) + n * sizeof(c->part[0]));
	c->n = n;
	for (size_t i = 0; i < n; i++) {
		c->part[i].dev = blkdev_ref(parts[i]);
		if (i)
			c->part[i].start = c->part[i - 1].start +
					   blkdev_geometry(parts[i - 1])->size;
	}
	blkdev_init(&c->dev, &concat_ops, &sum);
	return &c->dev;
}
