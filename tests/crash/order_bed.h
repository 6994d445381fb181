/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image on a host behind a recording device, for tests of the order in which
 * things are written. The hosts have one block group, so that a block's number
 * says what it is.
 */
#ifndef TESTS_CRASH_ORDER_BED_H
#define TESTS_CRASH_ORDER_BED_H

#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/recdev.h>

#include <check.h>
#include <ext2fs/ext2_fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE  (UINT64_C(6) << 20)
#define BS    1024
#define NAME  "disk.img"
#define IMAGE "/" NAME
#define COMB  500 /* blocks of data, each alone */

struct bed {
	struct hostimg *img;
	struct blkdev *mem, *rec;
	struct hostfs *fs;
	struct image *image;
	uint32_t itable, itable_end; /* blocks */
	uint32_t block_bitmap, inode_bitmap, desc;
	GArray *tree, *data; /* of struct extent, as on the source */
	GArray *log;	     /* of struct extent: the journal; or NULL */
	bool extents;
};

static struct bed bed;

static inline uint32_t u32_at(uint64_t pos)
{
	uint32_t v;

	memcpy(&v, memdev_bytes(bed.mem) + pos, sizeof(v));
	return GUINT32_FROM_LE(v);
}

static inline bool marked_clean(const uint8_t *super)
{
	if (bed.log)
		return !(super[96] & EXT3_FEATURE_INCOMPAT_RECOVER);
	return super[58] & 1;
}

/* The first group's descriptor follows the superblock's block. */
static inline void learn_layout(void)
{
	uint32_t per_group = u32_at(1024 + 40);
	uint32_t inode_size = u32_at(1024 + 88) & 0xffff;

	bed.desc = 2;
	bed.block_bitmap = u32_at(2048);
	bed.inode_bitmap = u32_at(2048 + 4);
	bed.itable = u32_at(2048 + 8);
	bed.itable_end = bed.itable + per_group * inode_size / BS;
}

static inline void bed_open(void)
{
	const struct hostfs_options opt = { .use_reserved = true };
	GError *error = NULL;
	struct hostfile *hf;

	bed.fs = hostfs_open(bed.rec, &opt, &error);
	ck_assert_msg(bed.fs, "%s", error ? error->message : "");
	hf = hostfile_open(bed.fs, IMAGE, 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	bed.image = image_new(hf, false);
	bed.extents = hostfile_extent_mapped(hf);
}

static inline void bed_make(const char *mkfs)
{
	const struct hostimg_spec spec = { mkfs, SIZE };
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	memset(&bed, 0, sizeof(bed));
	bed.img = hostimg_make(&spec);
	hostimg_put_comb(bed.img, NAME, 1, BS, COMB);
	bytes = hostimg_bytes(bed.img, &len);
	bed.mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed.mem), bytes, len);
	bed.rec = recdev_new(bed.mem);
	learn_layout();
	if (u32_at(1024 + 92) & EXT3_FEATURE_COMPAT_HAS_JOURNAL)
		bed.log = hostimg_extents(bed.img, "<8>");
	bed_open();
}

static inline void bed_close(void)
{
	image_free(bed.image);
	bed.image = NULL;
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	bed.fs = NULL;
}

static inline void forget_map(void)
{
	g_clear_pointer(&bed.tree, g_array_unref);
	g_clear_pointer(&bed.data, g_array_unref);
}

static inline void bed_clear(void)
{
	if (bed.fs)
		bed_close();
	forget_map();
	g_clear_pointer(&bed.log, g_array_unref);
	blkdev_unref(bed.rec);
	blkdev_unref(bed.mem);
	hostimg_free(bed.img);
}

/* The source as it would be after a crash, recovered. */
static inline void look(void)
{
	forget_map();
	hostimg_store(bed.img, memdev_bytes(bed.mem), SIZE);
	if (bed.log)
		ck_assert_int_le(hostimg_preen(bed.img, NULL), 1);
	bed.tree = hostimg_tree_blocks(bed.img, IMAGE);
	bed.data = hostimg_extents(bed.img, IMAGE);
}

/* What the source says now is the state that a commit starts from. */
static inline void start_recording(void)
{
	look();
	recdev_clear(bed.rec);
}

/* ---- what a block is ---- */

static inline bool listed(const GArray *list, uint64_t block)
{
	for (guint i = 0; i < list->len; i++) {
		const struct extent *e = &g_array_index(list, struct extent, i);

		if (block >= e->phys.v && block < e->phys.v + e->len)
			return true;
	}
	return false;
}

static inline bool is_super(uint64_t block)
{
	return block == 1;
}

static inline bool is_inode_table(uint64_t block)
{
	return block >= bed.itable && block < bed.itable_end;
}

/* The journal's superblock included. */
static inline bool is_log(uint64_t block)
{
	return bed.log && listed(bed.log, block);
}

static inline bool is_system(uint64_t block)
{
	return is_super(block) || is_inode_table(block) || block == bed.desc ||
	       block == bed.block_bitmap || block == bed.inode_bitmap;
}

/* Calls @see for every block of every write among the events from @first. */
typedef void (*see_fn)(const struct recdev_event *e, uint64_t block);

static inline void each_block(size_t first, see_fn see)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);

	for (guint i = (guint)first; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];

		if (e->kind == RECDEV_FLUSH || e->kind == RECDEV_MARK)
			continue;
		for (uint64_t b = e->pos.v / BS; b * BS < e->pos.v + e->len;
		     b++)
			see(e, b);
	}
}

static inline size_t events_so_far(void)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);

	return events->len;
}

static inline unsigned flushes(void)
{
	return recdev_epochs(bed.rec) - 1;
}

/* ---- operations ---- */

static inline void put(uint64_t block, uint64_t n)
{
	g_autofree uint8_t *buf = g_malloc(n * BS);

	memset(buf, 0xa5, n * BS);
	ck_assert_int_eq(image_pwrite(bed.image, buf, n * BS,
				      img_off_at(block * BS)),
			 (ssize_t)(n * BS));
}

static inline void punch(uint64_t block, uint64_t n)
{
	ck_assert_int_eq(image_punch(bed.image, img_off_at(block * BS), n * BS),
			 0);
}

static inline void flush(void)
{
	ck_assert_int_eq(image_flush(bed.image), 0);
}

/* Fills, punches, an overwrite, zeros: all over the tree. */
static inline void change_much(GRand *rand)
{
	for (int i = 0; i < 12; i++) {
		uint64_t at = (uint64_t)g_rand_int_range(rand, 0, 2 * COMB);
		uint64_t n = (uint64_t)g_rand_int_range(rand, 1, 8);

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			punch(at, n * 4);
			break;
		case 1:
			/* Nothing is given blocks behind an end that stays. */
			at %= 2 * COMB - 8;
			ck_assert_int_eq(image_zero(bed.image,
						    img_off_at(at * BS), n * BS,
						    true),
					 0);
			break;
		default:
			put(at, n);
			break;
		}
	}
	put(2 * COMB + 300, 3);
}

/* ---- before a commit ---- */

static inline void see_data_only(const struct recdev_event *e, uint64_t block)
{
	ck_assert_msg(!is_system(block) && !listed(bed.tree, block),
		      "block %llu is written before the commit",
		      (unsigned long long)block);
	ck_assert_uint_eq(e->epoch, 0);
}

#endif
