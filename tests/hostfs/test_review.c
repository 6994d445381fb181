/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Odd hosts and odd moments: what once went wrong there and must not again.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <support/faultdev.h>
#include <support/imagehost.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024

/* libext2fs opens it; a bitmap of one block cannot count such a group. */
START_TEST(a_group_larger_than_its_bitmap_is_refused)
{
	const struct hostimg_spec spec = {
		.mkfs = "-t ext2 -b 1024 -O ^resize_inode -N 512",
		.size = 16 << 20,
	};
	const struct hostfs_options opt = { .use_reserved = true };
	struct hostimg *host = hostimg_make(&spec);
	g_autoptr(blkdev) dev = NULL;
	g_autoptr(GError) error = NULL;

	hostimg_edit(host, "ssv inodes_count 256\nssv blocks_per_group 65528\n"
			   "ssv clusters_per_group 65528\n");
	dev = hostimg_dev(host, false);
	ck_assert_ptr_null(hostfs_open(dev, &opt, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_CORRUPT);
	hostimg_free(host);
}
END_TEST

/* A full tree of 64 KiB blocks is more than i_blocks can count. */
START_TEST(an_indirect_file_of_64k_blocks_grows)
{
	const struct imagehost_spec spec = {
		.mkfs = "-t ext2 -b 65536 -O ^huge_file",
		.host_size = 16 << 20,
		.size = 65536,
	};
	struct imagehost h;

	imagehost_init(&h, &spec);
	imagehost_open(&h);
	ck_assert_int_eq(image_pwrite(h.img, "x", 1, img_off_at(1 << 20)), 1);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, NULL, 0);
	imagehost_clear(&h);
}
END_TEST

/* Every other block of the first @n: with 1 KiB blocks a tree of depth 2. */
static void open_comb(struct imagehost *h, unsigned n)
{
	static const struct imagehost_spec spec = {
		.mkfs = "-t ext4 -b 1024",
		.host_size = 16 << 20,
		.size = KIB,
		.budget = 1 << 20,
	};
	g_autofree uint8_t *buf = g_malloc(n * KIB);

	imagehost_init(h, &spec);
	imagehost_open(h);
	memset(buf, 'x', n * KIB);
	ck_assert_int_eq(image_pwrite(h->img, buf, n * KIB, img_off_at(0)),
			 n * KIB);
	for (unsigned i = 1; i < n; i += 2)
		ck_assert_int_eq(image_punch(h->img, img_off_at(i * KIB), KIB),
				 0);
	ck_assert_int_eq(image_flush(h->img), 0);
}

static void close_clean(struct imagehost *h)
{
	ck_assert_int_eq(imagehost_close(h), 0);
	imagehost_check(h, NULL, 0);
	imagehost_clear(h);
}

/*
 * In a tree of depth 2 e2fsck takes a leaf that lies behind the end of the file
 * for damage, and -y removes it together with its neighbour.
 */
START_TEST(blocks_behind_the_end_of_a_deep_tree_are_clean)
{
	struct imagehost h;

	open_comb(&h, 1000);
	for (unsigned i = 0; i < 120; i++) {
		int err = image_allocate(
			h.img, img_off_at((2000 + 2 * i) * KIB), KIB, true);

		ck_assert(!err || err == -EOPNOTSUPP);
	}
	close_clean(&h);
}
END_TEST

START_TEST(a_preallocation_out_of_space_leaves_a_clean_host)
{
	struct imagehost h;

	open_comb(&h, 1000);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(1000 * KIB), 20 << 20,
					false),
			 -ENOSPC);
	close_clean(&h);
}
END_TEST

/* The thread that commits meets the error; writers have to hear of it, too. */
START_TEST(an_overwrite_after_a_failed_commit_is_refused)
{
	const struct imagehost_spec spec = {
		.mkfs = "-t ext4 -b 1024",
		.size = 64 * KIB,
	};
	struct imagehost h;

	imagehost_init(&h, &spec);
	imagehost_open(&h);
	ck_assert_int_eq(image_pwrite(h.img, "x", 1, img_off_at(0)), 1);
	faultdev_arm(h.dev, FAULTDEV_FLUSH, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(hostfs_commit(h.fs), -EIO);
	ck_assert_int_eq(image_pwrite(h.img, "y", 1, img_off_at(0)), -EROFS);
	imagehost_clear(&h);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/review");
	TCase *tc = tcase_create("review");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_group_larger_than_its_bitmap_is_refused);
	tcase_add_test(tc, an_indirect_file_of_64k_blocks_grows);
	tcase_add_test(tc, blocks_behind_the_end_of_a_deep_tree_are_clean);
	tcase_add_test(tc, a_preallocation_out_of_space_leaves_a_clean_host);
	tcase_add_test(tc, an_overwrite_after_a_failed_commit_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
