/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the extent cache promises, one promise a test. */
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

static void expect(uint64_t at, uint64_t max, enum extent_state state,
		   uint64_t len, uint64_t phys)
{
	struct extent e;

	ck_assert(extmap_lookup(map, lblk_at(at), max, &e));
	ck_assert_uint_eq(e.start.v, at);
	ck_assert_int_eq(e.state, state);
	ck_assert_uint_eq(e.len, len);
	if (state != EXTENT_HOLE)
		ck_assert_uint_eq(e.phys.v, phys);
}

static struct extmap_stats stats(void)
{
	struct extmap_stats s;

	extmap_stats(map, &s);
	return s;
}

static void setup(void)
{
	map = extmap_new(UINT64_MAX);
}

static void teardown(void)
{
	g_autofree char *wrong = extmap_check(map);

	if (wrong)
		ck_abort_msg("%s", wrong);
	extmap_free(map);
	map = NULL;
}

START_TEST(nothing_is_known_at_first)
{
	ck_assert(!known(0));
	ck_assert(!known(LBLK_END));
	ck_assert(!known(UINT64_MAX));
	ck_assert_uint_eq(stats().misses, 3);
}
END_TEST

START_TEST(free_accepts_null)
{
	extmap_free(NULL);
}
END_TEST

START_TEST(load_makes_extents_and_holes_known)
{
	struct extent v[] = {
		run(EXTENT_MAPPED, 12, 3, 500),
		run(EXTENT_UNWRITTEN, 15, 2, 503),
	};

	extmap_load(map, lblk_at(10), 10, v, G_N_ELEMENTS(v));
	ck_assert(!known(9));
	expect(10, 99, EXTENT_HOLE, 2, 0);
	expect(12, 99, EXTENT_MAPPED, 3, 500);
	expect(14, 99, EXTENT_MAPPED, 1, 502);
	expect(15, 99, EXTENT_UNWRITTEN, 2, 503);
	expect(17, 99, EXTENT_HOLE, 3, 0);
	ck_assert(!known(20));
	ck_assert_uint_eq(stats().extents, 2);
	ck_assert_uint_eq(stats().loads, 1);
	ck_assert_uint_eq(stats().hits, 5);
}
END_TEST

START_TEST(load_cuts_extents_to_its_range)
{
	struct extent v[] = {
		run(EXTENT_MAPPED, 0, 15, 100),
		run(EXTENT_MAPPED, 18, UINT64_MAX, 200),
	};

	extmap_load(map, lblk_at(10), 10, v, G_N_ELEMENTS(v));
	expect(10, 99, EXTENT_MAPPED, 5, 110);
	expect(18, 99, EXTENT_MAPPED, 2, 200);
	ck_assert(!known(9));
	ck_assert(!known(20));
}
END_TEST

START_TEST(load_survives_extents_out_of_order)
{
	struct extent v[] = {
		run(EXTENT_MAPPED, 5, 5, 100),
		run(EXTENT_MAPPED, 0, 7, 200),
		run(EXTENT_MAPPED, 8, 4, 300),
		run(EXTENT_MAPPED, 13, 0, 400),
	};

	extmap_load(map, lblk_at(0), 20, v, G_N_ELEMENTS(v));
	expect(0, 99, EXTENT_HOLE, 5, 0);
	expect(5, 99, EXTENT_MAPPED, 5, 100);
	expect(10, 99, EXTENT_MAPPED, 2, 302);
	expect(12, 99, EXTENT_HOLE, 8, 0);
}
END_TEST

START_TEST(lookup_gives_at_most_max)
{
	load_one(0, 100, 7);
	expect(10, 5, EXTENT_MAPPED, 5, 17);
	expect(10, 90, EXTENT_MAPPED, 90, 17);
}
END_TEST

START_TEST(contiguous_loads_are_one_extent)
{
	uint64_t i;

	for (i = 0; i < 1000; i++)
		load_one(i * 1024, 1024, 50 + i * 1024);
	expect(0, UINT64_MAX, EXTENT_MAPPED, 1000 * 1024, 50);
	ck_assert_uint_eq(stats().extents, 1);
	ck_assert_uint_eq(stats().chunks, 1);
}
END_TEST

START_TEST(a_run_goes_on_in_the_next_chunk)
{
	load_fragments(0, 384);
	load_fragments(1000, 384);
	extmap_load(map, lblk_at(768), 232, NULL, 0);
	ck_assert_uint_eq(stats().chunks, 2);
	expect(767, UINT64_MAX, EXTENT_HOLE, 233, 0);
}
END_TEST

START_TEST(the_largest_hole_is_one_run)
{
	extmap_load(map, lblk_at(0), LBLK_END, NULL, 0);
	expect(0, UINT64_MAX, EXTENT_HOLE, LBLK_END, 0);
	expect(LBLK_END - 1, UINT64_MAX, EXTENT_HOLE, 1, 0);
}
END_TEST

START_TEST(the_largest_extent_is_one_run)
{
	load_one(0, LBLK_END, UINT64_C(1) << 48);
	expect(0, UINT64_MAX, EXTENT_MAPPED, LBLK_END, UINT64_C(1) << 48);
	expect(LBLK_END - 1, 1, EXTENT_MAPPED, 1,
	       (UINT64_C(1) << 48) + LBLK_END - 1);
	ck_assert_uint_eq(stats().extents, 1);
}
END_TEST

START_TEST(ranges_beyond_the_last_block_are_cut)
{
	extmap_load(map, lblk_at(5), UINT64_MAX, NULL, 0);
	expect(5, UINT64_MAX, EXTENT_HOLE, LBLK_END - 5, 0);
	extmap_load(map, lblk_at(UINT64_MAX - 1), UINT64_MAX, NULL, 0);
	ck_assert(!known(LBLK_END));
	extmap_pin(map, lblk_at(UINT64_MAX), UINT64_MAX);
	extmap_drop(map, lblk_at(LBLK_END - 1), UINT64_MAX);
	ck_assert(!known(LBLK_END - 1));
	ck_assert(known(LBLK_END - 2));
}
END_TEST

START_TEST(empty_ranges_change_nothing)
{
	struct extent nothing = run(EXTENT_MAPPED, 5, 0, 9);

	load_one(0, 10, 100);
	extmap_load(map, lblk_at(5), 0, &nothing, 1);
	extmap_set(map, &nothing);
	extmap_drop(map, lblk_at(5), 0);
	extmap_pin(map, lblk_at(5), 0);
	extmap_unpin(map, lblk_at(5), 0);
	expect(0, 99, EXTENT_MAPPED, 10, 100);
	ck_assert_uint_eq(stats().pinned_bytes, 0);
}
END_TEST

START_TEST(set_fills_a_hole_and_joins)
{
	struct extent e = run(EXTENT_MAPPED, 10, 5, 110);

	load_one(0, 10, 100);
	extmap_load(map, lblk_at(10), 10, NULL, 0);
	extmap_set(map, &e);
	expect(0, 99, EXTENT_MAPPED, 15, 100);
	expect(15, 99, EXTENT_HOLE, 5, 0);
	ck_assert_uint_eq(stats().loads, 2);
}
END_TEST

START_TEST(set_punches_the_middle)
{
	struct extent e = run(EXTENT_HOLE, 4, 2, 0);

	load_one(0, 10, 100);
	extmap_set(map, &e);
	expect(0, 99, EXTENT_MAPPED, 4, 100);
	expect(4, 99, EXTENT_HOLE, 2, 0);
	expect(6, 99, EXTENT_MAPPED, 4, 106);
}
END_TEST

START_TEST(set_turns_unwritten_into_written)
{
	struct extent e = run(EXTENT_UNWRITTEN, 0, 10, 100);

	extmap_load(map, e.start, 10, &e, 1);
	e = run(EXTENT_MAPPED, 2, 3, 102);
	extmap_set(map, &e);
	expect(0, 99, EXTENT_UNWRITTEN, 2, 100);
	expect(2, 99, EXTENT_MAPPED, 3, 102);
	expect(5, 99, EXTENT_UNWRITTEN, 5, 105);
	e = run(EXTENT_MAPPED, 0, 10, 100);
	extmap_set(map, &e);
	ck_assert_uint_eq(stats().extents, 1);
}
END_TEST

START_TEST(set_records_nothing_where_nothing_is_known)
{
	struct extent e = run(EXTENT_MAPPED, 0, 100, 1000);

	load_one(10, 10, 100);
	load_one(50, 10, 300);
	extmap_set(map, &e);
	ck_assert(!known(9));
	expect(10, 99, EXTENT_MAPPED, 10, 1010);
	ck_assert(!known(20));
	ck_assert(!known(49));
	expect(50, 99, EXTENT_MAPPED, 10, 1050);
	ck_assert(!known(60));
}
END_TEST

static void expect_near(uint64_t at, enum extent_state state, uint64_t start,
			uint64_t phys)
{
	struct extent e;

	ck_assert(extmap_near(map, lblk_at(at), &e));
	ck_assert_int_eq(e.state, state);
	if (state == EXTENT_HOLE) {
		ck_assert_uint_eq(e.len, 0);
		return;
	}
	ck_assert_uint_eq(e.start.v, start);
	ck_assert_uint_eq(e.phys.v, phys);
}

START_TEST(near_is_the_run_before_and_else_the_one_behind)
{
	struct extent v[] = {
		run(EXTENT_MAPPED, 12, 3, 500),
		run(EXTENT_UNWRITTEN, 20, 2, 600),
	};

	extmap_load(map, lblk_at(0), 100, v, G_N_ELEMENTS(v));
	expect_near(0, EXTENT_MAPPED, 12, 500);
	expect_near(12, EXTENT_MAPPED, 12, 500);
	expect_near(13, EXTENT_MAPPED, 12, 500);
	expect_near(19, EXTENT_MAPPED, 12, 500);
	expect_near(99, EXTENT_UNWRITTEN, 20, 600);
	ck_assert_uint_eq(stats().hits + stats().misses, 0);
}
END_TEST

START_TEST(nothing_is_near_in_a_file_without_blocks)
{
	extmap_load(map, lblk_at(0), LBLK_END, NULL, 0);
	expect_near(77, EXTENT_HOLE, 0, 0);
}
END_TEST

START_TEST(near_is_unknown_behind_a_gap)
{
	struct extent e = run(EXTENT_HOLE, 1, 1, 1);

	ck_assert(!extmap_near(map, lblk_at(5), &e));
	load_one(0, 5, 500);
	extmap_load(map, lblk_at(10), 10, NULL, 0);
	ck_assert(!extmap_near(map, lblk_at(7), &e));
	ck_assert(!extmap_near(map, lblk_at(12), &e));
	ck_assert(!extmap_near(map, lblk_at(LBLK_END), &e));
	ck_assert_uint_eq(e.start.v, 1);
	/* Nothing before, and not known how it goes on. */
	extmap_drop_all(map);
	extmap_load(map, lblk_at(0), 10, NULL, 0);
	ck_assert(!extmap_near(map, lblk_at(5), &e));
}
END_TEST

START_TEST(near_looks_across_chunks)
{
	load_one(0, 5, 500);
	extmap_load(map, lblk_at(5), LBLK_END - 5, NULL, 0);
	extmap_pin(map, lblk_at(1000), 10);
	extmap_pin(map, lblk_at(2000), 10);
	expect_near(3000, EXTENT_MAPPED, 0, 500);
	load_fragments(4000, 2000);
	expect_near(3999, EXTENT_MAPPED, 0, 500);
	expect_near(7999, EXTENT_MAPPED, 7998, 1000 + 4000 + 1999);
}
END_TEST

START_TEST(drop_forgets_a_part)
{
	load_one(0, 30, 100);
	extmap_drop(map, lblk_at(10), 10);
	expect(0, 99, EXTENT_MAPPED, 10, 100);
	ck_assert(!known(10));
	ck_assert(!known(19));
	expect(20, 99, EXTENT_MAPPED, 10, 120);
	ck_assert_uint_eq(stats().chunks, 2);
}
END_TEST

static const TTest **const tests[] = {
	&nothing_is_known_at_first,
	&free_accepts_null,
	&load_makes_extents_and_holes_known,
	&load_cuts_extents_to_its_range,
	&load_survives_extents_out_of_order,
	&lookup_gives_at_most_max,
	&contiguous_loads_are_one_extent,
	&a_run_goes_on_in_the_next_chunk,
	&the_largest_hole_is_one_run,
	&the_largest_extent_is_one_run,
	&ranges_beyond_the_last_block_are_cut,
	&empty_ranges_change_nothing,
	&set_fills_a_hole_and_joins,
	&set_punches_the_middle,
	&set_turns_unwritten_into_written,
	&set_records_nothing_where_nothing_is_known,
	&near_is_the_run_before_and_else_the_one_behind,
	&nothing_is_near_in_a_file_without_blocks,
	&near_is_unknown_behind_a_gap,
	&near_looks_across_chunks,
	&drop_forgets_a_part,
};

int main(void)
{
	Suite *suite = suite_create("extmap");
	TCase *tcase = tcase_create("promises");
	SRunner *runner;
	int failed;
	size_t i;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (i = 0; i < G_N_ELEMENTS(tests); i++)
		tcase_add_test(tcase, *tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
