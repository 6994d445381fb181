/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several devices one behind the other, as one: the parts of a split image.
 *
 * A part may have any size and so may begin anywhere; a request that meets
 * several parts becomes one request to each, in order.
 *
 *   size          the sum
 *   sector        the largest
 *   align         the largest: what it promises holds in each part that begins
 *                 at a multiple of it; requests to another part are unaligned
 *                 there, which is legal, and never more than a copy
 *   readonly      if one is
 *   can_discard   if all can
 *
 * blkdev_flush() flushes every part, also behind one that fails; the first
 * error counts. blkdev_counters() is the sum of what the parts counted. A range
 * goes the raw way, blkdev_raw(), when it lies in one part and that part says
 * so.
 */
#ifndef RAWMAP_DEV_CONCAT_H
#define RAWMAP_DEV_CONCAT_H

#include <rawmap/dev/blkdev.h>

/*
 * Takes a reference to each of the @n (at least one) @parts. Returns the
 * device, one reference, or NULL when the sizes add up to more than a file can
 * have, 2^63 - 1.
 */
struct blkdev *concat_new(struct blkdev *const *parts, size_t n);

#endif
