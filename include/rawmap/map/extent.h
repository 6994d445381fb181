/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A run of image blocks with one state: the currency between layers. */
#ifndef RAWMAP_MAP_EXTENT_H
#define RAWMAP_MAP_EXTENT_H

#include <rawmap/base/units.h>

enum extent_state {
	EXTENT_HOLE,	  /* no blocks; reads as zeros; phys is meaningless */
	EXTENT_MAPPED,	  /* phys holds the bytes */
	EXTENT_UNWRITTEN, /* phys is allocated; reads as zeros */
};

struct extent {
	lblk start;
	uint64_t len; /* blocks, > 0 */
	pblk phys;
	enum extent_state state;
};

/* End of the run, exclusive. */
static inline uint64_t extent_end(const struct extent *e)
{
	return e->start.v + e->len;
}

#endif
