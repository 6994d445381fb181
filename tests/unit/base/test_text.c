/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/error.h>
#include <rawmap/base/text.h>

#include <check.h>
#include <errno.h>
#include <string.h>

static const struct {
	const char *text;
	uint64_t bytes;
} sizes[] = {
	{ "0", 0 },
	{ "4096", 4096 },
	{ "64k", UINT64_C(64) << 10 },
	{ "64K", UINT64_C(64) << 10 },
	{ "64KiB", UINT64_C(64) << 10 },
	{ "64kiB", UINT64_C(64) << 10 },
	{ "3M", UINT64_C(3) << 20 },
	{ "1G", UINT64_C(1) << 30 },
	{ "16T", UINT64_C(16) << 40 },
	{ "16TiB", UINT64_C(16) << 40 },
	{ "18446744073709551615", UINT64_MAX },
	{ "16777215T", UINT64_C(16777215) << 40 },
};

static const char *const not_sizes[] = {
	"",    "K",    "1.5G", "-1",	   " 1",   "1 ",   "1 K",    "64KB",
	"64B", "64Ki", "1P",   "64kib",	   "0x10", "+1",   "64KiBs", "k64",
	"1\n", "1KK",  "1,5",  "\xd9\xa1", "9e3",  "64iB",
};

static const char *const too_large[] = {
	"18446744073709551616",
	"16777216T",
	"18446744073709551615K",
	"99999999999999999999999999999999",
};

START_TEST(a_size_is_a_whole_number_with_a_binary_suffix)
{
	uint64_t bytes = 1;
	GError *error = NULL;

	ck_assert(text_parse_size(sizes[_i].text, "cache", &bytes, &error));
	ck_assert_ptr_null(error);
	ck_assert_uint_eq(bytes, sizes[_i].bytes);
}
END_TEST

static void assert_size_refused(const char *text, const char *because)
{
	uint64_t bytes = 42;
	g_autoptr(GError) error = NULL;

	ck_assert_msg(!text_parse_size(text, "cache", &bytes, &error),
		      "'%s' was taken", text);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE));
	ck_assert_msg(g_str_has_prefix(error->message, "cache: "), "%s",
		      error->message);
	ck_assert_msg(strstr(error->message, because) != NULL, "%s",
		      error->message);
	ck_assert_uint_eq(bytes, 42);
}

START_TEST(what_is_not_a_size_is_refused)
{
	assert_size_refused(not_sizes[_i], "is not a size");
}
END_TEST

START_TEST(a_size_beyond_64_bits_is_refused)
{
	assert_size_refused(too_large[_i], "is too large");
}
END_TEST

START_TEST(a_number_may_be_as_small_or_large_as_its_bounds)
{
	uint64_t n = 0;

	ck_assert(text_parse_u64("3", "commit", 3, 300, &n, NULL));
	ck_assert_uint_eq(n, 3);
	ck_assert(text_parse_u64("300", "commit", 3, 300, &n, NULL));
	ck_assert_uint_eq(n, 300);
	ck_assert(text_parse_u64("18446744073709551615", "commit", 0,
				 UINT64_MAX, &n, NULL));
	ck_assert_uint_eq(n, UINT64_MAX);
}
END_TEST

static void assert_number_refused(const char *text, const char *message)
{
	uint64_t n = 42;
	g_autoptr(GError) error = NULL;

	ck_assert(!text_parse_u64(text, "commit", 3, 300, &n, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE));
	ck_assert_str_eq(error->message, message);
	ck_assert_uint_eq(n, 42);
}

START_TEST(a_number_outside_its_bounds_is_refused_with_the_bounds)
{
	assert_number_refused("2", "commit: 2 is not between 3 and 300");
	assert_number_refused("301", "commit: 301 is not between 3 and 300");
	assert_number_refused(
		"18446744073709551620",
		"commit: 18446744073709551620 is not between 3 and 300");
}
END_TEST

START_TEST(what_is_not_a_number_is_refused)
{
	assert_number_refused("", "commit: '' is not a whole number");
	assert_number_refused("-3", "commit: '-3' is not a whole number");
	assert_number_refused("5s", "commit: '5s' is not a whole number");
	assert_number_refused(" 5", "commit: ' 5' is not a whole number");
}
END_TEST

static const struct {
	uint64_t bytes;
	const char *text;
} formatted[] = {
	{ 0, "0 B" },
	{ 1023, "1023 B" },
	{ 1024, "1 KiB" },
	{ 1536, "1.5 KiB" },
	{ 1100, "1.1 KiB" },
	{ 1024 * 1024 - 1, "1 MiB" },
	{ UINT64_C(3) << 29, "1.5 GiB" },
	{ UINT64_C(16) << 40, "16 TiB" },
	{ (UINT64_C(1) << 60) - 1, "1 EiB" },
	{ UINT64_MAX, "16 EiB" },
};

START_TEST(a_size_is_written_with_at_most_one_digit_behind_the_point)
{
	g_autofree char *text = text_format_size(formatted[_i].bytes);

	ck_assert_str_eq(text, formatted[_i].text);
}
END_TEST

START_TEST(an_errno_is_appended_to_the_sentence)
{
	g_autoptr(GError) error = NULL;

	error_set_errno(&error, RAWMAP_ERROR_IO, ENOENT, "cannot open '%s'",
			"/x");
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO));
	ck_assert_str_eq(error->message,
			 "cannot open '/x': No such file or directory");
}
END_TEST

START_TEST(nobody_has_to_take_the_error)
{
	uint64_t n = 0;

	error_set_errno(NULL, RAWMAP_ERROR_IO, EIO, "x");
	ck_assert(!text_parse_size("x", "cache", &n, NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tc = tcase_create("text");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_size_is_a_whole_number_with_a_binary_suffix,
			    0, G_N_ELEMENTS(sizes));
	tcase_add_loop_test(tc, what_is_not_a_size_is_refused, 0,
			    G_N_ELEMENTS(not_sizes));
	tcase_add_loop_test(tc, a_size_beyond_64_bits_is_refused, 0,
			    G_N_ELEMENTS(too_large));
	tcase_add_test(tc, a_number_may_be_as_small_or_large_as_its_bounds);
	tcase_add_test(tc,
		       a_number_outside_its_bounds_is_refused_with_the_bounds);
	tcase_add_test(tc, what_is_not_a_number_is_refused);
	tcase_add_loop_test(
		tc, a_size_is_written_with_at_most_one_digit_behind_the_point,
		0, G_N_ELEMENTS(formatted));
	tcase_add_test(tc, an_errno_is_appended_to_the_sentence);
	tcase_add_test(tc, nobody_has_to_take_the_error);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
