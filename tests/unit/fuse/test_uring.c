/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parts of the engine of io_uring that need no mount: the bounded slots and the
 * worker threads. RAWMAP_TEST_CONCURRENT
 */
#include <rawmap_config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_LIBURING

#include "../../../src/fuse/uring_priv.h"

static struct uring u;
static struct ring ring = { .u = &u };

START_TEST(a_payload_is_where_direct_io_wants_it)
{
	struct slot *slot;

	ck_assert_int_eq(slots_init(&ring.slots, URING_SLOTS, &ring), 0);
	while ((slot = slots_get(&ring.slots))) {
		ck_assert_uint_eq((uintptr_t)slot->payload % 4096, 0);
		ck_assert_int_eq(slot->payload - slot->message, 80);
		/* The last byte of the largest one is there. */
		slot->payload[MAX_TRANSFER - 1] = 1;
	}
	slots_clear(&ring.slots);
}
END_TEST

START_TEST(slots_are_bounded_and_each_is_given_once)
{
	struct slot *given[URING_SLOTS];

	ck_assert_int_eq(slots_init(&ring.slots, URING_SLOTS, &ring), 0);
	for (unsigned i = 0; i < URING_SLOTS; i++) {
		given[i] = slots_get(&ring.slots);
		ck_assert_ptr_nonnull(given[i]);
		for (unsigned j = 0; j < i; j++)
			ck_assert_ptr_ne(given[i], given[j]);
	}
	ck_assert_ptr_null(slots_get(&ring.slots));
	slots_clear(&ring.slots);
}
END_TEST

START_TEST(who_puts_a_missed_slot_is_told_once)
{
	struct slot *given[URING_SLOTS];

	ck_assert_int_eq(slots_init(&ring.slots, URING_SLOTS, &ring), 0);
	for (unsigned i = 0; i < URING_SLOTS; i++)
		given[i] = slots_get(&ring.slots);
	ck_assert(!slots_put(&ring.slots, given[0]));
	ck_assert_ptr_eq(slots_get(&ring.slots), given[0]);
	ck_assert_ptr_null(slots_get(&ring.slots));
	ck_assert(slots_put(&ring.slots, given[0]));
	ck_assert(!slots_put(&ring.slots, given[1]));
	slots_clear(&ring.slots);
}
END_TEST

#define MAX_WORKERS 4

static struct mutex lock;
static struct cond changed;
static unsigned at_work, most, worked; /* guarded by lock */
static bool gate_open;		       /* guarded by lock */

static void work_behind_gate(struct slot *slot)
{
	mutex_lock(&lock);
	at_work++;
	most = MAX(most, at_work);
	cond_broadcast(&changed);
	while (!gate_open)
		cond_wait(&changed, &lock);
	at_work--;
	worked++;
	mutex_unlock(&lock);
	slots_put(slot->home, slot);
}

static void add_all(void)
{
	for (unsigned i = 0; i < URING_SLOTS; i++) {
		struct slot *slot = slots_get(&ring.slots);

		ck_assert_ptr_nonnull(slot);
		slot->work = work_behind_gate;
		workers_add(&u.workers, slot);
	}
}

static void setup_workers(void)
{
	mutex_init(&lock);
	cond_init(&changed);
	at_work = most = worked = 0;
	gate_open = false;
	ck_assert_int_eq(slots_init(&ring.slots, URING_SLOTS, &ring), 0);
	ck_assert_int_eq(workers_start(&u.workers, MAX_WORKERS), 0);
}

static void teardown_workers(void)
{
	slots_clear(&ring.slots);
	cond_clear(&changed);
	mutex_clear(&lock);
}

static void open_gate(void)
{
	gate_open = true;
	cond_broadcast(&changed);
}

/* All wait, so each needs a thread of its own: there are as many as may be. */
START_TEST(work_that_waits_gets_all_threads_and_no_more)
{
	add_all();
	mutex_lock(&lock);
	while (at_work < MAX_WORKERS)
		cond_wait(&changed, &lock);
	open_gate();
	mutex_unlock(&lock);
	workers_stop(&u.workers);
	ck_assert_uint_eq(most, MAX_WORKERS);
}
END_TEST

START_TEST(what_is_queued_is_done_before_the_stop)
{
	mutex_lock(&lock);
	open_gate();
	mutex_unlock(&lock);
	add_all();
	workers_stop(&u.workers);
	ck_assert_uint_eq(worked, URING_SLOTS);
	ck_assert_uint_eq(at_work, 0);
}
END_TEST

START_TEST(workers_without_work_stop)
{
	workers_stop(&u.workers);
	ck_assert_uint_eq(worked, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uring");
	TCase *slots = tcase_create("slots");
	TCase *workers = tcase_create("workers");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(slots, a_payload_is_where_direct_io_wants_it);
	tcase_add_test(slots, slots_are_bounded_and_each_is_given_once);
	tcase_add_test(slots, who_puts_a_missed_slot_is_told_once);
	suite_add_tcase(suite, slots);
	tcase_add_checked_fixture(workers, setup_workers, teardown_workers);
	tcase_add_test(workers, work_that_waits_gets_all_threads_and_no_more);
	tcase_add_test(workers, what_is_queued_is_done_before_the_stop);
	tcase_add_test(workers, workers_without_work_stop);
	suite_add_tcase(suite, workers);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

int main(void)
{
	printf("skipped: built without liburing\n");
	return 77;
}

#endif
