/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write by the path of its file: how it is made, what it refuses, what
 * it leaves alone, and where the kernel may do the I/O by itself. Files stand
 * in the working directory: /tmp may be a filesystem without direct I/O.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/cow.h>
#include <rawmap/dev/filedev.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLUSTER	 4096u
#define SIZE	 (2u << 20)
#define STORE	 (SIZE + (1u << 20))
#define HALF_OFF (STORE / 2)

static char folder[] = "cow-XXXXXX";
static char source[64], file[64];
static struct blkdev *lower;
static _Alignas(4096) uint8_t memory[2 * CLUSTER];

static void setup(void)
{
	g_autofree char *bytes = g_malloc(SIZE);

	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(source, sizeof(source), "%s/source", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	memset(bytes, 's', SIZE);
	ck_assert(g_file_set_contents(source, bytes, SIZE, NULL));
	lower = filedev_open(source,
			     &(struct filedev_options){ .readonly = true,
							.lock = true },
			     NULL);
	ck_assert_ptr_nonnull(lower);
}

static void teardown(void)
{
	blkdev_unref(lower);
	unlink(file);
	unlink(source);
	rmdir(folder);
}

static struct blkdev *open_it(void)
{
	g_autoptr(GError) error = NULL;
	struct blkdev *cow = cow_open(lower, NULL, file, source, &error);

	ck_assert_msg(cow != NULL, "%s", error ? error->message : "no error");
	return cow;
}

static void ck_refused(const char *path, int code)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(cow_open(lower, NULL, path, source, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error ? error->message : "no error");
	ck_assert_ptr_nonnull(strstr(error->message, path));
}

static void put(struct blkdev *cow, const char *text, uint64_t pos)
{
	ck_assert_int_eq(
		blkdev_pwrite(cow, text, strlen(text), dev_off_at(pos)), 0);
}

static void ck_has(struct blkdev *cow, const char *text, uint64_t pos)
{
	char got[32] = "";

	ck_assert_int_eq(blkdev_pread(cow, got, strlen(text), dev_off_at(pos)),
			 0);
	ck_assert_str_eq(got, text);
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st;
}

/* ---- made ---- */

START_TEST(a_missing_file_is_made_sparse_and_private)
{
	struct stat st;

	blkdev_unref(open_it());
	st = stat_of(file);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(st.st_size, STORE);
	ck_assert_int_lt(st.st_blocks, 2 * 64);
}
END_TEST

START_TEST(an_empty_file_is_taken)
{
	struct blkdev *cow;

	ck_assert(g_file_set_contents(file, "", 0, NULL));
	cow = open_it();
	ck_has(cow, "sss", 5);
	blkdev_unref(cow);
}
END_TEST

START_TEST(changes_are_there_another_day)
{
	struct blkdev *cow = open_it();

	put(cow, "hello", 12345);
	blkdev_unref(cow);
	cow = open_it();
	ck_has(cow, "shellos", 12344);
	put(cow, "world", SIZE - 5);
	ck_assert_int_eq(blkdev_flush(cow), 0);
	blkdev_unref(cow);
	cow = open_it();
	ck_has(cow, "shellos", 12344);
	ck_has(cow, "world", SIZE - 5);
	blkdev_unref(cow);
}
END_TEST

START_TEST(the_source_stays_as_it_is)
{
	struct stat before = stat_of(source), after;
	struct blkdev *cow = open_it();
	g_autofree char *bytes = NULL, *want = g_malloc(SIZE);
	gsize len;

	put(cow, "hello", 0);
	ck_assert_int_eq(blkdev_zero(cow, SIZE / 2, dev_off_at(SIZE / 4)), 0);
	ck_assert_int_eq(blkdev_discard(cow, SIZE, dev_off_at(0)), 0);
	blkdev_unref(cow);
	after = stat_of(source);
	ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	ck_assert(g_file_get_contents(source, &bytes, &len, NULL));
	ck_assert_uint_eq(len, SIZE);
	memset(want, 's', SIZE);
	ck_assert(!memcmp(bytes, want, SIZE));
}
END_TEST

START_TEST(discard_gives_room_back_where_zeros_are_read_then)
{
	struct blkdev *cow = open_it();
	g_autofree char *zeros = g_malloc0(SIZE / 2);
	g_autofree char *got = g_malloc(SIZE / 2);
	blkcnt_t full;

	ck_assert(blkdev_geometry(cow)->can_discard);
	memset(got, 'x', SIZE / 2);
	ck_assert_int_eq(blkdev_pwrite(cow, got, SIZE / 2, dev_off_at(0)), 0);
	ck_assert_int_eq(blkdev_flush(cow), 0);
	full = stat_of(file).st_blocks;
	ck_assert_int_eq(blkdev_discard(cow, SIZE / 2, dev_off_at(0)), 0);
	ck_assert_int_le(stat_of(file).st_blocks, full - SIZE / 2 / 512);
	ck_assert_int_eq(blkdev_pread(cow, got, SIZE / 2, dev_off_at(0)), 0);
	ck_assert(!memcmp(got, zeros, SIZE / 2));
	blkdev_unref(cow);
}
END_TEST

/* ---- half made: what a crash may leave ---- */

static void make_hole(off_t size)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void write_at(const char *path, const void *bytes, size_t len, off_t pos)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, bytes, len, pos), (ssize_t)len);
	close(fd);
}

START_TEST(a_file_without_a_header_is_finished)
{
	struct blkdev *cow;

	make_hole(STORE);
	cow = open_it();
	ck_has(cow, "sss", 5);
	blkdev_unref(cow);
}
END_TEST

START_TEST(a_file_without_the_start_of_its_header_is_finished)
{
	static const char zeros[512];
	struct blkdev *cow;

	blkdev_unref(open_it());
	write_at(file, zeros, sizeof(zeros), 0);
	cow = open_it();
	put(cow, "hello", 0);
	blkdev_unref(cow);
	cow = open_it();
	ck_has(cow, "hellos", 0);
	blkdev_unref(cow);
}
END_TEST

/* @_i: where there is something in it */
START_TEST(a_file_with_anything_else_in_it_is_left_alone)
{
	static const off_t at[] = { 0, 4096, 5000, 70000, STORE - 1 };
	g_autofree char *before = NULL, *after = NULL;
	gsize len;

	make_hole(STORE);
	write_at(file, "x", 1, at[_i]);
	ck_assert(g_file_get_contents(file, &before, NULL, NULL));
	ck_refused(file, RAWMAP_ERROR_CORRUPT);
	ck_assert(g_file_get_contents(file, &after, &len, NULL));
	ck_assert_uint_eq(len, STORE);
	ck_assert(!memcmp(before, after, STORE));
}
END_TEST

/* It may be somebody's new disk image. */
START_TEST(a_hole_of_another_size_is_left_alone)
{
	make_hole(STORE + CLUSTER);
	ck_refused(file, RAWMAP_ERROR_CORRUPT);
	ck_assert_int_eq(stat_of(file).st_size, STORE + CLUSTER);
	ck_assert_int_eq(stat_of(file).st_blocks, 0);
}
END_TEST

/* ---- refused ---- */

START_TEST(a_file_in_use_is_busy)
{
	struct blkdev *cow = open_it();

	ck_refused(file, RAWMAP_ERROR_BUSY);
	put(cow, "hello", 0);
	blkdev_unref(cow);
	cow = open_it();
	ck_has(cow, "hello", 0);
	blkdev_unref(cow);
}
END_TEST

START_TEST(the_source_itself_is_a_usage_error)
{
	ck_refused(source, RAWMAP_ERROR_USAGE);
	ck_assert_int_eq(link(source, file), 0);
	ck_refused(file, RAWMAP_ERROR_USAGE);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
	ck_refused(folder, RAWMAP_ERROR_NOT_A_FILE);
	ck_refused("/dev/null", RAWMAP_ERROR_NOT_A_FILE);
	ck_assert_int_eq(mkfifo(file, 0600), 0);
	ck_refused(file, RAWMAP_ERROR_NOT_A_FILE);
}
END_TEST

START_TEST(a_missing_folder_is_not_found)
{
	ck_refused("no-such-folder/file", RAWMAP_ERROR_NOT_FOUND);
}
END_TEST

START_TEST(no_permission_to_write_is_readonly)
{
	if (!geteuid()) {
		printf("skipped: root may write everything\n");
		return;
	}
	blkdev_unref(open_it());
	ck_assert_int_eq(chmod(file, 0400), 0);
	ck_refused(file, RAWMAP_ERROR_READONLY);
	unlink(file);
	ck_assert_int_eq(chmod(folder, 0500), 0);
	ck_refused(file, RAWMAP_ERROR_READONLY);
	ck_assert_int_eq(chmod(folder, 0700), 0);
}
END_TEST

START_TEST(a_file_of_anything_is_left_alone)
{
	g_autofree char *bytes = NULL;

	ck_assert(g_file_set_contents(file, "my thesis", -1, NULL));
	ck_refused(file, RAWMAP_ERROR_CORRUPT);
	ck_assert(g_file_get_contents(file, &bytes, NULL, NULL));
	ck_assert_str_eq(bytes, "my thesis");
}
END_TEST

START_TEST(a_file_that_was_cut_off_is_corrupt)
{
	blkdev_unref(open_it());
	ck_assert_int_eq(truncate(file, HALF_OFF), 0);
	ck_refused(file, RAWMAP_ERROR_CORRUPT);
}
END_TEST

START_TEST(a_changed_source_is_refused)
{
	blkdev_unref(open_it());
	write_at(source, "x", 1, 1024);
	ck_refused(file, RAWMAP_ERROR_FAILED);
}
END_TEST

START_TEST(a_source_that_grew_is_refused)
{
	blkdev_unref(open_it());
	blkdev_unref(lower);
	ck_assert_int_eq(truncate(source, SIZE + 512), 0);
	lower = filedev_open(
		source, &(struct filedev_options){ .readonly = true }, NULL);
	ck_refused(file, RAWMAP_ERROR_FAILED);
}
END_TEST

/* The source is cut off behind our back: no block can be read. */
START_TEST(a_failure_leaves_nothing_behind)
{
	ck_assert_int_eq(truncate(source, 0), 0);
	ck_refused(file, RAWMAP_ERROR_IO);
	ck_assert_int_eq(access(file, F_OK), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* ---- the raw way ---- */

static bool raw(struct blkdev *cow, enum blkdev_io io, uint64_t pos,
		uint64_t len, struct blkdev_raw *ret)
{
	return blkdev_raw(cow, io, memory, len, dev_off_at(pos), ret);
}

START_TEST(what_is_absent_is_read_from_the_source)
{
	struct blkdev *cow = open_it();
	struct blkdev_raw at;

	ck_assert(raw(cow, BLKDEV_READ, CLUSTER, 2 * CLUSTER, &at));
	ck_assert_ptr_eq(at.dev, lower);
	ck_assert_uint_eq(at.pos.v, CLUSTER);
	blkdev_unref(cow);
}
END_TEST

/* Even where that could be written. */
START_TEST(what_is_absent_is_never_written_in_the_source)
{
	struct filedev_options opt = { .lock = false };
	struct blkdev *writable = filedev_open(source, &opt, NULL);
	struct blkdev *cow = cow_open(writable, NULL, file, source, NULL);
	struct blkdev_raw at;

	ck_assert_ptr_nonnull(cow);
	ck_assert(!raw(cow, BLKDEV_WRITE, CLUSTER, CLUSTER, &at));
	blkdev_unref(cow);
	blkdev_unref(writable);
}
END_TEST

START_TEST(what_is_present_is_read_and_written_in_the_file)
{
	struct blkdev *cow = open_it();
	struct blkdev_raw at;

	put(cow, "x", CLUSTER);
	put(cow, "x", 2 * CLUSTER);
	ck_assert(raw(cow, BLKDEV_WRITE, CLUSTER, 2 * CLUSTER, &at));
	ck_assert_ptr_ne(at.dev, lower);
	ck_assert_uint_eq(at.pos.v, STORE - SIZE + CLUSTER);
	ck_assert(raw(cow, BLKDEV_READ, CLUSTER, 2 * CLUSTER, &at));
	ck_assert_ptr_ne(at.dev, lower);
	ck_assert_uint_eq(at.pos.v, STORE - SIZE + CLUSTER);
	memset(memory, 'r', sizeof(memory));
	ck_assert_int_eq(pwrite(at.fd, memory, sizeof(memory), (off_t)at.pos.v),
			 sizeof(memory));
	ck_has(cow, "srrr", CLUSTER - 1);
	blkdev_unref(cow);
}
END_TEST

START_TEST(what_is_both_has_no_raw_way)
{
	struct blkdev *cow = open_it();
	struct blkdev_raw at;

	put(cow, "x", CLUSTER);
	ck_assert(!raw(cow, BLKDEV_READ, 0, 2 * CLUSTER, &at));
	ck_assert(!raw(cow, BLKDEV_READ, CLUSTER, 2 * CLUSTER, &at));
	ck_assert(!raw(cow, BLKDEV_WRITE, 0, 2 * CLUSTER, &at));
	blkdev_unref(cow);
}
END_TEST

/* Whoever did it would not tell what became of it. */
START_TEST(no_flush_goes_raw)
{
	struct blkdev *cow = open_it();
	struct blkdev_raw at;

	ck_assert(!raw(cow, BLKDEV_FLUSH, 0, 0, &at));
	put(cow, "x", 0);
	ck_assert_int_eq(blkdev_flush(cow), 0);
	ck_assert(!raw(cow, BLKDEV_FLUSH, 0, 0, &at));
	blkdev_unref(cow);
}
END_TEST

static void add_making(Suite *suite)
{
	TCase *tc = tcase_create("making");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_missing_file_is_made_sparse_and_private);
	tcase_add_test(tc, an_empty_file_is_taken);
	tcase_add_test(tc, changes_are_there_another_day);
	tcase_add_test(tc, the_source_stays_as_it_is);
	tcase_add_test(tc, discard_gives_room_back_where_zeros_are_read_then);
	tcase_add_test(tc, a_file_without_a_header_is_finished);
	tcase_add_test(tc, a_file_without_the_start_of_its_header_is_finished);
	tcase_add_loop_test(tc, a_file_with_anything_else_in_it_is_left_alone,
			    0, 5);
	tcase_add_test(tc, a_hole_of_another_size_is_left_alone);
}

static void add_refusing(Suite *suite)
{
	TCase *tc = tcase_create("refusing");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_file_in_use_is_busy);
	tcase_add_test(tc, the_source_itself_is_a_usage_error);
	tcase_add_test(tc, what_is_no_regular_file_is_refused);
	tcase_add_test(tc, a_missing_folder_is_not_found);
	tcase_add_test(tc, no_permission_to_write_is_readonly);
	tcase_add_test(tc, a_file_of_anything_is_left_alone);
	tcase_add_test(tc, a_file_that_was_cut_off_is_corrupt);
	tcase_add_test(tc, a_changed_source_is_refused);
	tcase_add_test(tc, a_source_that_grew_is_refused);
	tcase_add_test(tc, a_failure_leaves_nothing_behind);
}

static void add_raw(Suite *suite)
{
	TCase *tc = tcase_create("raw");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_absent_is_read_from_the_source);
	tcase_add_test(tc, what_is_absent_is_never_written_in_the_source);
	tcase_add_test(tc, what_is_present_is_read_and_written_in_the_file);
	tcase_add_test(tc, what_is_both_has_no_raw_way);
	tcase_add_test(tc, no_flush_goes_raw);
}

int main(void)
{
	Suite *suite = suite_create("cow file");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_making(suite);
	add_refusing(suite);
	add_raw(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
