/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the path that a user names to an open host: what lies between the two,
 * put together from one set of options, for every command alike.
 *
 *   SOURCE      a block device, a file, a split image, an EWF image
 *   bad ranges  ddrescue=, on-error=zero
 *   a range     offset=, partition=
 *   changes     cow=
 *   the host    journal=, norecovery, sb=, deleted, unwritten=raw
 */
#ifndef RAWMAP_HOSTFS_HOSTSOURCE_H
#define RAWMAP_HOSTFS_HOSTSOURCE_H

#include <rawmap/dev/stack.h>
#include <rawmap/hostfs/hostfs.h>

struct hostsource_options {
	struct stack_options stack; /* readonly is of the host: with cow= the
				       source is only read in any case */
	char *journal;		    /* device of an external one; NULL */
	bool norecovery, deleted, raw_unwritten;
	uint64_t super_block; /* 0: the primary */
	uint32_t super_block_size;
	bool discard, use_reserved;
};

/* Frees what it points to; the paths are owned. */
void hostsource_options_clear(struct hostsource_options *opt);

struct hostsource {
	struct stack stack;
	struct blkdev *journal; /* NULL: none was named */
	struct hostfs *fs;
};

/*
 * Returns false with a sentence, those of stack_open() and hostfs_open();
 * nothing is open then. @ret: to be closed by hostsource_close().
 */
bool hostsource_open(struct hostsource *ret, const char *path,
		     const struct hostsource_options *opt, GError **error);

/* As hostfs_close(): 0 or -errno; closes in any case. All zeros is fine. */
int hostsource_close(struct hostsource *src);

#endif
