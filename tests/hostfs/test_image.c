/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/* What image_begin() and the operations built on it promise, one by one. */
#include "image_bed.h"

START_TEST(a_read_is_cut_at_the_end)
{
	struct image_io io;

	open_kind(_i);
	ck_assert_int_eq(begin(IMAGE_READ, SIZE - 10, 100, 0, &io), 0);
	ck_assert_uint_eq(io.len, 10);
	image_end(h.img, &io, 0);
	ck_assert_int_eq(begin(IMAGE_READ, SIZE, 100, 0, &io), 0);
	ck_assert_uint_eq(io.len, 0);
	ck_assert_uint_eq(io.nseg, 0);
	ck_assert_int_eq(image_end(h.img, &io, 0), 0);
	finish();
}
END_TEST

START_TEST(a_read_is_data_and_zeros_in_order)
{
	struct image_io io;

	open_kind(_i);
	ck_assert_int_eq(begin(IMAGE_READ, 7 * BS + 1, 3 * BS, 0, &io), 0);
	ck_assert_uint_eq(io.nseg, 2);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_DATA);
	ck_assert_uint_eq(io.seg[0].len, BS - 1);
	ck_assert_int_eq(io.seg[1].kind, IMAGE_SEG_ZERO);
	ck_assert_uint_eq(io.seg[1].len, 2 * BS + 1);
	image_end(h.img, &io, 0);
	finish();
}
END_TEST

START_TEST(nowait_does_not_load)
{
	struct image_io io;

	open_kind(_i);
	extmap_drop_all(hostfile_map(image_file(h.img)));
	ck_assert_int_eq(begin(IMAGE_READ, 0, 1, IMAGE_NOWAIT, &io), -EAGAIN);
	ck_assert_int_eq(begin(IMAGE_WRITE, 0, 1, IMAGE_NOWAIT, &io), -EAGAIN);
	know_the_map();
	ck_assert_int_eq(begin(IMAGE_READ, 0, 1, IMAGE_NOWAIT, &io), 0);
	image_end(h.img, &io, 0);
	ck_assert_int_eq(begin(IMAGE_WRITE, 0, 1, IMAGE_NOWAIT, &io), 0);
	ck_assert(!image_end_blocks(&io));
	image_end(h.img, &io, 0);
	finish();
}
END_TEST

START_TEST(nowait_neither_fills_nor_grows)
{
	struct image_io io;

	open_kind(_i);
	know_the_map();
	ck_assert_int_eq(begin(IMAGE_WRITE, 9 * BS, 1, IMAGE_NOWAIT, &io),
			 -EAGAIN);
	ck_assert_int_eq(begin(IMAGE_WRITE, SIZE, 1, IMAGE_NOWAIT, &io),
			 -EAGAIN);
	finish();
}
END_TEST

START_TEST(nowait_does_not_wait_for_a_fill)
{
	struct image_io fill, io;

	open_kind(_i);
	know_the_map();
	ck_assert_int_eq(begin(IMAGE_WRITE, 7 * BS, 2 * BS, 0, &fill), 0);
	ck_assert_int_eq(begin(IMAGE_WRITE, 7 * BS, 1, IMAGE_NOWAIT, &io),
			 -EAGAIN);
	/* A reader may: it sees what is published, a hole. */
	ck_assert_int_eq(begin(IMAGE_READ, 8 * BS, 1, IMAGE_NOWAIT, &io), 0);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_ZERO);
	image_end(h.img, &io, 0);
	image_end(h.img, &fill, -EIO);
	finish();
}
END_TEST

START_TEST(a_fill_is_whole_blocks_with_pads)
{
	struct image_io io;

	open_kind(_i);
	ck_assert_int_eq(begin(IMAGE_WRITE, 10 * BS + 100, 3 * BS, 0, &io), 0);
	ck_assert_uint_eq(io.len, 3 * BS);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_FILL);
	ck_assert_uint_eq(io.seg[0].pad_head, 100);
	ck_assert_uint_eq(io.seg[io.nseg - 1].pad_tail, BS - 100);
	ck_assert(image_end_blocks(&io));
	image_end(h.img, &io, -EIO);
	finish();
}
END_TEST

START_TEST(a_fill_beside_data_keeps_both)
{
	open_kind(_i);
	put('x', 3 * BS, 7 * BS + 10);
	expect_pattern(7 * BS + 10, 0);
	expect('x', 3 * BS, 7 * BS + 10);
	expect(0, BS - 10, 10 * BS + 10);
	finish();
}
END_TEST

START_TEST(a_write_within_one_block_of_a_hole_pads_both_sides)
{
	open_kind(_i);
	put('x', 10, 20 * BS + 500);
	expect(0, 500, 20 * BS);
	expect('x', 10, 20 * BS + 500);
	expect(0, BS - 510, 20 * BS + 510);
	finish();
}
END_TEST

START_TEST(a_failed_fill_gives_its_blocks_back)
{
	struct image_io io;
	uint64_t before;

	open_kind(_i);
	before = hostfs_available(h.fs);
	ck_assert_int_eq(begin(IMAGE_WRITE, 10 * BS, 5 * BS, 0, &io), 0);
	ck_assert_uint_lt(hostfs_available(h.fs), before);
	ck_assert_int_eq(image_end(h.img, &io, -EIO), -EIO);
	ck_assert_uint_eq(hostfs_available(h.fs), before);
	expect(0, 5 * BS, 10 * BS);
	finish();
}
END_TEST

START_TEST(an_unpublished_fill_reads_as_zeros)
{
	uint8_t buf[BS];
	struct image_io io;

	memset(buf, 'x', sizeof(buf));
	open_kind(_i);
	ck_assert_int_eq(begin(IMAGE_WRITE, 10 * BS, BS, 0, &io), 0);
	expect(0, BS, 10 * BS);
	ck_assert_int_eq(image_transfer(h.img, &io, buf), 0);
	expect(0, BS, 10 * BS);
	ck_assert_int_eq(image_end(h.img, &io, 0), 0);
	expect('x', BS, 10 * BS);
	finish();
}
END_TEST

START_TEST(a_write_behind_the_end_leaves_zeros_between)
{
	struct image_io io;
	uint8_t stale[BS];

	open_kind(_i);
	/* Bytes behind the end, as an interrupted growth leaves them. */
	memset(stale, 's', sizeof(stale));
	ck_assert_int_eq(begin(IMAGE_WRITE, SIZE, 50, 0, &io), 0);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_DATA);
	ck_assert_int_eq(image_transfer(h.img, &io, stale), 0);
	ck_assert_int_eq(image_end(h.img, &io, -EIO), -EIO);
	ck_assert_uint_eq(image_size(h.img), SIZE);

	put('x', 10, SIZE + 30);
	ck_assert_uint_eq(image_size(h.img), SIZE + 40);
	expect(0, 30, SIZE);
	put('y', 10, SIZE + 10 * BS);
	expect(0, 10 * BS - 40, SIZE + 40);
	expect('y', 10, SIZE + 10 * BS);
	finish();
}
END_TEST

START_TEST(a_write_too_far_is_efbig)
{
	uint64_t max;
	uint8_t byte = 1;

	open_kind(_i);
	max = hostfile_max_size(image_file(h.img));
	ck_assert_int_eq(image_pwrite(h.img, &byte, 1, img_off_at(max)),
			 -EFBIG);
	ck_assert_int_eq(image_truncate(h.img, max + 1), -EFBIG);
	ck_assert_int_eq(image_zero(h.img, img_off_at(max), 1, false), -EFBIG);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(UINT64_MAX), 2,
					false),
			 -EFBIG);
	finish();
}
END_TEST

START_TEST(a_full_host_shortens_a_write_then_refuses)
{
	uint64_t room = UINT64_C(16) << 20;
	g_autofree uint8_t *buf = g_malloc(room);
	ssize_t got;

	memset(buf, 'x', room);
	open_kind(_i);
	got = image_pwrite(h.img, buf, room, img_off_at(SIZE));
	ck_assert_int_gt(got, 0);
	ck_assert_int_lt(got, (ssize_t)room);
	ck_assert_uint_eq(image_size(h.img), SIZE + (uint64_t)got);
	ck_assert_int_eq(image_pwrite(h.img, buf, 1 << 20,
				      img_off_at(SIZE + (uint64_t)got)),
			 -ENOSPC);
	expect('x', (uint64_t)got, SIZE);
	finish();
}
END_TEST

START_TEST(a_pure_overwrite_and_its_flush_touch_no_metadata)
{
	struct blkdev_counters a, b;

	open_kind(_i);
	know_the_map();
	ck_assert_int_eq(image_flush(h.img), 0);
	blkdev_counters(h.dev, &a);
	put('x', 2 * BS, BS);
	ck_assert_int_eq(image_flush(h.img), 0);
	blkdev_counters(h.dev, &b);
	ck_assert_uint_eq(b.writes - a.writes, 1);
	ck_assert_uint_eq(b.reads - a.reads, 0);
	ck_assert_uint_eq(b.flushes - a.flushes, 1);
	finish();
}
END_TEST

START_TEST(an_overwrite_is_in_the_mtime_now_and_after_closing)
{
	struct hostfile_attr before, now, after;
	const struct timespec past = { 1000, 0 };

	open_kind(_i);
	ck_assert_int_eq(image_set_times(h.img, NULL, &past), 0);
	image_attr(h.img, &before);
	ck_assert_int_eq(before.mtime.tv_sec, 1000);
	put('x', 1, 0);
	image_attr(h.img, &now);
	ck_assert_int_gt(now.mtime.tv_sec, 1000);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_open(&h);
	image_attr(h.img, &after);
	ck_assert_int_eq(after.mtime.tv_sec, now.mtime.tv_sec);
	finish();
}
END_TEST

START_TEST(seek_finds_data_and_holes)
{
	img_off at;

	open_kind(_i);
	ck_assert_int_eq(image_seek_hole(h.img, img_off_at(5), &at), 0);
	ck_assert_uint_eq(at.v, 8 * BS);
	ck_assert_int_eq(image_seek_data(h.img, img_off_at(8 * BS + 5), &at),
			 0);
	ck_assert_uint_eq(at.v, 63 * BS);
	ck_assert_int_eq(image_seek_hole(h.img, at, &at), 0);
	ck_assert_uint_eq(at.v, SIZE);
	ck_assert_int_eq(image_seek_data(h.img, at, &at), -ENXIO);
	finish();
}
END_TEST

START_TEST(a_readonly_image_refuses_every_change)
{
	struct image_io io;
	struct image *img;

	open_kind(_i);
	image_free(h.img);
	img = image_new(hostfile_open(h.fs, "/disk.img", 0, NULL), true);
	h.img = img;
	ck_assert_int_eq(begin(IMAGE_WRITE, 0, 1, 0, &io), -EROFS);
	ck_assert_int_eq(image_punch(img, img_off_at(0), 1), -EROFS);
	ck_assert_int_eq(image_zero(img, img_off_at(0), 1, true), -EROFS);
	ck_assert_int_eq(image_allocate(img, img_off_at(0), 1, true), -EROFS);
	ck_assert_int_eq(image_truncate(img, 0), -EROFS);
	expect_pattern(8 * BS, 0);
	finish();
}
END_TEST

START_TEST(an_io_of_many_runs_is_cut_and_continued)
{
	open_kind(_i);
	for (uint64_t b = 8; b < 60; b += 2)
		put('a', BS, b * BS);
	put('b', 50 * BS + 11, 8 * BS + 5);
	expect('a', 5, 8 * BS);
	expect('b', 50 * BS + 11, 8 * BS + 5);
	finish();
}
END_TEST

START_TEST(counters_count)
{
	struct image_stats s;

	open_kind(_i);
	put('x', 100, 20 * BS);
	put('y', 100, 20 * BS);
	expect('y', 100, 20 * BS);
	ck_assert_int_eq(image_punch(h.img, img_off_at(20 * BS), BS), 0);
	image_stats(h.img, &s);
	ck_assert_uint_eq(s.writes, 2);
	ck_assert_uint_eq(s.write_bytes, 200);
	ck_assert_uint_eq(s.fills, 1);
	ck_assert_uint_eq(s.fill_bytes, BS);
	ck_assert_uint_eq(s.reads, 1);
	ck_assert_uint_eq(s.punches, 1);
	ck_assert_uint_eq(s.errors, 0);
	finish();
}
END_TEST

START_TEST(requests_are_counted_while_they_are_in_flight)
{
	uint64_t since[3];
	struct image_stats s;

	open_kind(_i);
	for (unsigned i = 0; i < 3; i++)
		since[i] = image_request_begin(h.img);
	image_request_end(h.img, since[1]);
	image_stats(h.img, &s);
	ck_assert_uint_eq(s.in_flight, 2);
	ck_assert_uint_eq(s.in_flight_max, 3);
	ck_assert_uint_eq(s.requests, 1);
	image_request_end(h.img, since[0]);
	image_request_end(h.img, since[2]);
	since[0] = image_request_begin(h.img);
	image_request_end(h.img, since[0] - 1000000000);
	image_stats(h.img, &s);
	ck_assert_uint_eq(s.in_flight, 0);
	ck_assert_uint_eq(s.in_flight_max, 3);
	ck_assert_uint_eq(s.requests, 4);
	ck_assert_uint_ge(s.request_ns, 1000000000);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image");
	TCase *tc = tcase_create("image");
	SRunner *sr;
	int failed;

#define BOTH(name) tcase_add_loop_test(tc, name, 0, G_N_ELEMENTS(kinds))
	BOTH(a_read_is_cut_at_the_end);
	BOTH(a_read_is_data_and_zeros_in_order);
	BOTH(nowait_does_not_load);
	BOTH(nowait_neither_fills_nor_grows);
	BOTH(nowait_does_not_wait_for_a_fill);
	BOTH(a_fill_is_whole_blocks_with_pads);
	BOTH(a_fill_beside_data_keeps_both);
	BOTH(a_write_within_one_block_of_a_hole_pads_both_sides);
	BOTH(a_failed_fill_gives_its_blocks_back);
	BOTH(an_unpublished_fill_reads_as_zeros);
	BOTH(a_write_behind_the_end_leaves_zeros_between);
	BOTH(a_write_too_far_is_efbig);
	BOTH(a_full_host_shortens_a_write_then_refuses);
	BOTH(a_pure_overwrite_and_its_flush_touch_no_metadata);
	BOTH(an_overwrite_is_in_the_mtime_now_and_after_closing);
	BOTH(seek_finds_data_and_holes);
	BOTH(a_readonly_image_refuses_every_change);
	BOTH(an_io_of_many_runs_is_cut_and_continued);
	BOTH(counters_count);
	BOTH(requests_are_counted_while_they_are_in_flight);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
