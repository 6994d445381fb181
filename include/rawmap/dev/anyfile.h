/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source by its name, whatever it consists of.
 *
 *   format        when
 *   "EWF"         the file begins like one; ewf.h. Read-only
 *   "split raw"   it is the first part of several; splitraw.h
 *   "raw"         else: a block device or a disk image; filedev.h
 */
#ifndef RAWMAP_DEV_ANYFILE_H
#define RAWMAP_DEV_ANYFILE_H

#include <rawmap/dev/filedev.h>

/*
 * Returns the device, one reference, and its format (a constant string) in
 * *ret_format; or NULL with a sentence, *ret_format untouched: READONLY (an EWF
 * image to be written to), UNSUPPORTED (direct I/O on one), or as the open
 * function of the format.
 */
struct blkdev *anyfile_open(const char *path, const struct filedev_options *opt,
			    const char **ret_format, GError **error);

#endif
