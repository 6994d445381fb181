/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reports about a map, against hosts whose layout the test has chosen. */
#include "map_bed.h"

#include <rawmap/base/error.h>
#include <rawmap/map/extmap.h>

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t start, length, physical;
	char state[16];
	bool has_physical;
};

/* One entry a line is what these tests read; a program would parse JSON. */
static GArray *entries_of(struct looked_at *l)
{
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
	char *text = report(l, MAPREPORT_JSON);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	ck_assert_int_eq(text[0], '[');
	for (char **line = lines; *line; line++) {
		struct entry e = { 0 };
		int n = sscanf(*line,
			       "{ \"start\": %" SCNu64 ", \"length\": %" SCNu64
			       ", \"state\": "
			       "\"%15[a-z]\", \"physical\": %" SCNu64,
			       &e.start, &e.length, e.state, &e.physical);

		if (n < 3)
			continue;
		e.has_physical = n == 4;
		g_array_append_val(entries, e);
	}
	free(text);
	return entries;
}

static const struct entry *entry_at(GArray *entries, guint i)
{
	ck_assert_uint_gt(entries->len, i);
	return &g_array_index(entries, struct entry, i);
}

static void assert_covers(GArray *entries, uint64_t size)
{
	uint64_t at = 0;

	for (guint i = 0; i < entries->len; i++) {
		ck_assert_uint_eq(entry_at(entries, i)->start, at);
		ck_assert_uint_gt(entry_at(entries, i)->length, 0);
		at += entry_at(entries, i)->length;
	}
	ck_assert_uint_eq(at, size);
}

static const struct {
	const char *name;
	enum mapreport_format format;
} names[] = {
	{ "table", MAPREPORT_TABLE }, { "json", MAPREPORT_JSON },
	{ "qemu", MAPREPORT_QEMU },   { "dfxml", MAPREPORT_DFXML },
	{ "dm", MAPREPORT_DM },	      { "svg", MAPREPORT_SVG },
};

START_TEST(format_names_are_known)
{
	enum mapreport_format format;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		ck_assert(mapreport_parse_format(names[i].name, &format, NULL));
		ck_assert_int_eq(format, names[i].format);
	}
}
END_TEST

START_TEST(unknown_format_is_told_which_there_are)
{
	enum mapreport_format format;
	g_autoptr(GError) error = NULL;

	ck_assert(!mapreport_parse_format("xml", &format, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE));
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		ck_assert_ptr_nonnull(strstr(error->message, names[i].name));
}
END_TEST

START_TEST(json_covers_the_content_and_names_holes)
{
	const struct hostimg_piece piece = { 65536, 16384 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) entries = NULL;
	struct looked_at l;

	hostimg_put(img, "f", 1, 200001, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	entries = entries_of(&l);
	assert_covers(entries, 200001);
	ck_assert_uint_eq(entries->len, 3);
	ck_assert_str_eq(entry_at(entries, 0)->state, "hole");
	ck_assert(!entry_at(entries, 0)->has_physical);
	ck_assert_str_eq(entry_at(entries, 1)->state, "mapped");
	ck_assert_uint_eq(entry_at(entries, 1)->start, 65536);
	ck_assert_uint_eq(entry_at(entries, 1)->length, 16384);
	ck_assert(entry_at(entries, 1)->has_physical);
	ck_assert_str_eq(entry_at(entries, 2)->state, "hole");
	look_away(&l);
}
END_TEST

START_TEST(physical_is_where_the_bytes_are)
{
	const struct hostimg_piece piece = { 8192, 12288 };
	struct hostimg *img = make_host("-t ext4 -b 1024");
	g_autoptr(GArray) entries = NULL;
	uint8_t bytes[12288];
	struct looked_at l;

	hostimg_put(img, "f", 7, 20480, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	entries = entries_of(&l);
	for (guint i = 0; i < entries->len; i++) {
		const struct entry *e = entry_at(entries, i);

		if (strcmp(e->state, "mapped") != 0)
			continue;
		ck_assert_uint_le(e->length, sizeof(bytes));
		ck_assert_int_eq(blkdev_pread(l.dev, bytes, e->length,
					      dev_off_at(e->physical)),
				 0);
		for (uint64_t k = 0; k < e->length; k++)
			ck_assert_uint_eq(bytes[k],
					  hostimg_pattern(7, e->start + k));
	}
	look_away(&l);
}
END_TEST

START_TEST(physical_counts_from_the_start_of_the_source)
{
	const struct hostimg_piece piece = { 0, 4096 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) alone = NULL, inside = NULL;
	struct looked_at l;

	hostimg_put(img, "f", 1, 4096, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	alone = entries_of(&l);
	l.ask.source_offset = 1048576 + 512;
	inside = entries_of(&l);
	ck_assert_uint_eq(entry_at(inside, 0)->physical,
			  entry_at(alone, 0)->physical + 1048576 + 512);
	ck_assert_uint_eq(entry_at(inside, 0)->start, 0);
	look_away(&l);
}
END_TEST

START_TEST(empty_file_is_an_empty_array)
{
	struct hostimg *img = make_host(NULL);
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 0, NULL, 0);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_JSON);
	ck_assert_str_eq(text, "[]\n");
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(file_without_blocks_is_one_hole)
{
	struct hostimg *img = make_host("-t ext2 -b 1024");
	g_autoptr(GArray) entries = NULL;
	struct looked_at l;

	hostimg_put(img, "f", 1, UINT64_C(3) << 30, NULL, 0);
	look_at(&l, img, "/f", 1 << 16);
	entries = entries_of(&l);
	ck_assert_uint_eq(entries->len, 1);
	assert_covers(entries, UINT64_C(3) << 30);
	look_away(&l);
}
END_TEST

START_TEST(unwritten_blocks_beyond_the_end_are_in_the_table_only)
{
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) entries = NULL;
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 4096, NULL, 0);
	hostimg_edit(img, "fallocate /f 0 3\nset_inode_field /f size 4096");
	look_at(&l, img, "/f", 1 << 20);
	entries = entries_of(&l);
	assert_covers(entries, 4096);
	ck_assert_str_eq(entry_at(entries, 0)->state, "unwritten");
	text = report(&l, MAPREPORT_TABLE);
	ck_assert_msg(strstr(text, "0..       3:") != NULL, "%s", text);
	ck_assert_msg(strstr(text, ": unwritten,last,eof") != NULL, "%s", text);
	free(text);
	look_away(&l);
}
END_TEST

/*
 * Blocks 0 to 11 are made to lie right in front of block 12, which another leaf
 * of the map has; the cache has no room for both.
 */
START_TEST(what_lies_together_is_one_extent_across_leaves)
{
	const struct hostimg_piece piece = { 0, 102400 };
	struct hostimg *img = make_host("-t ext2 -b 1024");
	g_autoptr(GArray) extents = NULL;
	struct looked_at l;
	struct extent e;
	char *text;

	hostimg_put(img, "f", 1, 102400, &piece, 1);
	extents = hostimg_extents(img, "/f");
	ck_assert_uint_eq(extents->len, 2);
	e = g_array_index(extents, struct extent, 1);
	ck_assert_uint_eq(e.start.v, 12);
	for (unsigned i = 0; i < 12; i++)
		hostimg_edit(img, "set_inode_field /f block[%u] %" PRIu64, i,
			     e.phys.v - 12 + i);
	look_at(&l, img, "/f", 0);
	text = report(&l, MAPREPORT_TABLE);
	ck_assert_msg(strstr(text, "/f: 1 extent\n") != NULL, "%s", text);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(last_extent_of_the_table_is_flagged_once)
{
	struct hostimg *img = make_host("-t ext4 -b 1024");
	struct looked_at l;
	char *text;

	hostimg_put_comb(img, "f", 1, 1024, 20);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_TABLE);
	ck_assert_uint_eq(count_lines_with(text, "last"), 1);
	ck_assert_uint_eq(count_lines_with(text, ".."), 20);
	ck_assert_msg(strstr(text, "/f: 20 extents\n") != NULL, "%s", text);
	free(text);
	look_away(&l);
}
END_TEST

static const char *const kinds[] = { "-t ext2 -b 1024", "-t ext4 -b 1024" };

/* More extents than the budget holds, so the cache evicts during the walk. */
START_TEST(report_does_not_depend_on_the_cache_budget)
{
	struct hostimg *img = make_host(kinds[_i]);
	struct extmap_stats stats;
	char *small, *large;
	struct looked_at l;

	hostimg_put_comb(img, "f", 3, 1024, 1500);
	look_at(&l, img, "/f", 0);
	small = report(&l, MAPREPORT_JSON);
	extmap_stats(hostfile_map(l.hf), &stats);
	ck_assert_uint_gt(stats.evictions, 0);
	hostfile_close(l.hf);
	l.hf = hostfile_open(l.fs, "/f", 64 << 20, NULL);
	ck_assert_ptr_nonnull(l.hf);
	l.ask.hf = l.hf;
	large = report(&l, MAPREPORT_JSON);
	ck_assert_str_eq(small, large);
	ck_assert_uint_ge(count_lines_with(small, "mapped"), 1500);
	free(small);
	free(large);
	look_away(&l);
}
END_TEST

/* Every format, and every one to a full disk. */
START_TEST(failing_output_is_an_error)
{
	const struct hostimg_piece piece = { 0, 1024 };
	struct hostimg *img = make_host(NULL);
	g_autoptr(GError) error = NULL;
	struct looked_at l;

	hostimg_put(img, "f", 1, 4096, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	l.ask.out = fopen("/dev/full", "w");
	ck_assert_ptr_nonnull(l.ask.out);
	l.ask.format = names[_i].format;
	ck_assert(!mapreport_print(&l.ask, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO));
	fclose(l.ask.out);
	look_away(&l);
}
END_TEST

/* Metadata that cannot be is found in any format, and named. */
START_TEST(corrupt_map_is_an_error)
{
	const struct hostimg_piece piece = { 0, 4096 };
	struct hostimg *img = make_host("-t ext2 -b 1024");
	g_autoptr(GError) error = NULL;
	struct looked_at l;
	char *text;
	size_t len;

	hostimg_put(img, "f", 1, 65536, &piece, 1);
	hostimg_edit(img, "set_inode_field /f block[IND] 99999999");
	look_at(&l, img, "/f", 1 << 20);
	l.ask.out = open_memstream(&text, &len);
	l.ask.format = names[_i].format;
	ck_assert(!mapreport_print(&l.ask, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	ck_assert_ptr_nonnull(strstr(error->message, "/f"));
	fclose(l.ask.out);
	free(text);
	look_away(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapreport");
	TCase *tc = tcase_create("mapreport");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, format_names_are_known);
	tcase_add_test(tc, unknown_format_is_told_which_there_are);
	tcase_add_test(tc, json_covers_the_content_and_names_holes);
	tcase_add_test(tc, physical_is_where_the_bytes_are);
	tcase_add_test(tc, physical_counts_from_the_start_of_the_source);
	tcase_add_test(tc, empty_file_is_an_empty_array);
	tcase_add_test(tc, file_without_blocks_is_one_hole);
	tcase_add_test(tc,
		       unwritten_blocks_beyond_the_end_are_in_the_table_only);
	tcase_add_test(tc, what_lies_together_is_one_extent_across_leaves);
	tcase_add_test(tc, last_extent_of_the_table_is_flagged_once);
	tcase_add_loop_test(tc, report_does_not_depend_on_the_cache_budget, 0,
			    (int)G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, failing_output_is_an_error, 0,
			    (int)G_N_ELEMENTS(names));
	tcase_add_loop_test(tc, corrupt_map_is_an_error, 0,
			    (int)G_N_ELEMENTS(names));
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
