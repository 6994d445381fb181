/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread that commits a host every few seconds, so that a writer who never
 * calls fsync loses at most so much.
 */
#ifndef RAWMAP_IMAGE_COMMITTER_H
#define RAWMAP_IMAGE_COMMITTER_H

#include <rawmap/hostfs/hostfs.h>

struct committer;

/*
 * @seconds >= 1. Start after daemonising: threads do not survive a fork. NULL
 * with *ret_err, a positive errno: there is no thread to be had.
 */
struct committer *committer_start(struct hostfs *fs, unsigned seconds,
				  int *ret_err);
/* Stops and joins; no last commit (hostfs_close() makes it). NULL is fine. */
void committer_stop(struct committer *c);

#endif
