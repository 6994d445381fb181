/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block device in memory.
 *
 * Reads as zeros at first. Memory is taken as it is touched, so a device of
 * terabytes costs nothing until somebody writes. A discarded range reads as
 * MEMDEV_DISCARDED bytes: whoever relies on its content is found out.
 *
 * Locks: one read-write lock inside, so concurrent requests, overlapping ones
 * included, are no data race. memdev_bytes() goes around it.
 */
#ifndef RAWMAP_TESTS_MEMDEV_H
#define RAWMAP_TESTS_MEMDEV_H

#include <rawmap/dev/blkdev.h>

#define MEMDEV_DISCARDED 0xdd

/*
 * @size: bytes, any number. @sector: a power of two. Never NULL: aborts when
 * there is no memory. One reference; release with blkdev_unref().
 */
struct blkdev *memdev_new(uint64_t size, uint32_t sector);

/* Read-only, with a copy of @len bytes at @bytes as content. */
struct blkdev *memdev_new_readonly(const void *bytes, size_t len,
				   uint32_t sector);

/*
 * The content itself, to look at or to damage, while no request is under way.
 * @dev must be a memdev, not a filter over one. Valid as long as the device.
 */
uint8_t *memdev_bytes(struct blkdev *dev);

/* A copy of the whole content, and back. The sizes must agree. */
GBytes *memdev_snapshot(struct blkdev *dev);
void memdev_restore(struct blkdev *dev, GBytes *snapshot);

#endif
