/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory is an anonymous mapping: huge and sparse is fine. */
#include "support/memdev.h"

#include <rawmap/base/lock.h>

#include <string.h>
#include <sys/mman.h>

struct memdev {
	struct blkdev dev; /* first */
	struct rwlock lock;
	uint8_t *bytes; /* content guarded by lock */
	size_t mapped;	/* set once */
};

static const struct blkdev_ops memdev_ops;

static struct memdev *memdev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &memdev_ops);
	return (struct memdev *)dev;
}

static int memdev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct memdev *m = memdev_of(dev);

	rwlock_rdlock(&m->lock);
	memcpy(buf, m->bytes + pos.v, len);
	rwlock_rdunlock(&m->lock);
	return 0;
}

static int memdev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	struct memdev *m = memdev_of(dev);

	rwlock_wrlock(&m->lock);
	memcpy(m->bytes + pos.v, buf, len);
	rwlock_wrunlock(&m->lock);
	return 0;
}

static int memdev_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static int memdev_fill(struct blkdev *dev, int byte, uint64_t len, dev_off pos)
{
	struct memdev *m = memdev_of(dev);

	rwlock_wrlock(&m->lock);
	memset(m->bytes + pos.v, byte, len);
	rwlock_wrunlock(&m->lock);
	return 0;
}

static int memdev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return memdev_fill(dev, MEMDEV_DISCARDED, len, pos);
}

static int memdev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return memdev_fill(dev, 0, len, pos);
}

static void memdev_close(struct blkdev *dev)
{
	struct memdev *m = memdev_of(dev);

	munmap(m->bytes, m->mapped);
	rwlock_clear(&m->lock);
	g_free(m);
}

static const struct blkdev_ops memdev_ops = {
	.name = "memory",
	.pread = memdev_pread,
	.pwrite = memdev_pwrite,
	.flush = memdev_flush,
	.discard = memdev_discard,
	.zero = memdev_zero,
	.close = memdev_close,
};

static struct memdev *create(uint64_t size, uint32_t sector, bool readonly)
{
	struct memdev *m = g_new0(struct memdev, 1);
	struct blkdev_geometry geo = {
		.size = size,
		.sector = sector,
		.align = 1,
		.readonly = readonly,
		.can_discard = !readonly,
	};

	m->mapped = size ? size : 1;
	m->bytes = mmap(NULL, m->mapped, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g_assert(m->bytes != MAP_FAILED);
	rwlock_init(&m->lock);
	blkdev_init(&m->dev, &memdev_ops, &geo);
	return m;
}

struct blkdev *memdev_new(uint64_t size, uint32_t sector)
{
	return &create(size, sector, false)->dev;
}

struct blkdev *memdev_new_readonly(const void *bytes, size_t len,
				   uint32_t sector)
{
	struct memdev *m = create(len, sector, true);

	memcpy(m->bytes, bytes, len);
	return &m->dev;
}

uint8_t *memdev_bytes(struct blkdev *dev)
{
	return memdev_of(dev)->bytes;
}

GBytes *memdev_snapshot(struct blkdev *dev)
{
	struct memdev *m = memdev_of(dev);
	GBytes *copy;

	rwlock_rdlock(&m->lock);
	copy = g_bytes_new(m->bytes, dev->geo.size);
	rwlock_rdunlock(&m->lock);
	return copy;
}

void memdev_restore(struct blkdev *dev, GBytes *snapshot)
{
	struct memdev *m = memdev_of(dev);
	gsize len;
	const void *bytes = g_bytes_get_data(snapshot, &len);

	g_assert(len == dev->geo.size);
	rwlock_wrlock(&m->lock);
	memcpy(m->bytes, bytes, len);
	rwlock_wrunlock(&m->lock);
}
