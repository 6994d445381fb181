/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Journals on another device that are not the host's: each has its sentence. */
#include "outside_bed.h"

#include <stdlib.h>

/* The host and this journal: refused, with these words. */
static void refused(const struct bed *bed, struct blkdev *journal,
		    enum rawmap_error code, const char *words)
{
	const char *const all[] = { words, "'the source'", "-o norecovery",
				    NULL };
	const struct hostfs_options opt = options_of(journal);
	g_autoptr(blkdev) dev = mem_of(bed->bytes, bed->size);

	seen_refused(dev, &opt, code, all);
}

static void refused_log(const struct bed *bed, enum rawmap_error code,
			const char *words)
{
	g_autoptr(blkdev) journal = mem_of(bed->log, bed->log_size);

	refused(bed, journal, code, words);
}

START_TEST(a_dirty_host_without_it_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	refused(&bed, NULL, RAWMAP_ERROR_DIRTY, "-o journal=DEVICE");
	bed_clear(&bed);
}
END_TEST

START_TEST(what_is_no_journal_is_refused)
{
	struct bed bed;
	g_autoptr(blkdev) zeros = memdev_new(1 << 20, 512);
	g_autoptr(blkdev) nothing = memdev_new(1030, 512);

	bed_init(&bed, &shapes[_i]);
	refused(&bed, zeros, RAWMAP_ERROR_CORRUPT, "holds no journal");
	refused(&bed, nothing, RAWMAP_ERROR_CORRUPT, "holds no journal");
	{
		g_autoptr(blkdev) host = mem_of(bed.bytes, bed.size);

		refused(&bed, host, RAWMAP_ERROR_CORRUPT, "holds no journal");
	}
	journal_super(&bed, bed.log)->header.magic = be32_of(4711);
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "has no superblock");
	bed_clear(&bed);
}
END_TEST

/* Of the superblock before the journal's; mke2fs gives it none. */
START_TEST(a_device_with_a_wrong_sum_is_refused)
{
	struct ext2_super_block *super;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	super = ext_super(bed.log);
	super->s_feature_ro_compat |= EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
	super->s_checksum = crc32c(
		~0u, super, offsetof(struct ext2_super_block, s_checksum));
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		const struct hostfs_options opt = options_of(journal);

		hostfs_close(seen_ok(dev, &opt));
	}
	super->s_checksum ^= 1;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "wrong checksum");
	bed_clear(&bed);
}
END_TEST

START_TEST(the_journal_of_another_host_is_refused)
{
	struct bed bed, other;
	g_autofree char *found = NULL;

	bed_init(&bed, &shapes[_i]);
	bed_init(&other, &shapes[_i]);
	found = uuid_text(ext_super(other.log)->s_uuid);
	{
		g_autoptr(blkdev) journal = mem_of(other.log, other.log_size);

		refused(&bed, journal, RAWMAP_ERROR_NOT_FOUND, found);
	}
	bed_clear(&bed);
	bed_clear(&other);
}
END_TEST

START_TEST(users_other_than_the_host_are_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	journal_super(&bed, bed.log)->users[5] ^= 1;
	refused_log(&bed, RAWMAP_ERROR_NOT_FOUND, "of another filesystem");
	journal_super(&bed, bed.log)->users[5] ^= 1;
	journal_super(&bed, bed.log)->nr_users = be32_of(2);
	refused_log(&bed, RAWMAP_ERROR_UNSUPPORTED, "exactly one");
	journal_super(&bed, bed.log)->nr_users = be32_of(0);
	refused_log(&bed, RAWMAP_ERROR_UNSUPPORTED, "exactly one");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_wrong_checksum_of_its_superblock_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	ext_super(bed.log)->s_feature_ro_compat |=
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT,
		    "damaged superblock (wrong checksum)");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_device_that_cannot_be_read_is_an_io_error)
{
	g_autoptr(blkdev) lower = NULL, fault = NULL;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	lower = mem_of(bed.log, bed.log_size);
	fault = faultdev_new(lower);
	faultdev_arm(fault, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	refused(&bed, fault, RAWMAP_ERROR_IO,
		"cannot read the journal's device");
	bed_clear(&bed);
}
END_TEST

START_TEST(blocks_of_another_size_are_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	ext_super(bed.log)->s_log_block_size = 0;
	/* Where there is a checksum, that is what is seen first. */
	refused_log(&bed, RAWMAP_ERROR_CORRUPT,
		    ext_super(bed.log)->s_feature_ro_compat ? "checksum"
							    : "another size");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_device_cut_short_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	bed.log_size /= 2;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "does not lie on the device");
	bed_clear(&bed);
}
END_TEST

/* Shape 1 has checksums: a copy, the third block of the log. */
START_TEST(a_damaged_log_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[1]);
	bed.log[(2 + 1 + 2) * bed.shape->bs + 77] ^= 1;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "is damaged in its block 5");
	bed_clear(&bed);
}
END_TEST

START_TEST(one_for_a_host_with_its_own_is_refused)
{
	static const char *const words[] = { "-o journal=", "inside", NULL };
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	g_autoptr(blkdev) journal = memdev_new(1 << 20, 512);
	const struct hostfs_options opt = options_of(journal);

	seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	hostimg_free(img);
}
END_TEST

START_TEST(one_for_a_host_without_a_journal_is_refused)
{
	static const char *const words[] = { "-o journal=", NULL };
	const struct hostimg_spec spec = { .mkfs = "-t ext2" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	g_autoptr(blkdev) journal = memdev_new(1 << 20, 512);
	const struct hostfs_options opt = options_of(journal);

	seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	hostimg_free(img);
}
END_TEST

START_TEST(recovery_on_disk_stays_refused)
{
	const struct recover_options opt = { .name = NULL };
	struct recover_report report;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &shapes[_i]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) guard = nowritedev_new(dev);

		ck_assert(!hostfs_recover(guard, &opt, &report, &error));
		ck_assert_int_eq(error->code, RAWMAP_ERROR_UNSUPPORTED);
	}
	bed_clear(&bed);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, a_dirty_host_without_it_is_refused, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, what_is_no_journal_is_refused, 0, N_SHAPES);
	tcase_add_test(tc, a_device_with_a_wrong_sum_is_refused);
	tcase_add_loop_test(tc, the_journal_of_another_host_is_refused, 0,
			    N_SHAPES);
	tcase_add_test(tc, users_other_than_the_host_are_refused);
	tcase_add_test(tc, blocks_of_another_size_are_refused);
	tcase_add_test(tc, a_wrong_checksum_of_its_superblock_is_refused);
	tcase_add_test(tc, a_device_that_cannot_be_read_is_an_io_error);
	tcase_add_loop_test(tc, a_device_cut_short_is_refused, 0, N_SHAPES);
	tcase_add_test(tc, a_damaged_log_is_refused);
	tcase_add_test(tc, one_for_a_host_with_its_own_is_refused);
	tcase_add_test(tc, one_for_a_host_without_a_journal_is_refused);
	tcase_add_loop_test(tc, recovery_on_disk_stays_refused, 0, N_SHAPES);
}

int main(void)
{
	Suite *suite = suite_create("hostfs/journal_foreign");
	TCase *tc = tcase_create("journal_foreign");
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
