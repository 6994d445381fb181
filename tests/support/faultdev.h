/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter that makes the Nth operation fail, or reads of certain bytes.
 *
 * The usual test arms N = 1, 2, 3, ... and repeats the operation under test
 * until it succeeds with faultdev_fired() false: then every operation that it
 * does has failed once.
 *
 * Locks: one mutex inside, not held while the lower device works.
 */
#ifndef RAWMAP_TESTS_FAULTDEV_H
#define RAWMAP_TESTS_FAULTDEV_H

#include <rawmap/dev/blkdev.h>

enum faultdev_kind {
	FAULTDEV_READ,
	FAULTDEV_WRITE,
	FAULTDEV_FLUSH,
	FAULTDEV_DISCARD,
	FAULTDEV_ZERO,
	FAULTDEV_ANY, /* every operation of every kind counts */
};

enum faultdev_flags {
	FAULTDEV_ONCE = 0,
	/* The Nth and all later ones of the kind fail. */
	FAULTDEV_PERSISTENT = 1,
	/* The first half of a failing write lands on the lower device. */
	FAULTDEV_SHORT = 2,
};

/* Takes a reference to @lower. Nothing fails until armed. Never NULL. */
struct blkdev *faultdev_new(struct blkdev *lower);

/*
 * From now on the @nth operation of @kind (1 is the next one) fails with
 * -@err, @err a positive errno, and does not reach the lower device, but for
 * FAULTDEV_SHORT. Replaces an earlier arming; all counts start at zero.
 */
void faultdev_arm(struct blkdev *dev, enum faultdev_kind kind, uint64_t nth,
		  int err, unsigned flags);
/* Nothing fails any more; counts and faultdev_fired() stay. */
void faultdev_disarm(struct blkdev *dev);

/*
 * Reads that touch one of these bytes fail with -@err, a positive errno, and do
 * not reach the lower device, whatever is armed; until a write or a zero covers
 * all of the range, as a disk replaces a sector. To be called as often as there
 * are ranges.
 */
void faultdev_spoil(struct blkdev *dev, dev_off pos, uint64_t len, int err);

/* Did an operation fail on purpose since the last arming? */
bool faultdev_fired(struct blkdev *dev);
/*
 * Operations of @kind, failed ones included, since the last arming. (How many
 * failed, of all kinds, is among the device's counters.)
 */
uint64_t faultdev_count(struct blkdev *dev, enum faultdev_kind kind);

#endif
