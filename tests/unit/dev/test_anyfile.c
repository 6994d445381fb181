/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sources by name: which format, and what is refused before it is opened. */
#include <rawmap/base/error.h>
#include <rawmap/dev/anyfile.h>

#include <rawmap_config.h>

#include "support/ewftools.h"
#include "support/filebed.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t head[] = "EVF\t\r\n\xff\0\1\1\0\0\0\0\0";

static char *dir;

static void setup(void)
{
	dir = filebed_new();
}

static void teardown(void)
{
	filebed_free(dir);
}

static void ck_opens(const char *name, bool readonly, const char *expected,
		     uint64_t size)
{
	struct filedev_options opt = { .readonly = readonly, .lock = true };
	g_autofree char *path = filebed_path(dir, name);
	g_autoptr(GError) error = NULL;
	const char *format = NULL;
	struct blkdev *dev = anyfile_open(path, &opt, &format, &error);

	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	ck_assert_str_eq(format, expected);
	ck_assert_uint_eq(blkdev_geometry(dev)->size, size);
	ck_assert(blkdev_geometry(dev)->readonly == readonly);
	blkdev_unref(dev);
}

static void ck_refused(const char *name, struct filedev_options opt, int code,
		       const char *word)
{
	g_autofree char *path = filebed_path(dir, name);
	g_autoptr(GError) error = NULL;
	const char *format = "untouched";

	ck_assert_ptr_null(anyfile_open(path, &opt, &format, &error));
	ck_assert_str_eq(format, "untouched");
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error ? error->message : "no error");
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
}

START_TEST(file_is_raw)
{
	filebed_put(dir, "a.img", "0123456789", 10);
	filebed_put(dir, "a.001", "012345678", 9);
	ck_opens("a.img", false, "raw", 10);
	ck_opens("a.img", true, "raw", 10);
	ck_opens("a.001", true, "raw", 9);
}
END_TEST

START_TEST(first_of_several_is_split_raw)
{
	filebed_put(dir, "a.001", "012345678", 9);
	filebed_put(dir, "a.002", "012345", 6);
	ck_opens("a.001", false, "split raw", 15);
	ck_opens("a.001", true, "split raw", 15);
}
END_TEST

START_TEST(part_or_gap_is_refused)
{
	struct filedev_options opt = { .readonly = true };

	filebed_put(dir, "a.001", "0", 1);
	filebed_put(dir, "a.002", "0", 1);
	filebed_put(dir, "a.004", "0", 1);
	ck_refused("a.002", opt, RAWMAP_ERROR_USAGE, "a.001'");
	ck_refused("a.001", opt, RAWMAP_ERROR_NOT_FOUND, "part 003");
}
END_TEST

START_TEST(missing_source_is_not_found)
{
	ck_refused("a.img", (struct filedev_options){ .readonly = true },
		   RAWMAP_ERROR_NOT_FOUND, "a.img");
	ck_refused("a.001", (struct filedev_options){ .readonly = true },
		   RAWMAP_ERROR_NOT_FOUND, "a.001");
}
END_TEST

START_TEST(ewf_is_refused_for_writing_and_direct_io)
{
	filebed_put(dir, "a.E01", head, sizeof(head));
	ck_refused("a.E01", (struct filedev_options){ .lock = true },
		   RAWMAP_ERROR_READONLY, "cow=");
	ck_refused("a.E01",
		   (struct filedev_options){ .readonly = true,
					     .direct = FILEDEV_DIRECT_ON },
		   RAWMAP_ERROR_UNSUPPORTED, "direct=auto");
}
END_TEST

#ifdef HAVE_LIBEWF

START_TEST(ewf_is_ewf_also_where_names_look_split)
{
	g_autofree char *from = filebed_path(dir, "x.E01");
	g_autofree char *to = filebed_path(dir, "x.001");
	g_autofree uint8_t *bytes = g_malloc0(65536);

	filebed_put(dir, "raw", bytes, 65536);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	ck_opens("x.E01", true, "EWF", 65536);
	ck_assert_int_eq(rename(from, to), 0);
	filebed_put(dir, "x.002", "0", 1);
	ck_opens("x.001", true, "EWF", 65536);
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("anyfile");
	TCase *tc = tcase_create("anyfile");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, file_is_raw);
	tcase_add_test(tc, first_of_several_is_split_raw);
	tcase_add_test(tc, part_or_gap_is_refused);
	tcase_add_test(tc, missing_source_is_not_found);
	tcase_add_test(tc, ewf_is_refused_for_writing_and_direct_io);
#ifdef HAVE_LIBEWF
	tcase_add_test(tc, ewf_is_ewf_also_where_names_look_split);
#endif
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
