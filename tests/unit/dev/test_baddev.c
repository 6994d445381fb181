/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged media: what is known to be bad, what is refused where nobody asked
 * for zeros, writing, and where the kernel may do the I/O by itself.
 */
#include "baddev_bed.h"

#include <rawmap/dev/filedev.h>

#include <unistd.h>

/* ---- what is known to be bad ---- */

START_TEST(without_zeros_what_touches_a_known_range_fails)
{
	know(1000, 300);
	start(true, false);
	ck_assert_int_eq(read_at(990, 11), -EIO);
	ck_assert_int_eq(read_at(1299, 1), -EIO);
	ck_assert_int_eq(read_at(0, SIZE), -EIO);
	ck_assert_uint_eq(lower_reads(), 0);
	ck_content(0, 1000);
	ck_content(1300, SIZE - 1300);
}
END_TEST

START_TEST(with_zeros_a_known_range_is_zeros_at_every_alignment)
{
	know(1000, 30);
	know(1033, 3);
	know(SIZE - 3, 100);
	start(true, true);
	for (uint64_t pos = 995; pos < 1040; pos++)
		for (uint64_t len = 1; len < 50; len++)
			ck_bytes(pos, len, known);
	for (uint64_t len = 1; len < 10; len++)
		ck_bytes(SIZE - len, len, known);
	ck_bytes(0, SIZE, known);
}
END_TEST

START_TEST(a_known_range_is_not_read)
{
	know(3 * SECTOR, 2 * SECTOR);
	start(true, true);
	spoil(3, 2);
	ck_bytes(0, SIZE, known);
	ck_zeros(3 * SECTOR + 5, 20);
	ck_assert_uint_eq(lower_errors(), 0);
	ck_assert_uint_eq(lower_reads(), 2);
	ck_assert_uint_eq(said, 0);
}
END_TEST

START_TEST(what_is_known_behind_the_end_does_no_harm)
{
	know(SIZE, UINT64_MAX - SIZE);
	start(true, false);
	ck_content(0, SIZE);
}
END_TEST

START_TEST(the_set_that_was_given_is_copied)
{
	start(true, false);
	know(0, SIZE);
	ck_content(0, SIZE);
}
END_TEST

/* @_i: the mode. */
START_TEST(the_parts_that_somebody_asked_for_are_reported)
{
	g_autoptr(badranges) want = badranges_new(3);

	badranges_add(want, dev_off_at(1000), 10);
	badranges_add(want, dev_off_at(1020), 80);
	badranges_add(want, dev_off_at(5000), 1);
	know(1000, 100);
	know(5000, 100);
	know(9000, 100);
	start(true, _i);
	ck_reported(0, 0);
	read_at(0, 1010);
	read_at(1020, 3981);
	ck_report_is(want);
}
END_TEST

/* ---- what the device refuses, without zeros ---- */

START_TEST(without_zeros_an_error_is_passed_on_and_nothing_else_is_read)
{
	start(true, false);
	faultdev_spoil(fault, dev_off_at(SECTOR), SECTOR, EREMOTEIO);
	ck_assert_int_eq(read_at(0, 64 * SECTOR), -EREMOTEIO);
	ck_assert_uint_eq(lower_reads(), 1);
	ck_assert_int_eq(read_at(SECTOR + 5, 5), -EREMOTEIO);
	ck_assert_uint_eq(lower_reads(), 2);
	ck_assert_uint_eq(said, 0);
}
END_TEST

START_TEST(without_zeros_the_sectors_of_the_request_are_reported)
{
	start(true, false);
	spoil(8, 1);
	ck_assert_int_eq(read_at(7 * SECTOR + 5, SECTOR), -EIO);
	ck_sectors_reported(7, 2);
}
END_TEST

START_TEST(without_zeros_what_can_be_read_later_leaves_the_report)
{
	start(true, false);
	spoil(8, 1);
	ck_assert_int_eq(read_at(0, 64 * SECTOR), -EIO);
	for (uint64_t i = 0; i < 64; i += 4)
		read_at(i * SECTOR, 4 * SECTOR);
	ck_sectors_reported(8, 4);
	for (uint64_t i = 0; i < 64; i++)
		read_at(i * SECTOR, SECTOR);
	ck_sectors_reported(8, 1);
}
END_TEST

START_TEST(without_zeros_a_device_that_is_gone_is_no_bad_range)
{
	start(true, false);
	faultdev_arm(fault, FAULTDEV_READ, 1, ENODEV, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(read_at(0, SIZE), -ENODEV);
	ck_reported(0, 0);
}
END_TEST

/* ---- writing ---- */

/* @_i: the mode. */
START_TEST(a_write_heals_what_it_covers)
{
	g_autoptr(badranges) rest = NULL;

	know(1000, 100);
	start(false, _i);
	ck_assert_int_eq(write_at(1010, 20), 0);
	ck_content(1010, 20);
	rest = badranges_copy(known);
	badranges_remove(rest, dev_off_at(1010), 20);
	if (_i)
		ck_bytes(900, 300, rest);
	else
		ck_assert_int_eq(read_at(1005, 10), -EIO);
	ck_assert_int_eq(write_at(900, 300), 0);
	ck_content(0, SIZE);
	ck_reported(0, 0);
}
END_TEST

START_TEST(a_write_heals_what_the_device_refused)
{
	start(false, true);
	spoil(3, 2);
	ck_zeros(3 * SECTOR, 2 * SECTOR);
	ck_assert_int_eq(write_at(2 * SECTOR, 4 * SECTOR), 0);
	ck_content(0, SIZE);
	ck_reported(0, 0);
}
END_TEST

/* @_i: a write, or a zero. */
START_TEST(a_write_that_fails_heals_nothing)
{
	know(1000, 100);
	start(false, true);
	faultdev_arm(fault, FAULTDEV_ANY, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(_i ? blkdev_zero(dev, 100, dev_off_at(1000))
			    : write_at(1000, 100),
			 -EIO);
	ck_zeros(1000, 100);
}
END_TEST

START_TEST(a_zero_heals_and_a_discard_does_not)
{
	know(1000, 100);
	start(false, false);
	ck_assert_int_eq(blkdev_discard(dev, SECTOR, dev_off_at(SECTOR)), 0);
	ck_assert_int_eq(read_at(1000, 10), -EIO);
	ck_assert_int_eq(blkdev_zero(dev, 50, dev_off_at(1000)), 0);
	ck_zeros(1000, 50);
	ck_assert_int_eq(read_at(1050, 1), -EIO);
}
END_TEST

static void ck_same_geometry(void)
{
	const struct blkdev_geometry *a = blkdev_geometry(dev);
	const struct blkdev_geometry *b = blkdev_geometry(mem);

	ck_assert_uint_eq(a->size, b->size);
	ck_assert_uint_eq(a->sector, b->sector);
	ck_assert_uint_eq(a->align, b->align);
	ck_assert_int_eq(a->readonly, b->readonly);
	ck_assert_int_eq(a->can_discard, b->can_discard);
}

START_TEST(it_is_as_large_and_as_writable_as_the_device_below)
{
	start(true, true);
	ck_same_geometry();
	ck_assert_int_eq(write_at(0, 10), -EROFS);
	start(false, true);
	ck_same_geometry();
	faultdev_arm(fault, FAULTDEV_FLUSH, 1, ENOSPC, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(dev), -ENOSPC);
	ck_assert_int_eq(blkdev_flush(dev), 0);
}
END_TEST

/* ---- the raw way ---- */

static bool fits(enum blkdev_io io, uint64_t len, uint64_t pos)
{
	struct blkdev_raw at;

	if (!blkdev_raw(dev, io, NULL, len, dev_off_at(pos), &at))
		return false;
	ck_assert_ptr_eq(at.dev, mem);
	ck_assert_uint_eq(at.pos.v, pos);
	return true;
}

/* dev -> a file */
static void start_file(bool zeros)
{
	struct filedev_options opt = { .direct = FILEDEV_DIRECT_OFF };
	char path[] = "baddev-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 100 * SECTOR), 0);
	close(fd);
	mem = filedev_open(path, &opt, NULL);
	unlink(path);
	ck_assert_ptr_nonnull(mem);
	dev = baddev_new(mem, known, zeros, NULL, NULL);
}

/* @_i: the mode. */
START_TEST(what_touches_no_known_range_goes_the_raw_way)
{
	know(1000, 100);
	start_file(_i);
	for (unsigned io = BLKDEV_READ; io <= BLKDEV_WRITE; io++) {
		ck_assert(fits((enum blkdev_io)io, 1000, 0));
		ck_assert(!fits((enum blkdev_io)io, 1001, 0));
		ck_assert(!fits((enum blkdev_io)io, 1, 1099));
		ck_assert(fits((enum blkdev_io)io, SECTOR, 1100));
	}
	ck_assert(fits(BLKDEV_FLUSH, 0, 0));
	ck_assert_int_eq(write_at(1000, 100), 0);
	ck_assert(fits(BLKDEV_READ, 100 * SECTOR, 0));
}
END_TEST

/* The end of a file that was cut off cannot be read. @_i: the mode. */
START_TEST(what_was_refused_no_longer_goes_the_raw_way)
{
	struct blkdev_raw at;
	char *path;

	start_file(_i);
	ck_assert(
		blkdev_raw(dev, BLKDEV_READ, NULL, SECTOR, dev_off_at(0), &at));
	path = g_strdup_printf("/proc/self/fd/%d", at.fd);
	ck_assert_int_eq(truncate(path, 50 * SECTOR), 0);
	g_free(path);
	ck_assert_int_eq(read_at(60 * SECTOR, SECTOR), _i ? 0 : -EIO);
	ck_assert(!fits(BLKDEV_READ, 10 * SECTOR, 55 * SECTOR));
	ck_assert(!fits(BLKDEV_WRITE, SECTOR, 60 * SECTOR));
	ck_assert(fits(BLKDEV_READ, SECTOR, 59 * SECTOR));
	ck_assert(fits(BLKDEV_READ, SECTOR, 61 * SECTOR));
	ck_assert_int_eq(write_at(60 * SECTOR, SECTOR), 0);
	ck_assert(fits(BLKDEV_READ, SECTOR, 60 * SECTOR));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("baddev");

	tcase_add_test(tc, without_zeros_what_touches_a_known_range_fails);
	tcase_add_test(tc,
		       with_zeros_a_known_range_is_zeros_at_every_alignment);
	tcase_add_test(tc, a_known_range_is_not_read);
	tcase_add_test(tc, what_is_known_behind_the_end_does_no_harm);
	tcase_add_test(tc, the_set_that_was_given_is_copied);
	tcase_add_loop_test(tc, the_parts_that_somebody_asked_for_are_reported,
			    0, 2);
	tcase_add_test(
		tc,
		without_zeros_an_error_is_passed_on_and_nothing_else_is_read);
	tcase_add_test(tc,
		       without_zeros_the_sectors_of_the_request_are_reported);
	tcase_add_test(tc,
		       without_zeros_what_can_be_read_later_leaves_the_report);
	tcase_add_test(tc, without_zeros_a_device_that_is_gone_is_no_bad_range);
	tcase_add_loop_test(tc, a_write_heals_what_it_covers, 0, 2);
	tcase_add_test(tc, a_write_heals_what_the_device_refused);
	tcase_add_loop_test(tc, a_write_that_fails_heals_nothing, 0, 2);
	tcase_add_test(tc, a_zero_heals_and_a_discard_does_not);
	tcase_add_test(tc, it_is_as_large_and_as_writable_as_the_device_below);
	tcase_add_loop_test(tc, what_touches_no_known_range_goes_the_raw_way, 0,
			    2);
	tcase_add_loop_test(tc, what_was_refused_no_longer_goes_the_raw_way, 0,
			    2);
	return bed_main("baddev", tc);
}
