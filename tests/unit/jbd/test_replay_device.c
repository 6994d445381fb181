/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Journals that have a device of their own: the log's blocks have the numbers
 * of that device, and say nothing about the filesystem's.
 */
#include "replay_bed.h"

#include <errno.h>

static const struct logbuild_spec devices[] = {
	{ .device = true },
	{ .device = true, .bits = 12, .incompat = JBD_INCOMPAT_REVOKE },
	{ .device = true, .incompat = JBD_INCOMPAT_CSUM_V3 },
	{ .device = true, .bits = 11, .incompat = JBD_INCOMPAT_CSUM_V2 },
	{ .device = true,
	  .bits = 12,
	  .incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT },
	{ .device = true, .compat = JBD_COMPAT_CHECKSUM, .whole_crc32 = true },
};

#define N_DEVICES ((int)G_N_ELEMENTS(devices))

/* put_tx() has copies for blocks 3 and 4, whose numbers are the log's, too. */
START_TEST(log_is_read_from_its_device)
{
	struct bed bed = bed_of(&devices[_i]);

	put_tx(bed.lb, 1);
	put_tx(bed.lb, 2 | LOGBUILD_MAGIC);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(log_wraps_to_its_first_block)
{
	struct logbuild_spec spec = devices[_i];
	struct bed bed;

	spec.start = 64 - 3;
	bed = bed_of(&spec);
	put_tx(bed.lb, 1);
	put_tx(bed.lb, 2);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(info_tells_the_users)
{
	static const uint8_t user[16] = { 1, 2, 3, 14, 15, 16 };
	struct bed bed = bed_of(&devices[0]);

	logbuild_super(bed.lb, 0);
	memcpy(((struct jbd_super *)(void *)logbuild_block(bed.lb, 0))->users,
	       user, 16);
	bed.j = logbuild_open_on(bed.lb, logbuild_journal_dev(bed.lb));
	ck_assert_uint_eq(journal_info(bed.j)->users, 1);
	ck_assert_mem_eq(journal_info(bed.j)->user, user, 16);
	bed_close(&bed);
}
END_TEST

static void refused(struct blkdev *dev, uint64_t blocks, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct journal *j =
		journal_open_device(dev, pblk_at(2), blocks, 10, "log", &error);

	ck_assert_ptr_null(j);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	ck_assert_msg(strstr(error->message, words) != NULL, "%s",
		      error->message);
}

START_TEST(device_that_is_too_short_is_refused)
{
	struct bed bed = bed_of(&devices[0]);
	struct blkdev *dev = logbuild_journal_dev(bed.lb);
	g_autoptr(blkdev) none = memdev_new(100, 512);
	g_autoptr(blkdev) zeros = memdev_new(64 << 10, 512);

	logbuild_super(bed.lb, 0);
	refused(dev, 63, "shorter than it claims");
	refused(dev, 65, "does not lie on the device");
	refused(dev, 1, "shorter than it claims");
	refused(dev, 0, "shorter than it claims");
	refused(dev, UINT64_MAX, "does not lie on the device");
	refused(none, 64, "does not lie on the device");
	refused(zeros, 64, "no superblock");
	bed_close(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay of a journal's own device");
	TCase *tc = tcase_create("replay of a journal's own device");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, log_is_read_from_its_device, 0, N_DEVICES);
	tcase_add_loop_test(tc, log_wraps_to_its_first_block, 0, N_DEVICES);
	tcase_add_test(tc, info_tells_the_users);
	tcase_add_test(tc, device_that_is_too_short_is_refused);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
