/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program may ask of a file that rawmap exposes: ioctl(2) on any open
 * descriptor of it. Fixed-size, native-endian structures; fields are only ever
 * added at the end under a new number.
 */
#ifndef RAWMAP_IOCTL_H
#define RAWMAP_IOCTL_H

#include <linux/ioctl.h>
#include <stdint.h>

struct rawmap_stats {
	/* the server */
	uint64_t uptime_ns; /* since it began to serve; all counters, too */
	/* requests for this image: reads, writes, flushes, fallocate(2) */
	uint64_t requests;	   /* replied to */
	uint64_t request_ns_total; /* from arrival to reply, of all of these */
	uint64_t queue_depth;	   /* in flight now */
	uint64_t queue_depth_max;  /* the most that ever were */
	/* the image; a large request may count as several reads or writes */
	uint64_t reads, read_bytes, writes, write_bytes;
	uint64_t fills, fill_bytes, punches, punch_bytes, zeros, flushes;
	uint64_t errors;
	/* its extent cache */
	uint64_t cache_extents, cache_bytes;
	uint64_t cache_budget; /* bytes that it may have, but for pins */
	uint64_t cache_hits, cache_misses, cache_loads, cache_evictions;
	/* the host's commits */
	uint64_t commits, commit_blocks;
	uint64_t commit_ns_total, commit_ns_max;
	uint64_t commit_ns_p99; /* 99 of 100 took no longer; at most 1/8 more */
	uint64_t pending_blocks, pending_free;
	uint64_t failed; /* 0, or the errno that broke the host */
	/* the source */
	uint64_t dev_reads, dev_read_bytes, dev_writes, dev_write_bytes;
	uint64_t dev_flushes, dev_errors;
};

#define RAWMAP_IOC_STATS _IOR('R', 1, struct rawmap_stats)

/* Where the blocks of a range lie: what to do with that knowledge. */
enum rawmap_advice {
	RAWMAP_ADVISE_POPULATE =
		1,		 /* read it now, so that no I/O waits for it */
	RAWMAP_ADVISE_DROP = 2,	 /* forget it; it is read when needed */
	RAWMAP_ADVISE_PIN = 3,	 /* read it now, never forget it */
	RAWMAP_ADVISE_UNPIN = 4, /* it may be forgotten again */
};

struct rawmap_advise {
	uint64_t offset, length; /* bytes; length 0: to the end */
	uint32_t advice;
	uint32_t zero; /* must be 0 */
};

/*
 * Fails with EINVAL, EBUSY (to be forgotten, but the mount is a pinned one), or
 * what reading the map fails with: EIO, EUCLEAN.
 */
#define RAWMAP_IOC_ADVISE _IOW('R', 2, struct rawmap_advise)

enum rawmap_about_flag {
	RAWMAP_ABOUT_READONLY = 1,
	RAWMAP_ABOUT_CUT = 2, /* a text was too long and is cut */
};

#define RAWMAP_ABOUT_TEXT 2560 /* with the 0 at its end */

/* Whose file it is. */
struct rawmap_about {
	uint64_t offset;	/* byte of the source where the host begins */
	uint64_t pid_namespace; /* inode number of the server's; 0: unknown */
	int32_t pid;		/* of the server, in that namespace */
	int32_t outcome;	/* its descriptor that tells how it ended; -1 */
	uint32_t flags;		/* enum rawmap_about_flag */
	uint32_t sector; /* for a block device on top of the file, bytes */
	char engine[16];
	char source[RAWMAP_ABOUT_TEXT];
	char image[RAWMAP_ABOUT_TEXT];	    /* as it was asked for */
	char mountpoint[RAWMAP_ABOUT_TEXT]; /* as the server sees it */
};

#define RAWMAP_IOC_ABOUT _IOR('R', 3, struct rawmap_about)

#endif
