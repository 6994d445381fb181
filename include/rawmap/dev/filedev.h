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

#endif
