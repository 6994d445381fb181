/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commit blocks that are not what was to be written: torn ones, and wrong ones
 * of ASYNC_COMMIT with others behind them. put_tx() makes five blocks, the
 * fifth is the commit block.
 */
#include "replay_bed.h"

static const struct logbuild_spec sums[] = {
	{ .incompat = JBD_INCOMPAT_CSUM_V2 },
	{ .incompat = JBD_INCOMPAT_CSUM_V3, .bits = 12 },
	{ .incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT, .bits = 11 },
	{ .incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_ASYNC_COMMIT },
};

#define N_SUMS ((int)G_N_ELEMENTS(sums))

static const struct logbuild_spec async = {
	.incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_ASYNC_COMMIT,
};
static const struct logbuild_spec async_v1 = {
	.compat = JBD_COMPAT_CHECKSUM,
	.incompat = JBD_INCOMPAT_ASYNC_COMMIT,
	.whole_crc32 = true,
};

#define FIELDS 64 /* bytes of a commit block that mean something */

/* ---- torn ---- */

static void tear(struct bed *bed, const struct places *at, size_t from)
{
	struct blkdev *dev = logbuild_dev(bed->lb);
	size_t bs = (size_t)(blkdev_geometry(dev)->size /
			     logbuild_fs_blocks(bed->lb));

	memset(logbuild_block(bed->lb, at->commit) + from, 0x77, bs - from);
}

START_TEST(commit_block_torn_behind_its_fields_is_whole)
{
	static const size_t from[] = { FIELDS, FIELDS + 1, 512, 1023 };

	for (size_t i = 0; i < G_N_ELEMENTS(from); i++) {
		struct bed bed = bed_of(&sums[_i]);
		struct places at;

		at = put_tx(bed.lb, 1);
		tear(&bed, &at, from[i]);
		at = put_tx(bed.lb, 2);
		tear(&bed, &at, from[i]);
		bed_judge(&bed, 2);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(commit_block_torn_in_its_fields_is_damage)
{
	struct bed bed = bed_of(&sums[_i]);
	struct places at;

	put_tx(bed.lb, 1);
	at = put_tx(bed.lb, 2);
	tear(&bed, &at, FIELDS - 1);
	if (sums[_i].incompat & JBD_INCOMPAT_ASYNC_COMMIT)
		ck_assert_uint_eq(replay_report(bed_scan(&bed))->transactions,
				  1);
	else
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 10");
	bed_close(&bed);
}
END_TEST

/* ---- wrong ones that others follow ---- */

static void spoil(struct bed *bed, const struct places *at)
{
	logbuild_block(bed->lb, at->commit)[17] ^= 1;
}

START_TEST(async_commit_that_is_wrong_ends_the_log_before_another)
{
	struct bed bed = bed_of(&async);
	struct places at;

	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	spoil(&bed, &at);
	put_tx(bed.lb, 3);
	put_tx(bed.lb, 4);
	bed_judge(&bed, 1);
	/* 10 was committed, and 11 may have begun. */
	ck_assert_uint_eq(replay_report(bed.r)->next_sequence, 12);
	ck_assert_uint_eq(replay_report(bed.r)->log_blocks, 5);
	bed_close(&bed);
}
END_TEST

START_TEST(two_async_commits_that_are_wrong_are_damage)
{
	struct bed bed = bed_of(&async);
	struct places at;

	put_tx(bed.lb, 1);
	at = put_tx(bed.lb, 2);
	spoil(&bed, &at);
	at = put_tx(bed.lb, 3);
	spoil(&bed, &at);
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 15");
	bed_close(&bed);
}
END_TEST

/* Damage behind the end is damage, too: something was committed there. */
START_TEST(wrong_descriptor_behind_a_wrong_async_commit_is_damage)
{
	struct bed bed = bed_of(&async);
	struct places at;

	put_tx(bed.lb, 1);
	at = put_tx(bed.lb, 2);
	spoil(&bed, &at);
	at = put_tx(bed.lb, 3);
	logbuild_block(bed.lb, at.descriptor)[500] ^= 1;
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 11");
	bed_close(&bed);
}
END_TEST

/* Whatever the time of the other one. */
START_TEST(async_commit_of_version_1_that_is_wrong_before_another_is_damage)
{
	for (uint64_t time = 10; time < 2000; time += 1900) {
		struct bed bed = bed_of(&async_v1);
		struct places at;

		put_tx(bed.lb, 1);
		at = put_tx(bed.lb, 2);
		spoil(&bed, &at);
		logbuild_set_time(bed.lb, time);
		put_tx(bed.lb, 3);
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 10");
		bed_close(&bed);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay: commit blocks");
	TCase *tc = tcase_create("replay: commit blocks");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, commit_block_torn_behind_its_fields_is_whole, 0,
			    N_SUMS);
	tcase_add_loop_test(tc, commit_block_torn_in_its_fields_is_damage, 0,
			    N_SUMS);
	tcase_add_test(tc,
		       async_commit_that_is_wrong_ends_the_log_before_another);
	tcase_add_test(tc, two_async_commits_that_are_wrong_are_damage);
	tcase_add_test(tc,
		       wrong_descriptor_behind_a_wrong_async_commit_is_damage);
	tcase_add_test(
		tc,
		async_commit_of_version_1_that_is_wrong_before_another_is_damage);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
