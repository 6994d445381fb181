/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sound log in every format: which blocks it has, and what is in them. */
#include "replay_bed.h"

/* Blocks outside of the journal of 64 blocks from 40 on. */
#define A 3
#define B 4
#define C 5
#define D 110

static const uint64_t one_a[] = { A };

START_TEST(empty_log_has_nothing)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };
	GError *error = NULL;

	logbuild_data(bed.lb, A, 1);
	logbuild_commit(bed.lb);
	logbuild_super(bed.lb, 0);
	bed.j = logbuild_open_on(bed.lb, logbuild_dev(bed.lb));
	bed.r = replay_scan(bed.j, 1024, NULL, NULL, &error);
	ck_assert(bed.r);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(A), NULL), 0);
	ck_assert_uint_eq(replay_report(bed.r)->transactions, 0);
	ck_assert_uint_eq(replay_report(bed.r)->blocks, 0);
	ck_assert_uint_eq(replay_report(bed.r)->next_sequence, 8);
	ck_assert_int_eq(replay_apply(bed.r, logbuild_dev(bed.lb), NULL, NULL),
			 0);
	bed_close(&bed);
}
END_TEST

START_TEST(log_without_a_transaction_has_nothing)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	bed_judge(&bed, 0);
	ck_assert_uint_eq(replay_report(bed.r)->log_blocks, 0);
	bed_close(&bed);
}
END_TEST

START_TEST(report_counts_exactly)
{
	static const uint64_t more[] = { B, 99, 98 };
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };
	const struct replay_report *report;

	logbuild_data(bed.lb, A, 1);
	logbuild_data(bed.lb, B, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, B, 2);
	logbuild_data(bed.lb, C, 2);
	logbuild_commit(bed.lb);
	logbuild_revoke(bed.lb, more, 3);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 3);
	report = replay_report(bed.r);
	ck_assert_uint_eq(report->first_sequence, 7);
	ck_assert_uint_eq(report->next_sequence, 11);
	ck_assert_uint_eq(report->log_blocks, 4 + 4 + 2);
	ck_assert_uint_eq(report->blocks, 2);
	ck_assert_uint_eq(report->revokes, 3);
	ck_assert_uint_eq(report->revoked, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(last_copy_wins)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	for (uint32_t i = 1; i <= 5; i++) {
		logbuild_data(bed.lb, A, i);
		logbuild_data(bed.lb, D, i + 10);
		logbuild_commit(bed.lb);
	}
	bed_judge(&bed, 5);
	bed_close(&bed);
}
END_TEST

START_TEST(last_copy_of_one_transaction_wins)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, 1);
	logbuild_descriptor(bed.lb);
	logbuild_data(bed.lb, A, 2);
	logbuild_data(bed.lb, A, 3);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(revoke_kills_earlier_copies)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 2);
	logbuild_data(bed.lb, B, 2);
	logbuild_commit(bed.lb);
	logbuild_revoke(bed.lb, one_a, 1);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 3);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(A), NULL), 0);
	bed_close(&bed);
}
END_TEST

START_TEST(revoke_kills_copies_of_its_transaction_on_both_sides)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, 1);
	logbuild_descriptor(bed.lb);
	logbuild_revoke(bed.lb, one_a, 1);
	logbuild_data(bed.lb, A, 2);
	logbuild_data(bed.lb, B, 2);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	ck_assert_uint_eq(replay_report(bed.r)->revoked, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(copy_after_the_revoke_counts)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, 1);
	logbuild_commit(bed.lb);
	logbuild_revoke(bed.lb, one_a, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 2);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 3);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(A), NULL), 1);
	ck_assert_uint_eq(replay_report(bed.r)->revoked, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(latest_of_several_revokes_counts)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_revoke(bed.lb, one_a, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 2);
	logbuild_revoke(bed.lb, one_a, 1);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 3);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 4);
	ck_assert_uint_eq(replay_report(bed.r)->revoked, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(revoke_without_a_commit_kills_nothing)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, 1);
	logbuild_commit(bed.lb);
	logbuild_stop(bed.lb);
	logbuild_revoke(bed.lb, one_a, 1);
	bed_judge(&bed, 1);
	ck_assert_uint_eq(replay_report(bed.r)->revokes, 0);
	bed_close(&bed);
}
END_TEST

START_TEST(escaped_copies_come_home_whole)
{
	struct bed bed = { logbuild_new(&formats[_i]), NULL, NULL };

	logbuild_data(bed.lb, A, LOGBUILD_MAGIC | 1);
	logbuild_data(bed.lb, B, 1);
	logbuild_data(bed.lb, C, LOGBUILD_MAGIC | 2);
	logbuild_commit(bed.lb);
	logbuild_data(bed.lb, A, 3);
	logbuild_data(bed.lb, B, LOGBUILD_MAGIC | 3);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

/* From every start in the last few blocks of the log. */
START_TEST(log_wraps)
{
	for (uint32_t start = 55; start < 64; start++) {
		struct logbuild_spec spec = formats[_i];
		struct bed bed = { NULL, NULL, NULL };

		spec.start = start;
		bed.lb = logbuild_new(&spec);
		for (uint32_t i = 1; i <= 3; i++) {
			logbuild_data(bed.lb, A, i);
			logbuild_data(bed.lb, B, i | LOGBUILD_MAGIC);
			logbuild_data(bed.lb, D, i);
			logbuild_revoke(bed.lb, one_a, i % 2);
			logbuild_commit(bed.lb);
		}
		bed_judge(&bed, 3);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(log_that_fills_a_whole_lap_ends)
{
	struct logbuild_spec spec = formats[_i];
	struct bed bed = { NULL, NULL, NULL };
	uint32_t n = 0;

	spec.start = 30;
	bed.lb = logbuild_new(&spec);
	for (; n < 21; n++) {
		logbuild_data(bed.lb, A + n % 7, n);
		logbuild_commit(bed.lb);
	}
	ck_assert_uint_eq(logbuild_used(bed.lb), 63);
	ck_assert_uint_eq(logbuild_head(bed.lb), 30);
	bed_judge(&bed, 21);
	ck_assert_uint_eq(replay_report(bed.r)->log_blocks, 63);
	bed_close(&bed);
}
END_TEST

START_TEST(sequence_numbers_wrap)
{
	struct logbuild_spec spec = formats[_i];
	struct bed bed = { NULL, NULL, NULL };

	spec.sequence = UINT32_MAX - 1;
	bed.lb = logbuild_new(&spec);
	for (uint32_t i = 0; i < 4; i++) {
		logbuild_data(bed.lb, A, i);
		logbuild_data(bed.lb, B + i, i);
		logbuild_revoke(bed.lb, one_a, i == 2);
		logbuild_commit(bed.lb);
	}
	bed_judge(&bed, 4);
	ck_assert_uint_eq(replay_report(bed.r)->first_sequence, UINT32_MAX - 1);
	ck_assert_uint_eq(replay_report(bed.r)->next_sequence, 3);
	bed_close(&bed);
}
END_TEST

/* More blocks than one descriptor of 1 KiB has tags for, in one transaction. */
START_TEST(transaction_of_many_descriptors)
{
	struct logbuild_spec spec = formats[_i];
	struct bed bed = { NULL, NULL, NULL };

	spec.maxlen = 400;
	spec.start = 250;
	spec.fs_blocks = 1024;
	if (spec.bits == 16)
		return; /* nothing that 64 KiB would add */
	bed.lb = logbuild_new(&spec);
	for (uint32_t i = 0; i < 300; i++)
		logbuild_data(bed.lb, 1000 - i, i);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	ck_assert_uint_eq(replay_report(bed.r)->blocks, 300);
	bed_close(&bed);
}
END_TEST

/*
 * With 70 tags of 14 bytes there are 16 more before the block's end; the last 4
 * are the checksum's, and none of the rest is a tag.
 */
START_TEST(full_descriptor_needs_no_last_tag)
{
	struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_64BIT,
		.maxlen = 100,
	};
	struct bed bed = { logbuild_new(&spec), NULL, NULL };
	uint32_t at;

	for (uint32_t i = 0; i < 70; i++)
		logbuild_data(bed.lb, 200 + i, i);
	at = logbuild_descriptor(bed.lb);
	ck_assert_uint_eq(logbuild_used(bed.lb), 71);
	/* The flags of the last one. */
	ck_assert_uint_eq(logbuild_block(bed.lb, at)[1008 - 14 + 7],
			  JBD_FLAG_LAST_TAG | JBD_FLAG_SAME_UUID);
	logbuild_block(bed.lb, at)[1008 - 14 + 7] = JBD_FLAG_SAME_UUID;
	logbuild_reseal(bed.lb, at);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(block_numbers_of_64_bits)
{
	static const uint64_t high[] = { (UINT64_C(7) << 32) + 5 };
	struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_64BIT | (uint32_t)_i,
	};
	struct bed bed = { logbuild_new(&spec), NULL, NULL };
	uint64_t seen = (UINT64_C(9) << 32) + 5;

	logbuild_data(bed.lb, 5, 1);
	logbuild_data(bed.lb, seen, 2);
	logbuild_data(bed.lb, high[0], 3);
	logbuild_commit(bed.lb);
	logbuild_revoke(bed.lb, high, 1);
	logbuild_commit(bed.lb);
	bed.j = logbuild_open(bed.lb);
	bed.r = replay_scan(bed.j, UINT64_C(10) << 32, NULL, NULL, NULL);
	ck_assert(bed.r);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(5), NULL), 1);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(seen), NULL), 1);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(high[0]), NULL), 0);
	ck_assert_uint_eq(replay_report(bed.r)->blocks, 2);
	bed_close(&bed);
}
END_TEST

/* Without the feature the high half is not part of a number. */
START_TEST(csum_v3_without_64bit_ignores_the_high_half)
{
	struct logbuild_spec spec = { .incompat = JBD_INCOMPAT_CSUM_V3 };
	struct bed bed = { logbuild_new(&spec), NULL, NULL };
	uint32_t at;

	logbuild_data(bed.lb, A, 1);
	at = logbuild_descriptor(bed.lb);
	logbuild_block(bed.lb, at)[12 + 8] = 1;
	logbuild_reseal(bed.lb, at);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

/* A number of a random log's own: the same @seed gives the same log. */
static uint32_t next(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 16) % below;
}

static void random_tx(struct logbuild *lb, uint32_t *seed)
{
	uint32_t n = 1 + next(seed, 9);
	uint64_t blocks[4];

	while (n--) {
		uint32_t magic = next(seed, 4) ? 0 : LOGBUILD_MAGIC;

		logbuild_data(lb, 1 + next(seed, 30), next(seed, 1000) | magic);
		if (!next(seed, 4))
			logbuild_descriptor(lb);
		if (next(seed, 5))
			continue;
		for (int i = 0; i < 4; i++)
			blocks[i] = 1 + next(seed, 30);
		logbuild_revoke(lb, blocks, 1 + next(seed, 4));
	}
	logbuild_commit(lb);
}

START_TEST(random_logs_equal_the_model)
{
	for (uint32_t run = 0; run < (formats[_i].bits == 16 ? 5 : 40); run++) {
		uint32_t seed = run * 7919 + (uint32_t)_i, n;
		struct logbuild_spec spec = formats[_i];
		struct bed bed = { NULL, NULL, NULL };

		spec.maxlen = spec.bits == 16 ? 64 : 200;
		spec.start = 1 + next(&seed, spec.maxlen - 1);
		spec.sequence = next(&seed, 2) ? 5 : UINT32_MAX - 2;
		bed.lb = logbuild_new(&spec);
		for (n = 0; logbuild_used(bed.lb) + 40 < spec.maxlen; n++)
			random_tx(bed.lb, &seed);
		bed_judge(&bed, n);
		bed_close(&bed);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay");
	TCase *tc = tcase_create("replay");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, empty_log_has_nothing, 0, N_FORMATS);
	tcase_add_loop_test(tc, log_without_a_transaction_has_nothing, 0,
			    N_FORMATS);
	tcase_add_loop_test(tc, report_counts_exactly, 0, N_FORMATS);
	tcase_add_loop_test(tc, last_copy_wins, 0, N_FORMATS);
	tcase_add_loop_test(tc, last_copy_of_one_transaction_wins, 0,
			    N_FORMATS);
	tcase_add_loop_test(tc, revoke_kills_earlier_copies, 0, N_FORMATS);
	tcase_add_loop_test(
		tc, revoke_kills_copies_of_its_transaction_on_both_sides, 0,
		N_FORMATS);
	tcase_add_loop_test(tc, copy_after_the_revoke_counts, 0, N_FORMATS);
	tcase_add_loop_test(tc, latest_of_several_revokes_counts, 0, N_FORMATS);
	tcase_add_loop_test(tc, revoke_without_a_commit_kills_nothing, 0,
			    N_FORMATS);
	tcase_add_loop_test(tc, escaped_copies_come_home_whole, 0, N_FORMATS);
	tcase_add_loop_test(tc, log_wraps, 0, N_FORMATS);
	tcase_add_loop_test(tc, log_that_fills_a_whole_lap_ends, 0, N_FORMATS);
	tcase_add_loop_test(tc, sequence_numbers_wrap, 0, N_FORMATS);
	tcase_add_loop_test(tc, transaction_of_many_descriptors, 0, N_FORMATS);
	tcase_add_loop_test(tc, block_numbers_of_64_bits, 0, 1);
	tcase_add_loop_test(tc, block_numbers_of_64_bits, JBD_INCOMPAT_CSUM_V2,
			    JBD_INCOMPAT_CSUM_V2 + 1);
	tcase_add_loop_test(tc, block_numbers_of_64_bits, JBD_INCOMPAT_CSUM_V3,
			    JBD_INCOMPAT_CSUM_V3 + 1);
	tcase_add_test(tc, full_descriptor_needs_no_last_tag);
	tcase_add_test(tc, csum_v3_without_64bit_ignores_the_high_half);
	tcase_add_loop_test(tc, random_logs_equal_the_model, 0, N_FORMATS);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
