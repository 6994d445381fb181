/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One regular file of the host: its inode, its map on disk, its extent cache.
 *
 * The cache (hostfile_map()) is changed only here, under the host's lock, in
 * the same step as the map on disk; so what it knows is always true. Callers
 * look up in it without any lock of the host.
 *
 * A fill is three steps: hostfile_reserve() takes blocks out of the free space
 * (in memory only: a crash forgets them), the caller writes the data, then
 * hostfile_publish() enters them into the file in one step, or
 * hostfile_unreserve() gives them back.
 *
 * Callers serialise overlapping changes of one file (image's range locks):
 * nobody else fills, punches or resizes the same blocks meanwhile, and before
 * blocks are freed no I/O to them is in flight.
 *
 * Nothing here is durable before hostfs_sync(). Block numbers: start + count.
 */
#ifndef RAWMAP_HOSTFS_HOSTFILE_H
#define RAWMAP_HOSTFS_HOSTFILE_H

#include <rawmap/hostfs/hostfs.h>
#include <rawmap/map/extent.h>

#include <sys/types.h>
#include <time.h>

struct hostfile;
struct extmap;

/*
 * @path is absolute inside the host, symlinks (absolute ones too) followed
 * inside the host; or "<N>", an inode number, that of a deleted file too where
 * hostfs_options.deleted says so. In a folder that is casefolded a name that is
 * not there stands for one that the folder does not tell from it, if it has
 * any. @cache_budget: for extmap_new().
 * NULL with a sentence: NOT_FOUND (a deleted file without a map, too),
 * NOT_A_FILE (directory, device node, ...), UNSUPPORTED (encrypted, compressed:
 * content that is not there as it stands), READONLY (immutable, append-only,
 * verity, data-journalled, inline data, a file of the filesystem itself: on a
 * read-write host), CORRUPT, BUSY (the same inode is open already), IO.
 */
struct hostfile *hostfile_open(struct hostfs *fs, const char *path,
			       uint64_t cache_budget, GError **error);
void hostfile_close(struct hostfile *hf); /* NULL is fine; commits nothing */

struct hostfile_attr {
	uint64_t ino, size;
	uint64_t blocks; /* 512-byte units, as st_blocks; inline data counts */
	uint32_t flags;	 /* EXT4_*_FL */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t links;
	struct timespec atime, mtime, ctime;
	bool extent_mapped;    /* else by indirect blocks, or */
	bool inline_data;      /* the content is in the inode itself */
	bool deleted;	       /* it has no links */
	struct timespec dtime; /* since when; 0: not known */
};

void hostfile_attr(struct hostfile *hf, struct hostfile_attr *ret);
uint64_t hostfile_size(const struct hostfile *hf);	/* bytes; atomic */
uint64_t hostfile_max_size(const struct hostfile *hf);	/* bytes; set once */
bool hostfile_extent_mapped(const struct hostfile *hf); /* set once */
const char *hostfile_path(const struct hostfile *hf); /* as it was asked for */
const char *hostfile_name(const struct hostfile *hf); /* last component;
							   "inode-N" for <N> */
struct hostfs *hostfile_host(struct hostfile *hf);    /* borrowed */
struct extmap *hostfile_map(struct hostfile *hf);     /* borrowed */

/*
 * The content of an inode that has it in itself: its first *ret_len bytes, the
 * rest are zeros; its map is one hole. NULL: it has none in itself. Set once,
 * as long as @hf is open. Read-only hosts only.
 */
const void *hostfile_inline(const struct hostfile *hf, size_t *ret_len);

/*
 * What is at block @at (< LBLK_END): as extmap_lookup() says it, from the cache,
 * or from one metadata leaf (extent leaf or indirect block) that is read into
 * it; more of them when the misses look sequential. The answer holds whatever
 * the cache forgets meanwhile.
 * Returns 0, -EUCLEAN (corrupt metadata; said once, naming the block), -EIO.
 */
int hostfile_map_at(struct hostfile *hf, lblk at, uint64_t max,
		    struct extent *ret);

/*
 * Make the cache know all of [start, start + len) that lies inside the file, in
 * as few reads as the map's place allows. What the cache has no room for is
 * forgotten again, but for what is pinned. Others get the host's lock meanwhile.
 * Returns as hostfile_map_at().
 */
int hostfile_populate(struct hostfile *hf, lblk start, uint64_t len);

/*
 * A fill under way: runs that will hold data and are not (all) in the file yet.
 * The caller reads runs[0..n) and leaves the rest to this layer. All zeros is
 * an empty fill.
 */
#define FILL_RUNS 16

struct fill {
	struct extent runs[FILL_RUNS]; /* ascending; MAPPED: reserved blocks,
					   UNWRITTEN: part of such an extent */
	unsigned n;
	uint64_t promised; /* tree blocks put aside; private */
};

/*
 * Prepare [e->start, +len), a hole or a part of an unwritten extent (e->phys
 * its own), for data: appends runs to @fill for a prefix of the range, shorter
 * where the runs or the free space end. A hole gets blocks near its neighbours,
 * contiguous where the host has room. Space for the tree blocks that publishing
 * may need is put aside as well.
 * Returns 0 (at least one block was added), -ENOSPC, -EFBIG, -EROFS, -EUCLEAN,
 * -EIO, -E2BIG (publish what the fill has first: it is as large as one
 * transaction should be; never for an empty one); on an error @fill is as it was.
 */
int hostfile_reserve(struct hostfile *hf, const struct extent *e,
		     struct fill *fill);

/* Give a fill back; no I/O to its blocks may be in flight. Empties it. */
void hostfile_unreserve(struct hostfile *hf, struct fill *fill);

/*
 * The data of the fill's runs is on the device (not necessarily durable): enter
 * them into the file. All runs and the size become visible, and durable, in one
 * step. @new_size: bytes; the file grows to it if it is smaller (an empty fill
 * is fine: growth alone). Sets mtime and ctime. Empties @fill.
 * Returns 0, -EROFS, -EUCLEAN, -EIO, -EFBIG (@new_size), -ENOSPC (only for a
 * part of an unwritten extent, on a host without one free block); on an error
 * nothing is published and the caller still owns the fill.
 */
int hostfile_publish(struct hostfile *hf, struct fill *fill, uint64_t new_size);

/*
 * Each of the next three does a bounded part of the range (at most about one
 * metadata leaf) and says in *ret_done how many blocks of it, from @start, are
 * done: callers loop. They set mtime and ctime.
 * Return 0, -ENOSPC, -EROFS, -EUCLEAN, -EIO; on an error *ret_done is 0 and
 * nothing changed.
 */
/* Blocks become a hole; they can be reused after the next commit. */
int hostfile_punch(struct hostfile *hf, lblk start, uint64_t len,
		   uint64_t *ret_done);
/* Holes become unwritten extents. Extent-mapped files only (-EOPNOTSUPP). */
int hostfile_prealloc(struct hostfile *hf, lblk start, uint64_t len,
		      uint64_t *ret_done);
/* Mapped extents become unwritten. Extent-mapped files only (-EOPNOTSUPP). */
int hostfile_unwrite(struct hostfile *hf, lblk start, uint64_t len,
		     uint64_t *ret_done);

/*
 * Set the size; blocks beyond a smaller one must have been punched.
 * Sets mtime and ctime. Returns 0, -EFBIG, -EROFS, -EUCLEAN, -EIO.
 */
int hostfile_set_size(struct hostfile *hf, uint64_t size);

/*
 * Set times. NULL leaves one alone; ctime becomes now. Returns 0, -EROFS.
 */
int hostfile_set_times(struct hostfile *hf, const struct timespec *atime,
		       const struct timespec *mtime);

/*
 * Bytes changed at @written: mtime and ctime become that, if they are earlier.
 * It goes out with the next commit; alone it does not make a flush more than a
 * flush. A host that may not change ignores it.
 */
void hostfile_touch(struct hostfile *hf, const struct timespec *written);

/*
 * What the bitmaps say of the blocks of a deleted file. Reads the whole map and
 * the bitmaps of its groups, in bounded memory. A block that is in use belongs
 * to somebody else by now; but to an @orphan, a file that was still open when
 * the host was left, all still belong.
 * Returns 0, -EOPNOTSUPP (the host is opened by a copy of the superblock, which
 * does not know which bitmaps were ever written), -EUCLEAN (damaged map or
 * bitmap), -EIO; *ret is untouched then.
 */
struct hostfile_remains {
	uint64_t blocks; /* in the map; not those that the map itself takes */
	uint64_t in_use; /* of these */
	bool orphan;	 /* the inode is in use, too */
};

int hostfile_remains(struct hostfile *hf, struct hostfile_remains *ret);

/*
 * Compare cache and disk for the whole file, tree invariants included.
 * NULL, or what is wrong (the caller frees). For tests and debug builds.
 */
char *hostfile_check(struct hostfile *hf);

#endif
