/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lookups while the map changes under them. RAWMAP_TEST_CONCURRENT
 *
 * One thread moves the whole image back and forth between two places, block
 * range by block range, drops and reloads, under a budget that evicts. Every
 * answer must be a place that the range has had, and one place per answer.
 */
#include <rawmap/map/extmap.h>

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RUN	16 /* blocks that change together */
#define RUNS	4096
#define CHANGES 4000
#define READERS 2

struct shared {
	struct extmap *map;
	_Atomic bool done;
	_Atomic uint64_t wrong, answers;
};

/* Two places for each run; no two runs are neighbours in either. */
static struct extent placed(unsigned n, unsigned place)
{
	return (struct extent){
		.start = lblk_at(n * RUN),
		.len = RUN,
		.phys = pblk_at((place + 1) * 10000000 + n * RUN * 2),
		.state = EXTENT_MAPPED,
	};
}

static void load(struct extmap *map, unsigned first, unsigned n, unsigned place)
{
	g_autofree struct extent *v = g_new(struct extent, n);

	for (unsigned i = 0; i < n; i++)
		v[i] = placed(first + i, place);
	extmap_load(map, v[0].start, n * RUN, v, n);
}

static void *read_all(void *arg)
{
	struct shared *s = arg;
	unsigned n = 0;

	while (!s->done) {
		struct extent a, b, e;

		n = (n * 1103515245 + 12345) % RUNS;
		a = placed(n, 0);
		b = placed(n, 1);
		if (!extmap_lookup(s->map, a.start, RUN, &e))
			continue;
		s->answers++;
		if (e.len != RUN ||
		    (e.phys.v != a.phys.v && e.phys.v != b.phys.v))
			s->wrong++;
	}
	return NULL;
}

static void change_all(struct extmap *map)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct extmap_stats stats;

	for (unsigned i = 0; i < CHANGES; i++) {
		unsigned n = (unsigned)g_rand_int_range(rand, 0, RUNS - 300);
		struct extent e = placed(n, i % 2);

		if (i % 10 == 0)
			load(map, n, 300, i / 10 % 2);
		else if (i % 10 == 1)
			extmap_drop(map, e.start, 20 * RUN);
		else if (i % 10 == 2)
			extmap_pin(map, e.start, 10 * RUN);
		else if (i % 10 == 3)
			extmap_unpin(map, e.start, 100 * RUN);
		else
			extmap_set(map, &e);
		if (i % 100 == 0)
			extmap_stats(map, &stats);
	}
}

START_TEST(lookups_see_old_or_new_while_the_map_changes)
{
	struct shared s = { .map = extmap_new(40000) };
	g_autofree char *wrong = NULL;
	pthread_t reader[READERS];

	load(s.map, 0, RUNS, 0);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&reader[i], NULL, read_all, &s),
				 0);
	change_all(s.map);
	/* However unfair the lock: do not stop before somebody read. */
	while (!s.answers)
		load(s.map, 0, RUNS, 0);
	s.done = true;
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	ck_assert_uint_eq(s.wrong, 0);
	wrong = extmap_check(s.map);
	if (wrong)
		ck_abort_msg("%s", wrong);
	extmap_free(s.map);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extmap threads");
	TCase *tcase = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, lookups_see_old_or_new_while_the_map_changes);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
