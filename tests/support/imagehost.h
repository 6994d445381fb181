/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image on a host in memory: /disk.img, on a device whose free blocks all
 * hold STALE bytes, so that whoever reads what nobody wrote is found out.
 *
 * Functions abort the test when something fails that should not. Between
 * imagehost_open() and _close() use ->img; faults go into ->dev (a faultdev).
 */
#ifndef RAWMAP_TESTS_IMAGEHOST_H
#define RAWMAP_TESTS_IMAGEHOST_H

#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/hostimg.h>

#define IMAGEHOST_STALE 0x5a
#define IMAGEHOST_SEED	7 /* of hostimg_pattern(), for the pieces */

struct imagehost_spec {
	const char *mkfs;   /* as hostimg_spec */
	uint64_t host_size; /* 0: 8 MiB */
	uint64_t size;	    /* of the image */
	const struct hostimg_piece *pieces;
	size_t n;
	uint64_t budget; /* of the extent cache */
};

struct imagehost {
	struct hostimg *host;
	/* dev: a faultdev over order, an orderdev over mem */
	struct blkdev *mem, *order, *dev;
	struct hostfs *fs;
	struct image *img;
	uint64_t budget;
};

void imagehost_init(struct imagehost *h, const struct imagehost_spec *spec);
void imagehost_clear(struct imagehost *h); /* open or not */

void imagehost_open(struct imagehost *h);
/* Returns what hostfs_close() says. */
int imagehost_close(struct imagehost *h);
/* As a killed process: nothing more is written. */
void imagehost_abandon(struct imagehost *h);

/*
 * While closed: e2fsck -fn finds nothing, and debugfs reads these bytes (NULL:
 * does not matter).
 */
void imagehost_check(struct imagehost *h, const uint8_t *bytes, uint64_t size);
/* While closed: let e2fsck -p repair; what is left must be clean. */
void imagehost_repair(struct imagehost *h);

/* The cache agrees with the map on disk, and both with themselves. */
void imagehost_check_map(struct imagehost *h);

#endif
