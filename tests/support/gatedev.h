/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter that stops flushes at a gate, so that a test can look at what others
 * may do while a commit's I/O is under way.
 *
 * Locks: one mutex inside, not held while the lower device works.
 */
#ifndef RAWMAP_TESTS_GATEDEV_H
#define RAWMAP_TESTS_GATEDEV_H

#include <rawmap/dev/blkdev.h>

/* Takes a reference to @lower. The gate is open. Never NULL. */
struct blkdev *gatedev_new(struct blkdev *lower);

/* From now on flushes wait before they reach the lower device. */
void gatedev_shut(struct blkdev *dev);
/* Wait until @n flushes stand at the gate. */
void gatedev_wait(struct blkdev *dev, unsigned n);
/* Let one flush through; the gate stays shut for others. */
void gatedev_pass(struct blkdev *dev);
void gatedev_open(struct blkdev *dev);

#endif
