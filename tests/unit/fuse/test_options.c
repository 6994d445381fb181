/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The -o language: what is rawmap's, what is libfuse's, what is refused. */
#include "options_bed.h"

#include <stdlib.h>

START_TEST(defaults_are_read_write_with_a_commit_every_5_seconds)
{
	ck_assert(!o.source.stack.readonly);
	ck_assert_uint_eq(o.commit, 5);
	ck_assert_uint_eq(o.cache, 32 << 20);
	ck_assert_int_eq(o.source.stack.direct, FILEDEV_DIRECT_AUTO);
	ck_assert_int_eq(o.engine, MOUNT_ENGINE_AUTO);
	ck_assert_uint_eq(o.threads, 16);
	ck_assert(!o.sync);
	ck_assert(!o.source.discard);
}
END_TEST

START_TEST(own_options_are_taken)
{
	parse("image=/a,ro,cache=64k,direct=off,threads=3");
	assert_list(o.images, 0, "/a");
	ck_assert(o.source.stack.readonly);
	ck_assert_uint_eq(o.cache, 65536);
	ck_assert_int_eq(o.source.stack.direct, FILEDEV_DIRECT_OFF);
	ck_assert_uint_eq(o.threads, 3);
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

START_TEST(image_may_be_repeated_and_keeps_its_order)
{
	mountopts_add_image(&o, "/first");
	parse("image=/second,image=<12>");
	parse("image=/fourth");
	ck_assert_uint_eq(o.images->len, 4);
	assert_list(o.images, 0, "/first");
	assert_list(o.images, 1, "/second");
	assert_list(o.images, 2, "<12>");
	assert_list(o.images, 3, "/fourth");
}
END_TEST

START_TEST(escaped_comma_and_backslash_belong_to_the_value)
{
	parse("image=/a\\,b\\\\c,ro");
	assert_list(o.images, 0, "/a,b\\c");
	ck_assert(o.source.stack.readonly);
}
END_TEST

START_TEST(equals_sign_belongs_to_the_value)
{
	parse("image=/a=b");
	assert_list(o.images, 0, "/a=b");
}
END_TEST

START_TEST(backslash_at_the_end_is_itself)
{
	parse("image=/a\\");
	assert_list(o.images, 0, "/a\\");
}
END_TEST

START_TEST(empty_options_are_skipped)
{
	parse("");
	parse(",,image=/a,,ro,");
	ck_assert_uint_eq(o.images->len, 1);
	ck_assert_uint_eq(o.fuse->len, 0);
	ck_assert(o.source.stack.readonly);
}
END_TEST

START_TEST(other_options_go_to_libfuse_as_they_were_written)
{
	parse("image=/a,allow_other,fsname=x\\,y,noatime");
	ck_assert_uint_eq(o.fuse->len, 3);
	assert_list(o.fuse, 0, "allow_other");
	assert_list(o.fuse, 1, "fsname=x\\,y");
	assert_list(o.fuse, 2, "noatime");
	check();
}
END_TEST

START_TEST(others_by_all_means_are_libfuses)
{
	parse("image=/a,allow_other");
	ck_assert(!o.others_auto);
	assert_list(o.fuse, 0, "allow_other");
	check();
}
END_TEST

START_TEST(others_where_allowed_are_not)
{
	parse("image=/a,allow_other=auto");
	ck_assert(o.others_auto);
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

START_TEST(others_by_an_empty_value_are_refused)
{
	refuse_parse("allow_other=", "allow_other=");
}
END_TEST

START_TEST(others_by_another_value_are_refused)
{
	refuse_parse("allow_other=yes", "allow_other=yes");
}
END_TEST

START_TEST(others_and_root_contradict)
{
	parse("image=/a,allow_other=auto,allow_root");
	refuse_check("'allow_root'");
}
END_TEST

START_TEST(what_somebody_knows_is_known)
{
	ck_assert(mountopts_knows("commit=5"));
	ck_assert(mountopts_knows("commit=never"));
	ck_assert(mountopts_knows("image=/a\\,b"));
	ck_assert(mountopts_knows("noatime"));
	ck_assert(mountopts_knows("fsname=x"));
	ck_assert(!mountopts_knows("no_such_thing"));
	ck_assert(!mountopts_knows("commi=5"));
}
END_TEST

START_TEST(max_read_goes_to_libfuse_and_is_remembered)
{
	parse("image=/a,max_read=65536");
	ck_assert_uint_eq(o.max_read, 65536);
	assert_list(o.fuse, 0, "max_read=65536");
	check();
}
END_TEST

START_TEST(unknown_option_is_named)
{
	parse("image=/a,allow_other,no_such_thing=1");
	refuse_check("no_such_thing=1");
}
END_TEST

START_TEST(prefix_of_an_own_option_is_unknown)
{
	parse("image=/a,commi=5");
	refuse_check("commi=5");
}
END_TEST

START_TEST(mount_without_image_is_refused)
{
	parse("ro");
	refuse_check("-i PATH");
}
END_TEST

START_TEST(ro_and_rw_contradict)
{
	parse("image=/a,rw,ro");
	refuse_check("'rw'");
}
END_TEST

START_TEST(minus_r_and_rw_contradict)
{
	parse("image=/a,rw");
	mountopts_set_readonly(&o);
	refuse_check("'rw'");
}
END_TEST

START_TEST(minus_r_and_ro_agree)
{
	parse("image=/a,ro");
	mountopts_set_readonly(&o);
	check();
}
END_TEST

START_TEST(commit_on_a_readonly_mount_is_refused)
{
	parse("image=/a,ro,commit=7");
	refuse_check("commit=");
}
END_TEST

/* libfuse has a "sync" too, which means something else. */
START_TEST(sync_is_rawmaps_and_goes_with_commit)
{
	parse("image=/a,commit=7,sync");
	ck_assert(o.sync);
	ck_assert(!o.source.discard);
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

START_TEST(discard_is_taken)
{
	parse("image=/a,rw,discard");
	ck_assert(o.source.discard);
	ck_assert(!o.sync);
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

START_TEST(sync_on_a_readonly_mount_is_refused)
{
	parse("image=/a,sync,ro");
	refuse_check("'sync'");
}
END_TEST

START_TEST(discard_with_minus_r_is_refused)
{
	parse("image=/a,discard");
	mountopts_set_readonly(&o);
	refuse_check("'discard'");
}
END_TEST

START_TEST(sync_and_async_contradict)
{
	parse("image=/a,async,sync");
	refuse_check("'async'");
}
END_TEST

START_TEST(async_alone_is_libfuses)
{
	parse("image=/a,async");
	assert_list(o.fuse, 0, "async");
	check();
}
END_TEST

static const struct {
	const char *text;
	enum mount_engine engine;
} engines[] = {
	{ "engine=auto", MOUNT_ENGINE_AUTO },
	{ "engine=uring", MOUNT_ENGINE_URING },
	{ "engine=threads", MOUNT_ENGINE_THREADS },
};

START_TEST(engine_is_taken)
{
	o.engine = (enum mount_engine) - 1;
	parse(engines[_i].text);
	ck_assert_int_eq(o.engine, engines[_i].engine);
	ck_assert_uint_eq(o.fuse->len, 0);
}
END_TEST

START_TEST(pin_is_taken_with_a_value_and_without)
{
	ck_assert_int_eq(o.pin, MOUNT_PIN_NONE);
	parse("image=/a,pin");
	ck_assert_int_eq(o.pin, MOUNT_PIN_MAP);
	mountopts_clear(&o);
	mountopts_init(&o);
	parse("image=/a,pin=alloc");
	ck_assert_int_eq(o.pin, MOUNT_PIN_ALLOC);
	ck_assert_uint_eq(o.fuse->len, 0);
	check();
}
END_TEST

static const struct {
	const char *with;
	bool may;
} allocating[] = {
	{ "rw", true },
	{ "ro", false },
	{ "cow=/c", false },
	{ "sync,discard", true },
};

START_TEST(nothing_is_allocated_where_nothing_may_be)
{
	parse("image=/a,pin");
	parse(allocating[_i].with);
	check();
	mountopts_clear(&o);
	mountopts_init(&o);
	parse("image=/a,pin=alloc");
	parse(allocating[_i].with);
	if (allocating[_i].may)
		check();
	else
		refuse_check("'pin=alloc'");
}
END_TEST

START_TEST(io_uring_is_taken_and_not_libfuses)
{
	parse("image=/a,io_uring");
	ck_assert(o.over_uring);
	ck_assert_uint_eq(o.fuse->len, 0);
}
END_TEST

static const struct {
	const char *first, *second;
} twice[] = {
	{ "commit=5", "commit=6" },
	{ "sync", "sync" },
	{ "allow_other", "allow_other=auto" },
	{ "discard", "discard" },
	{ "engine=auto", "engine=uring" },
	{ "partition=1", "partition=auto" },
	{ "cow=/a", "cow=/a" },
	{ "pin", "pin=alloc" },
};

START_TEST(option_given_twice_is_refused)
{
	parse(twice[_i].first);
	refuse_parse(twice[_i].second, "twice");
}
END_TEST

static const struct {
	const char *text, *word;
} bad[] = {
	{ "commit=", "needs a value" },
	{ "commit", "needs a value" },
	{ "image", "needs a value" },
	{ "ro=1", "takes no value" },
	{ "sync=1", "takes no value" },
	{ "discard=", "takes no value" },
	{ "commit=0", "commit=" },
	{ "commit=-1", "commit=" },
	{ "commit=5s", "commit=" },
	{ "commit=99999999999999999999", "commit=" },
	{ "cache=1.5G", "cache=" },
	{ "cache=lots", "cache=" },
	{ "direct=maybe", "auto, on or off" },
	{ "engine=", "needs a value" },
	{ "engine=fast", "auto, uring or threads" },
	{ "threads=0", "threads=" },
	{ "threads=257", "threads=" },
	{ "max_read=1", "max_read=" },
	{ "offset=-1", "offset=" },
	{ "partition=0", "partition=" },
	{ "partition=257", "partition=" },
	{ "partition=two", "partition=" },
	{ "sb=0", "sb=" },
	{ "blocksize=1000", "power of two" },
	{ "blocksize=512", "power of two" },
	{ "blocksize=128k", "power of two" },
	{ "unwritten=cooked", "zero or raw" },
	{ "on-error=ignore", "fail or zero" },
	{ "norecovery=1", "takes no value" },
	{ "cow=", "needs a value" },
	{ "pin=", "alloc" },
	{ "pin=map", "alloc" },
};

START_TEST(bad_value_is_refused)
{
	refuse_parse(bad[_i].text, bad[_i].word);
}
END_TEST

START_TEST(parsing_stops_at_the_first_error)
{
	refuse_parse("direct=maybe,image=/a", "direct=");
	ck_assert_uint_eq(o.images->len, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc,
		       defaults_are_read_write_with_a_commit_every_5_seconds);
	tcase_add_test(tc, own_options_are_taken);
	tcase_add_test(tc, image_may_be_repeated_and_keeps_its_order);
	tcase_add_test(tc, escaped_comma_and_backslash_belong_to_the_value);
	tcase_add_test(tc, equals_sign_belongs_to_the_value);
	tcase_add_test(tc, backslash_at_the_end_is_itself);
	tcase_add_test(tc, empty_options_are_skipped);
	tcase_add_test(tc, other_options_go_to_libfuse_as_they_were_written);
	tcase_add_test(tc, others_by_all_means_are_libfuses);
	tcase_add_test(tc, others_where_allowed_are_not);
	tcase_add_test(tc, others_by_an_empty_value_are_refused);
	tcase_add_test(tc, others_by_another_value_are_refused);
	tcase_add_test(tc, others_and_root_contradict);
	tcase_add_test(tc, what_somebody_knows_is_known);
	tcase_add_test(tc, max_read_goes_to_libfuse_and_is_remembered);
	tcase_add_test(tc, unknown_option_is_named);
	tcase_add_test(tc, prefix_of_an_own_option_is_unknown);
	tcase_add_test(tc, mount_without_image_is_refused);
	tcase_add_test(tc, ro_and_rw_contradict);
	tcase_add_test(tc, minus_r_and_rw_contradict);
	tcase_add_test(tc, minus_r_and_ro_agree);
	tcase_add_test(tc, commit_on_a_readonly_mount_is_refused);
	tcase_add_test(tc, sync_is_rawmaps_and_goes_with_commit);
	tcase_add_test(tc, discard_is_taken);
	tcase_add_test(tc, sync_on_a_readonly_mount_is_refused);
	tcase_add_test(tc, discard_with_minus_r_is_refused);
	tcase_add_test(tc, sync_and_async_contradict);
	tcase_add_test(tc, async_alone_is_libfuses);
	tcase_add_loop_test(tc, engine_is_taken, 0, (int)G_N_ELEMENTS(engines));
	tcase_add_test(tc, pin_is_taken_with_a_value_and_without);
	tcase_add_loop_test(tc, nothing_is_allocated_where_nothing_may_be, 0,
			    (int)G_N_ELEMENTS(allocating));
	tcase_add_test(tc, io_uring_is_taken_and_not_libfuses);
	tcase_add_loop_test(tc, option_given_twice_is_refused, 0,
			    (int)G_N_ELEMENTS(twice));
	tcase_add_loop_test(tc, bad_value_is_refused, 0,
			    (int)G_N_ELEMENTS(bad));
	tcase_add_test(tc, parsing_stops_at_the_first_error);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
