/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last word of a server: who has the file open hears it. */
#include <rawmap/fuse/outcome.h>

#include <rawmap/base/error.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int server, reader;
static char *why;

static void setup(void)
{
	server = outcome_new();
	ck_assert_int_ge(server, 0);
	reader = outcome_open(getpid(), server);
	ck_assert_int_ge(reader, 0);
}

static void teardown(void)
{
	close(reader);
	g_clear_pointer(&why, g_free);
}

START_TEST(nothing_is_said_before_the_end)
{
	ck_assert_int_eq(outcome_read(reader, &why), OUTCOME_NONE);
	outcome_set(server, NULL);
}
END_TEST

START_TEST(a_good_end_is_durable)
{
	outcome_set(server, NULL);
	ck_assert_int_eq(outcome_read(reader, &why), OUTCOME_DURABLE);
	ck_assert_ptr_null(why);
}
END_TEST

START_TEST(a_failure_has_its_sentence)
{
	GError *error = g_error_new(RAWMAP_ERROR, RAWMAP_ERROR_IO,
				    "'%s' is full", "/dev/sda");

	outcome_set(server, error);
	g_error_free(error);
	ck_assert_int_eq(outcome_read(reader, &why), OUTCOME_FAILED);
	ck_assert_str_eq(why, "'/dev/sda' is full");
}
END_TEST

START_TEST(a_long_sentence_is_cut)
{
	g_autofree char *text = g_strnfill(100000, 'x');
	GError *error =
		g_error_new_literal(RAWMAP_ERROR, RAWMAP_ERROR_IO, text);

	outcome_set(server, error);
	g_error_free(error);
	ck_assert_int_eq(outcome_read(reader, &why), OUTCOME_FAILED);
	ck_assert_uint_gt(strlen(why), 1000);
}
END_TEST

/* A number alone proves nothing: it may be anybody's file. */
START_TEST(no_other_file_is_opened)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(null, 0);
	ck_assert_int_eq(outcome_open(getpid(), null), -1);
	ck_assert_int_eq(outcome_open(getpid(), -1), -1);
	ck_assert_int_eq(outcome_open(getpid(), 100000), -1);
	close(null);
	outcome_set(server, NULL);
}
END_TEST

START_TEST(a_server_without_a_file_says_nothing)
{
	outcome_set(-1, NULL);
	outcome_set(server, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outcome");
	TCase *tc = tcase_create("outcome");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_is_said_before_the_end);
	tcase_add_test(tc, a_good_end_is_durable);
	tcase_add_test(tc, a_failure_has_its_sentence);
	tcase_add_test(tc, a_long_sentence_is_cut);
	tcase_add_test(tc, no_other_file_is_opened);
	tcase_add_test(tc, a_server_without_a_file_says_nothing);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
