/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this layer share with each other.
 *
 *   file        owns
 *   iomgr.c     the io_manager that puts libext2fs on the metadata overlay
 *   gate.c      which features and states may be read, which may be written
 *   open.c      open and close of the host
 *   source.c    what open.c and recover.c ask first
 *   jfind.c     where the journal is, inside or outside
 *   replayed.c  a read-only host as it is once its log is home
 *   backup.c    copies of the superblock: reading by one, finding one
 *   host.c      the open host: info, counts, doors to transaction and guard
 *   errcode.c   libext2fs' error codes
 *   lookup.c    path or <N> to inode number
 *   dircontent.c  what a directory or a symbolic link holds
 *   inlinedata.c  data that lies in its inode
 *   hostfile.c  open and close of a hostfile
 *   inode.c     a hostfile's inode: attributes, times, size, write-back
 *   inline.c    content that is in the inode itself
 *   deleted.c   what is left of a deleted file
 *   syszone.c   where the filesystem's own blocks lie: the guard
 *   alloc.c     bitmaps, group by group; reserve, publish, release
 *   jmap.c      where the journal and its like lie
 *   recover.c   replay on disk: may it be done (recover_apply.c does it)
 *   tx.c        the running transaction (tx_priv.h lists its files)
 *   load.c      filling a hostfile's cache  check.c     the whole of it, tests
 *   extload.c   reading extent trees        extedit.c   changing them
 *   indload.c   reading indirect trees      indedit.c   changing them
 *   place.c     where a file's new blocks go
 *   fill.c      reserve, publish, unreserve
 *   punch.c     punch, prealloc, unwrite
 *
 * Everything below runs under hostfs.lock but where it says otherwise.
 *
 * Metadata has two stages in memory, one overlay over the other: meta is what
 * the running transaction changed, stable what was committed and is not home
 * yet. A commit freezes the first, hands it down to the second, and writes it
 * from there without the lock. With a journal every tree block is changed in
 * place, a commit is one journal transaction (journalled.c), and what follows
 * is different in all points but one: freed blocks become reusable behind it.
 *
 * How metadata reaches the source without a journal:
 *
 *   written by                        tag        goes out
 *   bitmaps, descriptors, superblock  TX_FIRST   epoch 1, with the data before it
 *   tree blocks new in this commit    TX_FIRST   epoch 1
 *   -- flush --
 *   existing indirect blocks, inodes  TX_SECOND  epoch 2
 *   -- flush --
 *   then freed blocks become reusable, and their bitmap bits clear: they go
 *   out with the next commit; a crash before it only leaks them.
 *
 * There extent trees are changed by copying: a tree block that is on the source is
 * never changed in place; its first change in a transaction moves it to a new
 * block, its parent is changed to point there, up to the inode, whose one
 * block then switches the whole tree at once. So after a crash an extent file
 * is as it was before the commit or after it. Only when the host has not one
 * free block left is a tree block changed in place (TX_SECOND).
 */
#ifndef HOSTFS_PRIV_H
#define HOSTFS_PRIV_H

#include <rawmap/base/histogram.h>
#include <rawmap/base/lock.h>
#include <rawmap/base/units.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/dev/overlay.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/map/extmap.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <glib.h>

enum tx_tag { TX_FIRST, TX_SECOND };

struct alloc;
struct jlog;
struct journal;
struct replay;
struct syszone;

/* What became of the log of a read-only host. All set once. */
struct replayed {
	struct journal *journal; /* the next two are made from it */
	struct replay *replay;
	struct blkdev *view; /* NULL: the disk is shown as it lies */
	bool norecovery;     /* asked for */
	bool ignored;	     /* in use, but the superblock does not say so */
	bool log_error;	     /* the journal recorded one */
	bool had_error;	     /* so did the superblock on the disk */
};

struct hostfs {
	struct mutex lock;
	ext2_filsys fs;		 /* guarded by lock */
	struct replayed log;	 /* set once */
	struct blkdev *dev;	 /* set once: the source, or log.view; data
				    goes here */
	struct overlay *stable;	 /* set once: metadata of commits */
	struct overlay *meta;	 /* set once: over stable; metadata goes here */
	struct blkdev *meta_dev; /* set once: overlay_blkdev(meta) */
	char *name;		 /* set once: for sentences */
	unsigned bits;		 /* set once: log2 of the block size */
	uint32_t block_size;	 /* set once */
	bool readonly;		 /* set once */
	bool use_reserved;	 /* set once */
	bool discard;		 /* set once */
	bool deleted;		 /* set once */
	bool raw_unwritten;	 /* set once */
	uint64_t super_block;	 /* set once: 0, or the copy it is opened by */
	bool has_csum;		 /* set once: metadata_csum */

	struct syszone *zone; /* set once */
	/* atomic; NULL until something is to be written, then set once */
	struct syszone *journal_zone;
	struct alloc *alloc;	 /* NULL on a read-only host */
	GPtrArray *files;	 /* open hostfiles, borrowed; guarded */
	GHashTable *new_blocks;	 /* tree blocks taken by the running
					   transaction (u64 set); guarded */
	struct journal *journal; /* set once: NULL without, or read-only */
	struct jlog *jlog;	 /* set once, with journal; the leader's */
	GArray *dropped;	 /* pblk: tree blocks freed by the running
				    transaction, with a journal; guarded */
	struct cond cycle;	 /* with lock: one of the next three changed */
	bool busy;		 /* a commit's I/O is under way; guarded */
	uint64_t started, done;	 /* cycles (commit.c); guarded */
	bool marked;		 /* "not clean" is durable on the source */
	bool error_marked;	 /* the source knows that it failed */
	bool super_dirty;	 /* the superblock must go out (features) */
	gint failed;		 /* atomic: 0 or a positive errno */
	struct hostfs_stats stats;  /* guarded */
	struct histogram commit_ns; /* guarded: what each commit took */
};

struct hostfile {
	struct hostfs *fs;		/* set once */
	ext2_ino_t ino;			/* set once */
	char *path, *name;		/* set once */
	bool extent_mapped;		/* set once */
	bool deleted;			/* set once: it has no links */
	uint8_t *inline_bytes;		/* set once: NULL but for inline data */
	size_t inline_len;		/* set once */
	uint64_t max_size;		/* set once */
	struct ext2_inode_large *inode; /* whole on-disk inode, inode_size bytes;
					   guarded by fs->lock */
	bool inode_dirty;		/* map or size changed; guarded */
	bool times_dirty;		/* only times changed; guarded */
	uint64_t size;			/* atomic; = EXT2_I_SIZE(inode) */
	struct extmap *map;		/* set once */
	uint64_t next_miss; /* where a sequential miss would be; guarded */
	unsigned lookahead; /* leaves to load at the next one; guarded */
	struct {
		unsigned want; /* leaves that the load under way is for */
		uint64_t first;
		unsigned n; /* tree blocks read at once, from first on */
		uint8_t *blocks;
		struct extnode *index; /* the last one above leaves, or NULL */
		uint64_t low, high;    /* what it is responsible for */
	} ahead;	   /* guarded; of extload.c, empty between loads */
	bool corrupt_said; /* guarded */
};

static inline struct ext2_inode *hostfile_inode(struct hostfile *hf)
{
	return (struct ext2_inode *)hf->inode;
}

/* libext2fs' errcode_t to -errno; 0 to 0. Never looks at errno. */
int errcode_to_errno(errcode_t err);
/* The sentence part for an errcode_t (error_message(), with a fallback). */
const char *errcode_text(errcode_t err);

/* ---- iomgr.c ---- */

/*
 * The io_manager over @dev: ext2fs_open2(name, NULL, flags, 0, 0, manager).
 * open() takes the device from a thread-local that iomgr_set_device() set.
 */
io_manager iomgr_get(void);
void iomgr_set_device(struct blkdev *dev);

/* ---- host.c ---- */

/* As 36 characters and a NUL. */
void super_uuid_text(const uint8_t *uuid, char *ret);

/* ---- gate.c ---- */

/*
 * May the host with this superblock be opened (and written, unless @readonly)?
 * Else a sentence. Comes before libext2fs: what passes has sane numbers.
 */
bool gate_check(const struct ext2_super_block *super, uint64_t device_size,
		const char *name, bool readonly, GError **error);
/* Nobody's inodes, which a writer might leave behind for ever. */
bool gate_check_orphans(const struct ext2_super_block *super, const char *name,
			GError **error);
/* Is it ext, whole, and possible on a source of that size? */
bool gate_is_sound(const struct ext2_super_block *super, uint64_t device_size,
		   const char *name);
/* The same for an inode. */
bool gate_check_inode(struct hostfs *fs, ext2_ino_t ino,
		      const struct ext2_inode *inode, const char *path,
		      GError **error);

/* The names of a superblock's features, blanks between; the caller frees. */
char *gate_features(const struct ext2_super_block *super);

/* ---- lookup.c ---- */

/* @path as in hostfile_open(). */
bool lookup_inode(struct hostfs *fs, const char *path, ext2_ino_t *ret,
		  GError **error);

/* ---- dircontent.c ---- */

/*
 * Who is called @name in the directory @dir, whose inode is @inode? *ret is 0
 * when nobody is. @path: as it was asked for, for sentences. A block that is
 * damaged or cannot be read is an error only when the name is in no other:
 * *ret_block is the first of these then, 0 where it was no block.
 */
errcode_t dir_find(struct hostfs *fs, ext2_ino_t dir,
		   const struct ext2_inode *inode, const char *path,
		   const char *name, ext2_ino_t *ret, pblk *ret_block);
/* The target of the symbolic link @ino; the caller frees it. */
errcode_t link_read(struct hostfs *fs, ext2_ino_t ino, struct ext2_inode *inode,
		    const char *path, char **ret);

/* ---- inlinedata.c ---- */

/*
 * What inode @ino, which has its data in itself, holds: appended to @ret, 60
 * bytes at least. Returns 0, -EUCLEAN, -EIO.
 */
int inlinedata_read(struct hostfs *fs, ext2_ino_t ino, GByteArray *ret);
/*
 * The same from the @size bytes of an inode as it is on disk. Returns 1, 0
 * (nothing but the 60 bytes), -EUCLEAN.
 */
int inlinedata_take(const struct ext2_inode_large *inode, size_t size,
		    GByteArray *ret);

/* ---- inode.c ---- */

/* Write a dirty inode (times included) into the overlay, TX_SECOND; or all. */
int inode_store(struct hostfile *hf);
int inode_store_all(struct hostfs *fs);
/* mtime and ctime become now; the inode is dirty. */
void inode_changed(struct hostfile *hf);
/* i_size of a dirty or clean inode, large_file feature included. */
int inode_set_size(struct hostfile *hf, uint64_t size);
/* Add or take off allocated blocks (i_blocks), huge_file respected. */
int inode_add_blocks(struct hostfile *hf, int64_t blocks);

/* ---- inline.c, deleted.c: parts of opening, CORRUPT or NOT_FOUND ---- */

/* Take the content out of the inode. */
bool inline_read(struct hostfile *hf, GError **error);
/* Is anything left? A size that is gone becomes that of what the map has. */
bool deleted_open(struct hostfile *hf, GError **error);
/* When, or 0. */
time_t deleted_time(struct hostfile *hf);

/* ---- syszone.c: set up once, then read without a lock ---- */

/* What the descriptors say. -EUCLEAN: they point outside the filesystem. */
int syszone_new(ext2_filsys fs, struct syszone **ret);
/*
 * The internal journal and the resize inode: many reads on a large host, and
 * needed only by who writes. Returns 0, -EUCLEAN, -EIO.
 */
int syszone_new_journal(ext2_filsys fs, struct syszone **ret);
void syszone_free(struct syszone *zone);
/* Does [start, start + len) touch the filesystem's own blocks or its outside? */
bool syszone_touches(const struct syszone *zone, pblk start, uint64_t len);
/* The same for all zones of the host that are there. Takes no lock. */
bool hostfs_owns(const struct hostfs *fs, pblk start, uint64_t len);

/* ---- jmap.c ---- */

/*
 * Where file @ino of the filesystem's own lies (the internal journal, the orphan
 * file): its blocks in order, of struct journal_run, appended to @runs; the
 * blocks of its own tree, of pblk, to @tree (may be NULL). Everything is inside
 * the filesystem. Returns 0, -EUCLEAN (no such file, holes, impossible numbers,
 * more blocks than the filesystem), -EIO.
 */
int jmap_read(ext2_filsys fs, ext2_ino_t ino, GArray *runs, GArray *tree);
/*
 * libext2fs goes as deep into a map of extents as its root says, with a block of
 * memory for each of 65535 levels: it must not be asked about such an inode.
 */
bool jmap_too_deep(const struct ext2_inode *inode);

/* ---- source.c ---- */

/*
 * What opening and recovering do first. The kernel must not have @name (may be
 * NULL) mounted, but for read-only where @looks_only, nor use it as swap; else
 * BUSY.
 */
bool source_check_unmounted(const char *name, bool looks_only, GError **error);
/* As it lies there, unchecked; or CORRUPT (too short), IO. */
bool source_read_super(struct blkdev *dev, const char *name,
		       struct ext2_super_block *ret, GError **error);
/* ext2fs_open2() on @dev; @flags: EXT2_FLAG_RW or 0. What it prints is logged. */
errcode_t source_open_ext2fs(struct blkdev *dev, int flags, ext2_filsys *ret);
/*
 * What it said, a -errno, as a sentence: "'@name' @what ...". CORRUPT where the
 * filesystem makes no sense, else IO. Returns false.
 */
bool source_failed(const char *name, int err, const char *what, GError **error);
/*
 * Free blocks and inodes as the group descriptors have them: the superblock of a
 * host that was not unmounted may be behind. False: they have impossible ones.
 */
bool source_count_free(ext2_filsys fs, uint64_t *ret_blocks,
		       uint32_t *ret_inodes);

/* ---- replayed.c ---- */

/*
 * Look through the log of the host on @dev, if that is what @opt and @super, the
 * superblock as it lies there, ask for: log->view is not NULL then, and @super
 * as it is there. Nothing is written. False with a sentence: those of
 * journal_open(), jfind_open(), replay_scan() and gate_check().
 */
bool replayed_open(struct replayed *log, struct blkdev *dev,
		   const struct hostfs_options *opt, const char *name,
		   struct ext2_super_block *super, GError **error);
/* libext2fs has the host: correct its counts, look at a log that nobody needs. */
void replayed_finish(struct hostfs *fs);
void replayed_close(struct replayed *log); /* all zeros is fine */
/* Say behind the sentence that there is a way past the log. */
void replayed_advise(GError **error);
void replayed_info(const struct replayed *log, struct hostfs_info *ret);
/* Say, with -v, what the host that was just opened is like. */
void hostfs_explain(const struct hostfs *fs);
/* The same by the superblock in @block, of @size bytes; 0: the primary. */
errcode_t source_open_by(struct blkdev *dev, int flags, uint64_t block,
			 uint32_t size, ext2_filsys *ret);

/* ---- backup.c ---- */

/*
 * The copy of the superblock in @block, unchecked but that it is one. @size: of
 * the blocks; 0: each is tried, and the copy must say that it belongs there.
 * Else a sentence: USAGE, CORRUPT, IO.
 */
bool backup_read(struct blkdev *dev, const char *name, uint64_t block,
		 uint32_t size, struct ext2_super_block *ret, GError **error);
/*
 * When *@error is CORRUPT and there is a sound copy in one of the usual places:
 * add to its sentence how to open the host by it.
 */
void backup_suggest(struct blkdev *dev, const char *name, GError **error);

/* ---- alloc.c ---- */
/*
 *   a block is    used bit   busy bit   listed      counted free
 *   free          0          0                      yes
 *   reserved      0          1                      yes
 *   used          1          0                      no
 *   released      1          1          pending     no
 *     journal     0          1          pending     yes
 *
 * "used" is what the commit writes. A released block cannot be had before its
 * commit is durable. With a journal the commit that frees it clears its bit;
 * without one that is left for the next. Groups are loaded one by one when needed;
 * clean ones with no busy bit are evicted.
 */
struct alloc *alloc_new(struct hostfs *fs);
void alloc_free(struct alloc *a);

/*
 * Reserve a run of at most @want blocks at or after @goal (wrapping round), as
 * long as the place has; prefers a run of the full length near the goal over a
 * splinter. Returns 0, -ENOSPC, -EUCLEAN, -EIO.
 */
int alloc_take(struct alloc *a, pblk goal, uint32_t want, pblk *ret_start,
	       uint32_t *ret_len);
void alloc_give_back(struct alloc *a, pblk start, uint32_t len);
/* reserved -> used: free counts go down, checksums follow at the store. */
void alloc_publish(struct alloc *a, pblk start, uint32_t len);
/*
 * used -> released. Loads the group: 0, -EIO, or -EUCLEAN when the bitmap says
 * that the block was free already (nothing changed).
 */
int alloc_release(struct alloc *a, pblk start, uint32_t len);

/* Blocks that may still be promised; 0 rather than negative. */
uint64_t alloc_available(const struct alloc *a);
/* The same without root's reserve taken off: for tree blocks. */
uint64_t alloc_available_meta(const struct alloc *a);
/* Put @blocks of future tree blocks aside / return them (used or not). */
void alloc_promise(struct alloc *a, uint64_t blocks);
void alloc_unpromise(struct alloc *a, uint64_t blocks);
/* Runs of blocks in that list. */
size_t alloc_pending_runs(const struct alloc *a);
/* Blocks released by the running transaction; by the one being committed. */
uint64_t alloc_pending(const struct alloc *a);
uint64_t alloc_draining(const struct alloc *a);
/* Are there groups that the next store would write? */
bool alloc_dirty(const struct alloc *a);
/* Put dirty bitmaps, their descriptors (checksums) and the superblock's counts
   into the overlay, TX_FIRST. Returns 0, -EIO. */
int alloc_store(struct alloc *a);
/* What was released so far is the commit's: behind alloc_store(). */
void alloc_freeze(struct alloc *a);
/* The commit is durable: what was frozen becomes free. */
void alloc_committed(struct alloc *a);

/* ---- tx.c ---- */

int meta_read(struct hostfs *fs, pblk block, void *buf);
/*
 * Write one tree block: TX_FIRST when it is new in this transaction, else
 * TX_SECOND.
 */
int meta_write(struct hostfs *fs, pblk block, const void *buf);
/*
 * The same for a node of an extent tree. It is sealed (overlay.h) with its
 * inode's number, which says: extnode_write() made these bytes for that tree,
 * with their checksum, and everything that they point to was checked against
 * the zones. *ret_made: the block has such a seal; otherwise nothing is known.
 */
int meta_read_node(struct hostfs *fs, ext2_ino_t ino, pblk block, void *buf,
		   bool *ret_made);
int meta_write_node(struct hostfs *fs, ext2_ino_t ino, pblk block,
		    const void *buf);
/*
 * A new tree block near @goal: reserved and published, known as new. Reaches
 * into root's reserve. Returns 0, -ENOSPC, -EUCLEAN, -EIO.
 */
int meta_alloc(struct hostfs *fs, pblk goal, pblk *ret);
/* Release a tree block: out of the overlay, reusable after the commit. */
int meta_free(struct hostfs *fs, pblk block);
bool meta_is_new(struct hostfs *fs, pblk block);
/* May the block change where it is, without danger if we die half way? */
bool meta_in_place(struct hostfs *fs, pblk block);

/* Copy fs->fs->super with checksum into the overlay, TX_FIRST. */
int tx_store_super(struct hostfs *fs);
/*
 * Commit what is pending, times too; waits for a commit that is under way. 0 at
 * once when nothing is pending. Lets go of the lock; everything published
 * before the call is in a finished commit when it returns 0. Else -EROFS (the
 * host is broken), or the errno that broke it.
 */
int tx_commit(struct hostfs *fs);
/*
 * Durable: all data written and everything published before the call. Shares
 * its commit, or flush, with others that wait. Lets go of the lock. Returns as
 * tx_commit().
 */
int tx_sync(struct hostfs *fs);
/* A cycle that is one flush, done by the caller: see hostfs_flush_begin(). */
bool tx_flush_begin(struct hostfs *fs);
int tx_flush_end(struct hostfs *fs, int err);
/* Nobody does anything: take home what was committed. Returns as tx_commit(). */
int tx_idle(struct hostfs *fs);
/* Anything but times pending? */
bool tx_pending(struct hostfs *fs);
/*
 * To be called before a small change (one inode, a reservation): 0 or -EROFS
 * (readonly, broken). The first time it completes the zones of the guard;
 * -EUCLEAN, -EIO when they cannot be had.
 */
int tx_may_change(struct hostfs *fs);
/*
 * The same before a change of up to tx_op_blocks() blocks, tree blocks, bitmaps
 * and descriptors together: makes room for it in the transaction, by a commit
 * if need be. May let go of the lock. Returns as tx_may_change() or tx_commit().
 */
int tx_start(struct hostfs *fs);
unsigned tx_op_blocks(struct hostfs *fs);
/* The host is broken: says so once (@what failed with @err, a -errno). */
void tx_fail(struct hostfs *fs, int err, const char *what);
/*
 * Clean unmount: commit, everything home, mark clean, flush. Where others keep
 * changing the host it gives up, with 0, after @most commits.
 */
int tx_finish(struct hostfs *fs, unsigned most);

/* ---- extload.c, indload.c ---- */

/* One metadata leaf: everything about [start, start + len). */
struct leaf {
	lblk start;
	uint64_t len;
	GArray *extents; /* of struct extent, merged, ascending */
};

/*
 * Read the leaf that is responsible for @at; ret->extents is appended to an
 * empty array that the caller made. Checks headers, checksums, order, ranges
 * and the system zone. Returns 0, -EUCLEAN (said once, naming the block), -EIO.
 */
int exttree_load(struct hostfile *hf, lblk at, struct leaf *ret);
/* What it read for the leaves to come (hf->ahead.want of them) is let go. */
void exttree_load_end(struct hostfile *hf);
int indtree_load(struct hostfile *hf, lblk at, struct leaf *ret);
/* Whichever the file has, or one hole for inline data. */
int hostfile_load_leaf(struct hostfile *hf, lblk at, struct leaf *ret);

/* hostfile_map_at() for who has the host's lock; never reads ahead. */
int hostfile_look(struct hostfile *hf, lblk at, uint64_t max,
		  struct extent *ret);

/* Say once a file that its metadata is corrupt. Returns -EUCLEAN. */
int hostfile_corrupt(struct hostfile *hf, pblk block, const char *what);

/* ---- extedit.c, indedit.c ---- */

/*
 * Make [e->start, +len) what @e says, in the tree only (no data block is
 * allocated or freed, the cache is not told; i_blocks of tree blocks is kept).
 * At most one leaf's worth is done; *ret_done says how many blocks from start.
 * Old extents in the way are cut or removed; if @freed is not NULL the device
 * runs that they held are appended to it, ascending: start in the file, phys and
 * state as they were.
 * extents: MAPPED, UNWRITTEN or HOLE; indirect: MAPPED or HOLE.
 * On an error the tree is as it was. Returns 0, -ENOSPC, -EUCLEAN, -EIO.
 */
int exttree_set(struct hostfile *hf, const struct extent *e, GArray *freed,
		uint64_t *ret_done);
int indtree_set(struct hostfile *hf, const struct extent *e, GArray *freed,
		uint64_t *ret_done);
/* Tree blocks that entering one more run of @len blocks may need at worst. */
uint64_t exttree_worst(struct hostfile *hf, uint64_t len);
uint64_t indtree_worst(struct hostfile *hf, uint64_t len);
/* NULL, or what is wrong with the tree as a whole (the caller frees). */
char *exttree_check(struct hostfile *hf);

/* ---- place.c ---- */

/* Blocks of one reserved run: the longest written extent. */
#define FILL_RUN_MAX 32768

/* Where an inode's blocks start when nothing else says where. */
pblk hostfile_inode_goal(struct hostfile *hf);
/*
 * Where tree blocks go: to the end of the group of @near, out of the way of
 * data. A streaming writer's blocks stay contiguous then, and a walk of the map
 * reads neighbours.
 */
pblk hostfile_tree_goal(struct hostfile *hf, pblk near);
/* exttree_worst() or indtree_worst(). */
uint64_t hostfile_tree_worst(struct hostfile *hf, uint64_t len);
/* May one operation change so many tree blocks? */
bool hostfile_fits_tx(struct hostfile *hf, uint64_t tree_blocks);
/*
 * Reserve one run for the hole [@at, +@max), near the file's other blocks
 * (@fill: those not entered yet, may be NULL), and promise the tree blocks that
 * entering it may need. *ret is MAPPED. Returns 0, -ENOSPC, -EUCLEAN, -EIO.
 */
int hostfile_take(struct hostfile *hf, const struct fill *fill, lblk at,
		  uint64_t max, struct extent *ret, uint64_t *ret_promised);

/* ---- fill.c: what punch.c shares with it ---- */

/*
 * One of the two trees: all of @e, leaf by leaf. *ret_done (may be less on an
 * error) says how far it went. Returns as exttree_set().
 */
int hostfile_enter(struct hostfile *hf, const struct extent *e,
		   uint64_t *ret_done);
/*
 * After -ENOSPC: a commit makes released blocks free. Returns 0 when it is worth
 * another try, else -ENOSPC or what the commit said.
 */
int hostfile_make_room(struct hostfile *hf);

#endif
