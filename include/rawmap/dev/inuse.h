/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who uses a device or a mount: for a refusal that says what to end first. What
 * the caller may not see is not found; nothing here decides whether something is
 * in use. Asks no filesystem anything.
 */
#ifndef RAWMAP_DEV_INUSE_H
#define RAWMAP_DEV_INUSE_H

#include <rawmap/dev/mounttable.h>

#include <glib.h>
#include <stdbool.h>

/*
 * What the kernel itself uses the disk @name ("loop3") for, or a partition of
 * it: "'/dev/loop3p1' is mounted on '/mnt'", "... is in use as swap", "... is
 * part of 'dm-0'". NULL: nothing. The caller frees.
 */
char *inuse_disk(const char *name);

/*
 * A process that has @path, or something below it, open or as a folder to work
 * in; the partitions of a disk in /dev are below it: "'dd' (process 123)". NULL:
 * none is to be seen. The caller frees.
 */
char *inuse_process(const char *path);

/*
 * A process in whose table of mounts the filesystem of @fs is, written as above;
 * *ret_where (may be NULL) says where.
 */
char *inuse_mounted(const struct mount_entry *fs, char **ret_where);

/* Is @path one of the lines of @text, which /proc/swaps holds? */
bool inuse_in_swaps(const char *text, const char *path);

/* Is @path, a link's text, @top or below it, as inuse_process() means it? */
bool inuse_is_below(const char *path, const char *top);

#endif
