/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host: the unmounted ext2/3/4 filesystem on the source.
 *
 * Owns the libext2fs handle, the block allocator and the running transaction.
 * All metadata goes through one overlay over the source; nothing of it reaches
 * the source but by a commit. All data goes straight to the source.
 *
 * Locks: one mutex for everything behind this interface (libext2fs is
 * single-threaded); every function takes it itself. Held across metadata reads,
 * never across data I/O, and not while a commit writes and flushes: changes go
 * on meanwhile, in the next transaction.
 *
 * After a failed metadata write or flush the host is broken: it says so once,
 * and every later change answers -EROFS. Reads go on.
 */
#ifndef RAWMAP_HOSTFS_HOSTFS_H
#define RAWMAP_HOSTFS_HOSTFS_H

#include <rawmap/base/units.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blkdev;
struct hostfs;

struct hostfs_options {
	const char *name;   /* for sentences; the source's path, if the host is
				   all of it; NULL in tests on memory devices */
	const char *source; /* the path, to ask whether the kernel has it
				   mounted; NULL: name */
	bool readonly;
	bool keep_orphans; /* write to a host that has some; their blocks stay
			      theirs */
	bool use_reserved; /* may hand out the blocks kept for root */
	bool discard;	   /* tell the source about freed blocks, once the
				   commit that freed them is durable */
	/* For a host that was not unmounted cleanly; only with readonly: */
	bool norecovery;	    /* show it as it lies on the disk */
	struct blkdev *journal_dev; /* of a journal outside; a reference is
				       taken. NULL: none */
	struct blkdev *bad;	    /* the filter of bad ranges (baddev.h) below
			       the host; borrowed, for the open. NULL: none */

	/* For read-only hosts; with others it is the caller's bug. */
	bool deleted;	    /* "<N>" may name an inode without links */
	bool raw_unwritten; /* for image.h: they read as what they hold */
	/*
	 * Open by the copy of the superblock in this block, and by the
	 * descriptors behind it; 0: by the primary one. Blocks of
	 * super_block_size bytes; 0: the size at which there is one.
	 */
	uint64_t super_block;
	uint32_t super_block_size;
};

/*
 * Open the host on @dev (a reference is taken). Reads the superblock and the
 * group descriptors, no bitmap. Writes nothing; a read-write host is marked
 * "not clean" on the source before its first change.
 *
 * A read-only one whose journal must be replayed is shown as it will be then, its
 * data, too; @dev stays as it is.
 *
 * Returns NULL with a sentence that names the reason and the way out:
 * CORRUPT (no ext filesystem, impossible numbers, bad checksum, source shorter
 * than the filesystem says, a damaged log, no journal where one is named),
 * UNSUPPORTED (a feature that makes even reading unsound, fast commits), READONLY
 * (a feature or state that allows reading only: says that -r does it), DIRTY
 * (journal to be replayed, not clean, errors recorded, orphans; read-only: a
 * journal to be replayed is outside and not named), NOT_FOUND (that of another
 * host is named), USAGE (options that make no sense together, or for this host;
 * super_block_size that is no block size), BUSY (the kernel has it mounted), IO.
 * Where a copy of the superblock may help, the sentence ends with the option that
 * names it.
 */
struct hostfs *hostfs_open(struct blkdev *dev, const struct hostfs_options *opt,
			   GError **error);

/*
 * Commit what is pending, mark the host clean, flush, free. Frees in any case;
 * no hostfile may be open. Returns 0, or -errno of what could not be written
 * (the host then stays marked "not clean"). NULL is fine.
 */
int hostfs_close(struct hostfs *fs);

/* Free without writing one byte: what a killed process leaves. For tests. */
void hostfs_abandon(struct hostfs *fs);

/* The log that a read-only host is seen through. */
struct hostfs_replay {
	uint32_t transactions;
	uint64_t log_blocks; /* read */
	uint64_t blocks;     /* shown from the log */
	uint64_t revoked;    /* copies that are not */
};

struct hostfs_info {
	uint32_t block_size;
	uint64_t blocks, free_blocks, reserved_blocks;
	uint32_t groups, blocks_per_group, inode_size;
	const char *kind; /* "ext2", "ext3", "ext4": by features */
	char uuid[37];
	char label[17];
	bool has_journal, needs_recovery, clean, has_error;
	/* Of a read-only one: */
	bool norecovery;  /* as it lies on the disk, because asked for */
	bool replayed;	  /* as it is with its log replayed, as follows */
	bool log_ignored; /* the log is in use, though needs_recovery is clear:
			     what it holds is not shown */
	bool log_error;	  /* the journal recorded an error */
	struct hostfs_replay replay;
	/*
	 * The block of the superblock that all this is from; 0: the primary. A
	 * copy knows the state and the counts of the day it was written.
	 */
	uint64_t super_block;
	char *features; /* as mke2fs writes them, spaces between */
};

/* hostfs_info_clear() frees what it points to. */
void hostfs_info(struct hostfs *fs, struct hostfs_info *ret);
void hostfs_info_clear(struct hostfs_info *info);

unsigned hostfs_block_bits(const struct hostfs *fs); /* log2, set once */
bool hostfs_readonly(const struct hostfs *fs);	     /* set once */
bool hostfs_raw_unwritten(const struct hostfs *fs);  /* set once */
struct blkdev *hostfs_data_dev(struct hostfs *fs);   /* borrowed */

bool hostfs_broken(const struct hostfs *fs); /* takes no lock */

/* Blocks that an allocation could have now, reserve and promises taken off. */
uint64_t hostfs_available(struct hostfs *fs);

/*
 * Flush means durable: when this returns 0, all data whose I/O completed and
 * all changes that were published before the call survive a power loss. With
 * nothing pending it is exactly one device flush. Callers that wait at the same
 * time share one.
 * Returns 0, -EROFS (the host is broken), or the errno that broke it.
 */
int hostfs_sync(struct hostfs *fs);

/*
 * hostfs_sync() for an engine that flushes the data device by itself. True: a
 * flush is all that is needed; the caller flushes, behind this call, and tells
 * how that went by hostfs_flush_end(), from any thread, which returns as
 * hostfs_sync(). False: something is pending or somebody commits: call
 * hostfs_sync(), where it may wait. Never waits.
 */
bool hostfs_flush_begin(struct hostfs *fs);
int hostfs_flush_end(struct hostfs *fs, int err);
/*
 * hostfs_flush_end() of a flush that succeeded, where it need not wait. False,
 * and nothing ended, where it would have to, and on a host that broke meanwhile.
 */
bool hostfs_flush_try_end(struct hostfs *fs);

/*
 * Commit pending metadata, if any; no flush otherwise. Returns as hostfs_sync().
 */
int hostfs_commit(struct hostfs *fs);

/*
 * What a timer calls: commit; when there is nothing to commit any more, committed
 * metadata is taken home from the journal, once, so that little is left to
 * replay. Returns as hostfs_sync().
 */
int hostfs_tick(struct hostfs *fs);

/*
 * Commit what is pending and mark the host clean on the source, durably, as
 * hostfs_close() does, but stay open: for moments when nobody uses it. The next
 * change marks it again; changes that keep coming meanwhile leave it marked. Returns 0 or -errno of what could not be written.
 */
int hostfs_settle(struct hostfs *fs);

/* Is there anything that a commit would write? */
bool hostfs_pending(struct hostfs *fs);

/*
 * The write guard: 0 when [pos, pos + len) lies inside the filesystem and
 * touches no superblock, descriptor, bitmap, inode table or journal block;
 * -EUCLEAN otherwise. Takes no lock but the first time, when it learns where
 * the journal lies: -EIO when that cannot be read; a host whose journal makes no
 * sense is broken then.
 */
int hostfs_guard(struct hostfs *fs, dev_off pos, uint64_t len);

struct hostfs_stats {
	uint64_t commits, commit_blocks; /* metadata blocks in them */
	uint64_t commit_ns_total, commit_ns_max;
	uint64_t commit_ns_p99; /* 99 of 100 took no longer; histogram.h */
	uint64_t syncs; /* hostfs_sync() called; several may share a commit */
	uint64_t pending_blocks; /* in the running transaction */
	uint64_t pending_free;	 /* freed, not yet reusable */
	int failed;		 /* 0 or the errno that broke it */
};

void hostfs_stats(struct hostfs *fs, struct hostfs_stats *ret);

#endif
