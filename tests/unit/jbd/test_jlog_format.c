/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a transaction looks like in the log, in every format, read back by the
 * little reader of log_bed.h; and that it takes as many blocks as was said.
 */
#include "log_bed.h"

#include <rawmap/dev/blkdev.h>

#include <errno.h>
#include <time.h>

static void compare(const struct log_bed *lb, const struct sample *s,
		    const struct seen *seen)
{
	g_autofree uint8_t *want = g_malloc(s->block_size);

	ck_assert_uint_eq(seen->tags->len, s->tx.n);
	for (guint i = 0; i < seen->tags->len; i++) {
		const struct seen_tag *tag =
			&g_array_index(seen->tags, struct seen_tag, i);
		bool escaped = tag->block % 5 == 0;

		ck_assert_uint_eq(tag->block, s->tx.blocks[i].v);
		sample_fill(s->salt, s->tx.blocks[i], want, s->block_size);
		ck_assert_int_eq(tag->flags & 1, escaped);
		if (escaped)
			memset(want, 0, 4);
		ck_assert_mem_eq(bed_block(&lb->bed, tag->at), want,
				 s->block_size);
	}
	ck_assert_uint_eq(seen->revokes->len, s->tx.nrevokes);
	for (guint i = 0; i < seen->revokes->len; i++)
		ck_assert_uint_eq(g_array_index(seen->revokes, uint64_t, i),
				  s->tx.revokes[i].v);
}

/* Commit one, read it back; returns the log blocks it took. */
static uint32_t round_trip(struct log_bed *lb, size_t n, size_t nrevokes)
{
	struct sample *s = sample_new(lb, 0, n, nrevokes);
	uint64_t room = jlog_room(lb->log);
	uint32_t start = (uint32_t)(1 + jlog_capacity(lb->log) - room);
	struct jlog_stats stats;
	struct seen seen;

	jlog_stats(lb->log, &stats);
	ck_assert_int_eq(jlog_commit(lb->log, &s->tx), 0);
	see(&lb->bed, start, stats.sequence, &seen);
	compare(lb, s, &seen);
	ck_assert_uint_eq(seen.end - start, room - jlog_room(lb->log));
	sample_free(s);
	seen_clear(&seen);
	return seen.end - start;
}

START_TEST(a_transaction_is_written_as_the_format_says)
{
	struct log_bed lb;

	log_bed_init(&lb, _i, BLOCKS, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	round_trip(&lb, 1, 0);
	round_trip(&lb, 300, 300);
	round_trip(&lb, 0, 1);
	round_trip(&lb, 0, 300);
	round_trip(&lb, 13, 1);
	ck_assert_int_eq(jlog_end(lb.log), 0);
	log_bed_clear(&lb);
}
END_TEST

/* The commit block stands where the need says, and the head behind it. */
static void expect_need(struct log_bed *lb, size_t n, size_t nrevokes)
{
	uint64_t need = jlog_need(lb->log, n, nrevokes), room;
	const uint8_t *commit;
	uint64_t start;

	if (need > jlog_room(lb->log))
		ck_assert_int_eq(jlog_restart(lb->log), 0);
	room = jlog_room(lb->log);
	start = 1 + jlog_capacity(lb->log) - room;
	commit = bed_block(&lb->bed, (uint32_t)(start + need - 1));
	ck_assert_int_eq(sample_commit(lb, 0, n, nrevokes), 0);
	ck_assert_uint_eq(room - jlog_room(lb->log), need);
	ck_assert_uint_eq(be32_at(commit), MAGIC);
	ck_assert_uint_eq(be32_at(commit + 4), 2);
	ck_assert_uint_eq(be32_at(commit + 8), lb->next++);
}

/* Steps that meet every number of blocks, and every number of revokes. */
START_TEST(the_need_that_is_said_is_what_is_taken)
{
	struct log_bed lb;

	log_bed_init(&lb, _i, BLOCKS, NULL);
	lb.next = 42;
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	for (size_t n = 1; n <= 300; n++)
		expect_need(&lb, n, n * 37 % 301);
	for (size_t r = 1; r <= 300; r++)
		expect_need(&lb, r * 53 % 9, r);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_block_is_full_before_the_next_one_begins)
{
	/* 4 KiB: as many as fit, 1 MiB at most with the descriptor. */
	static const unsigned tags[] = { 255, 255, 255, 255, 254, 254 };
	static const unsigned tags_1k[] = { 124, 83, 99, 70, 62, 62 };
	static const unsigned revokes[] = { 1020, 510, 1019, 509, 1019, 509 };
	struct log_bed lb;

	for (int big = 0; big < 2; big++) {
		unsigned n = big ? tags[_i] : tags_1k[_i];

		log_bed_init(&lb, big * 12 + _i, BLOCKS, NULL);
		ck_assert_uint_eq(jlog_need(lb.log, n, 0), n + 2);
		ck_assert_uint_eq(jlog_need(lb.log, n + 1, 0), n + 1 + 3);
		if (big) {
			n = revokes[_i];
			ck_assert_uint_eq(jlog_need(lb.log, 0, n), 2);
			ck_assert_uint_eq(jlog_need(lb.log, 0, n + 1), 3);
		}
		log_bed_clear(&lb);
	}
}
END_TEST

START_TEST(an_absurd_need_does_not_wrap)
{
	struct log_bed lb;

	log_bed_init(&lb, PLAIN, BLOCKS, NULL);
	ck_assert_uint_eq(jlog_need(lb.log, UINT64_MAX, 1), UINT64_MAX);
	ck_assert_uint_eq(jlog_need(lb.log, 1, UINT64_MAX), UINT64_MAX);
	ck_assert_uint_gt(jlog_need(lb.log, UINT64_MAX / 4, UINT64_MAX / 4),
			  UINT64_MAX / 4);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_commit_block_bears_real_time)
{
	struct timespec before, after;
	struct seen seen;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	/* Not time(): it may lag behind the clock by a tick. */
	clock_gettime(CLOCK_REALTIME, &before);
	ck_assert_int_eq(sample_commit(&lb, 0, 1, 0), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	see(&lb.bed, 1, 42, &seen);
	ck_assert_uint_le((uint64_t)before.tv_sec, seen.seconds);
	ck_assert_uint_le(seen.seconds, (uint64_t)after.tv_sec);
	seen_clear(&seen);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(the_longest_lap_is_bounded)
{
	struct log_bed lb;

	log_bed_init(&lb, 0, 70000, NULL);
	ck_assert_uint_eq(jlog_capacity(lb.log), 65536);
	ck_assert_uint_eq(jlog_room(lb.log), 65536);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(a_lap_may_be_filled_to_its_last_block)
{
	size_t n = 1;
	struct log_bed lb;

	log_bed_init(&lb, _i, 200, NULL);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	ck_assert_uint_eq(jlog_capacity(lb.log), 199);
	while (jlog_need(lb.log, n + 1, 0) <= 199)
		n++;
	ck_assert_uint_eq(round_trip(&lb, n, 0), jlog_need(lb.log, n, 0));
	/* Revokes alone take two. */
	while (jlog_room(lb.log) >= 2)
		round_trip(&lb, 0, 1);
	ck_assert_int_eq(sample_commit(&lb, 0, 0, 1), -ENOSPC);
	log_bed_clear(&lb);
}
END_TEST

START_TEST(blocks_go_out_in_large_writes)
{
	g_autoptr(GPtrArray) events = NULL;
	unsigned writes = 0;
	struct log_bed lb;

	log_bed_init(&lb, FULL, BLOCKS, recdev_new);
	ck_assert_int_eq(jlog_begin(lb.log), 0);
	recdev_clear(lb.bed.dev);
	ck_assert_int_eq(sample_commit(&lb, 0, 700, 10), 0);
	events = recdev_events(lb.bed.dev);
	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];

		writes += e->kind == RECDEV_WRITE;
		ck_assert_uint_le(e->len, 1 << 20);
	}
	/* 8 runs, 4 buffers, the commit block. */
	ck_assert_uint_le(writes, 8 + 4 + 1);
	log_bed_clear(&lb);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jlog_format");
	TCase *tc = tcase_create("jlog_format");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_transaction_is_written_as_the_format_says, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, the_need_that_is_said_is_what_is_taken, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, a_block_is_full_before_the_next_one_begins, 0,
			    6);
	tcase_add_test(tc, an_absurd_need_does_not_wrap);
	tcase_add_test(tc, a_commit_block_bears_real_time);
	tcase_add_test(tc, the_longest_lap_is_bounded);
	tcase_add_loop_test(tc, a_lap_may_be_filled_to_its_last_block, 0,
			    N_SHAPES);
	tcase_add_test(tc, blocks_go_out_in_large_writes);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
