/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map files of GNU ddrescue: which bytes of a damaged disk it has saved.
 *
 * Domain files and what ddrescuelog writes have the same format. The positions
 * are those on the disk, so they are right for an image of it that was written
 * from the same positions on.
 */
#ifndef RAWMAP_DEV_DDRESCUE_H
#define RAWMAP_DEV_DDRESCUE_H

#include <rawmap/dev/badranges.h>

/*
 * Add to @ret all bytes that the map at @path does not call finished: failed,
 * not tried, and what lies before its first block or behind its last, up to
 * byte 2^63 - 1. @path may be a pipe; it is read once.
 *
 * False, *ret untouched, and a sentence: NOT_FOUND, IO, CORRUPT (with the
 * number of the line; also what is valid and empty: no block at all).
 */
bool ddrescue_read(const char *path, struct badranges *ret, GError **error);

#endif
