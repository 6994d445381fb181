/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sources of copy on write share: where things lie in FILE
 * (cow_layout.c, cow_header.c), by what a source is known again (cow_sample.c),
 * which clusters FILE has (cow_map.c), the device (cow.c), its writes
 * (cow_write.c). cow_open.c knows of paths and nothing else does.
 */
#ifndef RAWMAP_DEV_COW_PRIV_H
#define RAWMAP_DEV_COW_PRIV_H

#include <rawmap/base/lock.h>
#include <rawmap/dev/cow.h>

/* ---- layout ---- */

#define COW_HEADER 4096
#define COW_SECTOR 512	/* what no disk tears */
#define COW_PAGE   4096 /* of the bitmap: written as a whole */

struct cow_layout {
	uint64_t size;	   /* of the device, bytes */
	uint32_t cluster;  /* bytes, a power of two */
	uint64_t clusters; /* the last may be cut short */
	uint64_t bitmap;   /* bytes, behind the header; whole pages */
	uint64_t data;	   /* where cluster 0 lies */
	uint64_t store;	   /* size of FILE */
};

/* False: no file has such clusters. */
bool cow_layout_with(uint64_t size, uint32_t cluster, struct cow_layout *ret);
/* With the smallest that do. False: the device is too large. */
bool cow_layout_choose(uint64_t size, struct cow_layout *ret);

/* ---- what is remembered of the source ---- */

#define COW_SAMPLES	 576
#define COW_SAMPLE_BYTES 4096

struct cow_sample {
	unsigned n; /* blocks that were sampled: by the size alone */
	uint32_t crc[COW_SAMPLES];
	uint8_t unread[COW_SAMPLES / 8]; /* bit i: block i has an I/O error */
};

struct cow_difference {
	unsigned compared; /* blocks that could be read both times */
	unsigned differ;
	uint64_t first; /* byte; when any differ */
};

void cow_sample_take(struct blkdev *dev, struct cow_sample *ret);
/* Of the same @size. */
void cow_sample_compare(const struct cow_sample *a, const struct cow_sample *b,
			uint64_t size, struct cow_difference *ret);

/* ---- header ---- */

/* Durable, and with it all that was written to @store before. */
bool cow_header_write(struct blkdev *store, const struct cow_layout *at,
		      const struct cow_sample *sample,
		      const struct cow_names *names, GError **error);
/* Is it FILE of this source in this state? */
bool cow_header_read(struct blkdev *store, uint64_t size,
		     const struct cow_sample *sample,
		     const struct cow_names *names, struct cow_layout *ret,
		     uint64_t *ret_created, GError **error);

/* ---- map ---- */

struct cow_map {
	uint64_t *word; /* set once; the content atomic, only gains bits */
	size_t pages;	/* set once */
	uint64_t bits;	/* set once */
	struct mutex lock;
	uint8_t *state;	  /* guarded by lock: of each page */
	uint64_t present; /* guarded by lock */
	gint unsettled; /* atomic, changed with the lock: pages with a state */
};

void cow_map_init(struct cow_map *map, const struct cow_layout *at);
void cow_map_clear(struct cow_map *map);
/* 0, -EUCLEAN (clusters behind the last one), or -errno of @store */
int cow_map_load(struct cow_map *map, struct blkdev *store);

/*
 * How many of the @max > 0 clusters from @first on are as the first is: at
 * least 1. Takes no lock.
 */
uint64_t cow_map_run(const struct cow_map *map, uint64_t first, uint64_t max,
		     bool *ret_present);
void cow_map_set(struct cow_map *map, uint64_t first, uint64_t n);
uint64_t cow_map_count(struct cow_map *map);
/* Does FILE know of every cluster that is present here? Takes no lock. */
bool cow_map_settled(const struct cow_map *map);

/* Pages on their way to FILE, as they were when they left. */
struct cow_leaving {
	size_t n;
	uint32_t *page; /* ascending */
	uint8_t *bytes; /* n pages */
};

/* One at a time: leave, write, arrive. */
void cow_map_leave(struct cow_map *map, struct cow_leaving *ret);
int cow_map_write(const struct cow_leaving *leaving, struct blkdev *store);
/* Clears @leaving. @durable: or they have to leave once more. */
void cow_map_arrive(struct cow_map *map, struct cow_leaving *leaving,
		    bool durable);

/* ---- device ---- */

struct cow_copy { /* a cluster on its way to FILE */
	uint64_t cluster;
	struct cow_copy *next;
};

struct cow {
	struct blkdev dev; /* first */
	/* Set once. */
	struct blkdev *lower, *store;
	struct cow_layout at;
	uint64_t created;
	struct cow_map map; /* has its own lock, innermost */
	struct mutex flushing;
	int failed; /* guarded by flushing: 0, or -errno of a flush of FILE */
	struct mutex lock;
	struct cond over;
	struct cow_copy *copies; /* guarded by lock */
};

static inline struct cow *cow_of(struct blkdev *dev)
{
	return (struct cow *)dev;
}

static inline dev_off cow_in_store(const struct cow *cow, dev_off pos)
{
	return dev_off_add(pos, cow->at.data);
}

/*
 * How many of the @len > 0 bytes at @pos lie where the first does: in FILE, or
 * below.
 */
static inline uint64_t cow_span(const struct cow *cow, dev_off pos,
				uint64_t len, bool *ret_present)
{
	uint64_t first = pos.v / cow->at.cluster;
	uint64_t last = (pos.v + len - 1) / cow->at.cluster;
	uint64_t n =
		cow_map_run(&cow->map, first, last - first + 1, ret_present);
	uint64_t end = (first + n) * cow->at.cluster;

	return end - pos.v < len ? end - pos.v : len;
}

/* struct blkdev_ops */
int cow_pwrite(struct blkdev *dev, const void *buf, size_t len, dev_off pos);
int cow_zero(struct blkdev *dev, uint64_t len, dev_off pos);
int cow_discard(struct blkdev *dev, uint64_t len, dev_off pos);

#endif
