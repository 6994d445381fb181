/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that can be damaged, and forgets: bytes that never change, and over
 * them pages of its own for what was poked or written. A reset costs what was
 * changed, not what there is, so thousands of lives a second are possible.
 *
 * It counts requests, and ends the program when there are more than allowed:
 * whoever asks so often goes round in circles.
 *
 * No lock: for one thread.
 */
#ifndef RAWMAP_TESTS_PATCHDEV_H
#define RAWMAP_TESTS_PATCHDEV_H

#include <rawmap/dev/blkdev.h>

/* Changes are kept in pages of so many bytes. */
#define PATCHDEV_PAGE 1024

/* A reference to @base is taken. Release with blkdev_unref(). */
struct blkdev *patchdev_new(GBytes *base);

/* Everything as at first; nobody but the caller has a reference to @dev. */
void patchdev_reset(struct blkdev *dev);

/* The next use finds it so: cut to @size bytes, or read-only. As above. */
void patchdev_cut(struct blkdev *dev, uint64_t size);
void patchdev_set_readonly(struct blkdev *dev, bool on);

/* So many requests from now on, and not one more. 0: any number. */
void patchdev_allow(struct blkdev *dev, uint64_t requests);

/* Content, as a hostile hand changes it; inside the base. */
void patchdev_poke(struct blkdev *dev, const void *buf, size_t len,
		   uint64_t pos);
void patchdev_peek(struct blkdev *dev, void *buf, size_t len, uint64_t pos);

/*
 * Pages that were written through requests since the reset, in the order of the
 * first write: how many there are; the number of the @i-th, and its content.
 */
size_t patchdev_written(struct blkdev *dev);
uint64_t patchdev_written_page(struct blkdev *dev, size_t i,
			       const uint8_t **ret_bytes);

#endif
