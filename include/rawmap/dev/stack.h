/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices between the source that a user names and the filesystem on it.
 *
 *   cow      changes, kept in a file of their own
 *   window   a partition, or what begins at an offset
 *   bad      ranges that cannot be read
 *   bottom   the source: a device, a file, split raw files, EWF
 *
 * Each only where it is asked for; the bottom is always there.
 */
#ifndef RAWMAP_DEV_STACK_H
#define RAWMAP_DEV_STACK_H

#include <rawmap/dev/badranges.h>
#include <rawmap/dev/filedev.h>

enum stack_place {
	STACK_WHOLE,
	STACK_OFFSET,	 /* from offset on */
	STACK_PARTITION, /* of that number */
	STACK_AUTO,	 /* the only partition with a filesystem of ours */
};

struct stack_options {
	bool readonly;
	enum filedev_direct direct;
	enum stack_place place;
	uint64_t offset; /* bytes */
	unsigned partition;
	char *ddrescue, *cow; /* paths; NULL: none */
	bool zero_on_error;
};

struct stack {
	struct blkdev *dev;	/* the topmost */
	struct blkdev *bottom;	/* what the source says */
	struct blkdev *bad;	/* NULL: no such filter */
	struct blkdev *cow;	/* NULL: none */
	const char *format;	/* of the bottom: "raw", "split raw", "EWF" */
	uint64_t start, length; /* bytes of the bottom that the host may use */
	unsigned partition;	/* 0: none */
};

/*
 * False with a sentence: those of the parts, USAGE and NOT_FOUND when there is no
 * such place, BUSY when the kernel has a filesystem there mounted (read-only does
 * not matter to who only reads); nothing is open then.
 */
bool stack_open(struct stack *ret, const char *path,
		const struct stack_options *opt, GError **error);
void stack_close(struct stack *stack); /* all zeros is fine */

/*
 * The place for sentences: @path, and what of it, if not all. The caller frees.
 */
char *stack_name(const struct stack *stack, const char *path);

/* What the files and devices of the source have done, all together. */
void stack_counters(const struct stack *stack, struct blkdev_counters *ret);
/* Adds the ranges of the source that could not be read so far. */
void stack_bad_ranges(const struct stack *stack, struct badranges *ret);

/* Does I/O of the source avoid the page cache? */
bool stack_is_direct(const struct stack *stack);

/*
 * The partitions of the source, a line each, as parttable_format(); the caller
 * frees. NULL, without an error too, when there are none.
 */
char *stack_list_partitions(const struct stack *stack, const char *path,
			    GError **error);

#endif
