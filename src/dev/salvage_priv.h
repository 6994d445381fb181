/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the filter for damaged media and what it reads in pieces. */
#ifndef RAWMAP_DEV_SALVAGE_PRIV_H
#define RAWMAP_DEV_SALVAGE_PRIV_H

#include <rawmap/dev/badranges.h>
#include <rawmap/dev/blkdev.h>

struct salvager {
	struct blkdev *dev; /* borrowed; set once */
	uint32_t unit;	    /* set once: bytes read together or not at all */
	uint64_t good;	    /* atomic: a unit that was read, or UINT64_MAX */
};

void salvage_init(struct salvager *s, struct blkdev *dev);

/* A read at @pos succeeded: one that can tell later if the device is there. */
void salvage_note_good(struct salvager *s, dev_off pos);

/*
 * Read what can be read of @len bytes at @pos, after a read of exactly these
 * failed as damaged media do. What cannot is zeros in @buf, and the units it
 * lies in are added to @bad: each had a read of its own that failed.
 * 0, or the errno of a device that failed in another way, or that gives nothing
 * any more: no byte and no range holds then. From any thread.
 */
int salvage_read(struct salvager *s, void *buf, size_t len, dev_off pos,
		 struct badranges *bad);

#endif
