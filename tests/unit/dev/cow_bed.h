/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write in memory: a source that aborts on a write, with a spot that
 * may be bad, and a store.
 */
#ifndef TESTS_UNIT_DEV_COW_BED_H
#define TESTS_UNIT_DEV_COW_BED_H

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/cow.h>

#include "support/memdev.h"
#include "support/nowritedev.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define BED_CLUSTER 4096u
/* 41 clusters, the last of them short, and no multiple of a sector. */
#define BED_SIZE (40 * BED_CLUSTER + 1536 + 77)

static const struct cow_names bed_names = { "the-file", "the-source" };

/* ---- a device with a bad spot: reads that touch it fail ---- */

struct spotdev {
	struct blkdev dev; /* first */
	struct blkdev *lower;
	uint64_t pos, len;
};

static inline int spotdev_pread(struct blkdev *dev, void *buf, size_t len,
				dev_off pos)
{
	struct spotdev *s = (struct spotdev *)dev;

	if (range_overlaps(s->pos, s->len, pos.v, len))
		return -EIO;
	return blkdev_pread(s->lower, buf, len, pos);
}

static inline int spotdev_pwrite(struct blkdev *dev, const void *buf,
				 size_t len, dev_off pos)
{
	return blkdev_pwrite(((struct spotdev *)dev)->lower, buf, len, pos);
}

static inline int spotdev_flush(struct blkdev *dev)
{
	return blkdev_flush(((struct spotdev *)dev)->lower);
}

static inline void spotdev_close(struct blkdev *dev)
{
	blkdev_unref(((struct spotdev *)dev)->lower);
	g_free(dev);
}

/* Takes the reference over. */
static inline struct spotdev *spotdev_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "spot",
		.pread = spotdev_pread,
		.pwrite = spotdev_pwrite,
		.flush = spotdev_flush,
		.close = spotdev_close,
	};
	struct spotdev *s = g_new0(struct spotdev, 1);

	blkdev_init(&s->dev, &ops, blkdev_geometry(lower));
	s->lower = lower;
	return s;
}

/* ---- the bed ---- */

struct cow_bed {
	uint64_t size;
	uint8_t *bytes;	       /* of the source, to compare with */
	struct blkdev *mem;    /* the source's memory; borrowed */
	struct spotdev *spot;  /* the source, over nowritedev, over that */
	struct blkdev *source; /* the same */
	struct blkdev *store;  /* memory */
	struct blkdev *cow;    /* NULL while closed */
};

/* NULL and @ret_error, or a device. */
static inline struct blkdev *bed_try(struct cow_bed *b, struct blkdev *store,
				     bool fresh, GError **ret_error)
{
	struct blkdev *dev =
		cow_new(b->source, NULL, store, &bed_names, fresh, ret_error);

	ck_assert(!dev == !!*ret_error);
	return dev;
}

/* Opening @store again fails; @code < 0: with any. */
static inline void bed_refused(struct cow_bed *b, struct blkdev *store,
			       int code, const char *text)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(bed_try(b, store, false, &error));
	ck_assert_msg(code < 0 || g_error_matches(error, RAWMAP_ERROR, code),
		      "%s", error->message);
	ck_assert_msg(strstr(error->message, text) != NULL, "%s",
		      error->message);
}

static inline void bed_open_on(struct cow_bed *b, struct blkdev *store,
			       bool fresh)
{
	g_autoptr(GError) error = NULL;

	b->cow = bed_try(b, store, fresh, &error);
	ck_assert_msg(b->cow != NULL, "%s", error ? error->message : "?");
}

static inline void bed_close(struct cow_bed *b)
{
	g_clear_pointer(&b->cow, blkdev_unref);
}

static inline void bed_reopen(struct cow_bed *b)
{
	bed_close(b);
	bed_open_on(b, b->store, false);
}

static inline void bed_set_source(struct cow_bed *b, uint64_t size)
{
	g_autoptr(blkdev) mem = memdev_new_readonly(b->bytes, size, 512);

	blkdev_unref(b->source);
	b->mem = mem;
	b->spot = spotdev_new(nowritedev_new(mem));
	b->source = &b->spot->dev;
}

/* A store that is made, and open. */
static inline void bed_init(struct cow_bed *b, uint64_t size, guint32 seed)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

	*b = (struct cow_bed){ .size = size, .bytes = g_malloc(size) };
	for (uint64_t i = 0; i < size; i++)
		b->bytes[i] = (uint8_t)g_rand_int(rand);
	bed_set_source(b, size);
	b->store = memdev_new(cow_store_size(size), 512);
	bed_open_on(b, b->store, true);
}

static inline void bed_clear(struct cow_bed *b)
{
	bed_close(b);
	blkdev_unref(b->store);
	blkdev_unref(b->source);
	g_free(b->bytes);
}

static inline void bed_expect(struct cow_bed *b, const uint8_t *want)
{
	g_autofree uint8_t *got = g_malloc(b->size);

	ck_assert_int_eq(blkdev_pread(b->cow, got, b->size, dev_off_at(0)), 0);
	if (!memcmp(got, want, b->size))
		return;
	for (uint64_t i = 0; i < b->size; i++)
		ck_assert_msg(got[i] == want[i],
			      "byte %llu is %#x instead of %#x",
			      (unsigned long long)i, got[i], want[i]);
}

static inline void bed_write(struct cow_bed *b, uint64_t pos, uint8_t byte,
			     size_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	memset(buf, byte, len);
	ck_assert_int_eq(blkdev_pwrite(b->cow, buf, len, dev_off_at(pos)), 0);
}

static inline uint64_t bed_present(struct cow_bed *b)
{
	struct cow_info info;

	ck_assert(cow_info(b->cow, &info));
	return info.present;
}

#endif
