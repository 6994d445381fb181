/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A JBD2 journal: its place on the device and its superblock.
 *
 * The journal is a sequence of blocks, numbered from 0; block 0 is its
 * superblock, the log lies in [first, last). Its features, not those of the
 * filesystem, decide how the log is written (see format.h).
 *
 * What the superblock says is checked here once: whoever holds a struct journal
 * may rely on 0 < first < last <= maxlen, on runs that cover every block, and on
 * features that this code knows.
 *
 * Replay (replay.h) reads a log, the writer (jlog.h) makes one. Not thread-safe;
 * the owner orders calls.
 */
#ifndef RAWMAP_JBD_JOURNAL_H
#define RAWMAP_JBD_JOURNAL_H

#include <rawmap/base/units.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blkdev;
struct journal;

/* Neighbouring blocks of the journal that are neighbours on the device, too. */
struct journal_run {
	pblk phys;
	uint64_t len; /* blocks */
};

enum journal_csum {
	JOURNAL_CSUM_NONE,
	JOURNAL_CSUM_V1, /* compat CHECKSUM: in the commit block only */
	JOURNAL_CSUM_V2,
	JOURNAL_CSUM_V3,
};

struct journal_info {
	uint32_t maxlen; /* blocks of the journal */
	uint32_t first;	 /* first block of the log */
	uint32_t last;	 /* one behind the last block of the log; before the
			    fast-commit area where there is one */
	uint32_t sequence, start; /* start 0: the log is empty */
	int error;		  /* s_errno: what aborted it, as the kernel
				     stores it (negative); 0: nothing */
	unsigned version;	  /* of the superblock: 1 or 2 */
	enum journal_csum csum;
	bool is_64bit, has_revoke, async_commit, fast_commit;
	uint8_t uuid[16];
	/* Of a journal that has a device of its own. */
	uint32_t users;	  /* filesystems that write to it */
	uint8_t user[16]; /* the UUID of the first of them */
};

/*
 * Read and check the superblock of the journal whose blocks are @runs, in
 * order (copied), on @dev (a reference is taken); @block_bits is log2 of the
 * block size, @name is for sentences.
 * NULL with a sentence: CORRUPT (no superblock, impossible numbers, wrong
 * checksum, journal longer than its runs, a fast-commit area that leaves the log
 * less than 1024 blocks), UNSUPPORTED (a feature or checksum
 * type that is not known, blocks of another size), IO.
 */
struct journal *journal_open(struct blkdev *dev, const struct journal_run *runs,
			     size_t n, unsigned block_bits, const char *name,
			     GError **error);

/*
 * The same for a journal that has @dev, of @blocks blocks, for itself: its
 * superblock is block @super of it, and block N of the log is block N of the
 * device. So no home of a copy is ever one of its own blocks.
 */
struct journal *journal_open_device(struct blkdev *dev, pblk super,
				    uint64_t blocks, unsigned block_bits,
				    const char *name, GError **error);
void journal_close(struct journal *j); /* NULL is fine; writes nothing */

const struct journal_info *journal_info(const struct journal *j);
const char *journal_name(const struct journal *j);
unsigned journal_block_bits(const struct journal *j);
struct blkdev *journal_dev(struct journal *j); /* borrowed */

/* Where block @block < maxlen lies, and how many more follow it there. */
pblk journal_block_at(const struct journal *j, uint32_t block,
		      uint32_t *ret_run);

/*
 * Read or write @n blocks from @block on, all inside the journal, in one device
 * request a run. Return 0 or the device's -errno. Not flushed.
 */
int journal_read(struct journal *j, uint32_t block, uint32_t n, void *buf);
int journal_write(struct journal *j, uint32_t block, uint32_t n,
		  const void *buf);

/*
 * The superblock as the writer and the recovery change it. Everything else in
 * it stays as it was read; one block is written, with its checksum, and
 * journal_info() follows only when that worked. Not flushed.
 */
struct journal_change {
	uint32_t sequence, start;
	int error;
	bool need_64bit;    /* set the feature; only while start is 0 */
	bool need_revoke;   /* the same */
	bool plain_commits; /* clear compat CHECKSUM and ASYNC_COMMIT */
};

/* Return 0 or -errno. */
int journal_update(struct journal *j, const struct journal_change *change);

#endif
