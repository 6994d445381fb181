/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter that aborts the program, with a message on standard error, on any
 * write, zero or discard. Reads and flushes pass.
 *
 * It calls itself writable even over a read-only device: the choke point would
 * refuse the write politely, and the test would not see that it was tried.
 */
#ifndef RAWMAP_TESTS_NOWRITEDEV_H
#define RAWMAP_TESTS_NOWRITEDEV_H

#include <rawmap/dev/blkdev.h>

/* Takes a reference to @lower. Never NULL; release with blkdev_unref(). */
struct blkdev *nowritedev_new(struct blkdev *lower);

#endif
