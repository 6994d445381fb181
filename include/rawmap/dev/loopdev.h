/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loop devices, through the kernel's own interface (loop(4)): a file becomes a
 * block device, and back.
 *
 * Looking at one never asks the filesystem that has its file: it may be ours,
 * and its server gone.
 */
#ifndef RAWMAP_DEV_LOOPDEV_H
#define RAWMAP_DEV_LOOPDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct loopdev {
	char *name;    /* "loop3" */
	char *path;    /* "/dev/loop3" */
	char *backing; /* path of its file */
	bool direct, readonly;
};

void loopdev_free(struct loopdev *dev); /* NULL is fine */
typedef struct loopdev loopdev;		/* for g_autoptr() */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(loopdev, loopdev_free)

struct loopdev_options {
	bool readonly;
	bool partscan;	 /* the kernel is to look for partitions */
	uint32_t sector; /* bytes; a power of two from 512 to a page */
};

/* May this process attach one at all? False with a sentence. */
bool loopdev_may_attach(GError **error);

/*
 * Attach @file to a free device, with direct I/O if that can be had. NULL with
 * a sentence: FAILED, UNSUPPORTED (no partitions), IO; nothing is attached then.
 * Safe against others who attach at the same time.
 */
struct loopdev *loopdev_attach(const char *file,
			       const struct loopdev_options *opt,
			       GError **error);

/*
 * The device at @path, a node or a link to one. NULL with a sentence: NOT_FOUND
 * (nothing there, nothing attached), NOT_A_FILE (no loop device).
 */
struct loopdev *loopdev_look(const char *path, GError **error);

/* All that are attached, an array of struct loopdev. */
GPtrArray *loopdev_list(void);

/* Does the kernel know any of it? */
bool loopdev_has_partitions(const struct loopdev *dev);

/*
 * Flush the device and free it: when this returns true it is free, and nobody
 * has its file open through it. *ret_flush_err: 0 or the errno with which the
 * flush failed, which keeps nothing attached.
 * False: BUSY, somebody uses it, and then it stays as it is, or IO.
 */
bool loopdev_detach(const struct loopdev *dev, int *ret_flush_err,
		    GError **error);

#endif
