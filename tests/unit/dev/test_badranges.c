/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of byte ranges, against a map that has a bit for each byte. */
#include <rawmap/base/bytes.h>
#include <rawmap/dev/badranges.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SIZE   600 /* bytes of a model */
#define PLENTY 1000

static struct badranges *set;

static void setup(void)
{
	set = badranges_new(PLENTY);
}

static void teardown(void)
{
	badranges_free(set);
}

static void add(uint64_t start, uint64_t len)
{
	badranges_add(set, dev_off_at(start), len);
}

static void remove_it(uint64_t start, uint64_t len)
{
	badranges_remove(set, dev_off_at(start), len);
}

static void ck_range(const struct badranges *s, size_t i, uint64_t start,
		     uint64_t len)
{
	struct badrange r = badranges_at(s, i);

	ck_assert_uint_eq(r.start.v, start);
	ck_assert_uint_eq(r.len, len);
}

/*
 * Order, gaps, sum, limit: what holds whatever is in it. (An assertion a byte
 * would take Check minutes.)
 */
static void ck_sound(const struct badranges *s, size_t max)
{
	uint64_t total = 0, end = 0;
	bool sound = badranges_count(s) <= max;

	for (size_t i = 0; i < badranges_count(s); i++) {
		struct badrange r = badranges_at(s, i);

		sound = sound && r.len && (!i || r.start.v > end);
		end = r.start.v + r.len;
		total += r.len;
	}
	ck_assert(sound);
	ck_assert_uint_eq(badranges_total(s), total);
}

/* Is the next bad byte, from @pos on, the one that @model says? */
static bool finds(const struct badranges *s, const bool *model, uint64_t pos)
{
	struct badrange r;
	uint64_t next = pos;

	while (next < SIZE && !model[next])
		next++;
	if (!badranges_find(s, dev_off_at(pos), &r))
		return next == SIZE;
	return u64_max(r.start.v, pos) == next;
}

/* Exactly the bytes that @model marks. */
static void ck_model(const struct badranges *s, const bool *model)
{
	size_t runs = 0;
	bool same = true;

	for (uint64_t pos = 0; pos < SIZE; pos++) {
		same = same && finds(s, model, pos) &&
		       badranges_touches(s, dev_off_at(pos), 1) == model[pos];
		runs += model[pos] && (!pos || !model[pos - 1]);
	}
	ck_assert(same);
	ck_assert_uint_eq(badranges_count(s), runs);
}

static bool has_all(const struct badranges *s, const bool *model)
{
	bool all = true;

	for (uint64_t pos = 0; pos < SIZE; pos++)
		all = all &&
		      (!model[pos] || badranges_touches(s, dev_off_at(pos), 1));
	return all;
}

START_TEST(an_empty_set_has_nothing)
{
	struct badrange r;

	ck_assert_uint_eq(badranges_count(set), 0);
	ck_assert_uint_eq(badranges_total(set), 0);
	ck_assert(!badranges_find(set, dev_off_at(0), &r));
	ck_assert(!badranges_touches(set, dev_off_at(0), UINT64_MAX));
	ck_assert(badranges_has_room(set));
	ck_assert(!badranges_is_coarse(set));
	remove_it(0, UINT64_MAX);
	add(17, 0);
	ck_assert_uint_eq(badranges_count(set), 0);
}
END_TEST

START_TEST(neighbours_become_one)
{
	add(100, 10);
	add(120, 10);
	ck_assert_uint_eq(badranges_count(set), 2);
	add(110, 10);
	ck_assert_uint_eq(badranges_count(set), 1);
	ck_range(set, 0, 100, 30);
	add(90, 10);
	add(130, 1);
	ck_assert_uint_eq(badranges_count(set), 1);
	ck_range(set, 0, 90, 41);
}
END_TEST

START_TEST(a_long_range_swallows_those_below_it)
{
	for (unsigned i = 0; i < 10; i++)
		add(100 + i * 10, 3);
	add(5, 2);
	add(300, 2);
	add(95, 105);
	ck_assert_uint_eq(badranges_count(set), 3);
	ck_range(set, 1, 95, 105);
	ck_sound(set, PLENTY);
}
END_TEST

START_TEST(removing_the_middle_leaves_two)
{
	add(100, 100);
	remove_it(120, 30);
	ck_assert_uint_eq(badranges_count(set), 2);
	ck_range(set, 0, 100, 20);
	ck_range(set, 1, 150, 50);
	ck_assert_uint_eq(badranges_total(set), 70);
}
END_TEST

START_TEST(what_is_found_ends_behind_the_position)
{
	struct badrange r;

	add(100, 10);
	add(200, 10);
	ck_assert(badranges_find(set, dev_off_at(109), &r));
	ck_assert_uint_eq(r.start.v, 100);
	ck_assert_uint_eq(r.len, 10);
	ck_assert(badranges_find(set, dev_off_at(110), &r));
	ck_assert_uint_eq(r.start.v, 200);
	ck_assert(!badranges_find(set, dev_off_at(210), &r));
}
END_TEST

START_TEST(a_range_is_touched_by_what_shares_a_byte)
{
	add(100, 10);
	ck_assert(!badranges_touches(set, dev_off_at(90), 10));
	ck_assert(badranges_touches(set, dev_off_at(90), 11));
	ck_assert(badranges_touches(set, dev_off_at(109), 1));
	ck_assert(!badranges_touches(set, dev_off_at(110), 1));
	ck_assert(!badranges_touches(set, dev_off_at(105), 0));
	ck_assert(badranges_touches(set, dev_off_at(0), UINT64_MAX));
}
END_TEST

START_TEST(positions_up_to_the_last_one_are_fine)
{
	struct badrange r;

	add(UINT64_MAX - 1, 1);
	add(UINT64_MAX - 3, 1);
	ck_assert(badranges_find(set, dev_off_at(UINT64_MAX - 1), &r));
	ck_assert(!badranges_find(set, dev_off_at(UINT64_MAX), &r));
	add(0, UINT64_MAX);
	ck_assert_uint_eq(badranges_count(set), 1);
	ck_assert_uint_eq(badranges_total(set), UINT64_MAX);
	remove_it(0, UINT64_MAX);
	ck_assert_uint_eq(badranges_count(set), 0);
}
END_TEST

/* @_i: the seed. Changes that are short, long, and all over. */
START_TEST(random_changes_agree_with_a_bitmap)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	bool model[SIZE] = { false };

	for (unsigned round = 0; round < 300; round++) {
		gint32 start = g_rand_int_range(rand, 0, SIZE);
		gint32 len = g_rand_int_range(rand, 0, 1 + _i * 4);
		bool bad = g_rand_int_range(rand, 0, 3);

		len = MIN(len, SIZE - start);
		if (bad)
			add((uint64_t)start, (uint64_t)len);
		else
			remove_it((uint64_t)start, (uint64_t)len);
		memset(model + start, bad, (size_t)len);
		ck_sound(set, PLENTY);
		if (round % 10 == 0)
			ck_model(set, model);
	}
	ck_model(set, model);
	ck_assert(!badranges_is_coarse(set));
}
END_TEST

/* @_i: the limit. What is bad stays in, what was just removed stays out. */
START_TEST(a_full_set_holds_more_than_it_was_given_never_less)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	g_autoptr(badranges) small = badranges_new((size_t)_i);
	bool model[SIZE] = { false };

	for (unsigned round = 0; round < 2000; round++) {
		gint32 start = g_rand_int_range(rand, 0, SIZE - 4);
		gint32 len = g_rand_int_range(rand, 1, 4);
		bool bad = g_rand_int_range(rand, 0, 3);
		dev_off pos = dev_off_at((uint64_t)start);

		if (bad)
			badranges_add(small, pos, (uint64_t)len);
		else
			badranges_remove(small, pos, (uint64_t)len);
		memset(model + start, bad, (size_t)len);
		ck_sound(small, (size_t)_i);
		if (!bad)
			ck_assert(
				!badranges_touches(small, pos, (uint64_t)len));
		ck_assert(has_all(small, model));
	}
	ck_assert(badranges_is_coarse(small));
}
END_TEST

START_TEST(the_narrowest_gap_is_closed_first)
{
	g_autoptr(badranges) small = badranges_new(4);

	badranges_add(small, dev_off_at(0), 10);
	badranges_add(small, dev_off_at(1000), 10);
	badranges_add(small, dev_off_at(1014), 10);
	badranges_add(small, dev_off_at(5000), 10);
	ck_assert(!badranges_has_room(small));
	ck_assert(!badranges_is_coarse(small));
	badranges_add(small, dev_off_at(9000), 10);
	ck_assert(badranges_is_coarse(small));
	ck_assert_uint_eq(badranges_count(small), 4);
	ck_range(small, 0, 0, 10);
	ck_range(small, 1, 1000, 24);
	ck_range(small, 2, 5000, 10);
	ck_range(small, 3, 9000, 10);
	ck_sound(small, 4);
}
END_TEST

/* Else a disk with every other sector bad would be one range at the limit. */
START_TEST(of_equal_gaps_only_some_are_closed)
{
	g_autoptr(badranges) small = badranges_new(80);

	for (uint64_t i = 0; i < 81; i++)
		badranges_add(small, dev_off_at(i * 1024), 512);
	ck_assert_uint_eq(badranges_count(small), 71);
	ck_assert_uint_eq(badranges_total(small), 91 * 512);
	ck_sound(small, 80);
}
END_TEST

START_TEST(a_neighbour_needs_no_room)
{
	g_autoptr(badranges) small = badranges_new(2);

	badranges_add(small, dev_off_at(0), 10);
	badranges_add(small, dev_off_at(1000), 10);
	badranges_add(small, dev_off_at(1010), 10);
	badranges_remove(small, dev_off_at(0), 5);
	ck_assert(!badranges_is_coarse(small));
	ck_range(small, 0, 5, 5);
	ck_range(small, 1, 1000, 20);
}
END_TEST

START_TEST(a_copy_is_on_its_own)
{
	g_autoptr(badranges) copy = NULL;

	add(100, 10);
	copy = badranges_copy(set);
	add(200, 10);
	badranges_add(copy, dev_off_at(300), 5);
	ck_assert_uint_eq(badranges_count(copy), 2);
	ck_range(copy, 1, 300, 5);
	ck_range(set, 1, 200, 10);
	ck_assert_uint_eq(badranges_total(copy), 15);
}
END_TEST

START_TEST(merging_takes_all_and_tells_that_it_is_coarse)
{
	g_autoptr(badranges) small = badranges_new(2);

	add(100, 10);
	for (uint64_t i = 0; i < 3; i++)
		badranges_add(small, dev_off_at(105 + i * 100), 50);
	badranges_merge(set, small);
	ck_assert(badranges_is_coarse(set));
	for (uint64_t i = 0; i < 3; i++)
		ck_assert(badranges_touches(set, dev_off_at(154 + i * 100), 1));
	ck_assert(badranges_touches(set, dev_off_at(100), 1));
	ck_sound(set, PLENTY);
}
END_TEST

/* A million in ascending order, as a map file has them, and one between. */
START_TEST(the_limit_of_a_device_is_reached_in_no_time)
{
	g_autoptr(badranges) big = badranges_new(BADRANGES_MAX);

	for (uint64_t i = 0; i < BADRANGES_MAX; i++)
		badranges_add(big, dev_off_at(i * 1024), 512);
	ck_assert_uint_eq(badranges_count(big), BADRANGES_MAX);
	ck_assert(!badranges_is_coarse(big));
	badranges_add(big, dev_off_at(600), 10);
	ck_assert(badranges_is_coarse(big));
	ck_sound(big, BADRANGES_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("badranges");
	TCase *tc = tcase_create("badranges");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_empty_set_has_nothing);
	tcase_add_test(tc, neighbours_become_one);
	tcase_add_test(tc, a_long_range_swallows_those_below_it);
	tcase_add_test(tc, removing_the_middle_leaves_two);
	tcase_add_test(tc, what_is_found_ends_behind_the_position);
	tcase_add_test(tc, a_range_is_touched_by_what_shares_a_byte);
	tcase_add_test(tc, positions_up_to_the_last_one_are_fine);
	tcase_add_loop_test(tc, random_changes_agree_with_a_bitmap, 1, 20);
	tcase_add_loop_test(
		tc, a_full_set_holds_more_than_it_was_given_never_less, 2, 12);
	tcase_add_test(tc, the_narrowest_gap_is_closed_first);
	tcase_add_test(tc, of_equal_gaps_only_some_are_closed);
	tcase_add_test(tc, a_neighbour_needs_no_room);
	tcase_add_test(tc, a_copy_is_on_its_own);
	tcase_add_test(tc, merging_takes_all_and_tells_that_it_is_coarse);
	tcase_add_test(tc, the_limit_of_a_device_is_reached_in_no_time);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
