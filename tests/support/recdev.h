/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter that records what changes the device, and rebuilds from the record
 * every state that a power loss could have left.
 *
 *   event     recorded                         in a replay
 *   write     position and bytes               its bytes
 *   zero      range                            zeros
 *   discard   range                            RECDEV_DISCARDED bytes
 *   flush     -                                ends an epoch
 *   mark      the number the test gave         nothing
 *
 * Epoch k is what stands between flush k - 1 and flush k, counted from 0. All
 * changes of the epochs before a flush are durable once it returned; of those
 * after the last flush any subset may be, in parts of whole sectors.
 *
 * Only what succeeded on the lower device is recorded: a flush that failed
 * ends no epoch. A write that failed may have landed in part; put recdev below
 * a faultdev to record that part, too.
 *
 * Locks: one mutex inside, held while the lower device works, so that the
 * order of the record is the order on the device.
 */
#ifndef RAWMAP_TESTS_RECDEV_H
#define RAWMAP_TESTS_RECDEV_H

#include <rawmap/dev/blkdev.h>

#define RECDEV_DISCARDED 0xdd

enum recdev_kind {
	RECDEV_WRITE,
	RECDEV_ZERO,
	RECDEV_DISCARD,
	RECDEV_FLUSH,
	RECDEV_MARK,
};

struct recdev_event {
	enum recdev_kind kind;
	unsigned epoch; /* a flush belongs to the epoch it ends */
	unsigned since; /* the epoch in which it began: of one that took its
			   time an earlier one, and it may be there by then */
	dev_off pos;	/* write, zero, discard */
	uint64_t len;	/* bytes; the same */
	uint8_t *bytes; /* write; else NULL */
	int mark;	/* mark */
};

/* What became of one change of the epoch that was under way. */
enum recdev_fate {
	RECDEV_LOST,
	RECDEV_KEPT,
	RECDEV_HEAD, /* torn: the first half of its sectors landed */
	RECDEV_TAIL, /* torn: only the other half did */
};

/* Takes a reference to @lower. Never NULL; release with blkdev_unref(). */
struct blkdev *recdev_new(struct blkdev *lower);

/*
 * The event recorded last had begun in epoch @since. For who carries out
 * requests some time after they came, alone.
 */
void recdev_began(struct blkdev *dev, unsigned since);

/* Put a mark here in the record, e.g. "the third fsync returned". */
void recdev_mark(struct blkdev *dev, int id);

/*
 * The record so far, of const struct recdev_event *, in order. The caller
 * releases the array with g_ptr_array_unref(); the events are the device's and
 * stay valid until recdev_clear() or the end of the device.
 */
GPtrArray *recdev_events(struct blkdev *dev);

/* Forget everything; the next event is the first of epoch 0. */
void recdev_clear(struct blkdev *dev);

/* Flushes so far, plus one: the epoch under way is the last. */
unsigned recdev_epochs(struct blkdev *dev);

/* Index in the record of the first mark @id, or -1. */
gssize recdev_find_mark(struct blkdev *dev, int id);

/* Writes, zeros and discards of one epoch. */
size_t recdev_changes(struct blkdev *dev, unsigned epoch);

/*
 * On @bytes, the content of the whole device when the record began: all
 * changes of the epochs before @epoch, then those of @epoch by their fate.
 * @fates has recdev_changes(dev, epoch) elements; NULL loses all.
 */
void recdev_replay(struct blkdev *dev, unsigned epoch,
		   const enum recdev_fate *fates, uint8_t *bytes);

/*
 * On @bytes: the changes among the first @n events, in order. With @n the
 * length of the record this is the device itself.
 */
void recdev_replay_prefix(struct blkdev *dev, size_t n, uint8_t *bytes);

#endif
