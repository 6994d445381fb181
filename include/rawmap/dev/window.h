/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A window: a range of another device as a device of its own. What a partition
 * is, and what offset= asks for.
 *
 * It keeps nothing and copies nothing: each request goes down at its place
 * there, the raw way too. Its geometry is the lower device's, but for the size
 * and for what a start between two of its sectors breaks: sector and align are
 * what divides the start as well. A window that begins at no multiple of the
 * lower align is served with a copy there, however its requests lie.
 */
#ifndef RAWMAP_DEV_WINDOW_H
#define RAWMAP_DEV_WINDOW_H

#include <rawmap/dev/blkdev.h>

/*
 * Bytes [@start, @start + @len) of @lower, which hold them all: the caller has
 * seen to that. Takes a reference to @lower. Never NULL; one reference.
 */
struct blkdev *window_new(struct blkdev *lower, uint64_t start, uint64_t len);

#endif
