/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Logs for tests, block by block: any features, any order, any damage.
 *
 * Knows the format from the kernel's document, and nothing of what is under
 * test; checksums are libext2fs's and its own. Keeps a model beside the log: what
 * every block of the filesystem must hold once the log is home, worked out the
 * slow way.
 *
 * The filesystem is a memory device in which block N is full of hostimg-like
 * bytes of its own. The journal lies in it in two pieces, the second one before
 * the first. With a device of its own it lies there as mke2fs makes it.
 */
#ifndef RAWMAP_TESTS_LOGBUILD_H
#define RAWMAP_TESTS_LOGBUILD_H

#include <rawmap/dev/blkdev.h>
#include <rawmap/jbd/format.h>
#include <rawmap/jbd/journal.h>

struct logbuild_spec {
	unsigned bits;	    /* log2 of the block size; 0: 10 */
	uint32_t maxlen;    /* blocks of the journal; 0: 64 */
	uint32_t start;	    /* where the log starts; 0: at its first block */
	uint32_t sequence;  /* of the first transaction; 0: 7 */
	uint32_t fc_blocks; /* with FAST_COMMIT */
	uint32_t compat, incompat; /* of the journal */
	bool v1;		   /* a superblock of version 1 */
	bool whole_crc32;   /* with COMPAT_CHECKSUM: a sum, not three zeros */
	uint64_t fs_blocks; /* 0: 1024 */
	bool device;	    /* the journal has a device of its own */
};

struct logbuild;

struct logbuild *logbuild_new(const struct logbuild_spec *spec);
void logbuild_free(struct logbuild *lb); /* NULL is fine */

/* ---- writing; what the next transaction's commit makes part of the model */

/* Content number @fill for @block; escaped if it starts with the magic. */
void logbuild_data(struct logbuild *lb, uint64_t block, uint32_t fill);
#define LOGBUILD_MAGIC 0x80000000u /* ored to @fill: it does */
/* A descriptor for what was given by logbuild_data(); its log block. */
uint32_t logbuild_descriptor(struct logbuild *lb);
/* A revoke block; its log block. Descriptors in between are finished before. */
uint32_t logbuild_revoke(struct logbuild *lb, const uint64_t *blocks, size_t n);
/* Finish: descriptor if needed, commit block. Returns the commit's log block. */
uint32_t logbuild_commit(struct logbuild *lb);
/* Forget about a commit: what follows is never part of the model. */
void logbuild_stop(struct logbuild *lb);

uint64_t logbuild_time(struct logbuild *lb); /* of the next commit block */
void logbuild_set_time(struct logbuild *lb, uint64_t seconds);
uint32_t logbuild_sequence(const struct logbuild *lb);
void logbuild_set_sequence(struct logbuild *lb, uint32_t sequence);
uint32_t logbuild_head(const struct logbuild *lb); /* next log block */
void logbuild_set_head(struct logbuild *lb, uint32_t at);
/* Log blocks that were written since the start. */
uint32_t logbuild_used(const struct logbuild *lb);

/* ---- damage ---- */

/* Block @at of the journal as it lies on the device. */
uint8_t *logbuild_block(struct logbuild *lb, uint32_t at);
/* Its checksum again: the tail's, or the commit block's. */
void logbuild_reseal(struct logbuild *lb, uint32_t at);

/* ---- reading ---- */

/* Write the superblock; with @start 0 the log is empty. */
void logbuild_super(struct logbuild *lb, uint32_t start);
/* logbuild_super() and journal_open(); aborts if that fails. */
struct journal *logbuild_open(struct logbuild *lb);
/* The same on another device with the same blocks as the journal's. */
struct journal *logbuild_open_on(struct logbuild *lb, struct blkdev *dev);
struct blkdev *logbuild_dev(struct logbuild *lb);	  /* borrowed */
struct blkdev *logbuild_journal_dev(struct logbuild *lb); /* borrowed */
uint64_t logbuild_fs_blocks(const struct logbuild *lb);

/* Everything as it must be when the log is home (g_free()). */
uint8_t *logbuild_model(struct logbuild *lb, uint64_t *ret_blocks,
			uint64_t *ret_revoked);

#endif
