/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source that is a block device or a regular file (a disk image).
 *
 * With O_DIRECT wherever the source can: `auto` tries and falls back (and says
 * so in the debug log), `on` insists, `off` is buffered. Unaligned requests on
 * a direct source are exact: the ragged edges are read, changed and written
 * under a lock that excludes every other write to the same device meanwhile.
 */
#ifndef RAWMAP_DEV_FILEDEV_H
#define RAWMAP_DEV_FILEDEV_H

#include <rawmap/dev/blkdev.h>

enum filedev_direct {
	FILEDEV_DIRECT_AUTO,
	FILEDEV_DIRECT_ON,
	FILEDEV_DIRECT_OFF
};

struct filedev_options {
	bool readonly;
	enum filedev_direct direct;
	/*
	 * Take ownership, until close: read-write an exclusive flock, and on a
	 * block device O_EXCL (nobody can mount it meanwhile); read-only a
	 * shared flock.
	 */
	bool lock;
};

/*
 * Returns the device, one reference, or NULL with a sentence: NOT_FOUND,
 * BUSY (mounted, or held by another process), READONLY (no permission to
 * write; says that -r may do), UNSUPPORTED (neither block device nor regular
 * file; direct=on where the source cannot), IO.
 */
struct blkdev *filedev_open(const char *path, const struct filedev_options *opt,
			    GError **error);

/* Is O_DIRECT in use? @dev must come from filedev_open(). */
bool filedev_is_direct(const struct blkdev *dev);

/*
 * What goes the raw way, blkdev_raw(), with a file device at its end. It
 * promises and counts what blkdev_pread(), blkdev_pwrite() and blkdev_flush()
 * do, if the engine keeps to this:
 *
 *   - a write lies between filedev_raw_hold() and filedev_raw_release()
 *   - a transfer that stops short goes on where it stopped; where that does not
 *     fit, or nothing was moved, it has failed with -EIO
 *   - filedev_raw_done() for each
 */

/*
 * Keep those out who read, change and write back a sector. False: one of them
 * is at it, or waits for it, or the device is read-only. Never waits. They wait
 * for the release, maybe with the host's lock held: who has to release, from
 * whatever thread, must not wait for locks before that.
 */
bool filedev_raw_hold(struct blkdev *dev);
void filedev_raw_release(struct blkdev *dev);

/*
 * @len bytes are through, or failed with @err (-errno, as the kernel says).
 * Counts it; returns what the functions above would.
 */
int filedev_raw_done(struct blkdev *dev, enum blkdev_io io, uint64_t len,
		     int err);

#endif
