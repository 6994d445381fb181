/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged media, read and written by many at once. RAWMAP_TEST_CONCURRENT
 */
#include "baddev_bed.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS	128

struct user {
	pthread_t thread;
	unsigned n;
	const uint8_t *expected;
	bool wrong;
};

/* As start(), for several threads: how often was something said? */
static gint times;

static void count_said(void *arg, const struct badrange *range)
{
	(void)range;
	g_atomic_int_inc((gint *)arg);
}

static void start_many(bool readonly)
{
	start(readonly, true);
	blkdev_unref(dev);
	g_atomic_int_set(&times, 0);
	dev = baddev_new(fault, known, true, count_said, &times);
}

static void *read_anywhere(void *arg)
{
	struct user *u = arg;
	g_autoptr(GRand) rand = g_rand_new_with_seed(u->n);
	g_autofree uint8_t *buf = g_malloc(20000);

	for (unsigned i = 0; i < ROUNDS && !u->wrong; i++) {
		uint64_t pos = (uint64_t)g_rand_int_range(rand, 0, SIZE);
		uint64_t len = (uint64_t)g_rand_int_range(rand, 1, 20000);

		len = u64_min(len, SIZE - pos);
		u->wrong = blkdev_pread(dev, buf, len, dev_off_at(pos)) ||
			   memcmp(buf, u->expected + pos, len);
		if (i % 32 == 0)
			badranges_free(baddev_report(dev));
	}
	return NULL;
}

static void run_users(void *(*main_of)(void *), const uint8_t *expected)
{
	struct user u[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		u[i] = (struct user){ .n = i, .expected = expected };
		ck_assert_int_eq(
			pthread_create(&u[i].thread, NULL, main_of, &u[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(u[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_msg(!u[i].wrong, "user %u got wrong bytes", i);
}

START_TEST(readers_of_the_same_damage_agree)
{
	g_autofree uint8_t *expected = g_memdup2(content, SIZE);
	g_autoptr(badranges) bad = badranges_new(1000);

	start_many(true);
	for (uint64_t i = 5; i < 250; i += 11) {
		spoil(i, 1);
		badranges_add(bad, dev_off_at(i * SECTOR), SECTOR);
		memset(expected + i * SECTOR, 0, SECTOR);
	}
	run_users(read_anywhere, expected);
	ck_assert_int_eq(read_at(0, SIZE), 0);
	ck_report_is(bad);
	ck_assert_uint_eq((guint)times, badranges_count(bad));
}
END_TEST

/*
 * Each has sectors of its own, known to be bad before and refused besides: what
 * it has written it reads, whatever its neighbours are doing.
 */
static void *heal_and_read(void *arg)
{
	struct user *u = arg;
	uint8_t want[SECTOR], got[SECTOR];

	for (unsigned i = 0; i < ROUNDS && !u->wrong; i++) {
		uint64_t sector = (i * THREADS + u->n) % SECTORS;
		dev_off pos = dev_off_at(sector * SECTOR);

		memset(want, (int)(i % 255 + 1), SECTOR);
		u->wrong = blkdev_pwrite(dev, want, SECTOR, pos) ||
			   blkdev_pread(dev, got, SECTOR, pos) ||
			   memcmp(got, want, SECTOR) || read_at(0, SIZE);
	}
	return NULL;
}

START_TEST(what_somebody_wrote_is_never_taken_for_bad)
{
	for (uint64_t i = 0; i < SECTORS; i += 3)
		know(i * SECTOR, SECTOR);
	start_many(false);
	for (uint64_t i = 1; i < SECTORS; i += 5)
		spoil(i, 1);
	run_users(heal_and_read, NULL);
	ck_assert_int_eq(read_at(0, SIZE), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("baddev threads");

	tcase_add_test(tc, readers_of_the_same_damage_agree);
	tcase_add_test(tc, what_somebody_wrote_is_never_taken_for_bad);
	return bed_main("baddev threads", tc);
}
