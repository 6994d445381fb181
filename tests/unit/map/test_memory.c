/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an extent costs: at most 24 bytes with everything, from a thousand
 * extents on, however the knowledge came in; and that size alone does not make
 * the map slow to the point where a test would show it.
 */
#include <rawmap/map/extmap.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BYTES_PER_EXTENT 24
#define FROM_EXTENTS	 1000

/* Extent @i of a map that cannot join any two: every third block is a hole. */
static struct extent fragment(uint64_t i)
{
	return (struct extent){
		.start = lblk_at(3 * i),
		.len = 2,
		.phys = pblk_at(10 + (i * 7919 % 1000003) * 5),
		.state = i % 5 ? EXTENT_MAPPED : EXTENT_UNWRITTEN,
	};
}

static void load_leaf(struct extmap *map, uint64_t leaf, unsigned size)
{
	struct extent v[1024];
	unsigned i;

	for (i = 0; i < size; i++)
		v[i] = fragment(leaf * size + i);
	extmap_load(map, v[0].start, 3 * (uint64_t)size, v, size);
}

static void assert_cheap(struct extmap *map)
{
	struct extmap_stats s;

	extmap_stats(map, &s);
	if (s.extents >= FROM_EXTENTS && s.bytes > s.extents * BYTES_PER_EXTENT)
		ck_abort_msg("%g bytes an extent, %u extents in %u chunks",
			     (double)s.bytes / (double)s.extents,
			     (unsigned)s.extents, (unsigned)s.chunks);
}

static void assert_sound(struct extmap *map)
{
	g_autofree char *wrong = extmap_check(map);

	if (wrong)
		ck_abort_msg("%s", wrong);
}

static void shuffle(GRand *rand, uint64_t *v, unsigned n)
{
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned k = (unsigned)g_rand_int_range(rand, 0, (gint32)i + 1);
		uint64_t tmp = v[i];

		v[i] = v[k];
		v[k] = tmp;
	}
}

/*
 * In order of the leaves, or shuffled. In between, a shuffled load of small
 * leaves is all chunks that have no neighbour; it is the end that counts.
 */
static struct extmap *load_all(unsigned size, unsigned total, bool shuffled)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(size);
	struct extmap *map = extmap_new(UINT64_MAX);
	unsigned leaves = total / size;
	g_autofree uint64_t *order = g_new(uint64_t, leaves);

	for (unsigned i = 0; i < leaves; i++)
		order[i] = i;
	if (shuffled)
		shuffle(rand, order, leaves);
	for (unsigned i = 0; i < leaves; i++) {
		load_leaf(map, order[i], size);
		if (!shuffled || size >= 84)
			assert_cheap(map);
	}
	assert_cheap(map);
	assert_sound(map);
	return map;
}

/* Set runs of random length and state anywhere among the first @extents. */
static void storm(struct extmap *map, unsigned extents, unsigned sets,
		  unsigned longest)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(extents);

	for (unsigned i = 0; i < sets; i++) {
		struct extent e = {
			.start = lblk_at((uint64_t)g_rand_int_range(
				rand, 0, (gint32)extents * 3)),
			.len = (uint64_t)g_rand_int_range(rand, 1,
							  (gint32)longest + 1),
			.phys = pblk_at(g_rand_int(rand)),
			.state =
				(enum extent_state)g_rand_int_range(rand, 0, 3),
		};

		extmap_set(map, &e);
		if (i % 64 == 0)
			assert_cheap(map);
	}
	assert_cheap(map);
	assert_sound(map);
}

static const unsigned leaf_sizes[] = { 4, 84, 340, 1024 };

START_TEST(loads_in_order_are_cheap)
{
	extmap_free(load_all(leaf_sizes[_i], 100000, false));
}
END_TEST

START_TEST(loads_in_random_order_are_cheap)
{
	extmap_free(load_all(leaf_sizes[_i], 100000, true));
}
END_TEST

START_TEST(a_thousand_extents_are_cheap)
{
	extmap_free(load_all(4, 1000, true));
}
END_TEST

START_TEST(sets_keep_it_cheap)
{
	struct extmap *map = load_all(leaf_sizes[_i], 20000, true);

	storm(map, 20000, 50000, 8);   /* many more extents than before */
	storm(map, 20000, 20000, 300); /* and few again */
	extmap_free(map);
}
END_TEST

START_TEST(leaves_of_one_extent_collapse)
{
	enum { LEAVES = 100000, BLOCKS = 1024, BREAK = 100 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	g_autofree uint64_t *order = g_new(uint64_t, LEAVES);
	struct extmap *map = extmap_new(UINT64_MAX);
	struct extmap_stats s;

	for (unsigned i = 0; i < LEAVES; i++)
		order[i] = i;
	shuffle(rand, order, LEAVES);
	for (unsigned i = 0; i < LEAVES; i++) {
		uint64_t n = order[i];
		struct extent e = {
			.start = lblk_at(n * BLOCKS),
			.len = BLOCKS,
			.phys = pblk_at(n * BLOCKS + n / BREAK),
			.state = EXTENT_MAPPED,
		};

		extmap_load(map, e.start, BLOCKS, &e, 1);
	}
	assert_sound(map);
	extmap_stats(map, &s);
	/* An extent may be in two at the border of full chunks. */
	ck_assert_uint_lt(s.extents, LEAVES / BREAK + s.chunks);
	ck_assert_uint_le(s.chunks, 6);
	ck_assert_uint_le(s.bytes, s.extents * BYTES_PER_EXTENT);
	extmap_free(map);
}
END_TEST

START_TEST(a_million_extents_answer_random_lookups)
{
	enum { EXTENTS = 340 * 2942, LOOKUPS = 1000000 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(2);
	struct extmap *map = load_all(340, EXTENTS, false);
	struct timespec a, b;
	struct extmap_stats s;
	unsigned wrong = 0;
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		gint32 n = g_rand_int_range(rand, 0, EXTENTS);
		struct extent want = fragment((uint64_t)n), e;

		wrong += !extmap_lookup(map, want.start, 8, &e) ||
			 e.phys.v != want.phys.v || e.len != want.len ||
			 e.state != want.state;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_uint_eq(wrong, 0);
	extmap_stats(map, &s);
	ck_assert_uint_eq(s.extents, EXTENTS);
	ns = (double)(b.tv_sec - a.tv_sec) * 1e9 +
	     (double)(b.tv_nsec - a.tv_nsec);
	printf("%.0f ns a lookup, %.2f bytes an extent, %u chunks\n",
	       ns / LOOKUPS, (double)s.bytes / (double)s.extents,
	       (unsigned)s.chunks);
	extmap_free(map);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extmap memory");
	TCase *tcase = tcase_create("memory");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, loads_in_order_are_cheap, 0,
			    G_N_ELEMENTS(leaf_sizes));
	tcase_add_loop_test(tcase, loads_in_random_order_are_cheap, 0,
			    G_N_ELEMENTS(leaf_sizes));
	tcase_add_test(tcase, a_thousand_extents_are_cheap);
	tcase_add_loop_test(tcase, sets_keep_it_cheap, 0,
			    G_N_ELEMENTS(leaf_sizes));
	tcase_add_test(tcase, leaves_of_one_extent_collapse);
	tcase_add_test(tcase, a_million_extents_answer_random_lookups);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
