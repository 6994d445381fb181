/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwritten blocks: zeros, or what they hold where the host was opened for that.
 * The map calls them unwritten either way.
 */
#include "reach_bed.h"

#include <rawmap/inspect/mapreport.h>

#define BS    4096
#define STALE 0x5a
#define SEED  8

static const struct hostfs_options raw = { .raw_unwritten = true };

/*
 * Ten blocks: 0 and 1 written, 2 and 3 a hole, 4 to 7 unwritten, 8 a hole, 9
 * written; and as debugfs reads it.
 */
static struct hostimg *make(uint8_t *ret_bytes)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4 -b 4096" };
	const struct hostimg_piece pieces[] = { { 0, 2 * BS }, { 9 * BS, BS } };
	struct hostimg *host = hostimg_make(&spec);
	g_autoptr(GArray) extents = NULL;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	hostimg_put(host, "f", SEED, 10 * BS, pieces, 2);
	hostimg_edit(host, "fallocate /f 4 7\n");
	extents = hostimg_extents(host, "/f");
	for (guint i = 0; i < extents->len; i++) {
		const struct extent *e =
			&g_array_index(extents, struct extent, i);

		if (e->state == EXTENT_UNWRITTEN)
			host_fill(host, STALE, e->len * BS, e->phys.v * BS);
	}
	bytes = hostimg_cat(host, "/f", &len);
	ck_assert_uint_eq(len, 10 * BS);
	memcpy(ret_bytes, bytes, len);
	ck_assert_uint_eq(ret_bytes[4 * BS], 0);
	return host;
}

START_TEST(they_read_as_zeros)
{
	uint8_t want[10 * BS];
	struct hostimg *host = make(want);
	struct reach r;

	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_image(&r, "/f");
	reach_holds(&r, want, sizeof(want));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(raw_they_read_as_what_they_hold)
{
	uint8_t want[10 * BS];
	struct hostimg *host = make(want);
	struct reach r;

	memset(want + 4 * BS, STALE, 4 * BS);
	reach_open(&r, host, raw);
	reach_image(&r, "/f");
	reach_holds(&r, want, sizeof(want));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* What the engine on the ring sees: it may not wait, and the cache knows. */
START_TEST(raw_they_are_segments_on_the_device)
{
	uint8_t want[10 * BS];
	struct hostimg *host = make(want);
	struct image_io io;
	struct extent e;
	struct reach r;

	reach_open(&r, host, raw);
	reach_image(&r, "/f");
	ck_assert_int_eq(hostfile_map_at(image_file(r.img), lblk_at(0), 1, &e),
			 0);
	ck_assert_int_eq(image_begin(r.img, IMAGE_READ, img_off_at(3 * BS),
				     6 * BS, IMAGE_NOWAIT, &io),
			 0);
	ck_assert_uint_eq(io.len, 6 * BS);
	ck_assert_uint_eq(io.nseg, 3);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_ZERO);
	ck_assert_int_eq(io.seg[1].kind, IMAGE_SEG_DATA);
	ck_assert_uint_eq(io.seg[1].len, 4 * BS);
	ck_assert_int_eq(io.seg[2].kind, IMAGE_SEG_ZERO);
	ck_assert_int_eq(image_end(r.img, &io, 0), 0);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

static const struct {
	bool raw;
	uint64_t data_at_2, hole_at_4;
} seeks[] = { { false, 9, 4 }, { true, 4, 8 } };

START_TEST(seeking_agrees_with_reading)
{
	const struct hostfs_options opt = { .raw_unwritten = seeks[_i].raw };
	uint8_t want[10 * BS];
	struct hostimg *host = make(want);
	struct reach r;
	img_off at;

	reach_open(&r, host, opt);
	reach_image(&r, "/f");
	ck_assert_int_eq(image_seek_data(r.img, img_off_at(2 * BS), &at), 0);
	ck_assert_uint_eq(at.v, seeks[_i].data_at_2 * BS);
	ck_assert_int_eq(image_seek_hole(r.img, img_off_at(4 * BS), &at), 0);
	ck_assert_uint_eq(at.v, seeks[_i].hole_at_4 * BS);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(the_map_calls_them_unwritten_raw_or_not)
{
	uint8_t want[10 * BS];
	struct hostimg *host = make(want);
	char *text[2] = { NULL };
	size_t len;

	for (unsigned i = 0; i < 2; i++) {
		const struct hostfs_options opt = { .raw_unwritten = i };
		FILE *out = open_memstream(&text[i], &len);
		struct reach r;

		reach_open(&r, host, opt);
		reach_image(&r, "/f");
		ck_assert(mapreport_print(
			&(struct mapreport){ .hf = image_file(r.img),
					     .format = MAPREPORT_JSON,
					     .out = out,
					     .source = "source" },
			NULL));
		fclose(out);
		reach_close(&r);
	}
	ck_assert_str_eq(text[0], text[1]);
	ck_assert_ptr_nonnull(strstr(text[0], "\"state\": \"unwritten\""));
	free(text[0]);
	free(text[1]);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_unwritten");
	TCase *tc = tcase_create("reach_unwritten");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, they_read_as_zeros);
	tcase_add_test(tc, raw_they_read_as_what_they_hold);
	tcase_add_test(tc, raw_they_are_segments_on_the_device);
	tcase_add_loop_test(tc, seeking_agrees_with_reading, 0,
			    G_N_ELEMENTS(seeks));
	tcase_add_test(tc, the_map_calls_them_unwritten_raw_or_not);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
