/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Expert Witness images (E01, and Ex01 where the library knows it), in one
 * segment file or many, as a read-only device; through libewf.
 *
 * The segment files are locked, shared, as filedev.h does for reading, until
 * the device closes. Nothing is written to them.
 *
 * Every chunk of an image has a checksum. A read that meets a chunk with a
 * wrong one, or one that is not there because the last file was cut off, is
 * -EIO, never bytes that nobody vouches for; the chunks around it are readable.
 *
 * Locks: one mutex inside, held while the library reads and decompresses.
 */
#ifndef RAWMAP_DEV_EWF_H
#define RAWMAP_DEV_EWF_H

#include <rawmap/dev/blkdev.h>

/*
 * Does the file begin like one of these images, or like a logical evidence file
 * (L01), which ewf_open() refuses? Known without the library too. False when
 * @path cannot be read or is no regular file.
 */
bool ewf_recognises(const char *path);

/*
 * @path: the first segment file; the others are found by their names. Returns
 * the device, one reference, or NULL with a sentence: UNSUPPORTED (a build
 * without libewf; no EWF image; L01, S01), USAGE (@path is not the first
 * segment), NOT_FOUND (a segment is missing), CORRUPT (libewf cannot read it,
 * or it does not hold what it says), FAILED (the process may not have so many
 * files open), or as filedev_open().
 *
 * An image that is cut off, or whose segments are damaged on the way, opens
 * with a warning, and is readable up to there.
 */
struct blkdev *ewf_open(const char *path, GError **error);

/*
 * What the image says of itself, in UTF-8. A string that it does not say is
 * NULL. These are claims of whoever made it: any text, of several lines too.
 */
struct ewf_details {
	char *case_number, *evidence_number, *examiner;
	char *description, *notes;
	char *acquired;		 /* when, ISO 8601 where libewf can */
	char *software, *system; /* that acquired it */
	char *model, *serial;	 /* of the disk */
	char *md5, *sha1;	 /* of the disk's bytes, hexadecimal */
	unsigned segments;	 /* files that are read */
	bool complete;		 /* neither cut off nor damaged on the way */
};

/*
 * Borrowed, valid as long as @dev, constant. NULL when @dev does not come from
 * ewf_open().
 */
const struct ewf_details *ewf_details(const struct blkdev *dev);

#endif
