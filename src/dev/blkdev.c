/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The choke point of all device I/O.
 *
 * Owns reference counts, counters and the checks that hold for every device:
 * what passes here has a length, lies inside the device and changes nothing on
 * a read-only one. Implementations rely on it and never check again.
 *
 * No lock: the geometry is constant, the rest is atomic.
 */
#include <rawmap/dev/blkdev.h>

#include <rawmap/base/bytes.h>

#include <errno.h>

/* Bounds the memory of a zero that has to be written. */
#define ZERO_CHUNK (UINT64_C(1) << 20)
/* Fits the direct I/O of every device; more costs nothing. */
#define ZERO_ALIGN 4096

static void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t count_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* "Cannot do that" is an answer, not an error of the source. */
static int done(struct blkdev *dev, int ret)
{
	g_assert(ret <= 0);
	if (ret < 0 && ret != -EOPNOTSUPP)
		count_add(&dev->count.errors, 1);
	return ret;
}

static int check_change(const struct blkdev *dev, uint64_t len, dev_off pos)
{
	if (dev->geo.readonly)
		return -EROFS;
	return range_within(pos.v, len, dev->geo.size) ? 0 : -EINVAL;
}

static int write_zeros(struct blkdev *dev, uint64_t len, dev_off pos)
{
	size_t align = u64_max(dev->geo.align, ZERO_ALIGN);
	size_t chunk = align_ceil(u64_min(len, ZERO_CHUNK), align);
	void *zeros = bytes_aligned_new(chunk, align);
	int ret = 0;

	while (len && !ret) {
		size_t n = u64_min(len, chunk);

		ret = dev->ops->pwrite(dev, zeros, n, pos);
		pos = dev_off_add(pos, n);
		len -= n;
	}
	bytes_aligned_free(zeros);
	return ret;
}

void blkdev_init(struct blkdev *dev, const struct blkdev_ops *ops,
		 const struct blkdev_geometry *geo)
{
	g_assert(ops->pread && ops->pwrite && ops->flush && ops->close);
	g_assert(is_power_of_two(geo->align) && is_power_of_two(geo->sector));
	dev->ops = ops;
	dev->geo = *geo;
	dev->refs = 1;
	dev->count = (struct blkdev_counters){ 0 };
}

struct blkdev *blkdev_ref(struct blkdev *dev)
{
	g_atomic_int_inc(&dev->refs);
	return dev;
}

void blkdev_unref(struct blkdev *dev)
{
	if (dev && g_atomic_int_dec_and_test(&dev->refs))
		dev->ops->close(dev);
}

const struct blkdev_geometry *blkdev_geometry(const struct blkdev *dev)
{
	return &dev->geo;
}

void blkdev_counters(const struct blkdev *dev, struct blkdev_counters *ret)
{
	const struct blkdev_counters *c = &dev->count;

	if (dev->ops->counters) {
		dev->ops->counters(dev, ret);
		return;
	}
	*ret = (struct blkdev_counters){
		.reads = count_get(&c->reads),
		.read_bytes = count_get(&c->read_bytes),
		.writes = count_get(&c->writes),
		.write_bytes = count_get(&c->write_bytes),
		.flushes = count_get(&c->flushes),
		.discards = count_get(&c->discards),
		.zeros = count_get(&c->zeros),
		.errors = count_get(&c->errors),
	};
}

static void count_io(struct blkdev *dev, enum blkdev_io io, uint64_t len)
{
	struct blkdev_counters *c = &dev->count;

	switch (io) {
	case BLKDEV_READ:
		count_add(&c->reads, 1);
		count_add(&c->read_bytes, len);
		break;
	case BLKDEV_WRITE:
		count_add(&c->writes, 1);
		count_add(&c->write_bytes, len);
		break;
	case BLKDEV_FLUSH:
		count_add(&c->flushes, 1);
		break;
	}
}

void blkdev_count(struct blkdev *dev, enum blkdev_io io, uint64_t len, int err)
{
	count_io(dev, io, len);
	done(dev, err);
}

bool blkdev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	if (!dev->ops->raw || (dev->geo.readonly && io != BLKDEV_READ))
		return false;
	if (io != BLKDEV_FLUSH &&
	    (!len || !range_within(pos.v, len, dev->geo.size)))
		return false;
	return dev->ops->raw(dev, io, buf, len, pos, ret);
}

int blkdev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	if (!len)
		return 0;
	if (!range_within(pos.v, len, dev->geo.size))
		return -EINVAL;
	count_io(dev, BLKDEV_READ, len);
	return done(dev, dev->ops->pread(dev, buf, len, pos));
}

int blkdev_pwrite(struct blkdev *dev, const void *buf, size_t len, dev_off pos)
{
	int ret;

	if (!len)
		return 0;
	ret = check_change(dev, len, pos);
	if (ret)
		return ret;
	count_io(dev, BLKDEV_WRITE, len);
	return done(dev, dev->ops->pwrite(dev, buf, len, pos));
}

int blkdev_flush(struct blkdev *dev)
{
	if (dev->geo.readonly)
		return 0;
	count_io(dev, BLKDEV_FLUSH, 0);
	return done(dev, dev->ops->flush(dev));
}

int blkdev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	int ret;

	if (!len)
		return 0;
	ret = check_change(dev, len, pos);
	if (ret)
		return ret;
	if (!dev->ops->discard)
		return -EOPNOTSUPP;
	count_add(&dev->count.discards, 1);
	return done(dev, dev->ops->discard(dev, len, pos));
}

int blkdev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	int ret;

	if (!len)
		return 0;
	ret = check_change(dev, len, pos);
	if (ret)
		return ret;
	count_add(&dev->count.zeros, 1);
	ret = dev->ops->zero ? dev->ops->zero(dev, len, pos) : -EOPNOTSUPP;
	if (ret == -EOPNOTSUPP)
		ret = write_zeros(dev, len, pos);
	return done(dev, ret);
}

int blkdev_write_zeros(struct blkdev *dev, uint64_t len, dev_off pos)
{
	int ret;

	if (!len)
		return 0;
	ret = check_change(dev, len, pos);
	if (ret)
		return ret;
	count_io(dev, BLKDEV_WRITE, len);
	return done(dev, write_zeros(dev, len, pos));
}
