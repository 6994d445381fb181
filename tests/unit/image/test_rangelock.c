/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
#include <rawmap/image/rangelock.h>

#include <check.h>
#include <sched.h>
#include <stdlib.h>

#define MODES	4
#define THREADS 4
#define ROUNDS	3000
#define CELLS	16

static struct rangelock rl;

static void setup(void)
{
	rangelock_init(&rl);
}

static void teardown(void)
{
	rangelock_clear(&rl);
}

/* ---- who goes together with whom ---- */

static const bool agree[MODES][MODES] = {
	/*	      READ   WRITE  FILL   CHANGE */
	/* READ */ { true, true, true, false },
	/* WRITE */ { true, true, false, false },
	/* FILL */ { true, false, false, false },
	/* CHANGE */ { false, false, false, false },
};

START_TEST(modes_agree_as_the_table_says)
{
	for (int a = 0; a < MODES; a++) {
		for (int b = 0; b < MODES; b++) {
			struct rangelock_hold x, y;
			bool got;

			rangelock_take(&rl, &x, (enum rangelock_mode)a,
				       lblk_at(10), 10);
			got = rangelock_try(&rl, &y, (enum rangelock_mode)b,
					    lblk_at(19), 1);
			ck_assert_msg(got == agree[a][b], "%d %d", a, b);
			if (got)
				rangelock_drop(&rl, &y);
			rangelock_drop(&rl, &x);
		}
	}
}
END_TEST

START_TEST(neighbours_do_not_conflict)
{
	struct rangelock_hold x, y, z;

	rangelock_take(&rl, &x, RANGELOCK_CHANGE, lblk_at(10), 10);
	ck_assert(rangelock_try(&rl, &y, RANGELOCK_CHANGE, lblk_at(0), 10));
	ck_assert(rangelock_try(&rl, &z, RANGELOCK_CHANGE, lblk_at(20),
				UINT64_MAX));
	rangelock_drop(&rl, &y);
	rangelock_drop(&rl, &x);
	rangelock_drop(&rl, &z);
}
END_TEST

START_TEST(a_range_reaches_to_the_last_block)
{
	struct rangelock_hold x, y;

	rangelock_take(&rl, &x, RANGELOCK_CHANGE, lblk_at(7), LBLK_END - 7);
	ck_assert(!rangelock_try(&rl, &y, RANGELOCK_READ, lblk_at(LBLK_END - 1),
				 1));
	rangelock_drop(&rl, &x);
}
END_TEST

START_TEST(a_refused_try_leaves_nothing_behind)
{
	struct rangelock_hold x, y;

	rangelock_take(&rl, &x, RANGELOCK_READ, lblk_at(0), 1);
	ck_assert(!rangelock_try(&rl, &y, RANGELOCK_CHANGE, lblk_at(0), 1));
	rangelock_drop(&rl, &x);
	ck_assert_ptr_null(rl.first);
	ck_assert(rangelock_try(&rl, &y, RANGELOCK_CHANGE, lblk_at(0), 1));
	rangelock_drop(&rl, &y);
}
END_TEST

/* ---- waiting ---- */

struct waiter {
	pthread_t thread;
	struct rangelock_hold hold;
	enum rangelock_mode mode;
	int *order; /* atomic */
	int place;
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;

	rangelock_take(&rl, &w->hold, w->mode, lblk_at(0), 1);
	w->place = __atomic_add_fetch(w->order, 1, __ATOMIC_SEQ_CST);
	rangelock_drop(&rl, &w->hold);
	return NULL;
}

static unsigned queue_length(void)
{
	unsigned n = 0;

	mutex_lock(&rl.lock);
	for (struct rangelock_hold *h = rl.first; h; h = h->next)
		n++;
	mutex_unlock(&rl.lock);
	return n;
}

/* Returns when the thread stands in the queue. */
static void start_waiter(struct waiter *w, enum rangelock_mode mode, int *order)
{
	unsigned before = queue_length();

	w->mode = mode;
	w->order = order;
	ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_for_it, w), 0);
	while (queue_length() == before)
		sched_yield();
}

START_TEST(a_later_reader_does_not_overtake_a_waiting_change)
{
	struct rangelock_hold x, y;
	struct waiter change;
	int order = 0;

	rangelock_take(&rl, &x, RANGELOCK_READ, lblk_at(0), 1);
	start_waiter(&change, RANGELOCK_CHANGE, &order);
	ck_assert(!rangelock_try(&rl, &y, RANGELOCK_READ, lblk_at(0), 1));
	ck_assert(rangelock_try(&rl, &y, RANGELOCK_READ, lblk_at(1), 1));
	rangelock_drop(&rl, &y);
	ck_assert_int_eq(__atomic_load_n(&order, __ATOMIC_SEQ_CST), 0);
	rangelock_drop(&rl, &x);
	pthread_join(change.thread, NULL);
	ck_assert_int_eq(change.place, 1);
}
END_TEST

START_TEST(conflicting_waiters_go_in_order_of_arrival)
{
	struct rangelock_hold x;
	struct waiter w[3];
	int order = 0;

	rangelock_take(&rl, &x, RANGELOCK_READ, lblk_at(0), 1);
	start_waiter(&w[0], RANGELOCK_CHANGE, &order);
	start_waiter(&w[1], RANGELOCK_READ, &order);
	start_waiter(&w[2], RANGELOCK_CHANGE, &order);
	rangelock_drop(&rl, &x);
	for (int i = 0; i < 3; i++) {
		pthread_join(w[i].thread, NULL);
		ck_assert_int_eq(w[i].place, i + 1);
	}
}
END_TEST

START_TEST(a_waiter_does_not_wait_for_a_later_request)
{
	struct rangelock_hold x, y;
	struct waiter write;
	int order = 0;

	rangelock_take(&rl, &x, RANGELOCK_FILL, lblk_at(0), 1);
	start_waiter(&write, RANGELOCK_WRITE, &order);
	/* Agrees with both, and stays while the waiter gets its turn. */
	rangelock_take(&rl, &y, RANGELOCK_READ, lblk_at(0), 1);
	rangelock_drop(&rl, &x);
	pthread_join(write.thread, NULL);
	rangelock_drop(&rl, &y);
}
END_TEST

/* ---- many at once: counters say who is inside each block ---- */

static int inside[CELLS][MODES]; /* atomic */

static void *use_ranges(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned start = (unsigned)rand_r(&seed) % CELLS;
		unsigned len = 1 + (unsigned)rand_r(&seed) % (CELLS - start);
		int mode = rand_r(&seed) % MODES;
		struct rangelock_hold hold;

		if (rand_r(&seed) % 2)
			rangelock_take(&rl, &hold, (enum rangelock_mode)mode,
				       lblk_at(start), len);
		else if (!rangelock_try(&rl, &hold, (enum rangelock_mode)mode,
					lblk_at(start), len))
			continue;
		for (unsigned c = start; c < start + len; c++)
			__atomic_add_fetch(&inside[c][mode], 1,
					   __ATOMIC_SEQ_CST);
		for (unsigned c = start; c < start + len; c++) {
			for (int m = 0; m < MODES; m++) {
				int others = __atomic_load_n(&inside[c][m],
							     __ATOMIC_SEQ_CST);

				if (m == mode)
					others--;
				ck_assert(agree[mode][m] || !others);
			}
		}
		for (unsigned c = start; c < start + len; c++)
			__atomic_sub_fetch(&inside[c][mode], 1,
					   __ATOMIC_SEQ_CST);
		rangelock_drop(&rl, &hold);
	}
	return NULL;
}

START_TEST(nobody_is_inside_with_a_conflicting_one)
{
	pthread_t threads[THREADS];
	unsigned seeds[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		seeds[i] = i + 1;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use_ranges,
						&seeds[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_ptr_null(rl.first);
	ck_assert_ptr_null(rl.last);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rangelock");
	TCase *tc = tcase_create("rangelock");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, modes_agree_as_the_table_says);
	tcase_add_test(tc, neighbours_do_not_conflict);
	tcase_add_test(tc, a_range_reaches_to_the_last_block);
	tcase_add_test(tc, a_refused_try_leaves_nothing_behind);
	tcase_add_test(tc, a_later_reader_does_not_overtake_a_waiting_change);
	tcase_add_test(tc, conflicting_waiters_go_in_order_of_arrival);
	tcase_add_test(tc, a_waiter_does_not_wait_for_a_later_request);
	tcase_add_test(tc, nobody_is_inside_with_a_conflicting_one);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
