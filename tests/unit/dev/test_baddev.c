/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged media: which bytes come, which do not, how often the disk is asked,
 * what is remembered and reported. RAWMAP_TEST_CONCURRENT
 */
#include <rawmap/base/bytes.h>
#include <rawmap/dev/baddev.h>
#include <rawmap/dev/filedev.h>

#include "support/faultdev.h"
#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR	512
#define SECTORS 256
#define SIZE	(SECTOR * SECTORS + 100) /* the last sector is a short one */

/* dev -> fault -> mem */
static struct blkdev *mem, *fault, *dev;
static struct badranges *known;
static uint8_t content[SIZE]; /* no byte of it is zero */
static unsigned said;
static struct badrange last_said;

static void setup(void)
{
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 7 % 255 + 1);
	known = badranges_new(BADRANGES_MAX);
	said = 0;
}

static void drop(void)
{
	blkdev_unref(dev);
	blkdev_unref(fault);
	blkdev_unref(mem);
	dev = fault = mem = NULL;
}

static void teardown(void)
{
	drop();
	badranges_free(known);
}

static void hear(void *arg, const struct badrange *range)
{
	ck_assert_ptr_eq(arg, &said);
	said++;
	last_said = *range;
}

static void start(bool readonly, bool zeros)
{
	drop();
	if (readonly) {
		mem = memdev_new_readonly(content, SIZE, SECTOR);
	} else {
		mem = memdev_new(SIZE, SECTOR);
		memcpy(memdev_bytes(mem), content, SIZE);
	}
	fault = faultdev_new(mem);
	dev = baddev_new(fault, known, zeros, hear, &said);
}

static void know(uint64_t pos, uint64_t len)
{
	badranges_add(known, dev_off_at(pos), len);
}

static void spoil(uint64_t sector, uint64_t n)
{
	faultdev_spoil(fault, dev_off_at(sector * SECTOR), n * SECTOR, EIO);
}

static uint64_t lower_reads(void)
{
	struct blkdev_counters c;

	blkdev_counters(fault, &c);
	return c.reads;
}

static uint64_t lower_errors(void)
{
	struct blkdev_counters c;

	blkdev_counters(fault, &c);
	return c.errors;
}

static int read_at(uint64_t pos, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	return blkdev_pread(dev, buf, len, dev_off_at(pos));
}

static int write_at(uint64_t pos, uint64_t len)
{
	return blkdev_pwrite(dev, content + pos, len, dev_off_at(pos));
}

/* The content, with zeros where @bad says. */
static void ck_bytes(uint64_t pos, uint64_t len, const struct badranges *bad)
{
	g_autofree uint8_t *buf = g_malloc(len), *want = g_malloc(len);

	memset(buf, 0xee, len);
	for (uint64_t i = 0; i < len; i++)
		want[i] = badranges_touches(bad, dev_off_at(pos + i), 1)
				  ? 0
				  : content[pos + i];
	ck_assert_int_eq(blkdev_pread(dev, buf, len, dev_off_at(pos)), 0);
	ck_assert_mem_eq(buf, want, len);
}

static void ck_content(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) none = badranges_new(2);

	ck_bytes(pos, len, none);
}

static void ck_zeros(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) all = badranges_new(2);

	badranges_add(all, dev_off_at(pos), len);
	ck_bytes(pos, len, all);
}

static void ck_report_is(const struct badranges *want)
{
	g_autoptr(badranges) report = baddev_report(dev);

	ck_assert_uint_eq(badranges_count(report), badranges_count(want));
	for (size_t i = 0; i < badranges_count(want); i++) {
		struct badrange r = badranges_at(report, i);
		struct badrange w = badranges_at(want, i);

		ck_assert_uint_eq(r.start.v, w.start.v);
		ck_assert_uint_eq(r.len, w.len);
	}
}

/* No bytes: nothing is reported. */
static void ck_reported(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) want = badranges_new(2);

	badranges_add(want, dev_off_at(pos), len);
	ck_report_is(want);
}

static void ck_sectors_reported(uint64_t sector, uint64_t n)
{
	ck_reported(sector * SECTOR, n * SECTOR);
}

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

/* ---- what the device refuses, with zeros ---- */

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

START_TEST(a_write_that_fails_heals_nothing)
{
	know(1000, 100);
	start(false, true);
	faultdev_arm(fault, FAULTDEV_WRITE, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(write_at(1000, 100), -EIO);
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

/* ---- many at a time ---- */

#define THREADS 4
#define ROUNDS	128

struct user {
	pthread_t thread;
	unsigned n;
	const uint8_t *expected;
	bool wrong;
};

/* As start(), for several threads: how often was something said? */
static gint times;

static void count_said(void *arg, const struct badrange *range)
{
	(void)range;
	g_atomic_int_inc((gint *)arg);
}

static void start_many(bool readonly)
{
	start(readonly, true);
	blkdev_unref(dev);
	g_atomic_int_set(&times, 0);
	dev = baddev_new(fault, known, true, count_said, &times);
}

static void *read_anywhere(void *arg)
{
	struct user *u = arg;
	g_autoptr(GRand) rand = g_rand_new_with_seed(u->n);
	g_autofree uint8_t *buf = g_malloc(20000);

	for (unsigned i = 0; i < ROUNDS && !u->wrong; i++) {
		uint64_t pos = (uint64_t)g_rand_int_range(rand, 0, SIZE);
		uint64_t len = (uint64_t)g_rand_int_range(rand, 1, 20000);

		len = u64_min(len, SIZE - pos);
		u->wrong = blkdev_pread(dev, buf, len, dev_off_at(pos)) ||
			   memcmp(buf, u->expected + pos, len);
		if (i % 32 == 0)
			badranges_free(baddev_report(dev));
	}
	return NULL;
}

static void run_users(void *(*main_of)(void *), const uint8_t *expected)
{
	struct user u[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		u[i] = (struct user){ .n = i, .expected = expected };
		ck_assert_int_eq(
			pthread_create(&u[i].thread, NULL, main_of, &u[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(u[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_msg(!u[i].wrong, "user %u got wrong bytes", i);
}

START_TEST(readers_of_the_same_damage_agree)
{
	g_autofree uint8_t *expected = g_memdup2(content, SIZE);
	g_autoptr(badranges) bad = badranges_new(1000);

	start_many(true);
	for (uint64_t i = 5; i < 250; i += 11) {
		spoil(i, 1);
		badranges_add(bad, dev_off_at(i * SECTOR), SECTOR);
		memset(expected + i * SECTOR, 0, SECTOR);
	}
	run_users(read_anywhere, expected);
	ck_assert_int_eq(read_at(0, SIZE), 0);
	ck_report_is(bad);
	ck_assert_uint_eq((guint)times, badranges_count(bad));
}
END_TEST

/*
 * Each has sectors of its own, known to be bad before and refused besides: what
 * it has written it reads, whatever its neighbours are doing.
 */
static void *heal_and_read(void *arg)
{
	struct user *u = arg;
	uint8_t want[SECTOR], got[SECTOR];

	for (unsigned i = 0; i < ROUNDS && !u->wrong; i++) {
		uint64_t sector = (i * THREADS + u->n) % SECTORS;
		dev_off pos = dev_off_at(sector * SECTOR);

		memset(want, (int)(i % 255 + 1), SECTOR);
		u->wrong = blkdev_pwrite(dev, want, SECTOR, pos) ||
			   blkdev_pread(dev, got, SECTOR, pos) ||
			   memcmp(got, want, SECTOR) || read_at(0, SIZE);
	}
	return NULL;
}

START_TEST(what_somebody_wrote_is_never_taken_for_bad)
{
	for (uint64_t i = 0; i < SECTORS; i += 3)
		know(i * SECTOR, SECTOR);
	start_many(false);
	for (uint64_t i = 1; i < SECTORS; i += 5)
		spoil(i, 1);
	run_users(heal_and_read, NULL);
	ck_assert_int_eq(read_at(0, SIZE), 0);
}
END_TEST

/* ---- */

static void add_zero_mode(TCase *tc)
{
	tcase_add_test(
		tc, around_a_bad_sector_all_bytes_are_right_at_every_alignment);
	tcase_add_test(tc, at_the_edges_of_a_bad_sector_each_byte_counts);
	tcase_add_test(tc, the_short_sector_at_the_end_may_be_bad);
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
}

static void add_others(TCase *tc)
{
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
	tcase_add_test(tc, a_write_that_fails_heals_nothing);
	tcase_add_test(tc, a_zero_heals_and_a_discard_does_not);
	tcase_add_test(tc, it_is_as_large_and_as_writable_as_the_device_below);
	tcase_add_loop_test(tc, what_touches_no_known_range_goes_the_raw_way, 0,
			    2);
	tcase_add_loop_test(tc, what_was_refused_no_longer_goes_the_raw_way, 0,
			    2);
	tcase_add_test(tc, readers_of_the_same_damage_agree);
	tcase_add_test(tc, what_somebody_wrote_is_never_taken_for_bad);
}

int main(void)
{
	Suite *suite = suite_create("baddev");
	TCase *tc = tcase_create("baddev");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	add_others(tc);
	add_zero_mode(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
