/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sources of one device share among each other.
 *
 * The file device: what opening it (filedev_open.c) decides once, and I/O
 * on it (filedev.c, filedev_range.c, filedev_raw.c) goes by. The overlay: its entries
 * (overlay_entry.c), its face (overlay.c), its write-out (overlay_out.c), its
 * seals (overlay_seal.c).
 */
#ifndef RAWMAP_DEV_PRIV_H
#define RAWMAP_DEV_PRIV_H

#include <rawmap/base/lock.h>
#include <rawmap/dev/overlay.h>

#include <errno.h>
#include <sys/types.h>

/* ---- file device ---- */

/* Who may write to sectors: whole ones, or parts of one (filedev_edges.c). */
struct CAPABILITY("edges") edges {
	struct mutex lock;
	struct cond changed;
	unsigned whole;	  /* guarded by lock: under way */
	unsigned waiting; /* guarded by lock: ragged ones */
	bool ragged;	  /* guarded by lock: one is under way */
};

void edges_init(struct edges *e);
void edges_clear(struct edges *e);
bool edges_whole_try(struct edges *e); /* never waits */
void edges_whole_begin(struct edges *e);
void edges_whole_end(struct edges *e);
void edges_ragged_begin(struct edges *e) ACQUIRE(e);
void edges_ragged_end(struct edges *e) RELEASE(e);

struct filedev {
	struct blkdev dev; /* first */
	/* All but the lock is set once at open. */
	int fd;	     /* O_DIRECT when direct */
	int tail_fd; /* buffered, -1 when there is no tail */
	bool direct;
	bool is_block;
	uint64_t tail; /* first byte of the tail; the size when none */
	uint32_t unit; /* what zero and discard can do, bytes */
	struct edges edges;
};

extern const struct blkdev_ops filedev_ops;

static inline struct filedev *filedev_of(struct blkdev *dev)
{
	return (struct filedev *)dev;
}

/*
 * The range is inside the device: EINVAL can only be the kernel's dislike of
 * an alignment and must not look like the caller's bug.
 */
static inline int filedev_errno(int err)
{
	return err == EINVAL ? -EIO : -err;
}

/* struct blkdev_ops; zero: -EOPNOTSUPP lets blkdev_zero() write the range. */
int filedev_discard(struct blkdev *dev, uint64_t len, dev_off pos);
int filedev_zero(struct blkdev *dev, uint64_t len, dev_off pos);
bool filedev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		 uint64_t len, dev_off pos, struct blkdev_raw *ret);

#define SECTOR_MIN 512
#define SECTOR_MAX 65536
/* Every device's sector so far divides it. */
#define SECTOR_SAFE 4096

bool filedev_align_is_usable(uint64_t align);
/* Of a regular file that is open for direct I/O; 0: it is impossible. */
uint32_t filedev_align(int fd);

/*
 * Where block device number @dev is mounted; NULL: nowhere, or not known.
 * *ret_readonly (may be NULL): the filesystem is.
 */
char *filedev_mountpoint(dev_t dev, bool *ret_readonly);

/*
 * The partition of the block device @path that starts at byte @start. False: the
 * kernel knows none, or @path is no block device.
 */
bool partnode_find(const char *path, uint64_t start, dev_t *ret);

/* ---- overlay ---- */

struct overlay_entry {
	uint64_t block; /* the table's key */
	uint64_t stamp;
	uint64_t seal; /* somebody's word about data; 0: none */
	GList link;    /* in one of the lists; data is the entry */
	unsigned tag;
	bool dirty;
	uint8_t data[];
};

struct overlay {
	struct blkdev dev;    /* first */
	struct blkdev *lower; /* set once */
	uint32_t block_size;  /* set once */
	uint64_t whole;	      /* set once: number of whole blocks */
	size_t clean_max;     /* set once */
	struct mutex lock;
	GHashTable *table;   /* guarded by lock */
	GQueue clean, dirty; /* guarded by lock */
	unsigned tag;	     /* guarded by lock */
	uint64_t stamp;	     /* guarded by lock: the last one given */
};

extern const struct blkdev_ops overlay_ops;

static inline struct overlay *overlay_of(struct blkdev *dev)
{
	return (struct overlay *)dev;
}

static inline dev_off overlay_pos(const struct overlay *ov, uint64_t block)
{
	return dev_off_at(block * ov->block_size);
}

/*
 * The entry or NULL; the eviction of a clean one moves to the far end. With
 * the lock held, as everything here but new, which makes an entry that is in
 * no list yet (content undefined; g_free() while it is not inserted).
 */
struct overlay_entry *overlay_entry_find(struct overlay *ov, uint64_t block)
	REQUIRES(ov->lock);
struct overlay_entry *overlay_entry_new(const struct overlay *ov,
					uint64_t block);
/* Hands @e over; it may be evicted at once when it is clean. */
void overlay_entry_insert(struct overlay *ov, struct overlay_entry *e,
			  bool dirty) REQUIRES(ov->lock);
void overlay_entry_forget(struct overlay *ov, struct overlay_entry *e)
	REQUIRES(ov->lock);
/* Content or tag changed: a new stamp. */
void overlay_entry_set_dirty(struct overlay *ov, struct overlay_entry *e,
			     unsigned tag) REQUIRES(ov->lock);
/* The lower device holds the same. May evict @e at once. */
void overlay_entry_set_clean(struct overlay *ov, struct overlay_entry *e)
	REQUIRES(ov->lock);

/* ---- stack_explain.c ---- */

struct stack;
struct stack_options;

/* Say, with -v, how @stack was opened and why so. */
void stack_explain(const struct stack *stack, const char *path,
		   const struct stack_options *opt);

#endif
