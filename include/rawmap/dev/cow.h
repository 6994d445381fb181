/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write: a device that can be written, over one that is only read.
 *
 * Whatever is written goes into a file of its own, FILE; the lower device is
 * never asked for more than reading. Its bytes show where nothing was written.
 * FILE is as sparse as the changes, is opened again another day over the same
 * source, and is refused over another one, or over the same when somebody wrote
 * to it meanwhile.
 *
 * What a flush said is there after any crash. What was not flushed may be lost
 * when the process is killed, not only when the power fails: which parts of
 * FILE count becomes known there at a flush. The last unref flushes.
 *
 * After a flush of FILE has failed nobody knows what of it the disk has: every
 * later flush fails with the same errno, until FILE is opened again. Running
 * out of space is not that: the write says -ENOSPC, and all else goes on.
 *
 * A discard gives back room in FILE and never shows the lower device's bytes
 * again where they were covered before.
 */
#ifndef RAWMAP_DEV_COW_H
#define RAWMAP_DEV_COW_H

#include <rawmap/dev/blkdev.h>

/*
 * Keep the changes of @lower in the file @path: made (readable for its owner
 * only) where it is absent or empty, else it must be what this function made
 * before for the same source. @source_name: the source's path, for sentences,
 * and to see that @path is not the source itself. Takes a reference to @lower
 * and, until close, an exclusive lock on @path.
 *
 * The source is known again by up to 576 blocks of 4 KiB, read from @witness: a
 * device with the same bytes that has an error for each that cannot be read,
 * where @lower gives something else for them; NULL is @lower. Used here only.
 *
 * A file that was made is durable, and so is its name; after an error none is
 * left that was not there before.
 *
 * Returns the device, one reference, or NULL with a sentence: USAGE (@path is
 * the source), NOT_FOUND (its folder), NOT_A_FILE, READONLY (no permission to
 * write it), BUSY (locked), CORRUPT (no such file; damaged or cut off),
 * UNSUPPORTED (a later version's; source too large), FAILED (it belongs to
 * another source or state: what differs), IO.
 */
struct blkdev *cow_open(struct blkdev *lower, struct blkdev *witness,
			const char *path, const char *source_name,
			GError **error);

struct cow_info {
	uint32_t cluster;  /* bytes: what is kept or not */
	uint64_t clusters; /* of the device */
	uint64_t present;  /* of them in FILE */
	uint64_t bytes;	   /* of the device in FILE */
	uint64_t created;  /* FILE, seconds since 1970 */
	bool settled;	   /* FILE knows of all of them: a kill loses nothing */
};

/* False, @ret untouched, when @dev is something else. */
bool cow_info(struct blkdev *dev, struct cow_info *ret);

/* ---- the same with any device as FILE ---- */

struct cow_names { /* for sentences; source is kept in FILE, too */
	const char *file, *source;
};

/* How large it must be for a source of @size bytes; 0: too large a source. */
uint64_t cow_store_size(uint64_t size);

/*
 * As cow_open(), with @store as FILE, to which a reference is taken; no lock.
 * @fresh: there is nothing in it yet, and it reads as zeros; it is made first.
 * Until that is through its first 512 bytes are zeros.
 */
struct blkdev *cow_new(struct blkdev *lower, struct blkdev *witness,
		       struct blkdev *store, const struct cow_names *names,
		       bool fresh, GError **error);

#endif
