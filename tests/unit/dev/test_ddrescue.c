/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ddrescue's map files: those that ddrescue and ddrescuelog make, with
 * ddrescuelog as the judge, and those that nobody should make.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/ddrescue.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define LAST   ((uint64_t)INT64_MAX) /* where the last range ends */

static char dir[] = "ddrescue-XXXXXX";
static char *map;
static struct badranges *bad;

static void setup(void)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	map = g_build_filename(dir, "map", NULL);
	bad = badranges_new(BADRANGES_MAX);
}

static void teardown(void)
{
	static const char *const names[] = { "map", "other", "in", "out" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(dir, names[i], NULL);

		unlink(path);
	}
	rmdir(dir);
	g_free(map);
	badranges_free(bad);
}

static void write_map(const char *text)
{
	ck_assert(g_file_set_contents(map, text, -1, NULL));
}

static void ck_read(void)
{
	g_autoptr(GError) error = NULL;
	bool ok = ddrescue_read(map, bad, &error);

	ck_assert_msg(ok, "%s", error ? error->message : "no error");
	ck_assert_ptr_null(error);
}

/* Refused as corrupt, with @part in the sentence, and nothing was added. */
static void ck_refused(const char *part)
{
	g_autoptr(GError) error = NULL;

	ck_assert(!ddrescue_read(map, bad, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	ck_assert_msg(strstr(error->message, part) != NULL, "'%s' is not in %s",
		      part, error->message);
	ck_assert_uint_eq(badranges_count(bad), 0);
}

static void ck_range(size_t i, uint64_t start, uint64_t len)
{
	struct badrange r = badranges_at(bad, i);

	ck_assert_uint_eq(r.start.v, start);
	ck_assert_uint_eq(r.len, len);
}

/* ---- files that are right ---- */

START_TEST(what_is_not_finished_is_bad)
{
	write_map("# Mapfile. Created by hand\n"
		  "# current_pos  current_status  current_pass\n"
		  "0x00120000     ?               1\n"
		  "#      pos        size  status\n"
		  "0x00000000  0x00001000  +\n"
		  "0x00001000  0x00000200  -\n"
		  "0x00001200  0x00000e00  +\n"
		  "0x00002000  0x00001000  /\n"
		  "0x00003000  0x00001000  +\n"
		  "0x00004000  0x00001000  *\n"
		  "0x00005000  0x00001000  +\n"
		  "0x00006000  0x00001000  ?\n"
		  "0x00007000  0x00001000  +\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 5);
	ck_range(0, 0x1000, 0x200);
	ck_range(1, 0x2000, 0x1000);
	ck_range(2, 0x4000, 0x1000);
	ck_range(3, 0x6000, 0x1000);
	ck_range(4, 0x8000, LAST - 0x8000);
}
END_TEST

START_TEST(neighbours_of_any_state_are_one_range)
{
	write_map("0 ? 1\n0 512 -\n512 512 *\n1024 512 /\n1536 512 ?\n"
		  "2048 512 +\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 2);
	ck_range(0, 0, 2048);
	ck_range(1, 2560, LAST - 2560);
}
END_TEST

START_TEST(what_lies_outside_the_map_was_not_tried)
{
	write_map("0 + 1\n4096 512 +\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 2);
	ck_range(0, 0, 4096);
	ck_range(1, 4608, LAST - 4608);
}
END_TEST

START_TEST(numbers_are_hexadecimal_decimal_or_octal)
{
	write_map("07 F 3\n0 0X200 +\n512 01000 -\n0x400 1024 +\n");
	ck_read();
	ck_range(0, 512, 512);
	ck_range(1, 2048, LAST - 2048);
}
END_TEST

START_TEST(a_status_line_without_a_pass_is_an_old_one)
{
	write_map("0x0 +\n0 512 +\n");
	ck_read();
	ck_range(0, 512, LAST - 512);
}
END_TEST

/* @_i: the status. */
START_TEST(every_status_of_the_program_is_known)
{
	char text[] = "0 ? 1\n0 512 +\n";

	text[2] = "?*/-FG+"[_i];
	write_map(text);
	ck_read();
}
END_TEST

START_TEST(comments_blanks_and_line_ends_do_not_matter)
{
	g_autoptr(GString) text = g_string_new("\n\n   # one\n\t");

	/* Longer than any buffer. */
	g_string_append_c(text, '#');
	for (unsigned i = 0; i < 100000; i++)
		g_string_append(text, "\xff#x ");
	g_string_append(text, "\r\n 0\t?  1 # pass\r\n\n0  512 + #\n"
			      "\t512 512 -\t# bad\n#\n   \n1024 512 +");
	write_map(text->str);
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 2);
	ck_range(0, 512, 512);
}
END_TEST

START_TEST(a_block_of_no_bytes_is_one)
{
	write_map("0 + 1\n0 0 -\n0 512 +\n512 0 -\n512 512 +\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 1);
	ck_range(0, 1024, LAST - 1024);
}
END_TEST

/* As ddrescue writes it where it could not learn the size of the disk. */
START_TEST(a_map_up_to_the_last_position)
{
	write_map("0 ? 1\n0 0x200 +\n0x200 0x7FFFFFFFFFFFFDFF ?\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 1);
	ck_range(0, 512, LAST - 512);
}
END_TEST

START_TEST(ranges_are_added_to_those_that_are_there)
{
	badranges_add(bad, dev_off_at(5), 5);
	write_map("0 + 1\n0 512 +\n");
	ck_read();
	ck_assert_uint_eq(badranges_count(bad), 2);
	ck_range(0, 5, 5);
}
END_TEST

START_TEST(more_ranges_than_the_limit_are_fewer_and_coarse)
{
	g_autoptr(GString) text = g_string_new("0 + 1\n");

	for (uint64_t i = 0; i < BADRANGES_MAX + 10; i++) {
		g_string_append_printf(text, "%" G_GUINT64_FORMAT " 1 -\n",
				       i * 2);
		g_string_append_printf(text, "%" G_GUINT64_FORMAT " 1 +\n",
				       i * 2 + 1);
	}
	write_map(text->str);
	ck_read();
	ck_assert(badranges_is_coarse(bad));
	ck_assert_uint_le(badranges_count(bad), BADRANGES_MAX);
	for (uint64_t i = 0; i < BADRANGES_MAX + 10; i++)
		ck_assert(badranges_touches(bad, dev_off_at(i * 2), 1));
}
END_TEST

START_TEST(a_pipe_is_a_file_too)
{
	FILE *pipe = popen("printf '0 + 1\\n0 512 -\\n512 512 +\\n'", "re");
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;

	ck_assert_ptr_nonnull(pipe);
	path = g_strdup_printf("/proc/self/fd/%d", fileno(pipe));
	ck_assert(ddrescue_read(path, bad, &error));
	pclose(pipe);
	ck_range(0, 0, 512);
}
END_TEST

/* ---- files that are wrong ---- */

static const struct {
	const char *text, *says;
} wrong[] = {
	{ "", "line 1: the file is over" },
	{ "# nothing\n\n", "line 3: the file is over" },
	{ "0 + 1\n", "line 2: the file is over and had no block" },
	/* status */
	{ "0\n0 512 +\n", "line 1: a ddrescue map file begins" },
	{ "?\n", "line 1: a ddrescue" },
	{ "0 x 1\n0 512 +\n", "line 1: a ddrescue" },
	{ "0 +1\n0 512 +\n", "line 1: a ddrescue" },
	{ "0 ++\n0 512 +\n", "line 1: a ddrescue" },
	{ "-1 + 1\n0 512 +\n", "line 1: a ddrescue" },
	{ "0x8000000000000000 + 1\n0 512 +\n", "line 1: a ddrescue" },
	{ "# old\n0 512 +\n512 512 +\n", "line 2: a ddrescue" },
	{ "0 + 0\n0 512 +\n", "line 1: behind the status" },
	{ "0 + 0x1\n0 512 +\n", "line 1: behind the status" },
	{ "0 + -1\n0 512 +\n", "line 1: behind the status" },
	{ "0 + 1a\n0 512 +\n", "line 1: behind the status" },
	{ "0 + 1 1\n0 512 +\n", "line 1: behind the status" },
	/* blocks */
	{ "0 + 1\n0 512\n", "line 2: a block is" },
	{ "0 + 1\n0 512 +\n512 0x20", "line 3: a block is" },
	{ "0 + 1\n0 + 512\n", "line 2: a block is" },
	{ "0 + 1\n0 512 x\n", "line 2: a block is" },
	{ "0 + 1\n0 512 F\n", "line 2: a block is" },
	{ "0 + 1\n0 512 + +\n", "line 2: a block is" },
	{ "0 + 1\n0 512 +-\n", "line 2: a block is" },
	{ "0 + 1\n0 512+\n", "line 2: a block is" },
	{ "0 + 1\n0 512 +#\n", "line 2: a block is" },
	{ "0 + 1\n0 -512 +\n", "line 2: a block is" },
	{ "0 + 1\n+0 512 +\n", "line 2: a block is" },
	{ "0 + 1\n0 512k +\n", "line 2: a block is" },
	{ "0 + 1\n0 5.12 +\n", "line 2: a block is" },
	{ "0 + 1\n0 08 +\n", "line 2: a block is" },
	{ "0 + 1\n0 0x +\n", "line 2: a block is" },
	{ "0 + 1\n0 0xg +\n", "line 2: a block is" },
	{ "0 + 1\n0 0b1 +\n", "line 2: a block is" },
	{ "0 + 1\n0 ff +\n", "line 2: a block is" },
	{ "0 + 1\n0 0x8000000000000000 +\n", "line 2: a block is" },
	{ "0 + 1\n0 99999999999999999999999 +\n", "line 2: a block is" },
	{ "0 + 1\n0 0x10000000000000200 +\n", "line 2: a block is" },
	/* places */
	{ "0 + 1\n0 512 +\n1024 512 +\n", "line 3: the block begins at byte "
					  "1024, the one before ends at byte "
					  "512" },
	{ "0 + 1\n0 512 +\n511 512 -\n", "line 3: the block begins" },
	{ "0 + 1\n512 512 +\n0 512 -\n", "line 3: the block begins" },
	{ "0 + 1\n0 512 +\n0 512 +\n", "line 3: the block begins" },
	{ "0 + 1\n1 0x7fffffffffffffff +\n", "line 2: the block ends" },
	/* bytes */
	{ "0 + 1\n0 512 \xc2\xa0+\n", "line 2: this is no text" },
	{ "0 + 1\n\x01\n0 512 +\n", "line 2: this is no text" },
};

START_TEST(what_is_wrong_is_refused_with_its_line)
{
	write_map(wrong[_i].text);
	ck_refused(wrong[_i].says);
}
END_TEST

START_TEST(a_zero_byte_ends_no_line)
{
	static const char text[] = "0 + 1\n0 512 +\0junk\n";

	ck_assert(g_file_set_contents(map, text, sizeof(text) - 1, NULL));
	ck_refused("line 2: this is no text");
}
END_TEST

START_TEST(an_endless_line_is_refused)
{
	g_autoptr(GString) text = g_string_new("0 + 1\n0 0x");

	for (unsigned i = 0; i < 1000; i++)
		g_string_append_c(text, '0');
	g_string_append(text, "200 +\n");
	write_map(text->str);
	ck_refused("line 2: this is no text");
}
END_TEST

START_TEST(a_device_without_an_end_is_refused)
{
	g_autoptr(GError) error = NULL;

	ck_assert(!ddrescue_read("/dev/zero", bad, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
}
END_TEST

START_TEST(a_file_that_is_not_there_is_not_found)
{
	g_autoptr(GError) error = NULL;

	ck_assert(!ddrescue_read(map, bad, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND));
	ck_assert_ptr_nonnull(strstr(error->message, map));
}
END_TEST

START_TEST(a_directory_cannot_be_read)
{
	g_autoptr(GError) error = NULL;

	ck_assert(!ddrescue_read(dir, bad, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO));
}
END_TEST

START_TEST(nothing_is_added_by_a_file_that_is_wrong_at_its_end)
{
	write_map("0 + 1\n0 512 -\n512 512 +\n1024 512 -\nx\n");
	ck_refused("line 5: a block is");
}
END_TEST

/* ---- files that ddrescue made ---- */

static void run(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void run(const char *format, ...)
{
	g_autofree char *command = NULL;
	va_list args;

	va_start(args, format);
	command = g_strdup_vprintf(format, args);
	va_end(args);
	ck_assert_msg(!system(command), "failed: %s", command);
}

static bool have_ddrescue(void)
{
	g_autofree char *tool = g_find_program_in_path("ddrescue");
	g_autofree char *log = g_find_program_in_path("ddrescuelog");

	if (tool && log)
		return true;
	printf("skipped: no ddrescue here\n");
	return false;
}

/* What ddrescuelog says of each sector below @sectors is what was read. */
static void ck_judge(uint64_t sectors)
{
	g_autofree bool *said = g_new0(bool, sectors);
	g_autofree char *command = g_strdup_printf(
		"ddrescuelog -l '?*/-' -s %" G_GUINT64_FORMAT " '%s'",
		sectors * SECTOR, map);
	FILE *pipe = popen(command, "re");
	unsigned long long n;

	ck_assert_ptr_nonnull(pipe);
	while (fscanf(pipe, "%llu", &n) == 1) {
		ck_assert_uint_lt(n, sectors);
		said[n] = true;
	}
	ck_assert_int_eq(pclose(pipe), 0);
	ck_read();
	for (uint64_t i = 0; i < sectors; i++)
		ck_assert_msg(badranges_touches(bad, dev_off_at(i * SECTOR),
						SECTOR) == said[i],
			      "sector %" G_GUINT64_FORMAT, i);
}

/* The sectors of @which are of the first type, all others of the second. */
static void create_map(const char *name, const char *types, uint64_t sectors,
		       GRand *rand)
{
	g_autofree char *list = g_build_filename(dir, "other", NULL);
	g_autoptr(GString) text = g_string_new(NULL);

	for (uint64_t i = 0; i < sectors; i++)
		if (!g_rand_int_range(rand, 0, 4))
			g_string_append_printf(text, "%" G_GUINT64_FORMAT "\n",
					       i);
	ck_assert(g_file_set_contents(list, text->str, -1, NULL));
	run("ddrescuelog -f -c%s -s %" G_GUINT64_FORMAT " '%s/%s' <'%s'", types,
	    sectors * SECTOR, dir, name, list);
}

START_TEST(maps_that_ddrescuelog_creates)
{
	static const char *const types[] = { "+-", "-+", "?+", "+*", "/+" };
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);

	if (!have_ddrescue())
		return;
	create_map("map", types[_i], 2000, rand);
	ck_judge(2000);
	ck_assert_uint_gt(badranges_count(bad), 200);
}
END_TEST

/* Comments behind blocks. */
START_TEST(maps_that_ddrescuelog_annotates)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(77);

	if (!have_ddrescue())
		return;
	create_map("out", "-+", 500, rand);
	run("ddrescuelog -A '%s/out' >'%s'", dir, map);
	ck_judge(500);
}
END_TEST

START_TEST(maps_that_ddrescuelog_shifts)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(78);

	if (!have_ddrescue())
		return;
	create_map("out", "-+", 500, rand);
	run("ddrescuelog --shift -i0 -o 51200 '%s/out' >'%s'", dir, map);
	ck_judge(600);
	ck_assert(badranges_touches(bad, dev_off_at(0), 1));
}
END_TEST

/*
 * A rescue of a disk with bad sectors: ddrescue takes those for bad that a map
 * does not call finished. @_i: whether it looks for good ones between them.
 */
START_TEST(the_map_of_a_rescue)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(79);
	g_autofree char *in = g_build_filename(dir, "in", NULL);

	if (!have_ddrescue())
		return;
	create_map("out", "-+", 1000, rand);
	run("mv '%s/out' '%s/other'", dir, dir);
	ck_assert(g_file_set_contents(in, "", 0, NULL));
	ck_assert_int_eq(truncate(in, 1000 * SECTOR), 0);
	run("ddrescue -q %s -H '%s/other' '%s' '%s/out' '%s'",
	    _i ? "" : "--no-scrape --no-trim", dir, in, dir, map);
	ck_judge(1000);
	ck_assert_uint_gt(badranges_count(bad), _i ? 100 : 0);
}
END_TEST

/* A small part of a disk: all else was not tried. */
START_TEST(the_map_of_a_partial_rescue)
{
	g_autofree char *in = g_build_filename(dir, "in", NULL);

	if (!have_ddrescue())
		return;
	ck_assert(g_file_set_contents(in, "", 0, NULL));
	ck_assert_int_eq(truncate(in, 1000 * SECTOR), 0);
	run("ddrescue -q -i 10240 -s 5120 '%s' '%s/out' '%s'", in, dir, map);
	ck_judge(1000);
	ck_assert(!badranges_touches(bad, dev_off_at(10240), 5120));
	ck_assert(badranges_touches(bad, dev_off_at(10239), 1));
	ck_assert(badranges_touches(bad, dev_off_at(15360), 1));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, what_is_not_finished_is_bad);
	tcase_add_test(tc, neighbours_of_any_state_are_one_range);
	tcase_add_test(tc, what_lies_outside_the_map_was_not_tried);
	tcase_add_test(tc, numbers_are_hexadecimal_decimal_or_octal);
	tcase_add_test(tc, a_status_line_without_a_pass_is_an_old_one);
	tcase_add_loop_test(tc, every_status_of_the_program_is_known, 0, 7);
	tcase_add_test(tc, comments_blanks_and_line_ends_do_not_matter);
	tcase_add_test(tc, a_block_of_no_bytes_is_one);
	tcase_add_test(tc, a_map_up_to_the_last_position);
	tcase_add_test(tc, ranges_are_added_to_those_that_are_there);
	tcase_add_test(tc, more_ranges_than_the_limit_are_fewer_and_coarse);
	tcase_add_test(tc, a_pipe_is_a_file_too);
	tcase_add_loop_test(tc, what_is_wrong_is_refused_with_its_line, 0,
			    G_N_ELEMENTS(wrong));
	tcase_add_test(tc, a_zero_byte_ends_no_line);
	tcase_add_test(tc, an_endless_line_is_refused);
	tcase_add_test(tc, a_device_without_an_end_is_refused);
	tcase_add_test(tc, a_file_that_is_not_there_is_not_found);
	tcase_add_test(tc, a_directory_cannot_be_read);
	tcase_add_test(tc, nothing_is_added_by_a_file_that_is_wrong_at_its_end);
	tcase_add_loop_test(tc, maps_that_ddrescuelog_creates, 0, 5);
	tcase_add_test(tc, maps_that_ddrescuelog_annotates);
	tcase_add_test(tc, maps_that_ddrescuelog_shifts);
	tcase_add_loop_test(tc, the_map_of_a_rescue, 0, 2);
	tcase_add_test(tc, the_map_of_a_partial_rescue);
}

int main(void)
{
	Suite *suite = suite_create("ddrescue");
	TCase *tc = tcase_create("ddrescue");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
