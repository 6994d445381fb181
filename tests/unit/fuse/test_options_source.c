/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the host lies and how it is read: what -o says of the source. */
#include "options_bed.h"

#include <stdlib.h>

START_TEST(options_of_the_source_are_taken)
{
	parse("image=/a,ro,partition=7,journal=/j,sb=32768,blocksize=4k");
	parse("deleted,unwritten=raw,on-error=zero,ddrescue=/m,audit=/r");
	ck_assert_int_eq(o.source.stack.place, STACK_PARTITION);
	ck_assert_uint_eq(o.source.stack.partition, 7);
	ck_assert_str_eq(o.source.journal, "/j");
	ck_assert_uint_eq(o.source.super_block, 32768);
	ck_assert_uint_eq(o.source.super_block_size, 4096);
	ck_assert(o.source.deleted);
	ck_assert(o.source.raw_unwritten);
	ck_assert(o.source.stack.zero_on_error);
	ck_assert_str_eq(o.source.stack.ddrescue, "/m");
	ck_assert_str_eq(o.audit, "/r");
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

START_TEST(the_defaults_by_name_change_nothing)
{
	parse("image=/a,ro,unwritten=zero,on-error=fail");
	ck_assert(!o.source.raw_unwritten);
	ck_assert(!o.source.stack.zero_on_error);
	check();
}
END_TEST

START_TEST(the_defaults_by_name_are_for_every_mount)
{
	parse("image=/a,unwritten=zero,on-error=fail");
	check();
}
END_TEST

START_TEST(partition_auto_and_offset_are_places)
{
	ck_assert_int_eq(o.source.stack.place, STACK_WHOLE);
	parse("partition=auto");
	ck_assert_int_eq(o.source.stack.place, STACK_AUTO);
	mountopts_clear(&o);
	mountopts_init(&o);
	parse("offset=1M");
	ck_assert_int_eq(o.source.stack.place, STACK_OFFSET);
	ck_assert_uint_eq(o.source.stack.offset, 1 << 20);
}
END_TEST

/* The server changes to "/" before it opens them. */
START_TEST(paths_become_absolute)
{
	parse("cow=changes");
	ck_assert(g_path_is_absolute(o.source.stack.cow));
	ck_assert(g_str_has_suffix(o.source.stack.cow, "/changes"));
}
END_TEST

static const char *const for_readers[] = {
	"journal=/j", "norecovery", "sb=1", "deleted", "unwritten=raw",
};

START_TEST(what_needs_a_readonly_mount_is_refused_without)
{
	parse("image=/a");
	parse(for_readers[_i]);
	refuse_check("read-only");
	mountopts_set_readonly(&o);
	check();
}
END_TEST

START_TEST(nor_do_changes_elsewhere_make_it_one)
{
	parse("image=/a,cow=/c");
	parse(for_readers[_i]);
	refuse_check("read-only");
}
END_TEST

static const char *const for_bad_media[] = { "on-error=zero", "ddrescue=/m" };

START_TEST(bad_media_are_read_or_changed_elsewhere)
{
	parse("image=/a");
	parse(for_bad_media[_i]);
	refuse_check("cow=FILE");
	parse("cow=/c");
	check();
}
END_TEST

START_TEST(cow_on_a_readonly_mount_is_refused)
{
	parse("image=/a,ro,cow=/c");
	refuse_check("'cow='");
}
END_TEST

START_TEST(commit_goes_with_cow)
{
	parse("image=/a,cow=/c,commit=3,sync,discard");
	check();
}
END_TEST

static const struct {
	const char *text, *word;
} contradicting[] = {
	{ "offset=1M,partition=2", "contradicts" },
	{ "norecovery,journal=/j", "contradicts" },
	{ "blocksize=4096", "sb=" },
};

START_TEST(what_contradicts_is_refused)
{
	parse("image=/a,ro");
	parse(contradicting[_i].text);
	refuse_check(contradicting[_i].word);
}
END_TEST

START_TEST(who_only_looks_needs_no_image_and_is_readonly)
{
	g_autoptr(GError) error = NULL;

	parse("partition=2,norecovery,deleted");
	ck_assert(mountopts_check_looking(&o, &error));
	ck_assert(o.source.stack.readonly);
}
END_TEST

static const char *const not_for_looking[] = {
	"image=/a", "rw",	"commit=3",    "pin",
	"cow=/c",   "audit=/r", "allow_other",
};

START_TEST(who_only_looks_takes_nothing_else)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = NULL;
	bool passed;

	parse(not_for_looking[_i]);
	name = g_strdup(not_for_looking[_i]);
	*strchrnul(name, '=') = '\0';
	passed = mountopts_check_looking(&o, &error);
	assert_usage(passed, error, name);
}
END_TEST

START_TEST(a_place_is_no_more_than_a_place)
{
	g_autoptr(GError) error = NULL;

	parse("partition=2,direct=off");
	ck_assert(mountopts_check_place(&o, &error));
	ck_assert(!o.source.stack.readonly);
	parse("norecovery");
	ck_assert(!mountopts_check_place(&o, &error));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options of the source");
	TCase *tc = tcase_create("source");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, options_of_the_source_are_taken);
	tcase_add_test(tc, the_defaults_by_name_change_nothing);
	tcase_add_test(tc, the_defaults_by_name_are_for_every_mount);
	tcase_add_test(tc, partition_auto_and_offset_are_places);
	tcase_add_test(tc, paths_become_absolute);
	tcase_add_loop_test(tc, what_needs_a_readonly_mount_is_refused_without,
			    0, G_N_ELEMENTS(for_readers));
	tcase_add_loop_test(tc, nor_do_changes_elsewhere_make_it_one, 0,
			    G_N_ELEMENTS(for_readers));
	tcase_add_loop_test(tc, bad_media_are_read_or_changed_elsewhere, 0,
			    G_N_ELEMENTS(for_bad_media));
	tcase_add_test(tc, cow_on_a_readonly_mount_is_refused);
	tcase_add_test(tc, commit_goes_with_cow);
	tcase_add_loop_test(tc, what_contradicts_is_refused, 0,
			    G_N_ELEMENTS(contradicting));
	tcase_add_test(tc, who_only_looks_needs_no_image_and_is_readonly);
	tcase_add_loop_test(tc, who_only_looks_takes_nothing_else, 0,
			    G_N_ELEMENTS(not_for_looking));
	tcase_add_test(tc, a_place_is_no_more_than_a_place);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
