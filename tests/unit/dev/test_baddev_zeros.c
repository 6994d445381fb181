/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged media, with zeros for what the device refuses: which bytes come, how
 * often the disk is asked, what is remembered and reported.
 */
#include "baddev_bed.h"

/* Over a new device each time: nothing is remembered from before. */
START_TEST(around_a_bad_sector_all_bytes_are_right_at_every_alignment)
{
	g_autoptr(badranges) bad = badranges_new(2);

	badranges_add(bad, dev_off_at(3 * SECTOR), SECTOR);
	for (uint64_t pos = SECTOR; pos < 6 * SECTOR; pos += 37) {
		for (uint64_t len = 1; len < 8 * SECTOR; len += 211) {
			start(true, true);
			spoil(3, 1);
			ck_bytes(pos, len, bad);
			ck_bytes(pos, len, bad);
		}
	}
}
END_TEST

START_TEST(at_the_edges_of_a_bad_sector_each_byte_counts)
{
	g_autoptr(badranges) bad = badranges_new(2);

	badranges_add(bad, dev_off_at(3 * SECTOR), SECTOR);
	for (uint64_t pos = 3 * SECTOR - 2; pos < 3 * SECTOR + 3; pos++) {
		for (uint64_t end = 4 * SECTOR - 2; end < 4 * SECTOR + 3;
		     end++) {
			start(true, true);
			spoil(3, 1);
			ck_bytes(pos, end - pos, bad);
		}
	}
}
END_TEST

START_TEST(the_short_sector_at_the_end_may_be_bad)
{
	start(true, true);
	faultdev_spoil(fault, dev_off_at(SIZE - 100), 100, EIO);
	ck_zeros(SIZE - 1, 1);
	ck_content(SIZE - 1000, 900);
	ck_zeros(SIZE - 100, 100);
	ck_reported(SIZE - 100, 100);
}
END_TEST

/* Any of them, alone and beside each other. @_i: the seed. */
START_TEST(random_damage_agrees_with_a_model)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	g_autoptr(badranges) bad = NULL;
	uint64_t errors;

	for (unsigned i = 0; i < 5; i++)
		know((uint64_t)g_rand_int_range(rand, 0, SIZE),
		     (uint64_t)g_rand_int_range(rand, 0, 900));
	bad = badranges_copy(known);
	start(_i % 2, true);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t n = (uint64_t)g_rand_int_range(rand, 1, 4);
		uint64_t at = (uint64_t)g_rand_int_range(rand, 1, 250);

		spoil(at, n);
		badranges_add(bad, dev_off_at(at * SECTOR), n * SECTOR);
	}
	for (unsigned i = 0; i < 300; i++) {
		uint64_t pos = (uint64_t)g_rand_int_range(rand, 0, SIZE);
		uint64_t len = (uint64_t)g_rand_int_range(rand, 1, 20000);

		ck_bytes(pos, u64_min(len, SIZE - pos), bad);
	}
	ck_bytes(0, SIZE, bad);
	badranges_remove(bad, dev_off_at(SIZE), UINT64_MAX - SIZE);
	ck_report_is(bad);
	errors = lower_errors();
	ck_bytes(0, SIZE, bad);
	if (_i % 2)
		ck_assert_uint_eq(lower_errors(), errors);
}
END_TEST

START_TEST(a_bad_sector_is_asked_for_once_over_a_readonly_device)
{
	uint64_t errors;

	start(true, true);
	spoil(77, 1);
	ck_assert_int_eq(read_at(0, SIZE), 0);
	errors = lower_errors();
	ck_assert_uint_gt(errors, 0);
	ck_zeros(77 * SECTOR, SECTOR);
	ck_assert_int_eq(read_at(0, SIZE), 0);
	ck_assert_uint_eq(lower_errors(), errors);
	ck_sectors_reported(77, 1);
}
END_TEST

/* Somebody may have written it by another way. */
START_TEST(over_a_writable_device_it_is_asked_for_again)
{
	start(false, true);
	spoil(77, 1);
	ck_zeros(77 * SECTOR, SECTOR);
	ck_assert_int_eq(blkdev_pwrite(fault, content + 77 * SECTOR, SECTOR,
				       dev_off_at(77 * SECTOR)),
			 0);
	ck_content(77 * SECTOR, SECTOR);
	ck_sectors_reported(77, 1);
}
END_TEST

/* @_i: the bad one of 128. */
START_TEST(one_bad_sector_is_found_with_few_reads)
{
	start(true, true);
	spoil((uint64_t)_i, 1);
	ck_assert_int_eq(read_at(0, 128 * SECTOR), 0);
	/* The whole, at most one a halving; and a good half each. */
	ck_assert_uint_le(lower_errors(), 1 + 7);
	ck_assert_uint_le(lower_reads(), 1 + 2 * 7);
	ck_sectors_reported((uint64_t)_i, 1);
}
END_TEST

START_TEST(one_bad_sector_alone_is_asked_for_once)
{
	start(true, true);
	ck_content(0, 10);
	spoil(5, 1);
	ck_zeros(5 * SECTOR + 100, 200);
	ck_assert_uint_eq(lower_errors(), 1);
}
END_TEST

/* It is given up only after a read of its own. */
START_TEST(every_sector_of_a_dead_area_was_tried)
{
	start(true, true);
	spoil(16, 16);
	ck_assert_int_eq(read_at(16 * SECTOR, 17 * SECTOR), 0);
	ck_assert_uint_ge(lower_errors(), 16);
	ck_assert_uint_le(lower_errors(), 2 * 17);
	ck_sectors_reported(16, 16);
}
END_TEST

/* A sector that comes when it is read alone. */
START_TEST(an_error_that_goes_away_harms_nothing)
{
	start(true, true);
	faultdev_arm(fault, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	ck_content(0, SIZE);
	ck_assert(faultdev_fired(fault));
	ck_reported(0, 0);
	ck_assert_uint_eq(said, 0);
}
END_TEST

static const int media[] = { EIO, EREMOTEIO, EILSEQ, ENODATA, EBADMSG };
static const int others[] = { ENODEV, ENXIO, ENOMEM, ETIMEDOUT, EINVAL };

START_TEST(every_error_of_media_is_one)
{
	start(true, true);
	faultdev_spoil(fault, dev_off_at(SECTOR), SECTOR, media[_i]);
	ck_content(0, SECTOR);
	ck_zeros(SECTOR, SECTOR);
	ck_assert(baddev_is_media_error(-media[_i]));
	ck_assert(!baddev_is_media_error(media[_i]));
	ck_assert(!baddev_is_media_error(0));
}
END_TEST

START_TEST(any_other_error_stays_one)
{
	start(true, true);
	faultdev_spoil(fault, dev_off_at(SECTOR), SECTOR, others[_i]);
	ck_assert_int_eq(read_at(0, SIZE), -others[_i]);
	ck_assert_int_eq(read_at(SECTOR, 1), -others[_i]);
	ck_assert(!baddev_is_media_error(-others[_i]));
	ck_reported(0, 0);
	ck_assert_uint_eq(said, 0);
}
END_TEST

START_TEST(a_device_that_goes_while_it_is_searched_is_gone)
{
	start(true, true);
	spoil(3, 1);
	faultdev_spoil(fault, dev_off_at(100 * SECTOR), SECTOR, ENODEV);
	/* The whole meets the bad sector first, a part of it the other. */
	ck_assert_int_eq(read_at(0, SIZE), -ENODEV);
	ck_reported(0, 0);
	ck_assert_uint_eq(said, 0);
}
END_TEST

/* The kernel says EIO of a disk that was pulled out, too. */
START_TEST(when_nothing_can_be_read_any_more_there_are_no_zeros)
{
	start(true, true);
	ck_content(5000, 1000);
	faultdev_arm(fault, FAULTDEV_READ, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(read_at(8 * SECTOR, 2 * SECTOR), -EIO);
	ck_reported(0, 0);
	ck_assert_uint_eq(said, 0);
	faultdev_disarm(fault);
	ck_content(0, SIZE);
}
END_TEST

START_TEST(nothing_is_remembered_of_a_device_that_goes_in_the_middle)
{
	start(true, true);
	ck_content(0, SECTOR);
	spoil(4, 1);
	/* The whole, its first half, and then no more. */
	faultdev_arm(fault, FAULTDEV_READ, 3, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(read_at(0, 8 * SECTOR), -EIO);
	ck_reported(0, 0);
	faultdev_disarm(fault);
	ck_content(5 * SECTOR, 3 * SECTOR);
	ck_assert_int_eq(read_at(0, 8 * SECTOR), 0);
	ck_sectors_reported(4, 1);
}
END_TEST

/* What was read last is bad by now: others tell that the device is there. */
START_TEST(a_sector_that_goes_bad_is_no_device_that_is_gone)
{
	start(true, true);
	ck_content(9 * SECTOR, SECTOR);
	spoil(9, 1);
	ck_zeros(9 * SECTOR, SECTOR);
	ck_sectors_reported(9, 1);
}
END_TEST

START_TEST(the_first_read_of_all_may_meet_a_bad_sector)
{
	start(true, true);
	spoil(0, 1);
	ck_zeros(0, SECTOR);
}
END_TEST

START_TEST(a_range_is_said_once_and_when_it_has_doubled)
{
	start(true, true);
	spoil(0, 64);
	for (uint64_t i = 0; i < 64; i++)
		ck_zeros(i * SECTOR, SECTOR);
	/* At 1, 2, 4, 8, 16, 32, 64. */
	ck_assert_uint_eq(said, 7);
	ck_assert_uint_eq(last_said.start.v, 0);
	ck_assert_uint_eq(last_said.len, 64 * SECTOR);
	said = 0;
	ck_assert_int_eq(read_at(0, SIZE), 0);
	ck_assert_uint_eq(said, 0);
	spoil(100, 2);
	ck_assert_int_eq(read_at(0, SIZE), 0);
	ck_assert_uint_eq(said, 1);
	ck_assert_uint_eq(last_said.start.v, 100 * SECTOR);
	ck_assert_uint_eq(last_said.len, 2 * SECTOR);
}
END_TEST

START_TEST(nobody_who_listens_is_a_line_in_the_log)
{
	start(true, true);
	blkdev_unref(dev);
	dev = baddev_new(fault, NULL, true, NULL, NULL);
	spoil(3, 1);
	ck_zeros(3 * SECTOR, SECTOR);
	ck_content(0, SECTOR);
}
END_TEST

/* A request that needs none of the bad bytes is served all the same. */
START_TEST(while_it_is_strict_zeros_are_errors)
{
	know(10 * SECTOR, SECTOR);
	start(_i, true);
	spoil(20, 1);
	baddev_set_strict(dev, true);
	ck_assert_int_eq(read_at(10 * SECTOR, SECTOR), -EIO);
	ck_assert_int_eq(read_at(19 * SECTOR, 3 * SECTOR), -EIO);
	ck_assert_int_eq(read_at(11 * SECTOR, 9 * SECTOR), 0);
	ck_assert_int_eq(read_at(21 * SECTOR, SECTOR), 0);
	baddev_set_strict(dev, false);
	ck_assert_int_eq(read_at(10 * SECTOR, SECTOR), 0);
	ck_assert_int_eq(read_at(19 * SECTOR, 3 * SECTOR), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("baddev zeros");

	tcase_add_test(
		tc, around_a_bad_sector_all_bytes_are_right_at_every_alignment);
	tcase_add_test(tc, at_the_edges_of_a_bad_sector_each_byte_counts);
	tcase_add_test(tc, the_short_sector_at_the_end_may_be_bad);
	tcase_add_loop_test(tc, while_it_is_strict_zeros_are_errors, 0, 2);
	tcase_add_loop_test(tc, random_damage_agrees_with_a_model, 1, 9);
	tcase_add_test(tc,
		       a_bad_sector_is_asked_for_once_over_a_readonly_device);
	tcase_add_test(tc, over_a_writable_device_it_is_asked_for_again);
	tcase_add_loop_test(tc, one_bad_sector_is_found_with_few_reads, 0, 128);
	tcase_add_test(tc, one_bad_sector_alone_is_asked_for_once);
	tcase_add_test(tc, every_sector_of_a_dead_area_was_tried);
	tcase_add_test(tc, an_error_that_goes_away_harms_nothing);
	tcase_add_loop_test(tc, every_error_of_media_is_one, 0,
			    G_N_ELEMENTS(media));
	tcase_add_loop_test(tc, any_other_error_stays_one, 0,
			    G_N_ELEMENTS(others));
	tcase_add_test(tc, a_device_that_goes_while_it_is_searched_is_gone);
	tcase_add_test(tc,
		       when_nothing_can_be_read_any_more_there_are_no_zeros);
	tcase_add_test(
		tc, nothing_is_remembered_of_a_device_that_goes_in_the_middle);
	tcase_add_test(tc, a_sector_that_goes_bad_is_no_device_that_is_gone);
	tcase_add_test(tc, the_first_read_of_all_may_meet_a_bad_sector);
	tcase_add_test(tc, a_range_is_said_once_and_when_it_has_doubled);
	tcase_add_test(tc, nobody_who_listens_is_a_line_in_the_log);
	return bed_main("baddev zeros", tc);
}
