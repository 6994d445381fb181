/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a server ended, for whoever ends a mount and wants to know whether all of
 * it is on the source. The server is not his child: what it leaves is a file
 * without a name that he opened, through /proc, while it lived.
 */
#ifndef RAWMAP_FUSE_OUTCOME_H
#define RAWMAP_FUSE_OUTCOME_H

#include <glib.h>
#include <sys/types.h>

/* The server's descriptor, or -1 where there can be none. */
int outcome_new(void);

/*
 * The last word: everything is durable, or @why not (NULL: it is). Closes @fd;
 * -1 is fine.
 */
void outcome_set(int fd, const GError *why);

enum outcome {
	OUTCOME_NONE, /* it has not ended, or ended without a word */
	OUTCOME_DURABLE,
	OUTCOME_FAILED,
};

/* Descriptor @fd of process @pid, to be closed; -1: it cannot be had. */
int outcome_open(pid_t pid, int fd);

/* *ret_why is set when it failed: the server's sentence; the caller frees. */
enum outcome outcome_read(int fd, char **ret_why);

#endif
