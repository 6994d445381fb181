/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/histogram.h>

#include <check.h>
#include <string.h>

static struct histogram h;

static void empty(void)
{
	memset(&h, 0, sizeof(h));
}

START_TEST(without_values_every_percentile_is_zero)
{
	ck_assert_uint_eq(histogram_percentile(&h, 1), 0);
	ck_assert_uint_eq(histogram_percentile(&h, 100), 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
	for (uint64_t v = 1; v <= 10; v++)
		histogram_add(&h, v);
	ck_assert_uint_eq(h.n, 10);
	ck_assert_uint_eq(histogram_percentile(&h, 10), 1);
	ck_assert_uint_eq(histogram_percentile(&h, 50), 5);
	ck_assert_uint_eq(histogram_percentile(&h, 51), 6);
	ck_assert_uint_eq(histogram_percentile(&h, 100), 10);
}
END_TEST

/* One in a hundred is beyond the 99th percentile, two are not. */
START_TEST(the_99th_percentile_leaves_out_one_in_a_hundred)
{
	for (unsigned i = 0; i < 99; i++)
		histogram_add(&h, 3);
	histogram_add(&h, 1000000);
	ck_assert_uint_eq(histogram_percentile(&h, 99), 3);
	histogram_add(&h, 1000000);
	ck_assert_uint_ge(histogram_percentile(&h, 99), 1000000);
}
END_TEST

START_TEST(what_is_told_is_at_most_an_eighth_too_large)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (uint64_t part = 8; part < 16; part++) {
			uint64_t v = bit < 3 ? part : part << (bit - 3);
			uint64_t told;

			empty();
			histogram_add(&h, v);
			told = histogram_percentile(&h, 99);
			ck_assert_uint_ge(told, v);
			ck_assert_uint_le(told - v, v / 8);
		}
	}
}
END_TEST

START_TEST(a_bucket_holds_what_lies_between_its_ends)
{
	histogram_add(&h, 127);
	ck_assert_uint_eq(histogram_percentile(&h, 99), 127);
	empty();
	histogram_add(&h, 128);
	ck_assert_uint_eq(histogram_percentile(&h, 99), 143);
}
END_TEST

START_TEST(the_largest_value_has_a_bucket)
{
	histogram_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.bucket[HISTOGRAM_BUCKETS - 1], 1);
	ck_assert_uint_eq(histogram_percentile(&h, 99), UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tc = tcase_create("histogram");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, empty, NULL);
	tcase_add_test(tc, without_values_every_percentile_is_zero);
	tcase_add_test(tc, small_values_are_exact);
	tcase_add_test(tc, the_99th_percentile_leaves_out_one_in_a_hundred);
	tcase_add_test(tc, what_is_told_is_at_most_an_eighth_too_large);
	tcase_add_test(tc, a_bucket_holds_what_lies_between_its_ends);
	tcase_add_test(tc, the_largest_value_has_a_bucket);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
