/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter that watches the write-ahead order of a host with a journal.
 *
 * It finds the journal by itself, parses the log while it is written, and
 * judges every change of the device by what is durable at that moment:
 *
 *   a  home after commit  a block that a transaction logs does not change at
 *                         home before that transaction is durable, and then
 *                         only to its last durable copy
 *   b  only by the log    the filesystem's own blocks (bitmaps, descriptors,
 *                         inode tables, backups) change in no other way; of the
 *                         superblock state, needs_recovery, errors and times may
 *   c  commit block last  a flush lies between the last other block of a
 *                         transaction and its commit block
 *   d  an open log        log writes need needs_recovery and start on the disk,
 *                         never hit a live transaction; sequence numbers rise by
 *                         one and are never used again
 *   e  the tail           moves when everything it leaves is home and flushed;
 *                         needs_recovery goes when start is durably 0
 *   f  revoked            a block of the log that becomes data, or is
 *                         discarded, has been revoked durably; and its old copy
 *                         never comes home after that
 *   g                     no transaction logs and revokes the same block
 *   h, i  format          checksums, escapes, tags and features agree
 *
 * It shares the numbers of the format with the code that it watches, nothing
 * else. A device without an ext filesystem with an internal journal is passed
 * through, only flushes are counted. A log that is in use when it looks is read
 * first, so that a recovery can be watched, too.
 *
 * What failed on the lower device did not happen: put it below a faultdev. Of
 * a write in part only the bytes that were written are judged; a part of a log
 * block counts as not written.
 *
 * Locks: one mutex inside, held while the lower device works; so a flush covers
 * just what completed before it.
 */
#ifndef RAWMAP_TESTS_ORDERDEV_H
#define RAWMAP_TESTS_ORDERDEV_H

#include <rawmap/dev/blkdev.h>

/*
 * Takes a reference to @lower and looks at it. Never NULL. A violation ends the
 * test with g_error().
 */
struct blkdev *orderdev_new(struct blkdev *lower);

/* False: the first violation is only kept for orderdev_complaint(). */
void orderdev_set_fatal(struct blkdev *dev, bool fatal);

/*
 * The bytes below were changed by somebody else: forget everything but the
 * numbers and the complaint, take what is there as durable, look again.
 */
void orderdev_look(struct blkdev *dev);

/* NULL, or the first violation in a sentence; valid as long as the device. */
const char *orderdev_complaint(struct blkdev *dev);

struct orderdev_stats {
	bool journal;		  /* there is one: the rules are checked */
	uint64_t transactions;	  /* durable ones; also those found by a look */
	uint64_t copies, revokes; /* in them */
	uint64_t home_writes;	  /* of blocks that the log has a copy of */
	uint64_t tails;		  /* moves of the tail, durable ones */
	uint64_t flushes;
};

void orderdev_stats(struct blkdev *dev, struct orderdev_stats *ret);

#endif
