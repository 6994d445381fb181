/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block device: the one small interface below the host filesystem.
 *
 * Sources (a file or device) and filters (the overlay; in tests: fault
 * injection, recording, abort-on-write) are all a struct blkdev; whatever is
 * clever is a filter over another one.
 *
 * The functions here are the choke point: they check range, overflow and
 * read-only once and count, so that no implementation and no caller checks
 * again. An implementation's ops are called only through them, with
 * len > 0, a range inside the device, and no write operation on a read-only
 * device. Partial and unaligned requests are legal everywhere; an
 * implementation that needs alignment deals with it inside.
 *
 * A request of no bytes does nothing and returns 0, wherever it points. A
 * write operation on a read-only device is -EROFS, whatever its range.
 *
 * Every function may be called from any thread at any time.
 */
#ifndef RAWMAP_DEV_BLKDEV_H
#define RAWMAP_DEV_BLKDEV_H

#include <rawmap/base/units.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blkdev;

struct blkdev_geometry {
	uint64_t size; /* bytes */
	uint32_t sector; /* logical sector, bytes: what a disk writes atomically */
	uint32_t align; /* I/O of this alignment (position, length, memory)
				   is served without a copy; a power of two >= 1 */
	bool readonly;
	bool can_discard;
};

struct blkdev_counters { /* each read with relaxed atomics */
	uint64_t reads, read_bytes;
	uint64_t writes, write_bytes;
	uint64_t flushes, discards, zeros;
	uint64_t errors; /* of the source; not what the checks refused,
				   and not -EOPNOTSUPP */
};

/* ---- for users ---- */

/* Take or drop a reference; the last unref closes. unref accepts NULL. */
struct blkdev *blkdev_ref(struct blkdev *dev);
void blkdev_unref(struct blkdev *dev);
typedef struct blkdev blkdev; /* for g_autoptr() */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(blkdev, blkdev_unref)

const struct blkdev_geometry *blkdev_geometry(const struct blkdev *dev);
void blkdev_counters(const struct blkdev *dev, struct blkdev_counters *ret);

/*
 * Read @len bytes at device byte @pos. All or nothing.
 * Returns 0, -EINVAL (outside the device), -EIO or the errno of the source.
 */
int blkdev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos);

/*
 * Write @len bytes at device byte @pos. All or nothing as seen by the caller;
 * after an error the range holds old bytes, new bytes or a mix.
 * Returns 0, -EINVAL (outside the device), -EROFS, -ENOSPC (thin source),
 * -EIO or the errno of the source.
 * Not durable until blkdev_flush(). Callers order overlapping writes.
 */
int blkdev_pwrite(struct blkdev *dev, const void *buf, size_t len, dev_off pos);

/*
 * Everything that was written, zeroed or discarded before the call is durable
 * when this returns 0. Returns 0 or an errno of the source; 0 on a read-only
 * device.
 */
int blkdev_flush(struct blkdev *dev);

/*
 * Tell the source that nobody needs these bytes. What they read as afterwards
 * is unspecified. Returns 0, -EOPNOTSUPP, or as blkdev_pwrite().
 */
int blkdev_discard(struct blkdev *dev, uint64_t len, dev_off pos);

/*
 * Make @len bytes at @pos read as zeros, by the cheapest way that the source
 * has; writes zeros where it has none. Returns as blkdev_pwrite().
 */
int blkdev_zero(struct blkdev *dev, uint64_t len, dev_off pos);

/*
 * The same, written in any case: a source that is thin, or a sparse file, has
 * room for these bytes then. Returns as blkdev_pwrite().
 */
int blkdev_write_zeros(struct blkdev *dev, uint64_t len, dev_off pos);

enum blkdev_io { BLKDEV_READ, BLKDEV_WRITE, BLKDEV_FLUSH };

/* Where the kernel does an I/O of a range by itself. */
struct blkdev_raw {
	struct blkdev *dev; /* borrowed: the file device at the bottom */
	int fd;		    /* borrowed: its descriptor */
	dev_off pos;	    /* there */
};

/*
 * The raw way, for an engine that hands I/O to the kernel and is told later;
 * filedev.h says what it owes *ret->dev. True: reading @len bytes at @pos, or
 * writing them, is the same as doing so at @ret, with this memory; flushing is
 * flushing @ret (@len, @pos and @buf mean nothing then). It holds as long as
 * nobody else writes to the range. False: this range has none, or more than one
 * such place: the functions above do it. Never waits, does no I/O.
 */
bool blkdev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		uint64_t len, dev_off pos, struct blkdev_raw *ret);

/* ---- for implementations ---- */

struct blkdev_ops {
	const char *name;
	int (*pread)(struct blkdev *dev, void *buf, size_t len, dev_off pos);
	int (*pwrite)(struct blkdev *dev, const void *buf, size_t len,
		      dev_off pos);
	int (*flush)(struct blkdev *dev);
	/*
	 * Both optional: NULL is -EOPNOTSUPP. On -EOPNOTSUPP from zero the
	 * whole range is written with pwrite.
	 */
	int (*discard)(struct blkdev *dev, uint64_t len, dev_off pos);
	int (*zero)(struct blkdev *dev, uint64_t len, dev_off pos);
	/* Optional. A filter asks the device below, of its place there. */
	bool (*raw)(struct blkdev *dev, enum blkdev_io io, const void *buf,
		    uint64_t len, dev_off pos, struct blkdev_raw *ret);
	/*
	 * Optional: instead of what was counted here, for one that is several
	 * and is passed by on the raw way to them.
	 */
	void (*counters)(const struct blkdev *dev, struct blkdev_counters *ret);
	void (*close)(struct blkdev *dev); /* frees the whole object */
};

/* First member of every implementation's struct. */
struct blkdev {
	const struct blkdev_ops *ops; /* set once */
	struct blkdev_geometry geo;   /* set once */
	gint refs;		      /* atomic */
	struct blkdev_counters count; /* atomic */
};

/* Fill the base of a fresh object: one reference, counters at zero. */
void blkdev_init(struct blkdev *dev, const struct blkdev_ops *ops,
		 const struct blkdev_geometry *geo);

/*
 * Count an I/O that did not pass through the functions above: @len bytes that
 * ended with @err, 0 or -errno.
 */
void blkdev_count(struct blkdev *dev, enum blkdev_io io, uint64_t len, int err);

#endif
