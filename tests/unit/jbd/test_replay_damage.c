/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers that cannot be, blocks where none may go, fast commits, bad devices. */
#include "replay_bed.h"

#include "support/faultdev.h"

#include <errno.h>

/* ---- impossible numbers ---- */

START_TEST(impossible_revoke_counts_are_damage)
{
	static const uint32_t counts[] = { 1 << 17, 0x7fffffff, UINT32_MAX };

	for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
		struct bed bed = bed_of(&formats[_i]);
		struct places at = put_tx(bed.lb, 1);
		be32 count = be32_of(counts[i]);

		memcpy(logbuild_block(bed.lb, at.revoke) + 12, &count, 4);
		logbuild_reseal(bed.lb, at.revoke);
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 4");
		bed_close(&bed);
	}
}
END_TEST

/* The list has one entry, of four or eight bytes. */
START_TEST(revoke_counts_that_cut_an_entry_are_of_whole_ones)
{
	static const uint32_t counts[] = { 0, 15, 16, 17, 19 };

	for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
		struct bed bed = bed_of(&formats[_i]);
		struct places at = put_tx(bed.lb, 1);
		be32 count = be32_of(counts[i]);

		memcpy(logbuild_block(bed.lb, at.revoke) + 12, &count, 4);
		logbuild_reseal(bed.lb, at.revoke);
		ck_assert_uint_eq(replay_report(bed_scan(&bed))->revokes, 0);
		bed_judge(&bed, 1);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(revoke_count_may_not_reach_the_checksum)
{
	for (uint32_t over = 0; over <= 8; over += 8) {
		struct logbuild_spec spec = {
			.incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT,
		};
		struct bed bed = bed_of(&spec);
		struct places at = put_tx(bed.lb, 1);
		be32 count = be32_of(1024 - 8 + over);

		memcpy(logbuild_block(bed.lb, at.revoke) + 12, &count, 4);
		logbuild_reseal(bed.lb, at.revoke);
		if (over)
			bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "1024 bytes");
		else
			ck_assert_uint_eq(
				replay_report(bed_scan(&bed))->revokes, 125);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(impossible_revoke_count_without_a_commit_is_the_end)
{
	struct bed bed = bed_of(&formats[_i]);
	struct places at;

	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	memset(logbuild_block(bed.lb, at.revoke) + 12, 0xff, 4);
	memset(logbuild_block(bed.lb, at.commit), 0, 4);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(copy_beyond_the_filesystem_is_damage)
{
	struct bed bed = bed_of(&formats[_i]);

	put_tx(bed.lb, 1);
	logbuild_data(bed.lb, logbuild_fs_blocks(bed.lb), 1);
	logbuild_commit(bed.lb);
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 7");
	bed_close(&bed);
}
END_TEST

/* Its pieces are blocks 40 to 103. */
START_TEST(copy_of_the_journals_own_block_is_damage)
{
	static const uint64_t own[] = { 40, 71, 72, 103 };
	static const uint64_t others[] = { 39, 104 };

	for (size_t i = 0; i < G_N_ELEMENTS(own); i++) {
		struct bed bed = bed_of(&formats[_i]);

		logbuild_data(bed.lb, own[i], 1);
		logbuild_commit(bed.lb);
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "the journal's own");
		bed_close(&bed);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		struct bed bed = bed_of(&formats[_i]);

		logbuild_data(bed.lb, others[i], 1);
		logbuild_commit(bed.lb);
		bed_judge(&bed, 1);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(block_number_without_a_byte_offset_is_damage)
{
	struct logbuild_spec spec = { .incompat = JBD_INCOMPAT_64BIT };
	struct bed bed = bed_of(&spec);
	GError *error = NULL;

	logbuild_data(bed.lb, UINT64_MAX - 1, 1);
	logbuild_commit(bed.lb);
	bed.j = logbuild_open(bed.lb);
	bed.r = replay_scan(bed.j, UINT64_MAX, NULL, NULL, &error);
	ck_assert(!bed.r);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	g_error_free(error);
	bed_close(&bed);
}
END_TEST

/* The same few blocks as a journal of millions: it must not be read. */
START_TEST(journal_with_a_block_twice_is_damage)
{
	struct logbuild *lb = logbuild_new(&formats[1]);
	struct journal_run runs[3] = {
		{ pblk_at(72), 32 }, /* block 0 of the journal is there */
		{ pblk_at(40), 31 },
		{ pblk_at(70), 1 },
	};
	GError *error = NULL;
	struct journal *j;

	put_tx(lb, 1);
	logbuild_super(lb, 1);
	j = journal_open(logbuild_dev(lb), runs, 3, 10, "log", &error);
	ck_assert(j);
	ck_assert(!replay_scan(j, 1024, NULL, NULL, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	g_error_free(error);
	journal_close(j);
	logbuild_free(lb);
}
END_TEST

/* ---- fast commits ---- */

#define FC_LAST 1100 /* first block behind the log */

static struct bed fc_bed(void)
{
	struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_FAST_COMMIT | JBD_INCOMPAT_CSUM_V3,
		.maxlen = FC_LAST + 100,
		.fc_blocks = 100,
		.start = FC_LAST - 2, /* it wraps before the area */
		.fs_blocks = 2048,
	};
	struct bed bed = bed_of(&spec);

	put_tx(bed.lb, 1);
	put_tx(bed.lb, 2);
	return bed;
}

static void put_fc_head(struct bed *bed, uint32_t at, uint16_t tag,
			uint16_t len, uint32_t tid)
{
	uint8_t head[12] = { 0 };

	head[0] = (uint8_t)tag;
	head[2] = (uint8_t)len;
	head[8] = (uint8_t)tid;
	memcpy(logbuild_block(bed->lb, at), head, sizeof(head));
}

START_TEST(empty_fast_commit_area_is_fine)
{
	struct bed bed = fc_bed();

	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(fast_commits_of_an_older_transaction_are_fine)
{
	struct bed bed = fc_bed();

	put_fc_head(&bed, FC_LAST + 1, 9, 8, 8);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

START_TEST(fast_commits_behind_the_last_transaction_are_refused)
{
	for (uint32_t at = FC_LAST; at <= FC_LAST + 1; at++) {
		struct bed bed = fc_bed();

		put_fc_head(&bed, at, 9, 8, 9);
		bed_refused(&bed, RAWMAP_ERROR_UNSUPPORTED, "fast commits");
		bed_close(&bed);
	}
}
END_TEST

START_TEST(fast_commits_of_an_unknown_kind_are_refused)
{
	struct bed bed = fc_bed();

	put_fc_head(&bed, FC_LAST + 1, 9, 16, 8);
	bed_refused(&bed, RAWMAP_ERROR_UNSUPPORTED, "fast commits");
	bed_close(&bed);
}
END_TEST

START_TEST(fast_commit_area_that_starts_otherwise_is_fine)
{
	struct bed bed = fc_bed();

	put_fc_head(&bed, FC_LAST + 1, 8, 8, 9);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

/* ---- devices that fail ---- */

START_TEST(every_failing_read_is_an_error_or_does_no_harm)
{
	struct bed bed = bed_of(&formats[_i]);
	g_autoptr(blkdev) dev = faultdev_new(logbuild_dev(bed.lb));

	put_tx(bed.lb, 1);
	put_tx(bed.lb, 2);
	logbuild_super(bed.lb, 1);
	bed.j = logbuild_open_on(bed.lb, dev);
	for (uint64_t nth = 1;; nth++) {
		GError *error = NULL;
		struct replay *r;

		faultdev_arm(dev, FAULTDEV_READ, nth, EIO,
			     nth % 2 ? FAULTDEV_PERSISTENT : FAULTDEV_ONCE);
		r = replay_scan(bed.j, logbuild_fs_blocks(bed.lb), NULL, NULL,
				&error);
		if (r) {
			ck_assert_uint_eq(replay_report(r)->transactions, 2);
			ck_assert_uint_eq(replay_report(r)->blocks, 2);
		} else {
			ck_assert(g_error_matches(error, RAWMAP_ERROR,
						  RAWMAP_ERROR_IO));
			g_clear_error(&error);
		}
		replay_free(r);
		if (!faultdev_fired(dev))
			break;
		ck_assert(r || nth % 2);
		ck_assert_uint_lt(nth, 100);
	}
	bed_close(&bed);
}
END_TEST

#define EACH_FORMAT(tc, test) tcase_add_loop_test(tc, test, 0, N_FORMATS)

static void add_numbers(TCase *tc)
{
	EACH_FORMAT(tc, impossible_revoke_counts_are_damage);
	EACH_FORMAT(tc, revoke_counts_that_cut_an_entry_are_of_whole_ones);
	tcase_add_test(tc, revoke_count_may_not_reach_the_checksum);
	EACH_FORMAT(tc, impossible_revoke_count_without_a_commit_is_the_end);
	EACH_FORMAT(tc, copy_beyond_the_filesystem_is_damage);
	EACH_FORMAT(tc, copy_of_the_journals_own_block_is_damage);
	tcase_add_test(tc, block_number_without_a_byte_offset_is_damage);
	tcase_add_test(tc, journal_with_a_block_twice_is_damage);
}

static void add_fast_commits(TCase *tc)
{
	tcase_add_test(tc, empty_fast_commit_area_is_fine);
	tcase_add_test(tc, fast_commits_of_an_older_transaction_are_fine);
	tcase_add_test(tc,
		       fast_commits_behind_the_last_transaction_are_refused);
	tcase_add_test(tc, fast_commits_of_an_unknown_kind_are_refused);
	tcase_add_test(tc, fast_commit_area_that_starts_otherwise_is_fine);
}

int main(void)
{
	Suite *suite = suite_create("replay: damage");
	TCase *tc = tcase_create("replay: damage");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	add_numbers(tc);
	add_fast_commits(tc);
	EACH_FORMAT(tc, every_failing_read_is_an_error_or_does_no_harm);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
