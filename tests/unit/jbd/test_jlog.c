/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log as a whole: which journals it takes, its states, the order of writes
 * and flushes, sequence numbers over sessions, and every I/O failing once. What
 * a transaction looks like is test_jlog_format.c's.
 */
#include "log_bed.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/blkdev.h>

#include <errno.h>

/* ---- which journals ---- */

static void expect_refusal(struct bed *bed, int code)
{
	struct journal *j = bed_open(bed);
	GError *error = NULL;

	ck_assert(!jlog_new(j, NARROW, &error));
	ck_assert_msg(error->domain == RAWMAP_ERROR && error->code == code,
		      "%s", error->message);
	g_error_free(error);
	journal_close(j);
}

START_TEST(a_journal_that_cannot_be_written_to_is_refused)
{
	static const struct {
		size_t at;
		uint32_t value;
		int code;
	} bad[] = {
		{ AT_START, 1, RAWMAP_ERROR_DIRTY },
		{ AT_ERROR, 5, RAWMAP_ERROR_DIRTY },
		{ AT_TYPE, 3, RAWMAP_ERROR_READONLY },
		{ AT_INCOMPAT, INCOMPAT_FC, RAWMAP_ERROR_READONLY },
		{ AT_MAXLEN, 64, RAWMAP_ERROR_READONLY },
		{ AT_FIRST, BLOCKS - 63, RAWMAP_ERROR_READONLY },
	};
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, bad[_i].at, bad[_i].value);
	expect_refusal(&bed, bad[_i].code);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_log_of_64_blocks_is_enough)
{
	struct log_bed lb;

	log_bed_init(&lb, FULL, 65, NULL);
	ck_assert_uint_eq(jlog_capacity(lb.log), 64);
	log_bed_clear(&lb);
}
END_TEST

/* ---- the superblock ---- */

START_TEST(begin_sets_what_is_needed_and_clears_what_is_not)
{
	struct log_bed lb;

	log_bed_init(&lb, _i, BLOCKS, NULL);
	if (!(lb.bed.shape.incompat & CSUM_V2_OR_V3))
		bed_set(&lb.bed, AT_COMPAT, 1);
	bed_set(&lb.bed, AT_INCOMPAT, lb.bed.shape.incompat | INCOMPAT_ASYNC);
	log_bed_reopen(&lb);
	ck_assert(!jlog_is_open(lb.log));
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert(jlog_is_open(lb.log));
	ck_assert_uint_eq(bed_field(&lb.bed, AT_COMPAT), 0);
	ck_assert_uint_eq(bed_field(&lb.bed, AT_INCOMPAT),
			  lb.bed.shape.incompat | INCOMPAT_REVOKE);
	ck_assert_uint_eq(bed_field(&lb.bed, AT_START), 1);
	ck_assert_uint_eq(bed_field(&lb.bed, AT_SEQUENCE), 42);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(only_a_host_beyond_32_bits_gets_64)
{
	static const struct {
		uint64_t blocks;
		uint32_t had, gets;
	} hosts[] = {
		{ 1000, 0, 0 },
		{ NARROW, 0, 0 },
		{ NARROW + 1, 0, INCOMPAT_64BIT },
		{ 1000, INCOMPAT_64BIT, INCOMPAT_64BIT },
	};
	struct log_bed lb;
	uint64_t need;

	log_bed_init(&lb, PLAIN, BLOCKS, NULL);
	bed_set(&lb.bed, AT_INCOMPAT, hosts[_i].had);
	lb.fs_blocks = hosts[_i].blocks;
	log_bed_reopen(&lb);
	need = jlog_need(lb.log, 0, 900);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_uint_eq(bed_field(&lb.bed, AT_INCOMPAT),
			  INCOMPAT_REVOKE | hosts[_i].gets);
	/* What was said before it began still holds. */
	ck_assert_uint_eq(jlog_need(lb.log, 0, 900), need);
	ck_assert_uint_eq(need, hosts[_i].gets ? 3 : 2);
	log_bed_clear(&lb);
}
END_TEST

/* ---- order ---- */

struct step {
	unsigned writes; /* before the flush */
	bool super;	 /* the last one is the superblock */
};

/* Epochs of the record from @first on look like @steps, and no more follow. */
static void expect_steps(const struct log_bed *lb, const struct step *steps,
			 size_t n)
{
	g_autoptr(GPtrArray) events = recdev_events(lb->bed.dev);
	uint64_t super = lb->bed.runs[0].phys.v << lb->bed.shape.bits;
	guint i = 0;

	for (size_t k = 0; k < n; k++) {
		const struct recdev_event *e = NULL;

		for (unsigned w = 0; w < steps[k].writes; w++) {
			ck_assert_uint_lt(i, events->len);
			e = events->pdata[i++];
			ck_assert_int_eq(e->kind, RECDEV_WRITE);
		}
		ck_assert_int_eq(e->pos.v == super, steps[k].super);
		ck_assert_uint_lt(i, events->len);
		e = events->pdata[i++];
		ck_assert_int_eq(e->kind, RECDEV_FLUSH);
	}
	ck_assert_uint_eq(i, events->len);
}

START_TEST(begin_restart_and_end_are_a_superblock_and_a_flush)
{
	static const struct step one = { 1, true };
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	expect_steps(&lb, &one, 1);
	recdev_clear(lb.bed.dev);
	ck_assert_int_eq(jlog_restart(lb.log), 0);
	expect_steps(&lb, &one, 1);
	recdev_clear(lb.bed.dev);
	ck_assert_int_eq(jlog_end(lb.log), 0);
	expect_steps(&lb, &one, 1);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_commit_is_two_flushes_with_the_commit_block_between)
{
	/* The caller's data, descriptor with blocks; the commit block. */
	static const struct step two[] = { { 2, false }, { 1, false } };
	g_autoptr(GPtrArray) events = NULL;
	const struct recdev_event *e;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	recdev_clear(lb.bed.dev);
	ck_assert_int_eq(blkdev_pwrite(lb.bed.dev, "data", 4,
				       dev_off_at(UINT64_C(3000) << 12)),
			 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 20, 20), 0);
	expect_steps(&lb, two, 2);
	events = recdev_events(lb.bed.dev);
	e = events->pdata[1];
	ck_assert_uint_eq(e->len, (1 + 1 + 20 + 1) << 12);
	/* Where the commit block will be: zeros, so that it may be torn. */
	ck_assert(bytes_are_zero(e->bytes + ((1 + 1 + 20) << 12), 1 << 12));
	e = events->pdata[3];
	ck_assert_uint_eq(e->len, 1 << 12);
	ck_assert_uint_eq(be32_at(e->bytes + 4), 2);
	ck_assert_uint_eq(be32_at(e->bytes + 8), 42);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(nothing_outside_the_journal_is_written)
{
	g_autoptr(GPtrArray) events = NULL;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 700, 20), 0);
	ck_assert_int_eq(jlog_end(lb.log), 0);
	events = recdev_events(lb.bed.dev);
	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];
		uint64_t first = e->pos.v >> 12, n = e->len >> 12;
		bool inside = e->kind == RECDEV_FLUSH;

		for (size_t k = 0; k < lb.bed.n; k++)
			inside |= first >= lb.bed.runs[k].phys.v &&
				  first + n <= lb.bed.runs[k].phys.v +
						       lb.bed.runs[k].len;
		ck_assert(inside);
	}
	log_bed_clear(&lb);
}
END_TEST

/* ---- room ---- */

START_TEST(without_room_nothing_happens)
{
	g_autoptr(GPtrArray) events = NULL;
	struct jlog_stats before, after;
	struct log_bed lb;
	uint64_t room;
	size_t n = 1;

	log_bed_init(&lb, _i, 200, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 50, 0), 0);
	room = jlog_room(lb.log);
	while (jlog_need(lb.log, n, 1) <= room)
		n++;
	recdev_clear(lb.bed.dev);
	jlog_stats(lb.log, &before);
	ck_assert_int_eq(sample_commit(&lb, 60, n, 1), -ENOSPC);
	jlog_stats(lb.log, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	events = recdev_events(lb.bed.dev);
	ck_assert_uint_eq(events->len, 0);
	ck_assert_uint_eq(jlog_room(lb.log), room);
	ck_assert(jlog_is_open(lb.log));
	ck_assert(!jlog_has(lb.log, sample_block(&lb, 60)));
	/* One less fits. */
	ck_assert_int_eq(sample_commit(&lb, 60, n - 1, 1), 0);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_restart_gives_the_whole_lap_back)
{
	struct log_bed lb;

	log_bed_init(&lb, FULL, 200, NULL);
	ck_assert_uint_eq(jlog_room(lb.log), 199);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 150, 0), 0);
	ck_assert_uint_eq(jlog_room(lb.log), 199 - 152);
	ck_assert_int_eq(jlog_restart(lb.log), 0);
	ck_assert_uint_eq(jlog_room(lb.log), 199);
	ck_assert_int_eq(sample_commit(&lb, 0, 150, 0), 0);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(the_log_knows_whose_copies_it_holds)
{
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 10, 5), 0);
	for (size_t i = 0; i < 20; i++)
		ck_assert_int_eq(jlog_has(lb.log, sample_block(&lb, i)),
				 i < 10);
	/* Revoked later: no more. Logged again after that: again. */
	ck_assert_int_eq(sample_commit(&lb, 5, 0, 2), 0);
	ck_assert(!jlog_has(lb.log, sample_block(&lb, 5)));
	ck_assert(!jlog_has(lb.log, sample_block(&lb, 6)));
	ck_assert(jlog_has(lb.log, sample_block(&lb, 7)));
	ck_assert_int_eq(sample_commit(&lb, 6, 1, 0), 0);
	ck_assert(jlog_has(lb.log, sample_block(&lb, 6)));
	ck_assert_int_eq(jlog_restart(lb.log), 0);
	for (size_t i = 0; i < 20; i++)
		ck_assert(!jlog_has(lb.log, sample_block(&lb, i)));
	log_bed_clear(&lb);
}
END_TEST

/* ---- sequence numbers ---- */

/* Commit one; its number must be the superblock's or later, and new. */
static void use_number(struct log_bed *lb, GHashTable *used)
{
	uint32_t at =
		(uint32_t)(1 + jlog_capacity(lb->log) - jlog_room(lb->log));
	uint32_t number;

	ck_assert_int_eq(sample_commit(lb, 0, 1, 0), 0);
	number = be32_at(bed_block(&lb->bed, at) + 8);
	ck_assert(g_hash_table_add(used, GUINT_TO_POINTER(number)));
	if (at == 1)
		ck_assert_uint_eq(number, bed_field(&lb->bed, AT_SEQUENCE));
}

START_TEST(no_number_is_used_twice)
{
	static const uint32_t starts[] = { 1, 0xfffffff0u };
	g_autoptr(GHashTable) used = g_hash_table_new(NULL, NULL);
	struct log_bed lb;

	log_bed_init(&lb, FULL, 200, NULL);
	bed_set(&lb.bed, AT_SEQUENCE, starts[_i]);
	for (int session = 0; session < 4; session++) {
		log_bed_reopen(&lb);
		for (int again = 0; again < 2; again++) {
			ck_assert_int_eq(jlog_begin(lb.log), 0);
			for (int lap = 0; lap < 3; lap++) {
				for (int i = 0; i < lap + again; i++)
					use_number(&lb, used);
				ck_assert_int_eq(jlog_restart(lb.log), 0);
			}
			use_number(&lb, used);
			ck_assert_int_eq(jlog_end(lb.log), 0);
			ck_assert_uint_eq(bed_field(&lb.bed, AT_START), 0);
			/* Nor does anybody who takes the next one. */
			ck_assert(!g_hash_table_contains(
				used, GUINT_TO_POINTER(bed_field(
					      &lb.bed, AT_SEQUENCE))));
		}
	}
	ck_assert_uint_eq(g_hash_table_size(used), 4 * (3 + 6 + 2));
	log_bed_clear(&lb);
}
END_TEST

START_TEST(the_next_number_is_one_more_for_each_transaction)
{
	struct jlog_stats stats;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, NULL);
	bed_set(&lb.bed, AT_SEQUENCE, 0xfffffffdu);
	log_bed_reopen(&lb);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	for (uint32_t i = 0; i < 4; i++) {
		jlog_stats(lb.log, &stats);
		ck_assert_uint_eq(stats.sequence, 0xfffffffeu + i);
		ck_assert_int_eq(sample_commit(&lb, 0, 1, 0), 0);
	}
	ck_assert_int_eq(jlog_end(lb.log), 0);
	ck_assert_uint_eq(bed_field(&lb.bed, AT_SEQUENCE), 2);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(what_was_done_is_counted)
{
	struct jlog_stats stats;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 10, 3), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 0, 4), 0);
	ck_assert_int_eq(jlog_restart(lb.log), 0);
	jlog_stats(lb.log, &stats);
	ck_assert_uint_eq(stats.transactions, 2);
	ck_assert_uint_eq(stats.blocks, 10);
	ck_assert_uint_eq(stats.revokes, 7);
	ck_assert_uint_eq(stats.restarts, 1);
	ck_assert_uint_eq(stats.escapes, 2);
	ck_assert_uint_eq(stats.sequence, 44);
	log_bed_clear(&lb);
}
END_TEST

/* ---- errors ---- */

/* A session; the error of the first step that fails, after which all do. */
static int session(struct log_bed *lb)
{
	int first = 0;

	for (int step = 0; step < 6; step++) {
		int err;

		if (!first && !jlog_is_open(lb->log) && step)
			ck_abort_msg("closed at step %d", step);
		if (step == 0)
			err = jlog_begin(lb->log);
		else if (step == 3)
			err = jlog_restart(lb->log);
		else if (step == 5)
			err = jlog_end(lb->log);
		else
			err = sample_commit(lb, 0, 150, 3);
		if (first) {
			ck_assert_int_eq(err, -EROFS);
			ck_assert(!jlog_is_open(lb->log));
		}
		if (!first)
			first = err;
	}
	return first;
}

START_TEST(the_log_fails_with_the_first_error_whichever_it_is)
{
	static const enum faultdev_kind kinds[] = { FAULTDEV_WRITE,
						    FAULTDEV_FLUSH };
	unsigned tried = 0;

	for (uint64_t nth = 1;; nth++) {
		struct log_bed lb;
		bool fired;
		int err;

		log_bed_init(&lb, PLAIN, BLOCKS, faultdev_new);
		faultdev_arm(lb.bed.dev, kinds[_i % 2], nth, ENXIO,
			     _i / 2 ? FAULTDEV_SHORT : FAULTDEV_ONCE);
		err = session(&lb);
		fired = faultdev_fired(lb.bed.dev);
		ck_assert_int_eq(err, fired ? -ENXIO : 0);
		if (fired) {
			int ret = jlog_mark_error(lb.log, EIO);

			ck_assert_int_eq(ret, 0);
			ck_assert_int_eq((int)bed_field(&lb.bed, AT_ERROR),
					 -EIO);
			tried++;
		}
		log_bed_clear(&lb);
		if (!fired)
			break;
	}
	/* Three superblocks; three transactions of two flushes. */
	ck_assert_uint_ge(tried, 3 + 3 * 2);
}
END_TEST

START_TEST(a_block_that_cannot_be_got_fails_the_log)
{
	struct log_bed lb;
	struct sample *s;

	log_bed_init(&lb, FULL, BLOCKS, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	s = sample_new(&lb, 0, 300, 0);
	s->err = -ENOMEM;
	s->bad = 299;
	ck_assert_int_eq(jlog_commit(lb.log, &s->tx), -ENOMEM);
	ck_assert(!jlog_has(lb.log, s->tx.blocks[0]));
	s->err = 0;
	ck_assert_int_eq(jlog_commit(lb.log, &s->tx), -EROFS);
	sample_free(s);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_full_device_is_not_a_full_log)
{
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, faultdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	faultdev_arm(lb.bed.dev, FAULTDEV_WRITE, 1, ENOSPC, FAULTDEV_ONCE);
	ck_assert_int_eq(sample_commit(&lb, 0, 3, 0), -EIO);
	ck_assert_int_eq(sample_commit(&lb, 0, 3, 0), -EROFS);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_recorded_error_changes_nothing_else)
{
	g_autofree uint8_t *want = NULL;
	struct log_bed lb;
	size_t size;

	log_bed_init(&lb, _i, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_int_eq(sample_commit(&lb, 0, 3, 0), 0);
	size = (size_t)1 << lb.bed.shape.bits;
	/* Somebody else's bytes: the device counts, not the memory. */
	bed_set(&lb.bed, AT_SEQUENCE, 1234);
	bed_set(&lb.bed, 0x60, 4321);
	want = g_memdup2(bed_super(&lb.bed), size);
	put32(want + AT_ERROR, (uint32_t)-ENOSPC);
	if (lb.bed.shape.incompat & CSUM_V2_OR_V3)
		put32(want + AT_CSUM, slow_crc_but(~0u, want, 1024, AT_CSUM));
	recdev_clear(lb.bed.dev);
	ck_assert_int_eq(jlog_mark_error(lb.log, ENOSPC), 0);
	ck_assert_uint_eq(recdev_epochs(lb.bed.dev), 2);
	ck_assert_mem_eq(bed_super(&lb.bed), want, size);
	expect_refusal(&lb.bed, RAWMAP_ERROR_DIRTY);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(an_error_that_cannot_be_recorded_is_told)
{
	static const enum faultdev_kind kinds[] = { FAULTDEV_READ,
						    FAULTDEV_WRITE,
						    FAULTDEV_FLUSH };
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, faultdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	faultdev_arm(lb.bed.dev, kinds[_i], 1, ENXIO, FAULTDEV_ONCE);
	ck_assert_int_eq(jlog_mark_error(lb.log, EIO), -ENXIO);
	ck_assert_int_eq(jlog_mark_error(lb.log, EIO), 0);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_broken_superblock_gets_no_new_checksum)
{
	static const size_t at[] = { 0, AT_MAXLEN, AT_FIRST, AT_UUID };
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	recdev_clear(lb.bed.dev);
	bed_super(&lb.bed)[at[_i]] ^= 1;
	ck_assert_int_eq(jlog_mark_error(lb.log, EIO), -EUCLEAN);
	ck_assert_uint_eq(recdev_changes(lb.bed.dev, 0), 0);
	log_bed_clear(&lb);
}
END_TEST

static void add_order(TCase *tc)
{
	tcase_add_test(tc, begin_restart_and_end_are_a_superblock_and_a_flush);
	tcase_add_test(tc,
		       a_commit_is_two_flushes_with_the_commit_block_between);
	tcase_add_test(tc, nothing_outside_the_journal_is_written);
	tcase_add_loop_test(tc, without_room_nothing_happens, 0, N_SHAPES);
	tcase_add_test(tc, a_restart_gives_the_whole_lap_back);
	tcase_add_test(tc, the_log_knows_whose_copies_it_holds);
}

static void add_errors(TCase *tc)
{
	tcase_add_loop_test(
		tc, the_log_fails_with_the_first_error_whichever_it_is, 0, 4);
	tcase_add_test(tc, a_block_that_cannot_be_got_fails_the_log);
	tcase_add_test(tc, a_full_device_is_not_a_full_log);
	tcase_add_loop_test(tc, a_recorded_error_changes_nothing_else, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, an_error_that_cannot_be_recorded_is_told, 0, 3);
	tcase_add_loop_test(tc, a_broken_superblock_gets_no_new_checksum, 0, 4);
}

int main(void)
{
	Suite *suite = suite_create("jlog");
	TCase *tc = tcase_create("jlog");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_journal_that_cannot_be_written_to_is_refused,
			    0, 6);
	tcase_add_test(tc, a_log_of_64_blocks_is_enough);
	tcase_add_loop_test(tc,
			    begin_sets_what_is_needed_and_clears_what_is_not, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, only_a_host_beyond_32_bits_gets_64, 0, 4);
	add_order(tc);
	tcase_add_loop_test(tc, no_number_is_used_twice, 0, 2);
	tcase_add_test(tc, the_next_number_is_one_more_for_each_transaction);
	tcase_add_test(tc, what_was_done_is_counted);
	add_errors(tc);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
