/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device of copy on write: reads, flushes, the raw way; FILE is a device
 * like others here.
 *
 *   cluster   its bytes are             it becomes present
 *   absent    the lower device's        when all of it stands in FILE
 *   present   FILE's, for ever          -
 *
 * A flush with news in the map:
 *
 *   1. the pages with news are copied
 *   2. FILE is flushed: the clusters of these bits are durable
 *   3. the copies are written to FILE's bitmap
 *   4. FILE is flushed
 *
 * So no bit is on the disk without its cluster, wherever this is cut off. What
 * a crash leaves of a cluster without its bit is not seen again: the write is
 * lost as a whole, and no flush had spoken for it. A cluster that is present is
 * overwritten in place, as on any disk. Without news a flush is one of FILE.
 *
 * One flush at a time, and none goes the raw way: where one fails the kernel
 * says so once a descriptor, to whoever comes first. Another one that is under
 * way meanwhile would succeed, and speak for what is lost.
 *
 * Locks, outermost first: flushing (across I/O; who does not flush never waits
 * for it), lock (the list of copies, cow_write.c), the map's. Reads and writes
 * of what is present take none.
 */
#include "cow_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

static int cow_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct cow *cow = cow_of(dev);
	int err = 0;

	/*
	 * A cluster that turns up in FILE meanwhile holds the same as the one
	 * below wherever nobody writes.
	 */
	while (len && !err) {
		bool present;
		size_t n = cow_span(cow, pos, len, &present);

		if (present)
			err = blkdev_pread(cow->store, buf, n,
					   cow_in_store(cow, pos));
		else
			err = blkdev_pread(cow->lower, buf, n, pos);
		buf = (uint8_t *)buf + n;
		len -= n;
		pos = dev_off_add(pos, n);
	}
	return err;
}

/*
 * Where a flush failed, the kernel may have dropped what it could not write,
 * and a later flush would succeed without it.
 */
static int flush_store(struct cow *cow) REQUIRES(cow->flushing)
{
	if (!cow->failed)
		cow->failed = blkdev_flush(cow->store);
	return cow->failed;
}

static int settle(struct cow *cow) REQUIRES(cow->flushing)
{
	struct cow_leaving news;
	int err;

	cow_map_leave(&cow->map, &news);
	err = flush_store(cow);
	if (!err && news.n) {
		err = cow_map_write(&news, cow->store);
		if (!err)
			err = flush_store(cow);
	}
	cow_map_arrive(&cow->map, &news, !err);
	return err;
}

static int cow_flush(struct blkdev *dev)
{
	struct cow *cow = cow_of(dev);
	int err;

	mutex_lock(&cow->flushing);
	err = settle(cow);
	mutex_unlock(&cow->flushing);
	return err;
}

/*
 * What is present stays so, and what is absent below reads the same when others
 * bring its cluster up.
 */
static bool cow_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		    uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	struct cow *cow = cow_of(dev);
	bool present;

	if (io == BLKDEV_FLUSH)
		return false;
	if (cow_span(cow, pos, len, &present) < len)
		return false;
	if (present)
		return blkdev_raw(cow->store, io, buf, len,
				  cow_in_store(cow, pos), ret);
	return io == BLKDEV_READ &&
	       blkdev_raw(cow->lower, io, buf, len, pos, ret);
}

static void cow_free(struct cow *cow)
{
	cow_map_clear(&cow->map);
	cond_clear(&cow->over);
	mutex_clear(&cow->lock);
	mutex_clear(&cow->flushing);
	blkdev_unref(cow->store);
	blkdev_unref(cow->lower);
	g_free(cow);
}

/* A file or a disk keeps what was written to it; so does this. */
static void cow_close(struct blkdev *dev)
{
	struct cow *cow = cow_of(dev);
	int err = cow_map_settled(&cow->map) ? 0 : cow_flush(dev);

	if (err)
		log_warning("changes since the last flush are lost: the "
			    "copy-on-write file cannot be written: %s",
			    g_strerror(-err));
	cow_free(cow);
}

static const struct blkdev_ops cow_ops = {
	.name = "cow",
	.pread = cow_pread,
	.pwrite = cow_pwrite,
	.flush = cow_flush,
	.discard = cow_discard,
	.zero = cow_zero,
	.raw = cow_raw,
	.close = cow_close,
};

bool cow_info(struct blkdev *dev, struct cow_info *ret)
{
	struct cow *cow = cow_of(dev);
	const struct cow_layout *at = &cow->at;
	bool has_last = false;
	uint64_t n, bytes;

	if (dev->ops != &cow_ops)
		return false;
	n = cow_map_count(&cow->map);
	if (n)
		cow_map_run(&cow->map, at->clusters - 1, 1, &has_last);
	bytes = n * at->cluster;
	if (has_last)
		bytes -= at->clusters * at->cluster - at->size;
	*ret = (struct cow_info){
		.cluster = at->cluster,
		.clusters = at->clusters,
		.present = n,
		.bytes = bytes,
		.created = cow->created,
		.settled = cow_map_settled(&cow->map),
	};
	return true;
}

/* Everything but the map, which may be what its store says or nothing yet. */
static struct cow *create(struct blkdev *lower, struct blkdev *store,
			  const struct cow_layout *at, uint64_t created)
{
	const struct blkdev_geometry *below = blkdev_geometry(lower);
	struct blkdev_geometry geo = *blkdev_geometry(store);
	struct cow *cow = g_new0(struct cow, 1);

	geo.size = below->size;
	geo.sector = MAX(geo.sector, below->sector);
	geo.align = MAX(geo.align, below->align);
	blkdev_init(&cow->dev, &cow_ops, &geo);
	cow->lower = blkdev_ref(lower);
	cow->store = blkdev_ref(store);
	cow->at = *at;
	cow->created = created;
	mutex_init(&cow->flushing);
	mutex_init(&cow->lock);
	cond_init(&cow->over);
	cow_map_init(&cow->map, at);
	return cow;
}

static bool load_map(struct cow *cow, const struct cow_names *names,
		     GError **error)
{
	int err = cow_map_load(&cow->map, cow->store);

	if (err)
		error_set_errno(error,
				err == -EUCLEAN ? RAWMAP_ERROR_CORRUPT
						: RAWMAP_ERROR_IO,
				-err, "cannot read the bitmap of '%s'",
				names->file);
	return !err;
}

static bool make_header(struct blkdev *lower, struct blkdev *store,
			const struct cow_sample *sample,
			const struct cow_names *names, GError **error)
{
	uint64_t size = blkdev_geometry(lower)->size;
	struct cow_layout at;

	if (cow_layout_choose(size, &at))
		return cow_header_write(store, &at, sample, names, error);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "'%s' is too large for a copy-on-write file",
		    names->source);
	return false;
}

struct blkdev *cow_new(struct blkdev *lower, struct blkdev *witness,
		       struct blkdev *store, const struct cow_names *names,
		       bool fresh, GError **error)
{
	uint64_t size = blkdev_geometry(lower)->size, created;
	struct cow_layout at;
	struct cow_sample sample;
	struct cow *cow;

	g_assert(!blkdev_geometry(store)->readonly);
	cow_sample_take(witness ? witness : lower, &sample);
	if (fresh && !make_header(lower, store, &sample, names, error))
		return NULL;
	if (!cow_header_read(store, size, &sample, names, &at, &created, error))
		return NULL;
	cow = create(lower, store, &at, created);
	if (load_map(cow, names, error))
		return &cow->dev;
	cow_free(cow);
	return NULL;
}
