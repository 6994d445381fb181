/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/* What truncate, punch, zero and allocate promise, one by one. */
#include "image_bed.h"

START_TEST(a_growing_truncate_shows_zeros)
{
	struct image_io io;
	uint8_t stale[BS];

	open_kind(_i);
	memset(stale, 's', sizeof(stale));
	ck_assert_int_eq(begin(IMAGE_WRITE, SIZE, 50, 0, &io), 0);
	ck_assert_int_eq(image_transfer(h.img, &io, stale), 0);
	image_end(h.img, &io, -EIO);
	ck_assert_int_eq(image_truncate(h.img, SIZE + BS), 0);
	expect(0, BS, SIZE);
	finish();
}
END_TEST

START_TEST(a_shrink_frees_and_forgets)
{
	uint64_t before;

	open_kind(_i);
	before = hostfs_available(h.fs);
	put('x', 16 * BS, 16 * BS);
	ck_assert_int_eq(image_truncate(h.img, 16 * BS + 5), 0);
	ck_assert_int_eq(image_flush(h.img), 0);
	/* Its own last block went; one of the new ones stayed. */
	ck_assert_uint_ge(hostfs_available(h.fs), before);
	ck_assert_int_eq(image_truncate(h.img, SIZE), 0);
	expect('x', 5, 16 * BS);
	expect(0, SIZE - 16 * BS - 5, 16 * BS + 5);
	finish();
}
END_TEST

START_TEST(truncate_to_the_same_size_drops_what_lies_behind)
{
	const lblk end = lblk_at(SIZE / BS);
	uint64_t done, step;

	/* As the kernel's fallocate() leaves them. */
	open_kind(EXT4);
	for (done = 0; done < 8; done += step)
		ck_assert_int_eq(hostfile_prealloc(image_file(h.img),
						   lblk_add(end, done),
						   8 - done, &step),
				 0);
	ck_assert_int_eq(state_at(66), EXTENT_UNWRITTEN);
	ck_assert_int_eq(image_truncate(h.img, SIZE), 0);
	ck_assert_int_eq(state_at(66), EXTENT_HOLE);
	ck_assert_int_eq(state_at(63), EXTENT_MAPPED);
	finish();
}
END_TEST

START_TEST(a_punch_frees_whole_blocks_and_zeroes_edges)
{
	open_kind(_i);
	ck_assert_int_eq(image_punch(h.img, img_off_at(BS + 7), 3 * BS), 0);
	ck_assert_int_eq(state_at(1), EXTENT_MAPPED);
	ck_assert_int_eq(state_at(2), EXTENT_HOLE);
	ck_assert_int_eq(state_at(3), EXTENT_HOLE);
	ck_assert_int_eq(state_at(4), EXTENT_MAPPED);
	expect_pattern(BS + 7, 0);
	expect(0, 3 * BS, BS + 7);
	expect_pattern(4 * BS - 7, 4 * BS + 7);
	finish();
}
END_TEST

START_TEST(a_punch_inside_one_block_zeroes)
{
	open_kind(_i);
	ck_assert_int_eq(image_punch(h.img, img_off_at(BS + 7), 100), 0);
	ck_assert_int_eq(state_at(1), EXTENT_MAPPED);
	expect_pattern(BS + 7, 0);
	expect(0, 100, BS + 7);
	expect_pattern(BS, BS + 107);
	finish();
}
END_TEST

START_TEST(a_punch_up_to_the_end_takes_the_last_block)
{
	open_kind(_i);
	ck_assert_int_eq(image_punch(h.img, img_off_at(63 * BS), UINT64_MAX),
			 0);
	ck_assert_int_eq(state_at(63), EXTENT_HOLE);
	ck_assert_uint_eq(image_size(h.img), SIZE);
	finish();
}
END_TEST

static void *punch_block_1(void *arg)
{
	(void)arg;
	ck_assert_int_eq(image_punch(h.img, img_off_at(BS), BS), 0);
	return NULL;
}

START_TEST(a_punch_waits_for_a_read)
{
	struct image_io read, probe;
	enum extent_state state;
	pthread_t thread;

	open_kind(_i);
	know_the_map();
	ck_assert_int_eq(begin(IMAGE_READ, BS, BS, 0, &read), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, punch_block_1, NULL), 0);
	/* A later read that has to wait: the punch stands in the queue. */
	while (!begin(IMAGE_READ, BS, 1, IMAGE_NOWAIT, &probe)) {
		ck_assert_int_eq(state_at(1), EXTENT_MAPPED);
		image_end(h.img, &probe, 0);
		sched_yield();
	}
	state = state_at(1);
	ck_assert_int_eq(image_end(h.img, &read, 0), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(state, EXTENT_MAPPED);
	ck_assert_int_eq(state_at(1), EXTENT_HOLE);
	finish();
}
END_TEST

START_TEST(zero_gives_blocks_that_read_as_zeros)
{
	open_kind(_i);
	ck_assert_int_eq(
		image_zero(h.img, img_off_at(6 * BS + 9), 4 * BS, true), 0);
	expect_pattern(6 * BS + 9, 0);
	expect(0, 4 * BS + 100, 6 * BS + 9);
	for (uint64_t b = 6; b < 11; b++)
		ck_assert_int_ne(state_at(b), EXTENT_HOLE);
	finish();
}
END_TEST

START_TEST(zero_grows_unless_told_not_to)
{
	open_kind(_i);
	ck_assert_int_eq(
		image_zero(h.img, img_off_at(SIZE + BS), 2 * BS, false), 0);
	ck_assert_uint_eq(image_size(h.img), SIZE + 3 * BS);
	expect(0, 3 * BS, SIZE);
	ck_assert_int_eq(image_zero(h.img, img_off_at(SIZE), 9 * BS, true),
			 -EOPNOTSUPP);
	ck_assert_uint_eq(image_size(h.img), SIZE + 3 * BS);
	finish();
}
END_TEST

START_TEST(allocate_keeps_what_was_there)
{
	open_kind(_i);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(100), 12 * BS, true),
			 0);
	expect_pattern(8 * BS, 0);
	expect(0, 5 * BS, 8 * BS);
	ck_assert_int_ne(state_at(12), EXTENT_HOLE);
	finish();
}
END_TEST

START_TEST(an_allocation_that_cannot_succeed_changes_nothing)
{
	struct hostfile_attr before, after;

	open_kind(_i);
	image_attr(h.img, &before);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(0), 1 << 30, false),
			 -ENOSPC);
	ck_assert_int_eq(image_zero(h.img, img_off_at(SIZE), 1 << 30, false),
			 -ENOSPC);
	image_attr(h.img, &after);
	ck_assert_uint_eq(after.size, before.size);
	ck_assert_uint_eq(after.blocks, before.blocks);
	ck_assert_uint_eq(image_size(h.img), SIZE);
	expect_pattern(8 * BS, 0);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image/ranges");
	TCase *tc = tcase_create("image");
	SRunner *sr;
	int failed;

#define BOTH(name) tcase_add_loop_test(tc, name, 0, G_N_ELEMENTS(kinds))
	BOTH(a_growing_truncate_shows_zeros);
	BOTH(a_shrink_frees_and_forgets);
	tcase_add_test(tc, truncate_to_the_same_size_drops_what_lies_behind);
	BOTH(a_punch_frees_whole_blocks_and_zeroes_edges);
	BOTH(a_punch_inside_one_block_zeroes);
	BOTH(a_punch_up_to_the_end_takes_the_last_block);
	BOTH(a_punch_waits_for_a_read);
	BOTH(zero_gives_blocks_that_read_as_zeros);
	BOTH(zero_grows_unless_told_not_to);
	BOTH(allocate_keeps_what_was_there);
	BOTH(an_allocation_that_cannot_succeed_changes_nothing);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
