/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Raw images in parts, recognised by their names alone.
 *
 *   NAME.001 .002 ...   or from .000; three digits or more, as many in each
 *                       name, and one more behind .999: dd and FTK, ewfexport
 *   NAME.aa .ab ...     two letters or more, as split(1) counts: behind .yz
 *                       comes .za, or .zaaa where it chose the width itself
 *
 * The parts need not be equal in size. The user names the first one; it is an
 * image of its own, as ever, when no second one is there.
 */
#ifndef RAWMAP_DEV_SPLITRAW_H
#define RAWMAP_DEV_SPLITRAW_H

#include <rawmap/dev/filedev.h>

/*
 * The names of all parts, at least two, NULL behind the last; release with
 * g_strfreev(). NULL and no error: @path is not a part of a split image.
 * NULL and a sentence: NOT_FOUND (a part between others is missing), USAGE
 * (@path is a part, and not the first). Opens nothing.
 */
char **splitraw_parts(const char *path, GError **error);

/*
 * Open all of @parts, each as filedev_open() does with @opt, as one device.
 * Returns it, one reference, or NULL with a sentence: as filedev_open(), or
 * FAILED (the process may not have so many files open), UNSUPPORTED (the sizes
 * add up to more than a file can have).
 */
struct blkdev *splitraw_open(char *const *parts,
			     const struct filedev_options *opt, GError **error);

#endif
