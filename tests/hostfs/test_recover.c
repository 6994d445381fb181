/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recovery on disk: what it makes of a dirty host, and what it does not
 * touch. Judges are the content that is known beforehand and e2fsck. What a
 * crash or a failing device leaves is asked in test_recover_crash.c.
 */
#include "recover_bed.h"

#include <support/nowritedev.h>

/* The host itself, through the file: as the command does it. */
static bool recover_image(struct hostimg *img, bool dry_run,
			  struct recover_report *ret, GError **error)
{
	const struct recover_options opt = {
		.name = hostimg_path(img),
		.dry_run = dry_run,
	};
	g_autoptr(blkdev) dev = hostimg_dev(img, dry_run);

	return hostfs_recover(dev, &opt, ret, error);
}

static struct recover_report recover_ok(struct hostimg *img, bool dry_run)
{
	struct recover_report report;
	GError *error = NULL;

	ck_assert_msg(recover_image(img, dry_run, &report, &error), "%s",
		      error ? error->message : "?");
	return report;
}

START_TEST(the_last_committed_copies_go_home)
{
	struct bed bed;
	struct recover_report report;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	report = recover_ok(bed.img, false);
	ck_assert(report.needed && !report.had_error);
	ck_assert_uint_eq(report.transactions, 2);
	ck_assert_uint_gt(report.blocks, 20);
	ck_assert_uint_gt(report.log_blocks, report.blocks);
	ck_assert_uint_eq(report.revoked, 1);

	bytes = hostimg_bytes(bed.img, &len);
	ck_assert_uint_eq(len, bed.size);
	bed_expect_after(&bed, bytes, "recover");
	bed_expect_clean(&bed, bytes);
	bed_expect_sound(&bed, bytes);
	bed_clear(&bed);
}
END_TEST

START_TEST(e2fsck_makes_the_same_of_it)
{
	struct bed bed;
	g_autofree uint8_t *ours = NULL, *theirs = NULL;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	recover_ok(bed.img, false);
	ours = hostimg_bytes(bed.img, &len);
	hostimg_store(bed.img, bed.dirty, bed.size);
	ck_assert_int_le(hostimg_preen(bed.img, NULL), 1);
	theirs = hostimg_bytes(bed.img, &len);
	bed_expect_after(&bed, theirs, "e2fsck");
	/* The journal too, but for its superblock. */
	memcpy(bed_journal_super(&bed, theirs), bed_journal_super(&bed, ours),
	       sizeof(struct jbd_super));
	for (uint64_t b = 0; b < bed.size / bed.bs; b++)
		ck_assert_msg(b == bed_super_block(&bed) ||
				      !memcmp(ours + b * bed.bs,
					      theirs + b * bed.bs, bed.bs),
			      "block %lu differs", (unsigned long)b);
	ck_assert_uint_eq(bed_super(ours)->s_free_blocks_count,
			  bed_super(theirs)->s_free_blocks_count);
	ck_assert_uint_eq(bed_super(ours)->s_free_inodes_count,
			  bed_super(theirs)->s_free_inodes_count);
	bed_clear(&bed);
}
END_TEST

/* A log that debugfs writes after the recovery is replayed by e2fsck. */
START_TEST(the_journal_is_fit_for_the_next_log)
{
	struct bed bed;
	g_autofree uint8_t *junk = g_malloc(4096);
	g_autofree char *file = NULL, *script = NULL;
	g_autofree uint8_t *bytes = NULL;
	uint64_t block;
	size_t len;

	bed_init(&bed, &kinds[_i]);
	block = bed.size / bed.bs - 2;
	memset(junk, 0x77, 4096);
	recover_ok(bed.img, false);
	file = bed_file(&bed, "next", junk, bed.bs);
	script = g_strdup_printf("journal_write -b %lu %s\n",
				 (unsigned long)block, file);
	bed_log(&bed, kinds[_i].journal, script);
	ck_assert_int_le(hostimg_preen(bed.img, NULL), 1);
	bytes = hostimg_bytes(bed.img, &len);
	ck_assert_mem_eq(bytes + block * bed.bs, junk, bed.bs);
	bed_clear(&bed);
}
END_TEST

START_TEST(the_second_time_there_is_nothing_to_do)
{
	const struct recover_options opt = { .name = NULL };
	struct recover_report report;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &kinds[_i]);
	recover_ok(bed.img, false);
	bed_refresh(&bed);
	{
		g_autoptr(blkdev) dev = bed_device(&bed, bed.dirty);
		g_autoptr(blkdev) guard = nowritedev_new(dev);

		ck_assert(hostfs_recover(guard, &opt, &report, &error));
		ck_assert(!report.needed);
		ck_assert_uint_eq(report.transactions + report.blocks, 0);
	}
	bed_clear(&bed);
}
END_TEST

START_TEST(a_dry_run_reports_the_same_and_writes_nothing)
{
	const struct recover_options opt = { .dry_run = true };
	struct recover_report dry, real;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &kinds[_i]);
	{
		g_autoptr(blkdev) dev = bed_device(&bed, bed.dirty);
		g_autoptr(blkdev) guard = nowritedev_new(dev);

		ck_assert(hostfs_recover(guard, &opt, &dry, &error));
	}
	real = recover_ok(bed.img, false);
	ck_assert(dry.needed && real.needed);
	ck_assert_uint_eq(dry.transactions, real.transactions);
	ck_assert_uint_eq(dry.blocks, real.blocks);
	ck_assert_uint_eq(dry.log_blocks, real.log_blocks);
	ck_assert_uint_eq(dry.revoked, real.revoked);
	bed_clear(&bed);
}
END_TEST

START_TEST(an_empty_log_leaves_only_the_flag_to_clear)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	struct recover_report report;

	hostimg_edit(img, "feature needs_recovery\n");
	report = recover_ok(img, false);
	ck_assert(report.needed);
	ck_assert_uint_eq(report.transactions, 0);
	ck_assert_uint_eq(report.blocks, 0);
	report = recover_ok(img, false);
	ck_assert(!report.needed);
	ck_assert_int_eq(hostimg_fsck(img, NULL), 0);
	hostimg_free(img);
}
END_TEST

/* ---- the state of the superblock ---- */

/* ext3 has no checksums: its superblocks can be changed by hand. */
#define PLAIN 2

static void recover_bytes(const struct bed *bed, const uint8_t *bytes,
			  struct recover_report *ret, uint8_t *after)
{
	const struct recover_options opt = { .name = NULL };
	g_autoptr(blkdev) dev = bed_device(bed, bytes);
	GError *error = NULL;

	ck_assert_msg(hostfs_recover(dev, &opt, ret, &error), "%s",
		      error ? error->message : "?");
	memcpy(after, memdev_bytes(dev), bed->size);
}

START_TEST(an_error_of_the_journal_marks_the_host)
{
	struct recover_report report;
	struct bed bed;
	g_autofree uint8_t *after = NULL;

	bed_init(&bed, &kinds[PLAIN]);
	after = g_malloc(bed.size);
	bed_journal_super(&bed, bed.dirty)->error = be32_of(0xfffffffbu);
	recover_bytes(&bed, bed.dirty, &report, after);
	ck_assert(report.needed && report.had_error);
	ck_assert(bed_super(after)->s_state & EXT2_ERROR_FS);
	bed_expect_clean(&bed, after);
	bed_expect_after(&bed, after, "recover");
	recover_bytes(&bed, after, &report, after);
	ck_assert(!report.needed && !report.had_error);
	ck_assert(bed_super(after)->s_state & EXT2_ERROR_FS);
	bed_clear(&bed);
}
END_TEST

/* A third transaction with the superblock, changed like this. */
static void log_super(struct bed *bed, uint32_t last_orphan)
{
	g_autofree uint8_t *super = g_malloc0(bed->bs);
	g_autofree char *file = NULL, *script = NULL;

	memcpy(super, bed_super(bed->dirty), 1024);
	((struct ext2_super_block *)(void *)super)->s_last_orphan = last_orphan;
	file = bed_file(bed, "super", super, bed->bs);
	script = g_strdup_printf("journal_write -b 1 %s\n", file);
	bed_log(bed, "", script);
	bed_refresh(bed);
}

START_TEST(orphans_in_the_log_are_refused_untouched)
{
	const struct recover_options opt = { .name = NULL };
	struct recover_report report;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &kinds[PLAIN]);
	log_super(&bed, 12);
	{
		g_autoptr(blkdev) dev = bed_device(&bed, bed.dirty);
		g_autoptr(blkdev) guard = nowritedev_new(dev);

		ck_assert(!hostfs_recover(guard, &opt, &report, &error));
		ck_assert_int_eq(error->code, RAWMAP_ERROR_DIRTY);
		ck_assert_msg(strstr(error->message, "orphan") != NULL, "%s",
			      error->message);
	}
	bed_clear(&bed);
}
END_TEST

START_TEST(orphans_that_the_log_removes_are_no_reason)
{
	struct recover_report report;
	struct bed bed;
	g_autofree uint8_t *after = NULL;

	bed_init(&bed, &kinds[PLAIN]);
	log_super(&bed, 0);
	after = g_malloc(bed.size);
	bed_super(bed.dirty)->s_last_orphan = 12;
	recover_bytes(&bed, bed.dirty, &report, after);
	ck_assert_uint_eq(report.transactions, 3);
	ck_assert_uint_eq(bed_super(after)->s_last_orphan, 0);
	bed_expect_clean(&bed, after);
	bed_expect_after(&bed, after, "recover");
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/recover");
	TCase *tc = tcase_create("recover");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, the_last_committed_copies_go_home, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, e2fsck_makes_the_same_of_it, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, the_journal_is_fit_for_the_next_log, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, the_second_time_there_is_nothing_to_do, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_dry_run_reports_the_same_and_writes_nothing,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_test(tc, an_empty_log_leaves_only_the_flag_to_clear);
	tcase_add_test(tc, an_error_of_the_journal_marks_the_host);
	tcase_add_test(tc, orphans_in_the_log_are_refused_untouched);
	tcase_add_test(tc, orphans_that_the_log_removes_are_no_reason);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
