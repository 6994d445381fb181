/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images in parts: which names belong together, and the device of them. */
#include <rawmap/base/error.h>
#include <rawmap/dev/splitraw.h>

#include "support/filebed.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

static void setup(void)
{
	dir = filebed_new();
}

static void teardown(void)
{
	filebed_free(dir);
}

/* Empty files of these names, separated by blanks. */
static void make(const char *names)
{
	g_auto(GStrv) list = g_strsplit(names, " ", -1);

	for (char **name = list; *name; name++)
		filebed_put(dir, *name, "", 0);
}

/* The parts found, without directory, separated by blanks; NULL: none. */
static char *found(const char *first, GError **error)
{
	g_autofree char *path = filebed_path(dir, first);
	g_auto(GStrv) parts = splitraw_parts(path, error);

	if (!parts)
		return NULL;
	for (char **part = parts; *part; part++) {
		char *name = g_path_get_basename(*part);

		g_free(*part);
		*part = name;
	}
	return g_strjoinv(" ", parts);
}

static void ck_found(const char *first, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *names = found(first, &error);

	ck_assert_msg(!error, "%s", error ? error->message : "");
	ck_assert_ptr_nonnull(names);
	ck_assert_str_eq(names, expected);
}

static void ck_alone(const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *names = found(name, &error);

	ck_assert_msg(!error, "%s", error ? error->message : "");
	ck_assert_ptr_null(names);
}

static void ck_refused(const char *name, int code, const char *word)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *names = found(name, &error);

	ck_assert_ptr_null(names);
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error ? error->message : "no error");
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
}

/* ---- names ---- */

static const char *const sequences[] = {
	"a.001 a.002 a.003", "a.000 a.001",	  "a.0001 a.0002 a.0003",
	"a.00001 a.00002",   "a.00000 a.00001",	  "a.aa a.ab a.ac",
	"a.aaa a.aab",	     "a.b.001 a.b.002",	  "a.aaaa a.aaab a.aaac",
	"a.000001 a.000002", "a.raw.aa a.raw.ab",
};

/* @_i: which; files that are no part of it lie around. */
START_TEST(sequence_is_found_from_its_first_part)
{
	g_auto(GStrv) names = g_strsplit(sequences[_i], " ", 2);

	make("a a.1 a.02 a.img b.002 b.ab a.001.txt 002 a001 a002 aa ab");
	make(sequences[_i]);
	ck_found(names[0], sequences[_i]);
}
END_TEST

START_TEST(single_file_is_no_sequence)
{
	make("a.001 b.000 c.aa d e.img .001 .002 f.01 f.02 g.1 g.2");
	make("aa ab h.db h.so i.Aa i.Ab j.00a j.00b k. l.a l.b");
	ck_alone("a.001");
	ck_alone("b.000");
	ck_alone("c.aa");
	ck_alone("d");
	ck_alone("e.img");
	ck_alone(".001");
	ck_alone("f.01");
	ck_alone("g.1");
	ck_alone("aa");
	ck_alone("h.db");
	ck_alone("i.Aa");
	ck_alone("j.00a");
	ck_alone("k.");
	ck_alone("l.a");
	ck_alone("nothing.001");
}
END_TEST

START_TEST(dot_of_a_directory_is_none_of_the_name)
{
	g_autofree char *sub = filebed_path(dir, "d.001");

	ck_assert_int_eq(mkdir(sub, 0700), 0);
	make("d.001/file d.002");
	ck_alone("d.001/file");
	ck_alone("d.001");
	filebed_remove(sub, "file");
	ck_assert_int_eq(rmdir(sub), 0);
}
END_TEST

START_TEST(number_in_the_middle_of_nowhere_is_no_part)
{
	make("a.007 a.008 a.100 b.ab b.ac");
	ck_alone("a.007");
	ck_alone("a.100");
	ck_alone("b.ab");
}
END_TEST

START_TEST(digits_grow_behind_999)
{
	g_autoptr(GString) names = g_string_new("a.000");

	for (unsigned i = 1; i < 1003; i++)
		g_string_append_printf(names, " a.%03u", i);
	make(names->str);
	ck_found("a.000", names->str);
	ck_refused("a.1001", RAWMAP_ERROR_USAGE, "a.000'");
}
END_TEST

/* All names of split(1) from aa to yz. */
static GString *make_letters(void)
{
	GString *names = g_string_new(NULL);

	for (char a = 'a'; a <= 'y'; a++)
		for (char b = 'a'; b <= 'z'; b++)
			g_string_append_printf(names, "%sx.%c%c",
					       names->len ? " " : "", a, b);
	return names;
}

START_TEST(letters_grow_as_split_lets_them)
{
	g_autoptr(GString) names = make_letters();

	g_string_append(names, " x.zaaa x.zaab x.zaac");
	make(names->str);
	ck_found("x.aa", names->str);
	ck_refused("x.zaab", RAWMAP_ERROR_USAGE, "x.aa'");
}
END_TEST

START_TEST(letters_of_fixed_width_end_at_zz)
{
	g_autoptr(GString) names = make_letters();

	for (char b = 'a'; b <= 'z'; b++)
		g_string_append_printf(names, " x.z%c", b);
	make(names->str);
	ck_found("x.aa", names->str);
	ck_refused("x.zc", RAWMAP_ERROR_USAGE, "x.aa'");
}
END_TEST

START_TEST(gap_is_told_with_the_part_that_is_missing)
{
	make("a.001 a.002 a.004 b.000 b.009 c.aa c.ab c.ad d.0001 d.0500");
	ck_refused("a.001", RAWMAP_ERROR_NOT_FOUND, "part 003 is missing");
	ck_refused("b.000", RAWMAP_ERROR_NOT_FOUND, "part 001 is missing");
	ck_refused("c.aa", RAWMAP_ERROR_NOT_FOUND, "part ac is missing");
	ck_refused("d.0001", RAWMAP_ERROR_NOT_FOUND, "part 0002 is missing");
}
END_TEST

START_TEST(gap_before_a_wider_number_is_told)
{
	g_autoptr(GString) names = g_string_new("a.001");

	for (unsigned i = 2; i < 1003; i++)
		if (i != 999)
			g_string_append_printf(names, " a.%03u", i);
	make(names->str);
	ck_refused("a.001", RAWMAP_ERROR_NOT_FOUND, "part 999 is missing");
}
END_TEST

START_TEST(extensions_of_other_files_are_no_part_behind_a_gap)
{
	make("a.aa a.db a.gz a.so b.aa b.ab b.gz b.sh");
	ck_alone("a.aa");
	ck_found("b.aa", "b.aa b.ab");
}
END_TEST

START_TEST(part_that_is_not_the_first_is_refused_with_the_first)
{
	make("a.001 a.002 a.003 b.000 b.001 c.aa c.ab d.0001 d.0002");
	ck_refused("a.003", RAWMAP_ERROR_USAGE, "a.001'");
	ck_refused("b.001", RAWMAP_ERROR_USAGE, "b.000'");
	ck_refused("c.ab", RAWMAP_ERROR_USAGE, "c.aa'");
	ck_refused("d.0002", RAWMAP_ERROR_USAGE, "d.0001'");
}
END_TEST

/* ---- content ---- */

#define PARTS 5
#define TOTAL 300333u

/* Odd sizes in the middle, none at all, and a larger one behind. */
static const size_t sizes[PARTS] = { 65536, 1001, 0, 200000, 33796 };

static char **split_file(const uint8_t *bytes)
{
	g_autofree char *first = filebed_path(dir, "img.001");
	g_autoptr(GError) error = NULL;
	char **parts;

	for (unsigned i = 0; i < PARTS; i++) {
		g_autofree char *name = g_strdup_printf("img.%03u", i + 1);

		filebed_put(dir, name, bytes, sizes[i]);
		bytes += sizes[i];
	}
	parts = splitraw_parts(first, &error);
	ck_assert_msg(parts != NULL, "%s", error ? error->message : "none");
	ck_assert_uint_eq(g_strv_length(parts), PARTS);
	return parts;
}

static uint8_t *join_files(void)
{
	uint8_t *whole = g_malloc(TOTAL);
	size_t at = 0;

	for (unsigned i = 0; i < PARTS; i++) {
		g_autofree char *name = g_strdup_printf("img.%03u", i + 1);
		size_t len;
		g_autofree uint8_t *part = filebed_get(dir, name, &len);

		ck_assert_uint_eq(len, sizes[i]);
		memcpy(whole + at, part, len);
		at += len;
	}
	ck_assert_uint_eq(at, TOTAL);
	return whole;
}

static struct blkdev *open_parts(char **parts, bool readonly)
{
	struct filedev_options opt = { .readonly = readonly, .lock = true };
	g_autoptr(GError) error = NULL;
	struct blkdev *dev = splitraw_open(parts, &opt, &error);

	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	return dev;
}

static uint8_t *random_bytes(GRand *rand)
{
	uint8_t *bytes = g_malloc(TOTAL);

	for (size_t i = 0; i < TOTAL; i++)
		bytes[i] = (uint8_t)g_rand_int(rand);
	return bytes;
}

START_TEST(parts_read_and_written_are_one_image)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	g_autofree uint8_t *model = random_bytes(rand);
	g_autofree uint8_t *buf = g_malloc(TOTAL);
	g_auto(GStrv) parts = split_file(model);
	struct blkdev *dev = open_parts(parts, false);

	ck_assert_uint_eq(blkdev_geometry(dev)->size, TOTAL);
	for (unsigned round = 0; round < 200; round++) {
		size_t pos = (size_t)g_rand_int_range(rand, 0, TOTAL);
		size_t len = (size_t)g_rand_int_range(rand, 1, TOTAL);

		len = MIN(round % 8 ? len % 5000 + 1 : len, TOTAL - pos);
		if (round % 2) {
			ck_assert_int_eq(blkdev_pread(dev, buf, len,
						      dev_off_at(pos)),
					 0);
			ck_assert(!memcmp(buf, model + pos, len));
			continue;
		}
		memset(buf, (int)round, len);
		memcpy(model + pos, buf, len);
		ck_assert_int_eq(blkdev_pwrite(dev, buf, len, dev_off_at(pos)),
				 0);
	}
	ck_assert_int_eq(blkdev_flush(dev), 0);
	blkdev_unref(dev);
	g_free(buf);
	buf = join_files();
	ck_assert(!memcmp(buf, model, TOTAL));
}
END_TEST

START_TEST(readonly_parts_refuse_writes)
{
	g_autofree uint8_t *bytes = g_malloc0(TOTAL);
	g_auto(GStrv) parts = split_file(bytes);
	struct blkdev *dev = open_parts(parts, true);

	ck_assert(blkdev_geometry(dev)->readonly);
	ck_assert_int_eq(blkdev_pwrite(dev, "x", 1, dev_off_at(0)), -EROFS);
	blkdev_unref(dev);
}
END_TEST

START_TEST(every_part_is_locked)
{
	g_autofree uint8_t *bytes = g_malloc0(TOTAL);
	g_auto(GStrv) parts = split_file(bytes);
	struct filedev_options opt = { .lock = true };
	struct blkdev *dev = open_parts(parts, false);

	for (unsigned i = 0; i < PARTS; i++) {
		g_autoptr(GError) error = NULL;

		ck_assert_ptr_null(filedev_open(parts[i], &opt, &error));
		ck_assert(g_error_matches(error, RAWMAP_ERROR,
					  RAWMAP_ERROR_BUSY));
	}
	blkdev_unref(dev);
	for (unsigned i = 0; i < PARTS; i++)
		blkdev_unref(filedev_open(parts[i], &opt, NULL));
}
END_TEST

START_TEST(part_that_cannot_be_opened_is_named)
{
	g_autofree uint8_t *bytes = g_malloc0(TOTAL);
	g_auto(GStrv) parts = split_file(bytes);
	struct filedev_options opt = { .lock = true };
	g_autoptr(GError) error = NULL;

	filebed_remove(dir, "img.004");
	ck_assert_ptr_null(splitraw_open(parts, &opt, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND));
	ck_assert_ptr_nonnull(strstr(error->message, "img.004"));
}
END_TEST

/* ---- the limit of open files ---- */

#define MANY 300

/*
 * In a process of its own, which may have @hard files open (0: as many as
 * ever), @soft before anything is done about it. The word is in the error;
 * NULL: all parts open and can be read.
 */
static void ck_limited(rlim_t soft, rlim_t hard, const char *word)
{
	g_autofree char *first = filebed_path(dir, "many.000");
	g_auto(GStrv) parts = NULL;
	int status;
	pid_t pid;

	for (unsigned i = 0; i < MANY; i++) {
		g_autofree char *name = g_strdup_printf("many.%03u", i);

		filebed_put(dir, name, "x", 1);
	}
	parts = splitraw_parts(first, NULL);
	ck_assert_uint_eq(g_strv_length(parts), MANY);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct filedev_options opt = { .readonly = true };
		GError *error = NULL;
		struct rlimit limit;
		struct blkdev *dev;
		char last = 0;

		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = soft;
		if (hard)
			limit.rlim_max = hard;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			_exit(2);
		dev = splitraw_open(parts, &opt, &error);
		if (word)
			_exit(dev || !strstr(error->message, word));
		_exit(!dev ||
		      blkdev_pread(dev, &last, 1, dev_off_at(MANY - 1)) ||
		      last != 'x');
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x",
		      (unsigned)status);
}

START_TEST(soft_limit_of_open_files_is_raised)
{
	ck_limited(64, 0, NULL);
}
END_TEST

START_TEST(hard_limit_of_open_files_is_told)
{
	ck_limited(200, 200, "ulimit");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("splitraw");
	TCase *names = tcase_create("names"), *io = tcase_create("io");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, names);
	tcase_add_checked_fixture(names, setup, teardown);
	tcase_add_loop_test(names, sequence_is_found_from_its_first_part, 0,
			    (int)G_N_ELEMENTS(sequences));
	tcase_add_test(names, single_file_is_no_sequence);
	tcase_add_test(names, dot_of_a_directory_is_none_of_the_name);
	tcase_add_test(names, number_in_the_middle_of_nowhere_is_no_part);
	tcase_add_test(names, digits_grow_behind_999);
	tcase_add_test(names, letters_grow_as_split_lets_them);
	tcase_add_test(names, letters_of_fixed_width_end_at_zz);
	tcase_add_test(names, gap_is_told_with_the_part_that_is_missing);
	tcase_add_test(names, gap_before_a_wider_number_is_told);
	tcase_add_test(names,
		       extensions_of_other_files_are_no_part_behind_a_gap);
	tcase_add_test(names,
		       part_that_is_not_the_first_is_refused_with_the_first);
	suite_add_tcase(suite, io);
	tcase_add_checked_fixture(io, setup, teardown);
	tcase_add_test(io, parts_read_and_written_are_one_image);
	tcase_add_test(io, readonly_parts_refuse_writes);
	tcase_add_test(io, every_part_is_locked);
	tcase_add_test(io, part_that_cannot_be_opened_is_named);
	tcase_add_test(io, soft_limit_of_open_files_is_raised);
	tcase_add_test(io, hard_limit_of_open_files_is_told);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
