/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options that mountopts_check() has not seen stand for those that libfuse takes
 * one by one and not together. Nothing is mounted, and the host is let go of.
 */
#include <rawmap/base/error.h>
#include <rawmap/fuse/session.h>

#include <support/hostimg.h>

#include <check.h>

START_TEST(what_libfuse_does_not_take_together_is_refused)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(GError) error = NULL;
	struct mountopts opt;

	hostimg_put(img, "disk.img", 1, 9999, NULL, 0);
	mountopts_init(&opt);
	mountopts_add_image(&opt, "/disk.img");
	ck_assert(mountopts_parse(&opt, "nosuchoption", NULL));
	ck_assert_ptr_null(session_open(&opt, hostimg_path(img),
					hostimg_dir(img), false, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE));
	ck_assert_str_eq(error->message,
			 "libfuse refuses the options, together, for the "
			 "reason above; leave one away");
	mountopts_clear(&opt);
	ck_assert_int_eq(hostimg_fsck(img, NULL), 0);
	hostimg_free(img);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session refused");
	TCase *tc = tcase_create("session refused");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, what_libfuse_does_not_take_together_is_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
