/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image that is made ready: its map pinned, its holes filled for good. */
#include "pin_bed.h"

#include <rawmap/dev/blkdev.h>
#include <support/memdev.h>

#include <errno.h>

/* ---- pin ---- */

START_TEST(a_pinned_map_needs_no_load)
{
	struct extmap *map;
	struct extmap_stats before, after;

	make(_i, SIZE, 0);
	map = hostfile_map(image_file(h.img));
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	extmap_stats(map, &before);
	expect_content();
	extmap_stats(map, &after);
	ck_assert_uint_eq(after.misses, before.misses);
	ck_assert_uint_eq(after.loads, before.loads);
	ck_assert_uint_eq(after.evictions, 0);
	ck_assert_uint_gt(after.pinned_bytes, 0);
	finish();
}
END_TEST

START_TEST(what_is_new_in_a_pinned_map_stays_too)
{
	struct extmap *map;
	struct extmap_stats before, after;

	make(_i, SIZE, 0);
	map = hostfile_map(image_file(h.img));
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	extmap_stats(map, &before);
	expect_content();
	extmap_stats(map, &after);
	ck_assert_uint_eq(after.misses, before.misses);
	ck_assert_uint_eq(after.evictions, 0);
	finish();
}
END_TEST

/* Also where nothing is; in more steps than one. */
START_TEST(a_large_map_is_loaded_to_its_last_block)
{
	const uint64_t size = UINT64_C(200) << 20;
	struct patience p = { .last = 0 };
	const struct image_watch w = { bear, &p };
	struct extmap *map;
	struct extent e;

	make(_i, size, 0);
	ck_assert_int_eq(image_pin(h.img, &w), 0);
	ck_assert_uint_gt(p.steps, 1);
	ck_assert_uint_eq(p.done, size);
	map = hostfile_map(image_file(h.img));
	for (uint64_t at = 0; at < size / BS; at += e.len)
		ck_assert(extmap_lookup(map, lblk_at(at), LBLK_END, &e));
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, NULL, 0);
	drop();
}
END_TEST

START_TEST(a_pin_can_be_watched_and_stopped)
{
	struct patience p = { .last = 1 };
	const struct image_watch w = { bear, &p };
	struct extmap_stats stats;

	make(_i, SIZE, 0);
	ck_assert_int_eq(image_pin(h.img, &w), -ECANCELED);
	ck_assert_uint_eq(p.steps, 1);
	ck_assert_uint_le(p.done, p.total);
	extmap_stats(hostfile_map(image_file(h.img)), &stats);
	ck_assert_uint_eq(stats.pinned_bytes, 0);
	p = (struct patience){ .last = 0 };
	ck_assert_int_eq(image_pin(h.img, &w), 0);
	ck_assert_uint_eq(p.done, p.total);
	finish();
}
END_TEST

/* ---- fill ---- */

START_TEST(holes_are_counted)
{
	make(_i, SIZE, 1 << 20);
	/* Four blocks of a piece, of sixteen; the last five are a hole. */
	ck_assert_uint_eq(holes(), PIECES * 12 + 5);
	fill();
	ck_assert_uint_eq(holes(), 0);
	finish();
}
END_TEST

static void expect_overwrites(void)
{
	struct image_io io;

	for (uint64_t pos = 0, len; pos < SIZE; pos += len) {
		ck_assert_int_eq(image_begin(h.img, IMAGE_WRITE,
					     img_off_at(pos), SIZE - pos,
					     IMAGE_NOWAIT, &io),
				 0);
		for (unsigned i = 0; i < io.nseg; i++)
			ck_assert_int_eq(io.seg[i].kind, IMAGE_SEG_DATA);
		ck_assert(!image_end_blocks(&io));
		len = io.len;
		image_cancel(h.img, &io);
	}
}

START_TEST(every_write_is_an_overwrite_that_waits_for_nothing)
{
	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	expect_overwrites();
	finish();
}
END_TEST

START_TEST(what_is_filled_is_durable_after_a_flush)
{
	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_flush(h.img), 0);
	imagehost_abandon(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

/* Which blocks of the device are the image's? */
static GHashTable *own_blocks(void)
{
	GHashTable *own = g_hash_table_new(NULL, NULL);
	struct extmap *map = hostfile_map(image_file(h.img));
	struct extent e;

	for (uint64_t at = 0; at < SIZE / BS + 1; at += e.len) {
		ck_assert(extmap_lookup(map, lblk_at(at), LBLK_END, &e));
		for (uint64_t i = 0; i < e.len && e.state != EXTENT_HOLE; i++)
			g_hash_table_add(own, GSIZE_TO_POINTER(e.phys.v + i));
	}
	return own;
}

static void overwrite_at_random(GRand *rand)
{
	uint64_t pos = g_rand_int(rand) % (SIZE - 1);
	uint64_t len = 1 + g_rand_int(rand) % (SIZE - pos);

	len = MIN(len, 9 * BS);
	for (uint64_t i = pos; i < pos + len; i++)
		content[i] = (uint8_t)g_rand_int(rand);
	ck_assert_int_eq(image_pwrite(h.img, content + pos, len,
				      img_off_at(pos)),
			 (ssize_t)len);
}

START_TEST(overwrites_change_no_metadata_and_need_no_transaction)
{
	GRand *rand = g_rand_new_with_seed(1);
	struct hostfs_stats before, after;
	GHashTable *own;
	GBytes *bytes;
	const uint8_t *was, *is;
	unsigned others = 0;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	own = own_blocks();
	hostfs_stats(h.fs, &before);
	bytes = memdev_snapshot(h.mem);
	for (unsigned i = 0; i < 300; i++)
		overwrite_at_random(rand);
	ck_assert_int_eq(image_flush(h.img), 0);
	ck_assert_int_eq(hostfs_tick(h.fs), 0);
	hostfs_stats(h.fs, &after);
	ck_assert_uint_eq(after.commits, before.commits);
	ck_assert_uint_eq(after.pending_blocks, 0);
	was = g_bytes_get_data(bytes, NULL);
	is = memdev_bytes(h.mem);
	for (uint64_t b = 0; b < g_bytes_get_size(bytes) / BS; b++) {
		if (g_hash_table_contains(own, GSIZE_TO_POINTER(b)))
			continue;
		others++;
		if (memcmp(was + b * BS, is + b * BS, BS))
			ck_abort_msg("block %lu changed", (unsigned long)b);
	}
	ck_assert_uint_gt(others, 1000);
	g_bytes_unref(bytes);
	g_hash_table_unref(own);
	g_rand_free(rand);
	finish();
}
END_TEST

START_TEST(unwritten_blocks_become_written_ones)
{
	struct image_io io;
	int err;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(0), SIZE, true), 0);
	ck_assert_uint_eq(holes(), 0);
	/* They are no holes, and yet the first write is a change of the map. */
	err = image_begin(h.img, IMAGE_WRITE, img_off_at(8 * BS), BS,
			  IMAGE_NOWAIT, &io);
	ck_assert_int_eq(
		err, hostfile_extent_mapped(image_file(h.img)) ? -EAGAIN : 0);
	if (!err)
		image_cancel(h.img, &io);
	fill();
	ck_assert_uint_eq(filled->len, 0);
	ck_assert_int_eq(image_begin(h.img, IMAGE_WRITE, img_off_at(8 * BS), BS,
				     IMAGE_NOWAIT, &io),
			 0);
	image_cancel(h.img, &io);
	expect_content();
	finish();
}
END_TEST

START_TEST(zeros_are_written_not_asked_for)
{
	struct blkdev_counters before, after;

	make(_i, SIZE, 1 << 20);
	blkdev_counters(h.dev, &before);
	fill();
	blkdev_counters(h.dev, &after);
	ck_assert_uint_eq(after.zeros, before.zeros);
	ck_assert_uint_ge(after.write_bytes - before.write_bytes,
			  (PIECES * 12 + 5) * BS);
	finish();
}
END_TEST

START_TEST(blocks_stay_whatever_is_asked)
{
	struct image_stats stats;

	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_punch(h.img, img_off_at(0), 64 * BS),
			 -EOPNOTSUPP);
	expect_content();
	ck_assert_int_eq(image_zero(h.img, img_off_at(100), 64 * BS, true), 0);
	memset(content + 100, 0, 64 * BS);
	expect_content();
	expect_overwrites();
	image_stats(h.img, &stats);
	ck_assert_uint_eq(stats.errors, 0);
	image_fill_holes(h.img, filled, NULL);
	ck_assert_uint_eq(filled->len, PIECES);
	finish();
}
END_TEST

START_TEST(a_write_behind_the_end_grows_as_ever)
{
	uint8_t buf[BS] = { 1, 2, 3 };

	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_pwrite(h.img, buf, BS, img_off_at(SIZE + BS)),
			 BS);
	ck_assert_uint_eq(image_size(h.img), SIZE + 2 * BS);
	ck_assert_int_eq(image_truncate(h.img, SIZE), 0);
	finish();
}
END_TEST

START_TEST(what_a_truncate_leaves_can_be_filled_again)
{
	const uint64_t cut = SIZE / 2 + 77;

	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_truncate(h.img, cut), 0);
	ck_assert_int_eq(image_truncate(h.img, SIZE), 0);
	memset(content + cut, 0, SIZE - cut);
	ck_assert_uint_gt(holes(), 0);
	expect_content();
	/* Of a kept image: written blocks, not unwritten ones. */
	ck_assert_int_eq(image_allocate(h.img, img_off_at(0), SIZE, true), 0);
	ck_assert_uint_eq(holes(), 0);
	expect_overwrites();
	expect_content();
	finish();
}
END_TEST

START_TEST(a_readonly_image_is_not_filled)
{
	GError *error = NULL;
	struct hostfile *hf;

	make(_i, SIZE, 1 << 20);
	image_free(h.img);
	hf = hostfile_open(h.fs, "/disk.img", 0, &error);
	h.img = image_new(hf, true);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), -EROFS);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pin");
	TCase *tc = tcase_create("pin");
	SRunner *sr;
	int failed;

	ON_ALL(a_pinned_map_needs_no_load);
	ON_ALL(what_is_new_in_a_pinned_map_stays_too);
	ON_ALL(a_large_map_is_loaded_to_its_last_block);
	ON_ALL(a_pin_can_be_watched_and_stopped);
	ON_ALL(holes_are_counted);
	ON_ALL(every_write_is_an_overwrite_that_waits_for_nothing);
	ON_ALL(what_is_filled_is_durable_after_a_flush);
	ON_ALL(overwrites_change_no_metadata_and_need_no_transaction);
	ON_ALL(unwritten_blocks_become_written_ones);
	ON_ALL(zeros_are_written_not_asked_for);
	ON_ALL(blocks_stay_whatever_is_asked);
	ON_ALL(a_write_behind_the_end_grows_as_ever);
	ON_ALL(what_a_truncate_leaves_can_be_filled_again);
	ON_ALL(a_readonly_image_is_not_filled);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
