/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read-only host that was not unmounted cleanly: seen as it is with its log
 * replayed, or as it lies on the disk, and never written. The content is known
 * beforehand; the kernel is asked in test_replayed_kernel.c.
 */
#include "recover_bed.h"
#include "replayed_bed.h"

/* ext3 has no checksums: its superblocks can be changed by hand. */
#define PLAIN 2

static const struct hostfs_options through = { .readonly = true };
static const struct hostfs_options as_it_lies = {
	.readonly = true,
	.norecovery = true,
};

static struct hostfs_info info_of(struct hostfs *fs)
{
	struct hostfs_info info;

	hostfs_info(fs, &info);
	hostfs_info_clear(&info);
	return info;
}

/* ---- what is seen ---- */

START_TEST(every_block_is_as_the_log_leaves_it)
{
	struct bed bed;
	struct blkdev *dev;
	struct hostfs *fs;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	bytes = seen_bytes(fs, &len);
	ck_assert_uint_eq(len, bed.size);
	bed_expect_after(&bed, bytes, "the view");
	hostfs_close(fs);
	ck_assert_mem_eq(memdev_bytes(dev), bed.dirty, bed.size);
	blkdev_unref(dev);
	bed_clear(&bed);
}
END_TEST

static void check_same_file(struct hostfs *fs, struct hostfs *other,
			    const char *path)
{
	size_t len = 0, other_len = 0;
	g_autofree uint8_t *bytes = seen_file(fs, path, &len);
	g_autofree uint8_t *wanted = seen_file(other, path, &other_len);

	ck_assert(bytes && wanted);
	ck_assert_uint_eq(len, other_len);
	ck_assert_mem_eq(bytes, wanted, len);
}

START_TEST(files_are_as_the_log_leaves_them)
{
	struct bed bed;
	struct hostfs *fs, *other;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &kinds[_i]);
	{
		g_autoptr(blkdev) dev = bed_device(&bed, bed.dirty);
		g_autoptr(blkdev) after = bed_device(&bed, bed.after);

		fs = seen_ok(dev, &through);
		other = seen_ok(after, &through);
	}
	check_same_file(fs, other, "/new");
	check_same_file(fs, other, "/disk");
	ck_assert(!hostfile_open(fs, "/folder/another", 4096, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_NOT_A_FILE);
	hostfs_close(fs);
	hostfs_close(other);
	bed_clear(&bed);
}
END_TEST

START_TEST(info_says_what_was_replayed)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;

	bed_init(&bed, &kinds[_i]);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	info = info_of(fs);
	ck_assert(info.replayed && info.needs_recovery);
	ck_assert(!info.norecovery && !info.log_ignored && !info.log_error);
	ck_assert_uint_eq(info.replay.transactions, 2);
	ck_assert_uint_gt(info.replay.blocks, 20);
	ck_assert_uint_gt(info.replay.log_blocks, info.replay.blocks);
	ck_assert_uint_eq(info.replay.revoked, 1);
	/* Counted, the log does not have it. */
	ck_assert_uint_eq(info.free_blocks,
			  bed_super(bed.after)->s_free_blocks_count);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(norecovery_shows_the_disk)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &as_it_lies);
	bytes = seen_bytes(fs, &len);
	ck_assert_mem_eq(bytes, bed.dirty, bed.size);
	ck_assert_ptr_null(seen_file(fs, "/new", &len));
	info = info_of(fs);
	ck_assert(info.norecovery && info.needs_recovery && !info.replayed);
	ck_assert_uint_eq(info.replay.transactions + info.replay.blocks, 0);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* ---- logs that are not replayed ---- */

START_TEST(a_log_without_the_flag_is_ignored)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	bed_refresh(&bed);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	bytes = seen_bytes(fs, &len);
	ck_assert_mem_eq(bytes, bed.dirty, bed.size);
	info = info_of(fs);
	ck_assert(info.log_ignored && !info.replayed && !info.needs_recovery);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* Nobody asked what is in that journal. */
START_TEST(a_journal_that_is_not_needed_may_be_damaged)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;

	bed_init(&bed, &kinds[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	bed_refresh(&bed);
	bed_journal_super(&bed, bed.dirty)->header.magic = be32_of(4711);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	info = info_of(fs);
	ck_assert(!info.log_ignored && !info.replayed);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

static void check_plain(const char *mkfs, bool replayed)
{
	const struct hostimg_spec spec = { .mkfs = mkfs };
	struct hostimg *img = hostimg_make(&spec);
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;

	hostimg_edit(img, "feature needs_recovery\n");
	dev = hostimg_dev(img, true);
	fs = seen_ok(dev, &through);
	info = info_of(fs);
	ck_assert(info.needs_recovery && info.replayed == replayed);
	ck_assert_uint_eq(info.replay.transactions + info.replay.blocks, 0);
	hostfs_close(fs);
	hostimg_free(img);
}

START_TEST(an_empty_log_is_replayed)
{
	check_plain("-t ext4", true);
	check_plain("-t ext3", true);
}
END_TEST

START_TEST(a_host_without_the_journal_that_it_needs_is_shown)
{
	check_plain("-t ext2", false);
}
END_TEST

START_TEST(an_error_of_the_journal_is_told)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autoptr(blkdev) dev = NULL;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed_init(&bed, &kinds[PLAIN]);
	bed_journal_super(&bed, bed.dirty)->error = be32_of(0xfffffffbu);
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	bytes = seen_bytes(fs, &len);
	bed_expect_after(&bed, bytes, "the view");
	info = info_of(fs);
	ck_assert(info.replayed && info.log_error && info.has_error);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* ---- damage ---- */

static const char *const damage_words[] = { "journal", "'the source'",
					    "-o norecovery shows", NULL };

static void refused_but_as_it_lies(const struct bed *bed,
				   enum rawmap_error code,
				   const char *const *words)
{
	g_autoptr(blkdev) dev = bed_device(bed, bed->dirty);
	struct hostfs *fs;

	seen_refused(dev, &through, code, words);
	fs = seen_ok(dev, &as_it_lies);
	hostfs_close(fs);
}

/* A committed block of the log: kinds 0 and 1 have checksums. */
START_TEST(a_damaged_log_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	bed_journal_block(&bed, bed.dirty, 2)[5] ^= 1;
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_CORRUPT, damage_words);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_damaged_journal_superblock_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	bed_journal_super(&bed, bed.dirty)->header.magic = be32_of(4711);
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_CORRUPT, damage_words);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_journal_that_cannot_be_found_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	hostimg_edit(bed.img, "clri <8>\n");
	bed_refresh(&bed);
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_CORRUPT, damage_words);
	bed_clear(&bed);
}
END_TEST

/* A third transaction: this superblock. The host has blocks of 1 KiB. */
static void log_super(struct bed *bed, const struct ext2_super_block *super)
{
	g_autofree char *file = bed_file(bed, "super", super, 1024);
	g_autofree char *script =
		g_strdup_printf("journal_write -b 1 %s\n", file);

	bed_log(bed, "", script);
	bed_refresh(bed);
}

/* One field of the superblock that the log has. */
START_TEST(a_log_that_leaves_no_filesystem_is_refused)
{
	static const size_t damages[] = {
		offsetof(struct ext2_super_block, s_magic),
		offsetof(struct ext2_super_block, s_blocks_count),
		offsetof(struct ext2_super_block, s_log_block_size),
		offsetof(struct ext2_super_block, s_inodes_per_group) + 3,
	};
	static const char *const words[] = { "'the source'",
					     "-o norecovery shows", NULL };
	g_autofree uint8_t *super = NULL;
	struct bed bed;

	bed_init(&bed, &kinds[PLAIN]);
	super = g_memdup2(bed_super(bed.dirty), 1024);
	super[damages[_i]] ^= 0x7f;
	log_super(&bed, (void *)super);
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_CORRUPT, words);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_log_with_blocks_of_another_size_is_refused)
{
	static const char *const words[] = { "another block size",
					     "-o norecovery shows", NULL };
	struct ext2_super_block super;
	struct bed bed;

	bed_init(&bed, &kinds[PLAIN]);
	super = *bed_super(bed.dirty);
	super.s_log_block_size = super.s_log_cluster_size = 1;
	super.s_first_data_block = 0;
	super.s_blocks_count /= 2;
	log_super(&bed, &super);
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_CORRUPT, words);
	bed_clear(&bed);
}
END_TEST

/* The gate is asked again: a host may have become another one in its log. */
START_TEST(a_log_with_an_unknown_feature_is_refused)
{
	static const char *const words[] = { "'the source'",
					     "-o norecovery shows", NULL };
	struct ext2_super_block super;
	struct bed bed;

	bed_init(&bed, &kinds[PLAIN]);
	super = *bed_super(bed.dirty);
	super.s_feature_incompat |= 0x40000000;
	log_super(&bed, &super);
	refused_but_as_it_lies(&bed, RAWMAP_ERROR_UNSUPPORTED, words);
	bed_clear(&bed);
}
END_TEST

START_TEST(an_error_that_the_log_takes_back_is_told)
{
	struct ext2_super_block super;
	struct bed bed;
	struct hostfs *fs;
	g_autoptr(blkdev) dev = NULL;

	bed_init(&bed, &kinds[PLAIN]);
	super = *bed_super(bed.dirty);
	log_super(&bed, &super);
	bed_super(bed.dirty)->s_state |= EXT2_ERROR_FS;
	dev = bed_device(&bed, bed.dirty);
	fs = seen_ok(dev, &through);
	ck_assert(info_of(fs).has_error);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* ---- options ---- */

START_TEST(norecovery_is_for_readers)
{
	static const char *const words[] = { "norecovery", "(-r)", NULL };
	const struct hostfs_options opt = { .norecovery = true };
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);

	seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	hostimg_free(img);
}
END_TEST

START_TEST(norecovery_of_a_clean_host_is_nothing_special)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	struct hostfs *fs = seen_ok(dev, &as_it_lies);
	struct hostfs_info info = info_of(fs);

	ck_assert(info.norecovery && !info.needs_recovery && !info.replayed);
	hostfs_close(fs);
	hostimg_free(img);
}
END_TEST

static void add_views(TCase *tc)
{
	const int n = G_N_ELEMENTS(kinds);

	tcase_add_loop_test(tc, every_block_is_as_the_log_leaves_it, 0, n);
	tcase_add_loop_test(tc, files_are_as_the_log_leaves_them, 0, n);
	tcase_add_loop_test(tc, info_says_what_was_replayed, 0, n);
	tcase_add_loop_test(tc, norecovery_shows_the_disk, 0, n);
	tcase_add_loop_test(tc, a_log_without_the_flag_is_ignored, 0, n);
	tcase_add_loop_test(tc, a_journal_that_is_not_needed_may_be_damaged, 0,
			    n);
	tcase_add_test(tc, an_empty_log_is_replayed);
	tcase_add_test(tc, a_host_without_the_journal_that_it_needs_is_shown);
	tcase_add_test(tc, an_error_of_the_journal_is_told);
	tcase_add_test(tc, an_error_that_the_log_takes_back_is_told);
	tcase_add_test(tc, norecovery_is_for_readers);
	tcase_add_test(tc, norecovery_of_a_clean_host_is_nothing_special);
}

static void add_damages(TCase *tc)
{
	tcase_add_loop_test(tc, a_damaged_log_is_refused, 0, 2);
	tcase_add_loop_test(tc, a_damaged_journal_superblock_is_refused, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_journal_that_cannot_be_found_is_refused, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_log_that_leaves_no_filesystem_is_refused, 0,
			    4);
	tcase_add_test(tc, a_log_with_blocks_of_another_size_is_refused);
	tcase_add_test(tc, a_log_with_an_unknown_feature_is_refused);
}

int main(void)
{
	Suite *suite = suite_create("hostfs/replayed");
	TCase *tc = tcase_create("replayed");
	SRunner *runner;
	int failed;

	add_views(tc);
	add_damages(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
