/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One place of a map, from either side, against what debugfs says. */
#include "map_bed.h"

#include <rawmap/inspect/maplocate.h>

#include <rawmap/base/error.h>

/* free() it. */
static char *at(struct looked_at *l, enum mapreport_format format,
		uint64_t byte)
{
	struct mapreport ask = l->ask;
	char *text;
	size_t len;

	ask.format = format;
	ask.out = open_memstream(&text, &len);
	ck_assert(maplocate_at(&ask, byte, NULL));
	fclose(ask.out);
	return text;
}

static char *device_block(struct looked_at *l, enum mapreport_format format,
			  uint64_t block)
{
	struct mapreport ask = l->ask;
	char *text;
	size_t len;

	ask.format = format;
	ask.out = open_memstream(&text, &len);
	ck_assert(maplocate_device_block(&ask, block, NULL));
	fclose(ask.out);
	return text;
}

/* The number behind "name": in an answer in JSON. */
static uint64_t member(const char *json, const char *name)
{
	g_autofree char *key = g_strdup_printf("\"%s\": ", name);
	const char *found = strstr(json, key);

	ck_assert_msg(found != NULL, "no %s in %s", name, json);
	return g_ascii_strtoull(found + strlen(key), NULL, 10);
}

static void assert_has(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) != NULL, "no '%s' in %s", word, text);
}

static void assert_has_not(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) == NULL, "'%s' in %s", word, text);
}

static const char *const kinds[] = { "-t ext4 -b 4096", "-t ext2 -b 1024" };

/* Every block of an extent's ends, both ways. */
static void compare_block(struct looked_at *l, const struct extent *e,
			  uint64_t i, unsigned bits)
{
	uint64_t bs = UINT64_C(1) << bits, offset = l->ask.source_offset;
	uint64_t byte = ((e->start.v + i) << bits) + bs - 1;
	uint64_t block = e->phys.v + i;
	char *there = at(l, MAPREPORT_JSON, byte);
	char *back = device_block(l, MAPREPORT_JSON, block);
	const char *state = e->state == EXTENT_MAPPED ? "\"mapped\""
						      : "\"unwritten\"";

	ck_assert_uint_eq(member(there, "device_block"), block);
	ck_assert_uint_eq(member(there, "device_byte"),
			  (block << bits) + bs - 1 + offset);
	ck_assert_uint_eq(member(there, "byte"), byte);
	ck_assert_uint_eq(member(there, "block"), byte >> bits);
	ck_assert_uint_eq(member(there, "start"), e->start.v << bits);
	ck_assert_uint_eq(member(there, "length"), e->len << bits);
	ck_assert_uint_eq(member(there, "physical"),
			  (e->phys.v << bits) + offset);
	assert_has(there, state);

	ck_assert_uint_eq(member(back, "byte"), byte - (bs - 1));
	ck_assert_uint_eq(member(back, "block"), byte >> bits);
	ck_assert_uint_eq(member(back, "device_byte"),
			  (block << bits) + offset);
	ck_assert_uint_eq(member(back, "start"), e->start.v << bits);
	assert_has(back, state);
	free(there);
	free(back);
}

START_TEST(both_directions_agree_with_debugfs)
{
	struct hostimg *img = make_host(kinds[_i]);
	g_autoptr(GArray) extents = NULL;
	struct looked_at l;
	unsigned bits;

	hostimg_put_comb(img, "f", 3, 4096, 40);
	look_at(&l, img, "/f", 0);
	l.ask.source_offset = 512;
	bits = hostfs_block_bits(l.fs);
	extents = hostimg_extents(img, "/f");
	ck_assert_uint_ge(extents->len, 40);
	for (guint i = 0; i < extents->len; i++) {
		struct extent *e = &g_array_index(extents, struct extent, i);

		compare_block(&l, e, 0, bits);
		compare_block(&l, e, e->len - 1, bits);
	}
	look_away(&l);
}
END_TEST

/* Unwritten ones, and those beyond the end, which have a place too. */
START_TEST(every_kind_of_extent_is_found_both_ways)
{
	g_autoptr(GArray) extents = NULL;
	struct looked_at l;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	extents = hostimg_extents(l.img, "/f");
	for (guint i = 0; i < extents->len; i++)
		compare_block(&l, &g_array_index(extents, struct extent, i), 0,
			      12);
	look_away(&l);
}
END_TEST

START_TEST(text_says_the_same)
{
	g_autoptr(GArray) extents = NULL;
	g_autofree char *block = NULL, *byte = NULL;
	struct looked_at l;
	struct extent e;
	char *text;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	extents = hostimg_extents(l.img, "/f");
	e = g_array_index(extents, struct extent, 0);
	block = g_strdup_printf("device block: %" PRIu64 ", byte 5 of it\n",
				e.phys.v + 2);
	byte = g_strdup_printf("device byte:  %" PRIu64 "\n",
			       (e.phys.v + 2) * 4096 + 5);
	text = at(&l, MAPREPORT_TABLE, 8197);
	assert_has(text, "image byte:   8197\n");
	assert_has(text, "image block:  2, byte 5 of it\n");
	assert_has(text, "state:        mapped\n");
	assert_has(text, "blocks 0..15 of the image");
	assert_has(text, block);
	assert_has(text, byte);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(hole_has_no_place)
{
	struct looked_at l;
	char *text, *json;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	text = at(&l, MAPREPORT_TABLE, 65536);
	assert_has(text, "state:        hole, reads as zeros\n");
	assert_has(text, "extent:       blocks 16..31 of the image\n");
	assert_has_not(text, "device");
	json = at(&l, MAPREPORT_JSON, 65536);
	assert_has(json, "\"state\": \"hole\"");
	assert_has_not(json, "device_block");
	assert_has_not(json, "physical");
	free(text);
	free(json);
	look_away(&l);
}
END_TEST

/* The last block of the file, behind its last byte. */
START_TEST(byte_behind_the_end_is_said_to_be)
{
	struct looked_at l;
	char *last, *behind;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	last = at(&l, MAPREPORT_TABLE, MIXED_SIZE - 1);
	behind = at(&l, MAPREPORT_TABLE, MIXED_SIZE);
	assert_has(last, "state:        mapped\n");
	assert_has(behind, "state:        mapped, beyond the end\n");
	free(last);
	free(behind);
	last = at(&l, MAPREPORT_JSON, MIXED_SIZE - 1);
	behind = at(&l, MAPREPORT_JSON, MIXED_SIZE);
	assert_has(last, "\"beyond_end\": false");
	assert_has(behind, "\"beyond_end\": true");
	free(last);
	free(behind);
	look_away(&l);
}
END_TEST

static const uint64_t far[] = { UINT64_C(1) << 20, UINT64_C(1) << 43,
				UINT64_MAX };

START_TEST(nothing_is_beyond_the_end_of_it_all)
{
	struct looked_at l;
	char *text, *json;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	text = at(&l, MAPREPORT_TABLE, far[_i]);
	assert_has(text, "state:        nothing, beyond the end\n");
	assert_has_not(text, "extent");
	json = at(&l, MAPREPORT_JSON, far[_i]);
	ck_assert_uint_eq(member(json, "byte"), far[_i]);
	assert_has_not(json, "state");
	free(text);
	free(json);
	look_away(&l);
}
END_TEST

/* A hole in the middle of which the file ends is not larger than the file. */
START_TEST(hole_ends_with_the_file)
{
	struct hostimg *img = make_host(kinds[_i]);
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 40960, NULL, 0);
	look_at(&l, img, "/f", 1 << 20);
	text = at(&l, MAPREPORT_JSON, 40959);
	ck_assert_uint_eq(member(text, "start"), 0);
	ck_assert_uint_eq(member(text, "length"), 40960);
	free(text);
	look_away(&l);
}
END_TEST

/* No block, and no hole either; what follows it is one. */
START_TEST(bytes_in_the_inode_are_inline)
{
	struct hostimg *img =
		make_host("-t ext4 -b 4096 -O inline_data -I 256");
	const struct hostimg_piece piece = { 0, 61 };
	struct looked_at l;
	char *text, *json;

	hostimg_put(img, "f", 1, 61, &piece, 1);
	hostimg_edit(img, "sif f size 5000\n");
	look_at(&l, img, "/f", 1 << 20);
	for (uint64_t byte = 0; byte < 62; byte++) {
		text = at(&l, MAPREPORT_TABLE, byte);
		json = at(&l, MAPREPORT_JSON, byte);
		assert_has(text, byte < 61 ? "in the inode" : "hole");
		assert_has(json, byte < 61 ? "\"state\": \"inline\""
					   : "\"state\": \"hole\"");
		assert_has_not(json, "device_block");
		free(text);
		free(json);
	}
	look_away(&l);
}
END_TEST

START_TEST(unwritten_ones_do_not_read_as_zeros_where_they_are_shown)
{
	const struct hostfs_options raw = { .raw_unwritten = true };
	struct looked_at l;
	char *text;

	look_with(&l, mixed_host(), "/f", 1 << 20, raw);
	text = at(&l, MAPREPORT_TABLE, 40 * 4096);
	assert_has(text, "state:        unwritten");
	assert_has_not(text, "zeros");
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(block_of_others_is_an_answer)
{
	struct looked_at l;
	char *text, *json;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	l.ask.source_offset = 512;
	text = device_block(&l, MAPREPORT_TABLE, 1);
	ck_assert_str_eq(text, "device block 1 holds no block of '/f'\n");
	json = device_block(&l, MAPREPORT_JSON, 1);
	ck_assert_str_eq(json, "{ \"device_block\": 1, \"device_byte\": 4608"
			       " }\n");
	free(text);
	free(json);
	look_away(&l);
}
END_TEST

/* The blocks of the map are not of the content. */
START_TEST(tree_blocks_hold_nothing_of_the_image)
{
	struct hostimg *img = make_host("-t ext2 -b 1024");
	g_autoptr(GArray) tree = NULL;
	struct looked_at l;

	hostimg_put_comb(img, "f", 3, 1024, 40);
	look_at(&l, img, "/f", 1 << 20);
	tree = hostimg_tree_blocks(img, "/f");
	ck_assert_uint_ge(tree->len, 1);
	for (guint i = 0; i < tree->len; i++) {
		struct extent *e = &g_array_index(tree, struct extent, i);
		char *text = device_block(&l, MAPREPORT_TABLE, e->phys.v);

		assert_has(text, "holds no block");
		free(text);
	}
	look_away(&l);
}
END_TEST

START_TEST(block_behind_the_host_is_not_found)
{
	g_autoptr(GError) error = NULL;
	struct hostfs_info info;
	struct looked_at l;
	char *text;
	size_t len;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	hostfs_info(l.fs, &info);
	hostfs_info_clear(&info);
	l.ask.out = open_memstream(&text, &len);
	ck_assert(maplocate_device_block(&l.ask, info.blocks - 1, NULL));
	ck_assert(!maplocate_device_block(&l.ask, info.blocks, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND));
	fclose(l.ask.out);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(answer_to_a_full_disk_fails)
{
	g_autoptr(GError) error = NULL;
	struct looked_at l;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	l.ask.out = fopen("/dev/full", "w");
	ck_assert(!maplocate_at(&l.ask, 0, &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO));
	fclose(l.ask.out);
	look_away(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("maplocate");
	TCase *tc = tcase_create("maplocate");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, both_directions_agree_with_debugfs, 0,
			    (int)G_N_ELEMENTS(kinds));
	tcase_add_test(tc, every_kind_of_extent_is_found_both_ways);
	tcase_add_test(tc, text_says_the_same);
	tcase_add_test(tc, hole_has_no_place);
	tcase_add_test(tc, byte_behind_the_end_is_said_to_be);
	tcase_add_loop_test(tc, nothing_is_beyond_the_end_of_it_all, 0,
			    (int)G_N_ELEMENTS(far));
	tcase_add_loop_test(tc, hole_ends_with_the_file, 0,
			    (int)G_N_ELEMENTS(kinds));
	tcase_add_test(tc, bytes_in_the_inode_are_inline);
	tcase_add_test(
		tc, unwritten_ones_do_not_read_as_zeros_where_they_are_shown);
	tcase_add_test(tc, block_of_others_is_an_answer);
	tcase_add_test(tc, tree_blocks_hold_nothing_of_the_image);
	tcase_add_test(tc, block_behind_the_host_is_not_found);
	tcase_add_test(tc, answer_to_a_full_disk_fails);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
