/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks on ranges of image blocks.
 *
 *   mode     who                                  goes together with
 *   READ     reads                                READ, WRITE, FILL
 *   WRITE    overwrites of mapped blocks          READ, WRITE
 *   FILL     writes that allocate, or grow        READ
 *   CHANGE   punch, zero, allocate, truncate      nothing
 *
 * A reader may run beside a fill: until the fill is published the map says
 * hole. A punch excludes readers, which is what drains I/O before blocks are
 * freed. Fair: a request waits for every earlier conflicting one, granted or
 * waiting, so nobody starves.
 *
 * The holder embeds struct rangelock_hold: nothing is allocated.
 */
#ifndef RAWMAP_IMAGE_RANGELOCK_H
#define RAWMAP_IMAGE_RANGELOCK_H

#include <rawmap/base/lock.h>
#include <rawmap/base/units.h>

#include <stdbool.h>

enum rangelock_mode {
	RANGELOCK_READ,
	RANGELOCK_WRITE,
	RANGELOCK_FILL,
	RANGELOCK_CHANGE,
};

struct rangelock_hold {
	uint64_t start, end; /* blocks, half-open */
	enum rangelock_mode mode;
	bool granted;
	struct rangelock_hold *next, *prev; /* in arrival order */
};

struct rangelock {
	struct mutex lock;
	struct cond changed;
	struct rangelock_hold *first, *last; /* guarded by lock */
};

void rangelock_init(struct rangelock *rl);
void rangelock_clear(struct rangelock *rl); /* nobody holds it */

/* Waits. @hold stays in place until rangelock_drop(). */
void rangelock_take(struct rangelock *rl, struct rangelock_hold *hold,
		    enum rangelock_mode mode, lblk start, uint64_t len);
/* Never waits: false, and nothing held, if it would have to. */
bool rangelock_try(struct rangelock *rl, struct rangelock_hold *hold,
		   enum rangelock_mode mode, lblk start, uint64_t len);
void rangelock_drop(struct rangelock *rl, struct rangelock_hold *hold);

#endif
