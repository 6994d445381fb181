/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as qemu has it. What debugfs says of the file is the truth here;
 * tests/mount/test_maps.sh has qemu itself.
 */
#include "map_bed.h"

START_TEST(qemu_map_is_as_qemu_img_prints_it)
{
	const struct hostimg_piece piece = { 0, 8192 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) extents = NULL;
	g_autofree char *wanted = NULL;
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 20480, &piece, 1);
	hostimg_edit(img, "fallocate /f 3 4");
	extents = hostimg_extents(img, "/f");
	ck_assert_uint_eq(extents->len, 2);
	look_at(&l, img, "/f", 1 << 20);
	l.ask.source_offset = OFFSET;
	text = report(&l, MAPREPORT_QEMU);
	wanted = g_strdup_printf(
		"[{ \"start\": 0, \"length\": 8192, \"depth\": 0,"
		" \"present\": true, \"zero\": false, \"data\": true,"
		" \"offset\": %" PRIu64 "},\n"
		"{ \"start\": 8192, \"length\": 4096, \"depth\": 0,"
		" \"present\": true, \"zero\": true, \"data\": false},\n"
		"{ \"start\": 12288, \"length\": 8192, \"depth\": 0,"
		" \"present\": true, \"zero\": true, \"data\": false,"
		" \"offset\": %" PRIu64 "}]\n",
		extent_at(extents, 0).phys.v * 4096 + OFFSET,
		extent_at(extents, 1).phys.v * 4096 + OFFSET);
	ck_assert_str_eq(text, wanted);
	free(text);
	look_away(&l);
}
END_TEST

/* As qemu-img has these, whatever one may think of it. */
static const struct {
	uint64_t size;
	const char *wanted;
} odd_sizes[] = {
	{ 0, "[{ \"start\": 0, \"length\": 0, \"depth\": 0, \"present\": false,"
	     " \"zero\": false, \"data\": false}]\n" },
	{ 513, "[{ \"start\": 0, \"length\": 1024, \"depth\": 0,"
	       " \"present\": true, \"zero\": true, \"data\": false}]\n" },
};

START_TEST(qemu_map_counts_whole_sectors)
{
	struct hostimg *img = make_host(NULL);
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, odd_sizes[_i].size, NULL, 0);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_QEMU);
	ck_assert_str_eq(text, odd_sizes[_i].wanted);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(qemu_map_ends_in_zeros_where_the_last_sector_is_not_whole)
{
	struct hostimg *img = make_host(NULL);
	const struct hostimg_piece piece = { 0, 700 };
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 700, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_QEMU);
	ck_assert_uint_eq(count_lines_with(text, "\"length\": 700,"), 1);
	ck_assert_ptr_nonnull(strstr(text,
				     ",\n{ \"start\": 700, \"length\": 324,"
				     " \"depth\": 0, \"present\": true,"
				     " \"zero\": true, \"data\": false}]\n"));
	free(text);
	look_away(&l);
}
END_TEST

/* As the image that is mounted with that option shows it. */
START_TEST(qemu_map_has_unwritten_blocks_as_data_where_they_are_shown)
{
	const struct hostfs_options raw = { .raw_unwritten = true };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 8192, NULL, 0);
	hostimg_edit(img, "fallocate /f 0 0");
	look_with(&l, img, "/f", 1 << 20, raw);
	text = report(&l, MAPREPORT_QEMU);
	ck_assert_msg(g_str_has_prefix(text,
				       "[{ \"start\": 0, \"length\": 4096,"
				       " \"depth\": 0, \"present\": true,"
				       " \"zero\": false, \"data\": true,"
				       " \"offset\": "),
		      "%s", text);
	ck_assert_uint_eq(count_lines_with(text, "\"zero\": true"), 1);
	free(text);
	look_away(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("map_qemu");
	TCase *tc = tcase_create("map_qemu");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, qemu_map_is_as_qemu_img_prints_it);
	tcase_add_loop_test(tc, qemu_map_counts_whole_sectors, 0,
			    (int)G_N_ELEMENTS(odd_sizes));
	tcase_add_test(
		tc, qemu_map_ends_in_zeros_where_the_last_sector_is_not_whole);
	tcase_add_test(
		tc, qemu_map_has_unwritten_blocks_as_data_where_they_are_shown);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
