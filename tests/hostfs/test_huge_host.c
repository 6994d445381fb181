/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a commit costs does not depend on the size of the host: a block filled
 * on terabytes writes and reads what it does on gigabytes. Hosts are sparse
 * files; mke2fs leaves their tables unwritten.
 */
#include <support/hostimg.h>
#include <support/orderdev.h>

#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define GIB   (UINT64_C(1) << 30)
#define BLOCK 4096u

/* Without uninit_bg mke2fs writes every bitmap: not quite as huge then. */
static const struct shape {
	const char *mkfs;
	uint64_t huge;
} shapes[] = {
	{ "-t ext2 -b 4096 -N 65536", 256 * GIB },
	{ "-t ext3 -b 4096 -J size=64 -N 65536", 256 * GIB },
	{ "-t ext4 -b 4096 -J size=64", 4096 * GIB },
};

struct cost {
	uint64_t blocks; /* of metadata in the commit */
	struct blkdev_counters dev;
};

/* Filling one block and a sync, behind a first one that loads what it needs. */
static struct cost fill_one(const char *mkfs_args, uint64_t size)
{
	const struct hostimg_spec spec = { mkfs_args, size };
	const struct hostfs_options opt = { .use_reserved = true };
	struct hostimg *img = hostimg_make(&spec);
	struct blkdev *file, *dev;
	struct blkdev_counters before;
	struct hostfs_stats stats;
	GError *error = NULL;
	struct hostfile *hf;
	struct image *image;
	struct hostfs *fs;
	struct cost cost;
	uint8_t buf[BLOCK];

	memset(buf, 1, sizeof(buf));
	hostimg_put(img, "disk", 1, GIB, NULL, 0);
	file = hostimg_dev(img, false);
	dev = orderdev_new(file);
	fs = hostfs_open(dev, &opt, &error);
	ck_assert_msg(fs, "%s", error ? error->message : "");
	hf = hostfile_open(fs, "/disk", 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	image = image_new(hf, false);

	ck_assert_int_eq(image_pwrite(image, buf, BLOCK, img_off_at(0)), BLOCK);
	ck_assert_int_eq(image_flush(image), 0);
	hostfs_stats(fs, &stats);
	cost.blocks = stats.commit_blocks;
	blkdev_counters(dev, &before);
	ck_assert_int_eq(image_pwrite(image, buf, BLOCK, img_off_at(BLOCK)),
			 BLOCK);
	ck_assert_int_eq(image_flush(image), 0);
	hostfs_stats(fs, &stats);
	cost.blocks = stats.commit_blocks - cost.blocks;
	blkdev_counters(dev, &cost.dev);
	cost.dev.reads -= before.reads;
	cost.dev.writes -= before.writes;
	cost.dev.write_bytes -= before.write_bytes;
	cost.dev.flushes -= before.flushes;

	image_free(image);
	ck_assert_int_eq(hostfs_close(fs), 0);
	blkdev_unref(dev);
	blkdev_unref(file);
	hostimg_free(img);
	return cost;
}

START_TEST(a_fill_on_terabytes_costs_what_it_costs_on_gigabytes)
{
	struct cost small = fill_one(shapes[_i].mkfs, 8 * GIB);
	struct cost huge = fill_one(shapes[_i].mkfs, shapes[_i].huge);

	ck_assert_uint_eq(huge.blocks, small.blocks);
	ck_assert_uint_le(small.blocks, 5);
	ck_assert_uint_eq(huge.dev.writes, small.dev.writes);
	ck_assert_uint_eq(huge.dev.write_bytes, small.dev.write_bytes);
	ck_assert_uint_eq(huge.dev.flushes, small.dev.flushes);
	ck_assert_uint_eq(huge.dev.reads, small.dev.reads);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("huge_host");
	TCase *tc = tcase_create("huge_host");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, a_fill_on_terabytes_costs_what_it_costs_on_gigabytes, 0,
		G_N_ELEMENTS(shapes));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
