/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of mounts and of swap, as the kernel writes them. */
#include <rawmap/dev/inuse.h>
#include <rawmap/dev/mounttable.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static GPtrArray *table;

static void teardown(void)
{
	g_clear_pointer(&table, g_ptr_array_unref);
}

static const struct mount_entry *entry(guint i)
{
	ck_assert_uint_gt(table->len, i);
	return g_ptr_array_index(table, i);
}

START_TEST(the_words_are_where_the_kernel_puts_them)
{
	table = mounttable_parse(
		"36 35 98:7 / /mnt rw,noatime master:1 - ext4 /dev/sda ro,x\n"
		"51 35 0:41 / /images rw,nosuid - fuse.rawmap /disk.img "
		"rw,user_id=1000,group_id=100,default_permissions\n");
	ck_assert_uint_eq(table->len, 2);
	ck_assert_uint_eq(entry(0)->dev, makedev(98, 7));
	ck_assert_str_eq(entry(0)->where, "/mnt");
	ck_assert_str_eq(entry(0)->type, "ext4");
	ck_assert_str_eq(entry(0)->source, "/dev/sda");
	ck_assert(entry(0)->readonly);
	ck_assert_uint_eq(entry(0)->uid, (uid_t)-1);
	ck_assert_str_eq(entry(1)->type, "fuse.rawmap");
	ck_assert(!entry(1)->readonly);
	ck_assert_uint_eq(entry(1)->uid, 1000);
	ck_assert_uint_eq(entry(1)->gid, 100);
}
END_TEST

START_TEST(escapes_are_resolved)
{
	table = mounttable_parse("36 35 0:7 / /a\\040b\\011c\\012d\\134e rw - "
				 "fuse.rawmap /s\\040t rw\n");
	ck_assert_str_eq(entry(0)->where, "/a b\tc\nd\\e");
	ck_assert_str_eq(entry(0)->source, "/s t");
}
END_TEST

START_TEST(any_number_of_words_stands_before_the_dash)
{
	table = mounttable_parse(
		"1 2 0:7 / /none rw - tmpfs tmpfs rw\n"
		"1 2 0:8 / /three rw shared:1 master:2 unbindable - tmpfs t rw\n"
		"1 2 0:9 / - rw - tmpfs t rw\n");
	ck_assert_str_eq(entry(0)->where, "/none");
	ck_assert_str_eq(entry(1)->source, "t");
	ck_assert_str_eq(entry(2)->where, "-");
}
END_TEST

START_TEST(an_empty_source_is_empty)
{
	table = mounttable_parse("1 2 0:7 / /mnt rw - tmpfs  rw\n");
	ck_assert_str_eq(entry(0)->source, "");
}
END_TEST

static const char *const bad_lines[] = {
	"",
	"\n\n",
	"1",
	"1 2 0:7 / /mnt rw",
	"1 2 0:7 / /mnt rw shared:1",
	"1 2 0:7 / /mnt rw -",
	"1 2 0:7 / /mnt rw - ext4",
	"1 2 0:7 / /mnt rw - ext4 /dev/sda",
	"1 2 seven / /mnt rw - ext4 /dev/sda rw",
};

START_TEST(what_is_no_mount_is_left_out)
{
	table = mounttable_parse(bad_lines[_i]);
	ck_assert_uint_eq(table->len, 0);
}
END_TEST

START_TEST(this_process_has_what_it_reads_that_from)
{
	bool found = false;

	table = mounttable_read(0);
	for (guint i = 0; i < table->len; i++)
		found |= g_str_equal(entry(i)->where, "/proc");
	ck_assert(found);
}
END_TEST

START_TEST(a_process_that_is_gone_has_no_table)
{
	table = mounttable_read(G_MAXINT);
	ck_assert_uint_eq(table->len, 0);
}
END_TEST

static const char swaps[] =
	"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	"/dev/loop3                              partition\t4\t0\t-2\n"
	"/swap\\040file\t\tfile\t\t1048572\t0\t-3\n";

START_TEST(swap_is_found_by_its_name)
{
	ck_assert(inuse_in_swaps(swaps, "/dev/loop3"));
	ck_assert(inuse_in_swaps(swaps, "/swap file"));
	ck_assert(!inuse_in_swaps(swaps, "/dev/loop"));
	ck_assert(!inuse_in_swaps(swaps, "/dev/loop33"));
	ck_assert(!inuse_in_swaps("", "/dev/loop3"));
}
END_TEST

static const struct {
	const char *path, *top;
	bool below;
} places[] = {
	{ "/mnt", "/mnt", true },
	{ "/mnt/disk", "/mnt", true },
	{ "/mnt2", "/mnt", false },
	{ "/mntp1", "/mnt", false },
	{ "/", "/mnt", false },
	{ "", "/mnt", false },
	{ "/dev/loop3", "/dev/loop3", true },
	{ "/dev/loop3p1", "/dev/loop3", true },
	{ "/dev/loop3p", "/dev/loop3", false },
	{ "/dev/loop33", "/dev/loop3", false },
};

START_TEST(below_is_a_folder_or_a_partition)
{
	ck_assert(inuse_is_below(places[_i].path, places[_i].top) ==
		  places[_i].below);
}
END_TEST

/* A number comes again: a filesystem is also what it is of. */
START_TEST(another_process_has_the_same_filesystem_mounted)
{
	g_autofree char *process = NULL, *where = NULL;
	struct mount_entry other;
	int ends[2];
	pid_t child;

	table = mounttable_read(0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	if (!child) {
		char byte;

		close(ends[1]);
		_exit(read(ends[0], &byte, 1) < 0);
	}
	process = inuse_mounted(entry(0), &where);
	ck_assert_ptr_nonnull(process);
	ck_assert_ptr_nonnull(where);

	other = *entry(0);
	other.source = (char *)"another";
	ck_assert_ptr_null(inuse_mounted(&other, NULL));
	other = *entry(0);
	other.type = (char *)"another";
	ck_assert_ptr_null(inuse_mounted(&other, NULL));
	close(ends[0]);
	close(ends[1]);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mounttable");
	TCase *tc = tcase_create("mounttable");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, the_words_are_where_the_kernel_puts_them);
	tcase_add_test(tc, escapes_are_resolved);
	tcase_add_test(tc, any_number_of_words_stands_before_the_dash);
	tcase_add_test(tc, an_empty_source_is_empty);
	tcase_add_loop_test(tc, what_is_no_mount_is_left_out, 0,
			    G_N_ELEMENTS(bad_lines));
	tcase_add_test(tc, this_process_has_what_it_reads_that_from);
	tcase_add_test(tc, a_process_that_is_gone_has_no_table);
	tcase_add_test(tc, swap_is_found_by_its_name);
	tcase_add_loop_test(tc, below_is_a_folder_or_a_partition, 0,
			    G_N_ELEMENTS(places));
	tcase_add_test(tc, another_process_has_the_same_filesystem_mounted);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
