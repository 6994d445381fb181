/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A recording device (recdev) as a regular file, so that a program of its own
 * can work on it: what reaches its descriptor is recorded, by whatever way.
 *
 * A FUSE server in a process of its own: who uses what stands on it can die, or
 * wait for it, and it ends none the less. The file must be there. Past the page
 * cache, and hard on its user, as a disk may be:
 *
 *   read      at once
 *   flush     at once: it covers what was answered before it came, no more
 *   write     waits, for others to come, and is carried out and answered out of
 *             turn; it is recorded then, with the epoch in which it came
 *   punch,    at once, recorded as zeros
 *   zero
 *
 * A write or punch of bytes for which another write waits is a fault of the
 * user's: nobody knows which will be last.
 */
#ifndef TESTS_SUPPORT_RECFS_H
#define TESTS_SUPPORT_RECFS_H

#include <rawmap/dev/blkdev.h>

#include <stdatomic.h>

struct recfs;

/*
 * Takes a reference to @rec, a recdev, of which the process gets a copy. It is
 * mounted on the file @path when this returns. @seed: of the turns. Aborts when
 * it cannot be mounted. The caller must not have threads yet.
 */
struct recfs *recfs_new(struct blkdev *rec, const char *path, uint32_t seed);
void recfs_free(struct recfs *r);

/* Flushes so far: the epoch under way. From any thread; valid until the end. */
const atomic_uint *recfs_epoch(const struct recfs *r);

struct recfs_stats {
	unsigned writes;
	unsigned beside;   /* of these: came while another one waited */
	unsigned overtook; /* flushes that came while one waited */
	unsigned clashes;  /* of bytes for which another one waited */
};

/*
 * Once the file is not in use any more: unmounts it, and does to @rec what was
 * done to the copy. False: the process has died, and has said why.
 */
bool recfs_finish(struct recfs *r, struct recfs_stats *ret);

#endif
