/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log with blocks that cannot be read, where zeros are given for such: a block
 * of zeros would end it, and nobody would know what is missing.
 */
#include "recover_bed.h"
#include "replayed_bed.h"

#include <rawmap/dev/baddev.h>

static struct bed bed;
static struct blkdev *mem, *bad;

/* The block at this byte of the host is bad. */
static void spoil(uint64_t pos)
{
	g_autoptr(badranges) known = badranges_new(BADRANGES_MAX);

	mem = bed_device(&bed, bed.dirty);
	badranges_add(known, dev_off_at(pos), bed.bs);
	bad = baddev_new(mem, known, true, NULL, NULL);
}

/* The first descriptor. */
static void setup(int kind)
{
	bed_init(&bed, &kinds[kind]);
	spoil((uint64_t)(bed_journal_block(&bed, bed.dirty, 1) - bed.dirty));
}

static void teardown(void)
{
	blkdev_unref(bad);
	blkdev_unref(mem);
	bed_clear(&bed);
}

START_TEST(it_is_an_error_for_who_reads)
{
	static const char *const words[] = { "cannot read block", "norecovery",
					     NULL };
	struct hostfs_options opt = { .readonly = true };

	setup(_i);
	opt.bad = bad;
	seen_refused(bad, &opt, RAWMAP_ERROR_IO, words);
	opt.norecovery = true;
	hostfs_close(seen_ok(bad, &opt));
	teardown();
}
END_TEST

START_TEST(it_is_an_error_for_who_recovers)
{
	struct recover_options opt = { .keep_orphans = true };
	struct recover_report report;
	g_autoptr(GError) error = NULL;

	setup(_i);
	opt.bad = bad;
	ck_assert(!hostfs_recover(bad, &opt, &report, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_IO);
	teardown();
}
END_TEST

/* Behind the log, and everywhere once the host is open. */
START_TEST(elsewhere_there_are_zeros)
{
	struct hostfs_options opt = { .readonly = true };
	dev_off last;
	uint8_t byte = 1;
	struct hostfs *fs;

	bed_init(&bed, &kinds[_i]);
	last = dev_off_at(bed.size - bed.bs);
	spoil(last.v);
	opt.bad = bad;
	fs = seen_ok(bad, &opt);
	ck_assert_int_eq(blkdev_pread(bad, &byte, 1, last), 0);
	ck_assert_uint_eq(byte, 0);
	hostfs_close(fs);
	teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/replayed_media");
	TCase *tc = tcase_create("replayed_media");
	const int n = G_N_ELEMENTS(kinds);
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, it_is_an_error_for_who_reads, 0, n);
	tcase_add_loop_test(tc, it_is_an_error_for_who_recovers, 0, n);
	tcase_add_loop_test(tc, elsewhere_there_are_zeros, 0, n);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
