/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hosts that the allocator's tests work on, and its calls with checks. */
#ifndef TESTS_HOSTFS_ALLOC_BED_H
#define TESTS_HOSTFS_ALLOC_BED_H

#include "../../src/hostfs/alloc_priv.h"

#include <support/hostimg.h>
#include <support/orderdev.h>

#include <rawmap/dev/blkdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static const struct shape {
	const char *mkfs;
	uint64_t size;
	bool uninit; /* has groups whose bitmap was never written */
} shapes[] = {
	{ "-t ext2 -b 1024", 30 * MIB, false },
	{ "-t ext2 -b 4096 -g 2048", 61 * MIB, false },
	{ "-t ext3 -b 1024", 30 * MIB, false },
	{ "-t ext3 -b 4096 -g 2048", 61 * MIB, false },
	{ "-t ext4 -b 1024 -O ^64bit", 30 * MIB, true },
	{ "-t ext4 -b 4096 -g 2048 -G 4 -O 64bit", 61 * MIB, true },
	{ "-t ext4 -b 1024 -O ^flex_bg", 30 * MIB, true },
	{ "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg", 30 * MIB, true },
	{ "-t ext4 -b 1024 -O meta_bg,^resize_inode,^has_journal", 30 * MIB,
	  true },
};

struct bed {
	struct hostimg *img;
	struct blkdev *dev;
	struct hostfs *fs;
};

static inline void bed_open(struct bed *bed)
{
	const struct hostfs_options opt = { .readonly = false };
	struct blkdev *file = hostimg_dev(bed->img, false);
	GError *error = NULL;

	/* A write in the wrong order aborts. */
	bed->dev = orderdev_new(file);
	blkdev_unref(file);
	bed->fs = hostfs_open(bed->dev, &opt, &error);
	ck_assert_msg(bed->fs, "%s", error ? error->message : "");
}

static inline void bed_make(struct bed *bed, const char *mkfs, uint64_t size)
{
	const struct hostimg_spec spec = { mkfs, size };

	bed->img = hostimg_make(&spec);
	bed_open(bed);
}

static inline void bed_close(struct bed *bed)
{
	ck_assert_int_eq(hostfs_close(bed->fs), 0);
	blkdev_unref(bed->dev);
	bed->fs = NULL;
}

/* Close, ask e2fsck, remove. */
static inline void bed_finish(struct bed *bed)
{
	g_autofree char *said = NULL;

	bed_close(bed);
	ck_assert_msg(hostimg_fsck(bed->img, &said) == 0, "%s", said);
	hostimg_free(bed->img);
}

static inline ext2_filsys ext_open(struct hostimg *img, int flags)
{
	ext2_filsys fs;

	ck_assert_int_eq(ext2fs_open(hostimg_path(img),
				     flags | EXT2_FLAG_64BITS, 0, 0,
				     unix_io_manager, &fs),
			 0);
	ck_assert_int_eq(ext2fs_read_bitmaps(fs), 0);
	return fs;
}

/* One run in the group of @goal or as the allocator likes. */
static inline struct run take(struct bed *bed, uint64_t goal, uint32_t want)
{
	pblk start;
	uint32_t len;

	ck_assert_int_eq(alloc_take(bed->fs->alloc, pblk_at(goal), want, &start,
				    &len),
			 0);
	ck_assert_uint_ge(len, 1);
	ck_assert_uint_le(len, want);
	return (struct run){ start.v, len };
}

static inline void publish(struct bed *bed, struct run r)
{
	alloc_publish(bed->fs->alloc, pblk_at(r.start), (uint32_t)r.len);
}

static inline void give_back(struct bed *bed, struct run r)
{
	alloc_give_back(bed->fs->alloc, pblk_at(r.start), (uint32_t)r.len);
}

static inline int release(struct bed *bed, struct run r)
{
	return alloc_release(bed->fs->alloc, pblk_at(r.start), (uint32_t)r.len);
}

/* What the durable commit left for later goes out as well, and all goes home. */
static inline void commit_all(struct bed *bed)
{
	ck_assert_int_eq(hostfs_commit(bed->fs), 0);
	ck_assert_int_eq(hostfs_commit(bed->fs), 0);
	ck_assert_int_eq(hostfs_tick(bed->fs), 0);
	ck_assert(!alloc_dirty(bed->fs->alloc));
}

#endif
