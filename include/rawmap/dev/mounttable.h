/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is mounted, from the kernel's table (proc_pid_mountinfo(5)). Reading it
 * asks no filesystem anything.
 */
#ifndef RAWMAP_DEV_MOUNTTABLE_H
#define RAWMAP_DEV_MOUNTTABLE_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct mount_entry {
	dev_t dev;	    /* of the filesystem */
	char *where, *type; /* as they are: escapes are resolved */
	char *source;	    /* what the filesystem says it is */
	bool readonly;	    /* the filesystem is */
	uid_t uid;	    /* whose mount it is (FUSE); -1: not said */
	gid_t gid;
};

/*
 * An array of struct mount_entry, in the table's order: what is mounted over
 * something else stands behind it. Lines that cannot be read are left out.
 * g_ptr_array_unref() frees it.
 */
GPtrArray *mounttable_parse(const char *text);

/* The table of process @pid, or this one's where @pid is 0; empty if it cannot
 * be read. */
GPtrArray *mounttable_read(pid_t pid);

#endif
