/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder with a file and links is the working directory, and may go. */
#include <rawmap/base/path.h>

#include <rawmap/base/error.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder; /* without links in it */

static void setup(void)
{
	char made[] = "/tmp/rawmap-path.XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(made));
	folder = realpath(made, NULL);
	ck_assert_int_eq(chdir(folder), 0);
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	rmdir(folder);
	free(folder);
}

static void expect(const char *path, const char *below)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *wanted = g_strconcat(folder, below, NULL);
	g_autofree char *got = path_absolute(path, &error);

	ck_assert_ptr_null(error);
	ck_assert_str_eq(got, wanted);
}

static void expect_refused(const char *path, enum rawmap_error code,
			   const char *text)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(path_absolute(path, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, (gint)code));
	ck_assert_ptr_nonnull(strstr(error->message, text));
}

START_TEST(a_name_is_in_the_folder)
{
	expect("name", "/name");
	expect("./name", "/name");
	expect("no/such/../name", "/no/name");
	expect(".", "");
	expect("-name \n\377", "/-name \n\377");
}
END_TEST

/* It is for the kernel to say that what is no folder cannot have one. */
START_TEST(a_slash_at_the_end_stays)
{
	expect("name/", "/name/");
	expect("name//", "/name/");
	expect("no/such/", "/no/such/");
}
END_TEST

START_TEST(the_root_is_the_root)
{
	g_autofree char *one = path_absolute("/", NULL);
	g_autofree char *more = path_absolute("///", NULL);

	ck_assert_str_eq(one, "/");
	ck_assert_str_eq(more, "/");
}
END_TEST

START_TEST(the_folder_of_a_link_is_where_it_leads)
{
	ck_assert_int_eq(symlink(".", "here"), 0);
	expect("here/name", "/name");
	expect("here", "/here");
	ck_assert_int_eq(unlink("here"), 0);
}
END_TEST

START_TEST(no_path_is_refused)
{
	expect_refused("", RAWMAP_ERROR_USAGE, "empty");
}
END_TEST

/* The root is not where somebody was whose folder is gone. */
START_TEST(a_folder_that_is_gone_is_not_the_root)
{
	g_autofree char *absolute = NULL;

	ck_assert_int_eq(rmdir(folder), 0);
	expect_refused("name", RAWMAP_ERROR_NOT_FOUND, "'name'");
	expect_refused(".", RAWMAP_ERROR_NOT_FOUND, "gone");
	absolute = path_absolute("/dev/null", NULL);
	ck_assert_str_eq(absolute, "/dev/null");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("path");
	Suite *suite = suite_create("path");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_name_is_in_the_folder);
	tcase_add_test(tc, a_slash_at_the_end_stays);
	tcase_add_test(tc, the_root_is_the_root);
	tcase_add_test(tc, the_folder_of_a_link_is_where_it_leads);
	tcase_add_test(tc, no_path_is_refused);
	tcase_add_test(tc, a_folder_that_is_gone_is_not_the_root);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
