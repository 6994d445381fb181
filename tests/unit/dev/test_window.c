/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A window: everything goes down at its place, and nothing beside it. */
#include <rawmap/dev/filedev.h>
#include <rawmap/dev/window.h>

#include "support/faultdev.h"
#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE  (64u << 10)
#define START 8192u
#define LEN   16384u

static struct blkdev *mem, *win;
static uint8_t bytes[SIZE];
static _Alignas(4096) uint8_t memory[2 * 4096];

/* The byte at @pos of the lower device; never 0, nor what a discard leaves. */
static uint8_t pattern(uint64_t pos)
{
	return (uint8_t)(1 + pos % 199);
}

static void setup(void)
{
	mem = memdev_new(SIZE, 512);
	win = window_new(mem, START, LEN);
	for (size_t i = 0; i < SIZE; i++)
		memdev_bytes(mem)[i] = pattern(i);
}

static void teardown(void)
{
	blkdev_unref(win);
	blkdev_unref(mem);
}

/* [from, to) of the lower device is @byte, all else as it was. */
static void ck_only(uint64_t from, uint64_t to, uint8_t byte)
{
	for (size_t i = 0; i < SIZE; i++)
		ck_assert_msg(memdev_bytes(mem)[i] ==
				      (i >= from && i < to ? byte : pattern(i)),
			      "byte %zu is %u", i, memdev_bytes(mem)[i]);
}

START_TEST(reads_what_lies_there)
{
	ck_assert_int_eq(blkdev_pread(win, bytes, LEN, dev_off_at(0)), 0);
	ck_assert_mem_eq(bytes, memdev_bytes(mem) + START, LEN);
	ck_assert_int_eq(blkdev_pread(win, bytes, 3, dev_off_at(1001)), 0);
	ck_assert_mem_eq(bytes, memdev_bytes(mem) + START + 1001, 3);
}
END_TEST

START_TEST(writes_go_there_and_nowhere_else)
{
	memset(bytes, 0, LEN);
	ck_assert_int_eq(blkdev_pwrite(win, bytes, LEN, dev_off_at(0)), 0);
	ck_only(START, START + LEN, 0);
}
END_TEST

START_TEST(zero_goes_there_and_nowhere_else)
{
	struct blkdev_counters c;

	ck_assert_int_eq(blkdev_zero(win, 1000, dev_off_at(24)), 0);
	ck_only(START + 24, START + 1024, 0);
	blkdev_counters(mem, &c);
	ck_assert_uint_eq(c.zeros, 1);
	ck_assert_uint_eq(c.writes, 0);
}
END_TEST

START_TEST(discard_goes_there_and_nowhere_else)
{
	ck_assert_int_eq(blkdev_discard(win, 4096, dev_off_at(LEN - 4096)), 0);
	ck_only(START + LEN - 4096, START + LEN, MEMDEV_DISCARDED);
}
END_TEST

START_TEST(a_flush_reaches_the_lower_device)
{
	struct blkdev_counters c;

	ck_assert_int_eq(blkdev_flush(win), 0);
	blkdev_counters(mem, &c);
	ck_assert_uint_eq(c.flushes, 1);
}
END_TEST

START_TEST(it_ends_though_the_lower_device_goes_on)
{
	ck_assert_uint_eq(blkdev_geometry(win)->size, LEN);
	ck_assert_int_eq(blkdev_pread(win, bytes, 2, dev_off_at(LEN - 1)),
			 -EINVAL);
	ck_assert_int_eq(blkdev_pwrite(win, bytes, 1, dev_off_at(LEN)),
			 -EINVAL);
	ck_assert_int_eq(blkdev_zero(win, LEN + 1, dev_off_at(0)), -EINVAL);
	ck_assert_int_eq(blkdev_discard(win, 1, dev_off_at(LEN)), -EINVAL);
	ck_assert_int_eq(blkdev_pread(win, bytes, 1,
				      dev_off_at(UINT64_MAX - START + 1)),
			 -EINVAL);
	ck_only(0, 0, 0);
}
END_TEST

START_TEST(errors_of_the_lower_device_come_up)
{
	struct blkdev *bad = faultdev_new(mem);
	struct blkdev *over = window_new(bad, START, LEN);

	faultdev_arm(bad, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_pread(over, bytes, 1, dev_off_at(0)), -EIO);
	faultdev_arm(bad, FAULTDEV_WRITE, 1, ENOSPC, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_pwrite(over, bytes, 1, dev_off_at(0)), -ENOSPC);
	faultdev_arm(bad, FAULTDEV_FLUSH, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(over), -EIO);
	blkdev_unref(over);
	blkdev_unref(bad);
}
END_TEST

START_TEST(it_holds_the_lower_device)
{
	struct blkdev *lower = memdev_new(SIZE, 512);
	struct blkdev *over = window_new(lower, START, LEN);

	blkdev_unref(lower);
	ck_assert_int_eq(blkdev_pread(over, bytes, LEN, dev_off_at(0)), 0);
	blkdev_unref(over);
}
END_TEST

START_TEST(over_a_readonly_device_it_is_readonly)
{
	struct blkdev *lower =
		memdev_new_readonly(memdev_bytes(mem), SIZE, 512);
	struct blkdev *over = window_new(lower, START, LEN);

	ck_assert(blkdev_geometry(over)->readonly);
	ck_assert(!blkdev_geometry(over)->can_discard);
	ck_assert_int_eq(blkdev_pwrite(over, bytes, 1, dev_off_at(0)), -EROFS);
	blkdev_unref(over);
	blkdev_unref(lower);
}
END_TEST

START_TEST(windows_add_up)
{
	struct blkdev *inner = window_new(win, 512, 1024);

	ck_assert_int_eq(blkdev_pread(inner, bytes, 1024, dev_off_at(0)), 0);
	ck_assert_mem_eq(bytes, memdev_bytes(mem) + START + 512, 1024);
	blkdev_unref(inner);
}
END_TEST

START_TEST(the_whole_device_and_nothing_are_windows)
{
	struct blkdev *whole = window_new(mem, 0, SIZE);
	struct blkdev *none = window_new(mem, SIZE, 0);

	ck_assert_int_eq(blkdev_pread(whole, bytes, SIZE, dev_off_at(0)), 0);
	ck_assert_mem_eq(bytes, memdev_bytes(mem), SIZE);
	ck_assert_int_eq(blkdev_pread(none, bytes, 1, dev_off_at(0)), -EINVAL);
	blkdev_unref(none);
	blkdev_unref(whole);
}
END_TEST

/* ---- geometry ---- */

/* A device that is only asked for its geometry. */
static struct blkdev *unit_dev(uint32_t sector, uint32_t align)
{
	struct blkdev *dev = memdev_new(SIZE, sector);

	dev->geo.align = align;
	return dev;
}

struct unit_case {
	uint64_t start;
	uint32_t sector, align; /* of the lower device */
	uint32_t expected_sector, expected_align;
};

static const struct unit_case unit_cases[] = {
	{ 0, 512, 512, 512, 512 },	    { 0, 4096, 1, 4096, 1 },
	{ 8192, 512, 4096, 512, 4096 },	    { 63 * 512, 512, 512, 512, 512 },
	{ 63 * 512, 4096, 4096, 512, 512 }, { 6144, 4096, 4096, 2048, 2048 },
	{ 1000, 512, 512, 8, 8 },	    { 1001, 512, 1, 1, 1 },
};

START_TEST(units_are_those_that_the_start_keeps)
{
	const struct unit_case *c = &unit_cases[_i];
	struct blkdev *dev = unit_dev(c->sector, c->align);
	struct blkdev *over = window_new(dev, c->start, 8192);

	ck_assert_uint_eq(blkdev_geometry(over)->sector, c->expected_sector);
	ck_assert_uint_eq(blkdev_geometry(over)->align, c->expected_align);
	blkdev_unref(over);
	blkdev_unref(dev);
}
END_TEST

/* ---- the raw way ---- */

static struct blkdev *open_file(enum filedev_direct direct)
{
	char path[] = "window-XXXXXX";
	struct filedev_options opt = { .direct = direct };
	int fd = mkstemp(path);
	struct blkdev *dev;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
	dev = filedev_open(path, &opt, NULL);
	ck_assert_ptr_nonnull(dev);
	unlink(path);
	return dev;
}

START_TEST(the_raw_way_leads_to_the_place_below)
{
	struct blkdev *file = open_file(FILEDEV_DIRECT_AUTO);
	struct blkdev *over = window_new(file, START, LEN);
	struct blkdev_raw at = { .fd = -1 };

	ck_assert(blkdev_raw(over, BLKDEV_READ, memory, 4096, dev_off_at(4096),
			     &at));
	ck_assert_ptr_eq(at.dev, file);
	ck_assert_int_ge(at.fd, 0);
	ck_assert_uint_eq(at.pos.v, START + 4096);
	ck_assert(blkdev_raw(over, BLKDEV_WRITE, memory, 4096,
			     dev_off_at(LEN - 4096), &at));
	ck_assert_uint_eq(at.pos.v, START + LEN - 4096);
	blkdev_unref(over);
	blkdev_unref(file);
}
END_TEST

START_TEST(a_flush_has_the_raw_way_too)
{
	struct blkdev *file = open_file(FILEDEV_DIRECT_AUTO);
	struct blkdev *over = window_new(file, START, LEN);
	struct blkdev_raw at = { .fd = -1 };

	ck_assert(blkdev_raw(over, BLKDEV_FLUSH, NULL, 0,
			     dev_off_at(UINT64_MAX), &at));
	ck_assert_ptr_eq(at.dev, file);
	ck_assert_int_ge(at.fd, 0);
	blkdev_unref(over);
	blkdev_unref(file);
}
END_TEST

START_TEST(the_raw_way_ends_with_the_window)
{
	struct blkdev *file = open_file(FILEDEV_DIRECT_AUTO);
	struct blkdev *over = window_new(file, START, LEN);
	struct blkdev_raw at;

	ck_assert(!blkdev_raw(over, BLKDEV_READ, memory, 8192,
			      dev_off_at(LEN - 4096), &at));
	blkdev_unref(over);
	blkdev_unref(file);
}
END_TEST

START_TEST(what_is_aligned_only_here_has_no_raw_way)
{
	struct blkdev *file = open_file(FILEDEV_DIRECT_AUTO);
	struct blkdev *over = window_new(file, 100, LEN);
	struct blkdev_raw at;

	if (filedev_is_direct(file))
		ck_assert(!blkdev_raw(over, BLKDEV_READ, memory, 4096,
				      dev_off_at(0), &at));
	ck_assert_int_eq(blkdev_pread(over, bytes, LEN, dev_off_at(0)), 0);
	blkdev_unref(over);
	blkdev_unref(file);
}
END_TEST

START_TEST(without_one_below_there_is_no_raw_way)
{
	struct blkdev_raw at;

	ck_assert(!blkdev_raw(win, BLKDEV_READ, memory, 4096, dev_off_at(0),
			      &at));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window");
	TCase *tc = tcase_create("window");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_what_lies_there);
	tcase_add_test(tc, writes_go_there_and_nowhere_else);
	tcase_add_test(tc, zero_goes_there_and_nowhere_else);
	tcase_add_test(tc, discard_goes_there_and_nowhere_else);
	tcase_add_test(tc, a_flush_reaches_the_lower_device);
	tcase_add_test(tc, it_ends_though_the_lower_device_goes_on);
	tcase_add_test(tc, errors_of_the_lower_device_come_up);
	tcase_add_test(tc, it_holds_the_lower_device);
	tcase_add_test(tc, over_a_readonly_device_it_is_readonly);
	tcase_add_test(tc, windows_add_up);
	tcase_add_test(tc, the_whole_device_and_nothing_are_windows);
	tcase_add_loop_test(tc, units_are_those_that_the_start_keeps, 0,
			    G_N_ELEMENTS(unit_cases));
	tcase_add_test(tc, the_raw_way_leads_to_the_place_below);
	tcase_add_test(tc, a_flush_has_the_raw_way_too);
	tcase_add_test(tc, the_raw_way_ends_with_the_window);
	tcase_add_test(tc, what_is_aligned_only_here_has_no_raw_way);
	tcase_add_test(tc, without_one_below_there_is_no_raw_way);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
