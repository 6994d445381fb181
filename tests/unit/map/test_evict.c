/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the extent cache keeps when its budget is short, and what pins do. */
#include <rawmap/map/extmap.h>

#include <check.h>
#include <stdlib.h>

static struct extmap *map;

static struct extent run(enum extent_state state, uint64_t start, uint64_t len,
			 uint64_t phys)
{
	return (struct extent){ lblk_at(start), len, pblk_at(phys), state };
}

static void load_one(uint64_t start, uint64_t len, uint64_t phys)
{
	struct extent e = run(EXTENT_MAPPED, start, len, phys);

	extmap_load(map, e.start, len, &e, 1);
}

/* @n extents of one block each, apart, in the range of 2 * @n blocks. */
static void load_fragments(uint64_t start, size_t n)
{
	g_autofree struct extent *v = g_new(struct extent, n);
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = run(EXTENT_MAPPED, start + 2 * i, 1, 1000 + start + i);
	extmap_load(map, lblk_at(start), 2 * n, v, n);
}

static bool known(uint64_t at)
{
	struct extent e;

	return extmap_lookup(map, lblk_at(at), 1, &e);
}

static struct extmap_stats stats(void)
{
	struct extmap_stats s;

	extmap_stats(map, &s);
	return s;
}

static void teardown(void)
{
	g_autofree char *wrong = extmap_check(map);

	if (wrong)
		ck_abort_msg("%s", wrong);
	extmap_free(map);
	map = NULL;
}

START_TEST(drop_forgets_pinned_content_but_not_the_pin)
{
	map = extmap_new(0);
	extmap_pin(map, lblk_at(0), 10);
	load_one(0, 10, 100);
	extmap_drop_all(map);
	ck_assert(!known(5));
	ck_assert_uint_eq(stats().chunks, 0);
	load_one(0, 10, 100);
	load_one(100, 10, 200);
	ck_assert(known(5));
}
END_TEST

START_TEST(no_budget_keeps_the_last_load_only)
{
	map = extmap_new(0);
	load_one(0, 10, 100);
	ck_assert(known(0));
	load_one(10, 10, 110);
	ck_assert(!known(0));
	ck_assert(known(10));
	ck_assert(known(19));
	ck_assert_uint_eq(stats().evictions, 1);
}
END_TEST

START_TEST(no_budget_keeps_a_large_load_whole)
{
	uint64_t i;

	map = extmap_new(0);
	load_fragments(0, 2000);
	for (i = 0; i < 4000; i++)
		if (!known(i))
			ck_abort_msg("%u is unknown", (unsigned)i);
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
	uint64_t i;

	map = extmap_new(100000);
	for (i = 0; i < 30; i++) {
		load_fragments(i * 10000, 300);
		ck_assert(known(0));
	}
	ck_assert(known(29 * 10000));
	ck_assert(!known(1 * 10000));
	ck_assert_uint_gt(stats().evictions, 0);
	ck_assert_uint_le(stats().bytes, 101000);
	ck_assert_uint_ge(stats().bytes, 80000);
}
END_TEST

START_TEST(pinned_content_is_beside_the_budget)
{
	map = extmap_new(15000);
	load_fragments(0, 300);
	extmap_pin(map, lblk_at(0), 100000);
	load_fragments(10000, 300);
	load_fragments(20000, 3000);
	load_fragments(200000, 300);
	load_fragments(300000, 300);
	load_fragments(400000, 300);
	load_fragments(500000, 300);
	ck_assert(known(0));
	ck_assert(known(10000));
	ck_assert(known(25999));
	ck_assert(!known(200000));
	ck_assert(known(500000));
	ck_assert_uint_gt(stats().pinned_bytes, 3600 * 16);
}
END_TEST

START_TEST(unpin_makes_evictable)
{
	map = extmap_new(20000);
	extmap_pin(map, lblk_at(0), UINT64_MAX);
	load_fragments(0, 3000);
	load_fragments(100000, 300);
	ck_assert_uint_eq(stats().evictions, 0);
	extmap_unpin(map, lblk_at(0), UINT64_MAX);
	ck_assert_uint_eq(stats().pinned_bytes, 0);
	ck_assert_uint_gt(stats().evictions, 0);
	ck_assert_uint_le(stats().bytes, 21000);
}
END_TEST

static const TTest **const tests[] = {
	&drop_forgets_pinned_content_but_not_the_pin,
	&no_budget_keeps_the_last_load_only,
	&no_budget_keeps_a_large_load_whole,
	&the_least_recently_used_goes_first,
	&pinned_content_is_beside_the_budget,
	&unpin_makes_evictable,
};

int main(void)
{
	Suite *suite = suite_create("extmap eviction");
	TCase *tcase = tcase_create("promises");
	SRunner *runner;
	int failed;
	size_t i;

	tcase_add_checked_fixture(tcase, NULL, teardown);
	for (i = 0; i < G_N_ELEMENTS(tests); i++)
		tcase_add_test(tcase, *tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
