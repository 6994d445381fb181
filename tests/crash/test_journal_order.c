/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of writes on a host with a journal, as a recording device sees it:
 *
 *   first change   superblock marked, flush, journal opened, flush
 *   commit         data, log blocks, flush, commit block, flush
 *   a full lap     home, flush, journal starts over, flush
 *   end            home, flush, journal closed, flush, superblock, flush
 *
 * The support device orderdev judges the same for every write of a random
 * workload; here are the shortest examples, and that there is nothing else.
 */
#include <crash/order_bed.h>

#include <rawmap/jbd/format.h>

#include <stdio.h>
#include <stdlib.h>

static const char *const mkfs[] = {
	"-t ext3 -b 1024",
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -O ^metadata_csum,^64bit",
};

/* ---- what an event is ---- */

static const struct recdev_event *event_at(const GPtrArray *events, guint i)
{
	ck_assert_uint_lt(i, events->len);
	return events->pdata[i];
}

static uint64_t log_block(uint64_t number)
{
	for (guint i = 0; i < bed.log->len; i++) {
		const struct extent *e =
			&g_array_index(bed.log, struct extent, i);

		if (number >= e->start.v && number < extent_end(e))
			return e->phys.v + number - e->start.v;
	}
	ck_abort_msg("the journal has no block %llu",
		     (unsigned long long)number);
	return 0;
}

static bool is_flush(const struct recdev_event *e)
{
	return e->kind == RECDEV_FLUSH;
}

static bool is_journal_super(const struct recdev_event *e)
{
	return e->kind == RECDEV_WRITE && e->pos.v == log_block(0) * BS;
}

static uint32_t journal_start(const struct recdev_event *e)
{
	struct jbd_super super;

	ck_assert(is_journal_super(e));
	ck_assert_uint_eq(e->len, BS);
	memcpy(&super, e->bytes, sizeof(super));
	return be32_get(super.start);
}

static bool is_log_write(const struct recdev_event *e)
{
	return e->kind == RECDEV_WRITE && is_log(e->pos.v / BS) &&
	       !is_journal_super(e);
}

static uint32_t block_type(const struct recdev_event *e)
{
	struct jbd_header h;

	memcpy(&h, e->bytes, sizeof(h));
	return be32_get(h.magic) == JBD_MAGIC ? be32_get(h.blocktype) : 0;
}

/* From event @at on: home writes, at least one, up to a flush: its number. */
static guint check_home(const GPtrArray *events, guint at)
{
	guint i = at;

	for (; !is_flush(event_at(events, i)); i++)
		for (uint64_t b = 0; b * BS < event_at(events, i)->len; b++)
			ck_assert(!is_log(event_at(events, i)->pos.v / BS + b));
	ck_assert_uint_gt(i, at);
	return i;
}

/* Event @at and the next: the journal's superblock, and a flush. */
static guint check_tail(const GPtrArray *events, guint at, bool open)
{
	ck_assert_int_eq(!!journal_start(event_at(events, at)), open);
	ck_assert(is_flush(event_at(events, at + 1)));
	return at + 2;
}

static guint check_super(const GPtrArray *events, guint at, bool clean)
{
	const struct recdev_event *e = event_at(events, at);

	ck_assert_int_eq(e->kind, RECDEV_WRITE);
	ck_assert_uint_eq(e->pos.v, 1024);
	ck_assert_uint_eq(e->len, BS);
	ck_assert_int_eq(marked_clean(e->bytes), clean);
	ck_assert(is_flush(event_at(events, at + 1)));
	return at + 2;
}

/* One transaction and nothing else; what follows it. */
static guint check_transaction(const GPtrArray *events, guint at)
{
	const struct recdev_event *e = event_at(events, at);
	uint64_t next = e->pos.v;
	guint i = at;

	for (; !is_flush(event_at(events, i)); i++) {
		e = event_at(events, i);
		ck_assert_msg(is_log_write(e),
			      "block %llu goes out with"
			      " the log",
			      (unsigned long long)(e->pos.v / BS));
		if (i == at)
			ck_assert(block_type(e) == JBD_DESCRIPTOR ||
				  block_type(e) == JBD_REVOKE);
		/* In its order, though the journal is not in one piece. */
		else if (is_log(next / BS))
			ck_assert_uint_eq(e->pos.v, next);
		next = e->pos.v + e->len;
	}
	ck_assert_uint_gt(i, at);
	e = event_at(events, i + 1);
	ck_assert(is_log_write(e));
	ck_assert_uint_eq(e->len, BS);
	ck_assert_uint_eq(block_type(e), JBD_COMMIT);
	ck_assert(is_flush(event_at(events, i + 2)));
	return i + 3;
}

/* ---- tests ---- */

static void check_one_commit(GRand *rand, bool first_of_all)
{
	g_autoptr(GPtrArray) events = NULL;
	guint at;

	start_recording();
	change_much(rand);
	at = (guint)events_so_far();
	each_block(0, see_data_only);
	ck_assert_uint_eq(flushes(), 0);
	flush();
	events = recdev_events(bed.rec);
	if (first_of_all) {
		at = check_super(events, at, false);
		at = check_tail(events, at, true);
	}
	at = check_transaction(events, at);
	ck_assert_uint_eq(at, events->len);
}

START_TEST(a_commit_is_data_log_flush_commit_block_flush)
{
	const char *env = g_getenv("RAWMAP_SEED");
	uint32_t seed = env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
			    : g_random_int();
	GRand *rand = g_rand_new_with_seed(seed);

	fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", mkfs[_i], seed);
	bed_make(mkfs[_i]);
	for (int i = 0; i < 6; i++)
		check_one_commit(rand, i == 0);
	bed_clear();
	g_rand_free(rand);
}
END_TEST

START_TEST(a_commit_is_two_flushes_whatever_its_size)
{
	bed_make(mkfs[_i]);
	put(2 * COMB + 8, 1);
	flush();
	/* The whole tree. */
	recdev_clear(bed.rec);
	for (uint64_t b = 1; b < 2 * COMB; b += 4)
		put(b, 1);
	punch(2, COMB);
	ck_assert_uint_eq(flushes(), 0);
	flush();
	ck_assert_uint_eq(flushes(), 2);
	/* Next to nothing. */
	recdev_clear(bed.rec);
	put(2 * COMB + 10, 1);
	flush();
	ck_assert_uint_eq(flushes(), 2);
	bed_clear();
}
END_TEST

/* A commit that has to make room first, or NULL: the lap is not full yet. */
static GPtrArray *commit_once(unsigned i)
{
	GPtrArray *events;

	recdev_clear(bed.rec);
	put(2 * COMB + 2 * (i % 200), 1);
	if (i % 200 == 199)
		punch(2 * COMB, 400);
	flush();
	events = recdev_events(bed.rec);
	for (guint e = 0; e < events->len; e++)
		if (is_journal_super(event_at(events, e)))
			return events;
	g_ptr_array_unref(events);
	return NULL;
}

START_TEST(a_full_lap_starts_over_when_everything_is_home)
{
	g_autoptr(GPtrArray) events = NULL;
	const struct recdev_event *first;
	guint at = 0;

	bed_make(mkfs[_i]);
	put(2 * COMB, 1);
	flush();
	for (unsigned i = 0; !events && i < 1000; i++)
		events = commit_once(i);
	ck_assert_ptr_nonnull(events);
	/* The data of the commit that had no room. */
	while (!is_system(event_at(events, at)->pos.v / BS) &&
	       event_at(events, at)->len == BS)
		at++;
	at = check_home(events, at) + 1;
	at = check_tail(events, at, true);
	first = event_at(events, at);
	ck_assert_uint_eq(first->pos.v, log_block(1) * BS);
	at = check_transaction(events, at);
	ck_assert_uint_eq(at, events->len);
	bed_clear();
}
END_TEST

START_TEST(an_idle_host_takes_home_what_was_committed_once)
{
	g_autoptr(GPtrArray) events = NULL;
	guint at;

	bed_make(mkfs[_i]);
	put(2 * COMB + 100, 10);
	punch(4, 40);
	flush();
	recdev_clear(bed.rec);
	ck_assert_int_eq(hostfs_tick(bed.fs), 0);
	events = recdev_events(bed.rec);
	at = check_home(events, 0) + 1;
	at = check_tail(events, at, true);
	ck_assert_uint_eq(at, events->len);
	ck_assert_int_eq(hostfs_tick(bed.fs), 0);
	ck_assert_uint_eq(events_so_far(), at);
	bed_clear();
}
END_TEST

START_TEST(a_session_ends_home_first_superblock_last)
{
	g_autoptr(GPtrArray) events = NULL;
	guint at;

	bed_make(mkfs[_i]);
	put(2 * COMB + 100, 10);
	punch(4, 40);
	flush();
	recdev_clear(bed.rec);
	bed_close();
	events = recdev_events(bed.rec);
	at = check_home(events, 0) + 1;
	at = check_tail(events, at, false);
	at = check_super(events, at, true);
	ck_assert_uint_eq(at, events->len);
	bed_clear();
}
END_TEST

START_TEST(a_session_without_changes_writes_nothing)
{
	bed_make(mkfs[_i]);
	bed_close();
	ck_assert_uint_eq(events_so_far() - flushes(), 0);
	bed_clear();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal_order");
	TCase *tc = tcase_create("journal_order");
	const int n = G_N_ELEMENTS(mkfs);
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, a_commit_is_data_log_flush_commit_block_flush,
			    0, n);
	tcase_add_loop_test(tc, a_commit_is_two_flushes_whatever_its_size, 0,
			    n);
	tcase_add_loop_test(tc, a_full_lap_starts_over_when_everything_is_home,
			    0, n);
	tcase_add_loop_test(tc, an_idle_host_takes_home_what_was_committed_once,
			    0, n);
	tcase_add_loop_test(tc, a_session_ends_home_first_superblock_last, 0,
			    n);
	tcase_add_loop_test(tc, a_session_without_changes_writes_nothing, 0, n);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
