/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
#include <rawmap/base/lock.h>

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS	5000

struct shared {
	struct mutex lock;
	struct rwlock rw;
	struct cond changed;
	uint64_t a, b; /* equal whenever nobody holds the lock */
	unsigned readers, readers_wanted;
	int turn;
};

static void shared_init(struct shared *s)
{
	memset(s, 0, sizeof(*s));
	mutex_init(&s->lock);
	rwlock_init(&s->rw);
	cond_init(&s->changed);
}

static void shared_clear(struct shared *s)
{
	cond_clear(&s->changed);
	rwlock_clear(&s->rw);
	mutex_clear(&s->lock);
}

static void run_threads(unsigned count, void *(*body)(void *), void *arg)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, body, arg),
				 0);
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

static void *increment(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		mutex_lock(&s->lock);
		s->a++;
		mutex_unlock(&s->lock);
	}
	return NULL;
}

START_TEST(a_mutex_excludes)
{
	struct shared s;

	shared_init(&s);
	run_threads(THREADS, increment, &s);
	ck_assert_uint_eq(s.a, (uint64_t)THREADS * ROUNDS);
	shared_clear(&s);
}
END_TEST

static void *write_or_read(void *arg)
{
	struct shared *s = arg;
	bool equal = true;

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 8 == 0) {
			rwlock_wrlock(&s->rw);
			s->a++;
			s->b++;
			rwlock_wrunlock(&s->rw);
		} else {
			rwlock_rdlock(&s->rw);
			equal = equal && s->a == s->b;
			rwlock_rdunlock(&s->rw);
		}
	}
	return equal ? NULL : s;
}

START_TEST(a_writer_excludes_readers)
{
	struct shared s;
	pthread_t threads[THREADS];

	shared_init(&s);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, write_or_read, &s);
	for (unsigned i = 0; i < THREADS; i++) {
		void *torn;

		pthread_join(threads[i], &torn);
		ck_assert_ptr_null(torn);
	}
	ck_assert_uint_eq(s.a, (uint64_t)THREADS * (ROUNDS / 8));
	shared_clear(&s);
}
END_TEST

/* Nobody leaves before all are in: with an exclusive lock this would hang. */
static void *meet_as_reader(void *arg)
{
	struct shared *s = arg;

	rwlock_rdlock(&s->rw);
	mutex_lock(&s->lock);
	s->readers++;
	cond_broadcast(&s->changed);
	while (s->readers < s->readers_wanted)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	rwlock_rdunlock(&s->rw);
	return NULL;
}

START_TEST(readers_share)
{
	struct shared s;

	shared_init(&s);
	s.readers_wanted = THREADS;
	run_threads(THREADS, meet_as_reader, &s);
	ck_assert_uint_eq(s.readers, THREADS);
	shared_clear(&s);
}
END_TEST

static void *answer(void *arg)
{
	struct shared *s = arg;

	mutex_lock(&s->lock);
	for (int i = 0; i < 100; i++) {
		while (s->turn != 1)
			cond_wait(&s->changed, &s->lock);
		s->turn = 0;
		cond_signal(&s->changed);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

START_TEST(a_signal_wakes_the_waiter)
{
	struct shared s;
	pthread_t thread;

	shared_init(&s);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer, &s), 0);
	mutex_lock(&s.lock);
	for (int i = 0; i < 100; i++) {
		s.turn = 1;
		cond_signal(&s.changed);
		while (s.turn != 0)
			cond_wait(&s.changed, &s.lock);
	}
	mutex_unlock(&s.lock);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	shared_clear(&s);
}
END_TEST

START_TEST(a_timed_wait_ends_without_a_signal)
{
	struct shared s;
	uint64_t until = monotonic_now_ns() + 1000000;

	shared_init(&s);
	mutex_lock(&s.lock);
	/* A spurious wake-up is allowed, an end before the time is not. */
	while (cond_wait_until(&s.changed, &s.lock, until))
		;
	ck_assert(monotonic_now_ns() >= until);
	mutex_unlock(&s.lock);
	shared_clear(&s);
}
END_TEST

START_TEST(a_timed_wait_in_the_past_returns_at_once)
{
	struct shared s;

	shared_init(&s);
	mutex_lock(&s.lock);
	ck_assert(!cond_wait_until(&s.changed, &s.lock, 0));
	mutex_unlock(&s.lock);
	shared_clear(&s);
}
END_TEST

START_TEST(a_timed_wait_tells_of_a_signal)
{
	struct shared s;
	pthread_t thread;
	bool in_time = true;

	shared_init(&s);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer, &s), 0);
	mutex_lock(&s.lock);
	for (int i = 0; i < 100; i++) {
		s.turn = 1;
		cond_signal(&s.changed);
		while (s.turn != 0 && in_time)
			in_time = cond_wait_until(&s.changed, &s.lock,
						  UINT64_MAX / 4);
	}
	mutex_unlock(&s.lock);
	ck_assert(in_time);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	shared_clear(&s);
}
END_TEST

#ifdef RAWMAP_DEBUG
/* The analysis would refuse what this is about. */
static void unlock_unheld(struct mutex *m) NO_TSA
{
	mutex_unlock(m);
}

START_TEST(unlocking_what_is_not_held_aborts)
{
	struct mutex m;

	mutex_init(&m);
	unlock_unheld(&m);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("lock");
	TCase *tc = tcase_create("lock");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, a_mutex_excludes);
	tcase_add_test(tc, a_writer_excludes_readers);
	tcase_add_test(tc, readers_share);
	tcase_add_test(tc, a_signal_wakes_the_waiter);
	tcase_add_test(tc, a_timed_wait_ends_without_a_signal);
	tcase_add_test(tc, a_timed_wait_in_the_past_returns_at_once);
	tcase_add_test(tc, a_timed_wait_tells_of_a_signal);
#ifdef RAWMAP_DEBUG
	/* A test that ends in a signal needs a process of its own. */
	if (srunner_fork_status(runner) == CK_FORK)
		tcase_add_test_raise_signal(
			tc, unlocking_what_is_not_held_aborts, SIGTRAP);
#endif
	suite_add_tcase(suite, tc);

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
