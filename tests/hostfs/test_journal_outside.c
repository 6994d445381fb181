/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A journal on another device that is the host's: what is seen through it. */
#include "outside_bed.h"

#include <stdlib.h>

START_TEST(host_is_seen_through_it)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autofree uint8_t *bytes = NULL;
	size_t len = 0;

	bed_init(&bed, &shapes[_i]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) mem = mem_of(bed.log, bed.log_size);
		g_autoptr(blkdev) journal = nowritedev_new(mem);
		const struct hostfs_options opt = options_of(journal);

		fs = seen_ok(dev, &opt);
	}
	bytes = seen_bytes(fs, &len);
	for (uint64_t at = 0; at < bed.size; at += 1024)
		ck_assert_msg(at == 1024 ||
				      !memcmp(bytes + at, bed.after + at, 1024),
			      "the KiB at %lu differs", (unsigned long)at);
	g_free(seen_file(fs, "/new", &len));
	ck_assert_uint_gt(len, 30 * bed.shape->bs);
	hostfs_info(fs, &info);
	ck_assert(info.replayed && info.needs_recovery);
	ck_assert_uint_eq(info.replay.transactions, 1);
	hostfs_info_clear(&info);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(norecovery_does_without)
{
	const struct hostfs_options opt = { .readonly = true,
					    .norecovery = true };
	struct bed bed;
	struct hostfs *fs;
	size_t len;
	g_autoptr(blkdev) dev = NULL;

	bed_init(&bed, &shapes[_i]);
	dev = mem_of(bed.bytes, bed.size);
	fs = seen_ok(dev, &opt);
	ck_assert_ptr_null(seen_file(fs, "/new", &len));
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(norecovery_contradicts_it)
{
	const char *const words[] = { "contradicts", "'the source'", NULL };
	struct hostfs_options opt;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);

		opt = options_of(journal);
		opt.norecovery = true;
		seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	}
	bed_clear(&bed);
}
END_TEST

/* The log stays in use; the host does not say so. */
START_TEST(a_clean_host_is_not_seen_through_it)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	size_t len;

	bed_init(&bed, &shapes[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	refresh(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		const struct hostfs_options opt = options_of(journal);

		fs = seen_ok(dev, &opt);
	}
	ck_assert_ptr_null(seen_file(fs, "/new", &len));
	hostfs_info(fs, &info);
	ck_assert(info.log_ignored && !info.replayed);
	hostfs_info_clear(&info);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_clean_host_needs_none)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	refresh(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		const struct hostfs_options opt = options_of(NULL);

		hostfs_close(seen_ok(dev, &opt));
	}
	bed_clear(&bed);
}
END_TEST

/* Two groups, so that there is a copy of the superblock. */
static const struct shape with_copy = {
	"-t ext3 -b 1024 -O ^has_journal -g 4096", 1024, ""
};
#define COPY 4097

/* tune2fs -J writes the copies, debugfs does not. */
static void bed_by_copy(struct bed *bed)
{
	struct ext2_super_block *super, *copy;

	bed_init(bed, &with_copy);
	super = ext_super(bed->bytes);
	copy = (void *)(bed->bytes + COPY * 1024);
	ck_assert_uint_eq(copy->s_block_group_nr, 1);
	copy->s_feature_compat = super->s_feature_compat;
	memcpy(copy->s_journal_uuid, super->s_journal_uuid, 16);
	copy->s_journal_dev = super->s_journal_dev;
	memset(super, 0, sizeof(*super));
}

START_TEST(host_is_seen_through_it_by_a_copy_of_its_superblock)
{
	struct bed bed;
	struct hostfs *fs;
	size_t len;

	bed_by_copy(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		struct hostfs_options opt = options_of(journal);

		opt.super_block = COPY;
		fs = seen_ok(dev, &opt);
	}
	g_free(seen_file(fs, "/new", &len));
	ck_assert_uint_gt(len, 30 * bed.shape->bs);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* What the copy says of the log is of the day it was written. */
START_TEST(without_it_a_copy_of_the_superblock_is_not_enough)
{
	static const char *const words[] = { "-o journal=DEVICE", "a copy",
					     "-o norecovery", NULL };
	struct bed bed;

	bed_by_copy(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		struct hostfs_options opt = options_of(NULL);

		opt.super_block = COPY;
		seen_refused(dev, &opt, RAWMAP_ERROR_DIRTY, words);
		opt.norecovery = true;
		hostfs_close(seen_ok(dev, &opt));
	}
	bed_clear(&bed);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, host_is_seen_through_it, 0, N_SHAPES);
	tcase_add_loop_test(tc, norecovery_does_without, 0, N_SHAPES);
	tcase_add_test(tc, norecovery_contradicts_it);
	tcase_add_loop_test(tc, a_clean_host_is_not_seen_through_it, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, a_clean_host_needs_none, 0, N_SHAPES);
	tcase_add_test(tc, host_is_seen_through_it_by_a_copy_of_its_superblock);
	tcase_add_test(tc, without_it_a_copy_of_the_superblock_is_not_enough);
}

int main(void)
{
	Suite *suite = suite_create("hostfs/journal_outside");
	TCase *tc = tcase_create("journal_outside");
	SRunner *runner;
	int failed;

	add_tests(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
