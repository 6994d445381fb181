/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter for damaged media: a disk that fails to give some of its sectors, or
 * an image of one that a map says is incomplete.
 *
 *   the bytes are             error mode         zero mode
 *   known to be bad           -EIO, not read     zeros, not read
 *   refused by the device     its error          zeros; all around them is read
 *   on a device that is gone  its error          its error
 *
 * A device that is gone often says -EIO, as one bad sector does. So zero mode
 * gives zeros only while the device gives other bytes: when the last read in a
 * request failed, something that could be read before is read again.
 *
 * Reading of damaged media costs it. Error mode reads nothing that was not
 * asked for: nobody would get the bytes. What it reports is the requests that
 * failed, less what other requests could read since. Zero mode takes a request
 * apart to find the bad sectors, and over a read-only device it asks for none
 * of them twice. Over a writable one it does, each time: the sector may have
 * been written by a way that does not lead through here (blkdev_raw()).
 *
 * A write that succeeds heals: what it covered is known as bad no longer, and
 * leaves the report. So does a zero; a discard does not.
 *
 * Known ranges are exact to the byte; what a device refuses is sectors.
 *
 * Locks: one mutex inside, never held across I/O.
 */
#ifndef RAWMAP_DEV_BADDEV_H
#define RAWMAP_DEV_BADDEV_H

#include <rawmap/dev/badranges.h>
#include <rawmap/dev/blkdev.h>

/*
 * Told in zero mode of bytes that the device refuses and that are given as
 * zeros: once for each range of them, and again when it grows past a power of
 * two. @range is all of it, so far. From any thread, no lock held.
 */
typedef void baddev_say(void *arg, const struct badrange *range);

/*
 * Takes a reference to @lower. @known: bad from the start; a copy is made, NULL
 * is none, what lies behind the device's end is ignored. @say: NULL is a
 * warning in the log. Never NULL. No I/O.
 */
struct blkdev *baddev_new(struct blkdev *lower, const struct badranges *known,
			  bool zero_on_error, baddev_say *say, void *arg);

/*
 * While it is strict, zero mode fails with -EIO where it would have given zeros:
 * for who could not tell zeros from content. @dev may be NULL.
 */
void baddev_set_strict(struct blkdev *dev, bool strict);

/*
 * All bad ranges that requests met: those parts of the known ones that somebody
 * asked for, and what the device refused. In zero mode these bytes are what was
 * read as zeros, rounded to sectors where the device refused them. The caller
 * frees. @dev must come from baddev_new().
 */
struct badranges *baddev_report(struct blkdev *dev);

/*
 * Is @err, 0 or -errno, what a read of damaged media gives, not of a device
 * that is gone or of a program's mistake?
 */
bool baddev_is_media_error(int err);

#endif
