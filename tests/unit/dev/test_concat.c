/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices one behind the other: where bytes go, what the whole can do. */
#include <rawmap/dev/concat.h>
#include <rawmap/dev/filedev.h>

#include "support/faultdev.h"
#include "support/filebed.h"
#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N     5
#define TOTAL 5873u

/* Odd ones, empty ones, an empty one at the end. */
static const uint64_t sizes[N] = { 1000, 0, 4096, 777, 0 };

static struct blkdev *parts[N];
static struct blkdev *whole;

static void setup(void)
{
	for (unsigned i = 0; i < N; i++)
		parts[i] = memdev_new(sizes[i], 512);
	whole = concat_new(parts, N);
	ck_assert_ptr_nonnull(whole);
}

static void teardown(void)
{
	blkdev_unref(whole);
	for (unsigned i = 0; i < N; i++)
		blkdev_unref(parts[i]);
}

/* What the parts hold, one behind the other. */
static uint8_t *gather(void)
{
	uint8_t *bytes = g_malloc(TOTAL);
	size_t at = 0;

	for (unsigned i = 0; i < N; i++) {
		if (sizes[i])
			memcpy(bytes + at, memdev_bytes(parts[i]), sizes[i]);
		at += sizes[i];
	}
	ck_assert_uint_eq(at, TOTAL);
	return bytes;
}

/* A device of any size that can do nothing; counts what comes. */
struct stub {
	struct blkdev dev;
	unsigned discards;
	bool *closed;
};

static int stub_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EIO;
}

static int stub_pwrite(struct blkdev *dev, const void *buf, size_t len,
		       dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EIO;
}

static int stub_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static int stub_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	(void)len;
	(void)pos;
	((struct stub *)dev)->discards++;
	return 0;
}

static void stub_close(struct blkdev *dev)
{
	if (((struct stub *)dev)->closed)
		*((struct stub *)dev)->closed = true;
	g_free(dev);
}

static const struct blkdev_ops stub_ops = {
	.name = "stub",
	.pread = stub_pread,
	.pwrite = stub_pwrite,
	.flush = stub_flush,
	.discard = stub_discard,
	.close = stub_close,
};

static struct blkdev *stub_new(uint64_t size, uint32_t sector, uint32_t align,
			       bool *closed)
{
	struct stub *s = g_new0(struct stub, 1);
	struct blkdev_geometry geo = { .size = size,
				       .sector = sector,
				       .align = align };

	s->closed = closed;
	blkdev_init(&s->dev, &stub_ops, &geo);
	return &s->dev;
}

START_TEST(geometry_is_the_sum_and_the_strictest)
{
	struct blkdev *two[] = { stub_new(100, 4096, 512, NULL),
				 stub_new(11, 512, 4096, NULL) };
	struct blkdev *dev = concat_new(two, 2);
	const struct blkdev_geometry *geo = blkdev_geometry(dev);

	ck_assert_uint_eq(geo->size, 111);
	ck_assert_uint_eq(geo->sector, 4096);
	ck_assert_uint_eq(geo->align, 4096);
	ck_assert(!geo->readonly);
	ck_assert_uint_eq(blkdev_geometry(whole)->size, TOTAL);
	ck_assert(blkdev_geometry(whole)->can_discard);
	blkdev_unref(dev);
	blkdev_unref(two[0]);
	blkdev_unref(two[1]);
}
END_TEST

/* @_i: which of the two. */
START_TEST(one_readonly_part_makes_the_whole_readonly)
{
	g_autoptr(blkdev) part = memdev_new_readonly("abc", 3, 512);
	struct blkdev *two[] = { _i ? parts[0] : part, _i ? part : parts[0] };
	struct blkdev *dev = concat_new(two, 2);

	ck_assert(blkdev_geometry(dev)->readonly);
	ck_assert_int_eq(blkdev_pwrite(dev, "x", 1, dev_off_at(0)), -EROFS);
	blkdev_unref(dev);
}
END_TEST

START_TEST(random_io_agrees_with_a_model)
{
	g_autofree uint8_t *model = g_malloc0(TOTAL);
	g_autofree uint8_t *buf = g_malloc(TOTAL);
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);

	for (unsigned round = 0; round < 3000; round++) {
		size_t pos = (size_t)g_rand_int_range(rand, 0, TOTAL);
		size_t max = round % 4 ? 600 : TOTAL;
		size_t len = (size_t)g_rand_int_range(rand, 1, (gint32)max);

		len = MIN(len, TOTAL - pos);
		if (round % 3 == 0) {
			memset(buf, (int)(round % 251), len);
			memcpy(model + pos, buf, len);
			ck_assert_int_eq(blkdev_pwrite(whole, buf, len,
						       dev_off_at(pos)),
					 0);
		} else if (round % 3 == 1) {
			ck_assert_int_eq(blkdev_pread(whole, buf, len,
						      dev_off_at(pos)),
					 0);
			ck_assert(!memcmp(buf, model + pos, len));
		} else if (round % 7 == 0) {
			memset(model + pos, 0, len);
			ck_assert_int_eq(
				blkdev_zero(whole, len, dev_off_at(pos)), 0);
		}
	}
	g_free(buf);
	buf = gather();
	ck_assert(!memcmp(buf, model, TOTAL));
}
END_TEST

START_TEST(discard_reaches_every_part)
{
	g_autofree uint8_t *bytes = NULL;

	ck_assert_int_eq(blkdev_discard(whole, TOTAL - 2, dev_off_at(1)), 0);
	bytes = gather();
	ck_assert_uint_eq(bytes[0], 0);
	ck_assert_uint_eq(bytes[TOTAL - 1], 0);
	for (size_t i = 1; i < TOTAL - 1; i++)
		ck_assert_uint_eq(bytes[i], MEMDEV_DISCARDED);
}
END_TEST

START_TEST(discard_is_none_when_one_part_cannot)
{
	struct blkdev *two[] = { stub_new(512, 512, 1, NULL), parts[2] };
	struct blkdev *dev = concat_new(two, 2);

	ck_assert(!blkdev_geometry(dev)->can_discard);
	ck_assert_int_eq(blkdev_discard(dev, 1024, dev_off_at(0)), -EOPNOTSUPP);
	ck_assert_uint_eq(((struct stub *)two[0])->discards, 0);
	blkdev_unref(dev);
	blkdev_unref(two[0]);
}
END_TEST

START_TEST(flush_reaches_every_part_and_tells_the_first_error)
{
	struct blkdev *three[3], *dev;

	for (unsigned i = 0; i < 3; i++)
		three[i] = faultdev_new(parts[i]);
	dev = concat_new(three, 3);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	faultdev_arm(three[0], FAULTDEV_FLUSH, 2, ENOSPC, FAULTDEV_ONCE);
	faultdev_arm(three[1], FAULTDEV_FLUSH, 1, EIO, FAULTDEV_PERSISTENT);
	faultdev_arm(three[2], FAULTDEV_FLUSH, 9, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(dev), -EIO);
	ck_assert_int_eq(blkdev_flush(dev), -ENOSPC);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(faultdev_count(three[i], FAULTDEV_FLUSH), 2);
	blkdev_unref(dev);
	for (unsigned i = 0; i < 3; i++)
		blkdev_unref(three[i]);
}
END_TEST

START_TEST(error_of_a_part_is_the_requests)
{
	struct blkdev *two[] = { parts[0], faultdev_new(parts[2]) };
	struct blkdev *dev = concat_new(two, 2);
	char buf[1200];

	faultdev_arm(two[1], FAULTDEV_ANY, 1, ENOSPC, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1000, dev_off_at(0)), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1001, dev_off_at(0)), -ENOSPC);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, 1200, dev_off_at(0)), -ENOSPC);
	ck_assert_int_eq(blkdev_discard(dev, 1200, dev_off_at(0)), -ENOSPC);
	ck_assert_int_eq(blkdev_zero(dev, 1200, dev_off_at(0)), -ENOSPC);
	blkdev_unref(dev);
	blkdev_unref(two[1]);
}
END_TEST

START_TEST(counters_are_the_sum_of_the_parts)
{
	struct blkdev_counters count;
	char buf[2000];

	ck_assert_int_eq(blkdev_pread(whole, buf, 2000, dev_off_at(0)), 0);
	ck_assert_int_eq(blkdev_pwrite(whole, buf, 10, dev_off_at(5)), 0);
	ck_assert_int_eq(blkdev_flush(whole), 0);
	/* As the raw way does it. */
	blkdev_count(parts[2], BLKDEV_READ, 512, -EIO);
	blkdev_counters(whole, &count);
	ck_assert_uint_eq(count.reads, 3);
	ck_assert_uint_eq(count.read_bytes, 2512);
	ck_assert_uint_eq(count.writes, 1);
	ck_assert_uint_eq(count.write_bytes, 10);
	ck_assert_uint_eq(count.flushes, N);
	ck_assert_uint_eq(count.errors, 1);
}
END_TEST

START_TEST(parts_live_as_long_as_the_whole)
{
	bool closed[2] = { false, false };
	struct blkdev *two[] = { stub_new(5, 512, 1, &closed[0]),
				 stub_new(5, 512, 1, &closed[1]) };
	struct blkdev *dev = concat_new(two, 2);

	blkdev_unref(two[0]);
	blkdev_unref(two[1]);
	ck_assert(!closed[0] && !closed[1]);
	blkdev_unref(dev);
	ck_assert(closed[0] && closed[1]);
}
END_TEST

START_TEST(more_than_a_file_can_have_is_refused)
{
	bool closed = false;
	struct blkdev *two[] = { stub_new(INT64_MAX, 512, 1, &closed),
				 stub_new(1, 512, 1, NULL) };
	struct blkdev *wrapped[] = { stub_new(UINT64_MAX, 512, 1, NULL),
				     two[1] };
	struct blkdev *dev = concat_new(two, 1);

	ck_assert_ptr_nonnull(dev);
	ck_assert_ptr_null(concat_new(two, 2));
	ck_assert_ptr_null(concat_new(wrapped, 2));
	blkdev_unref(dev);
	blkdev_unref(wrapped[0]);
	blkdev_unref(two[0]);
	blkdev_unref(two[1]);
	ck_assert(closed);
}
END_TEST

/* ---- the raw way, to real files ---- */

#define FILE_SIZE (64u << 10)

static _Alignas(4096) uint8_t memory[2 * 4096];
static char *dir;
static struct blkdev *files[2];

static void setup_files(void)
{
	static const char *const names[] = { "a", "b" };
	struct filedev_options opt = { .lock = true };
	g_autofree uint8_t *bytes = g_malloc0(FILE_SIZE);

	dir = filebed_new();
	for (unsigned i = 0; i < 2; i++) {
		g_autofree char *path = filebed_path(dir, names[i]);

		filebed_put(dir, names[i], bytes, FILE_SIZE);
		files[i] = filedev_open(path, &opt, NULL);
		ck_assert_ptr_nonnull(files[i]);
	}
	whole = concat_new(files, 2);
}

static void teardown_files(void)
{
	blkdev_unref(whole);
	for (unsigned i = 0; i < 2; i++)
		blkdev_unref(files[i]);
	filebed_free(dir);
}

START_TEST(range_in_one_part_goes_its_raw_way)
{
	struct blkdev_raw at;

	ck_assert(blkdev_raw(whole, BLKDEV_READ, memory, 4096,
			     dev_off_at(FILE_SIZE - 4096), &at));
	ck_assert_ptr_eq(at.dev, files[0]);
	ck_assert_uint_eq(at.pos.v, FILE_SIZE - 4096);
	ck_assert(blkdev_raw(whole, BLKDEV_WRITE, memory, 4096,
			     dev_off_at(FILE_SIZE + 4096), &at));
	ck_assert_ptr_eq(at.dev, files[1]);
	ck_assert_uint_eq(at.pos.v, 4096);
}
END_TEST

START_TEST(range_across_parts_has_no_raw_way)
{
	struct blkdev_raw at;

	ck_assert(!blkdev_raw(whole, BLKDEV_READ, memory, 8192,
			      dev_off_at(FILE_SIZE - 4096), &at));
}
END_TEST

START_TEST(flush_goes_the_raw_way_of_a_single_part_only)
{
	struct blkdev *one = concat_new(files, 1);
	struct blkdev_raw at;

	ck_assert(
		!blkdev_raw(whole, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at));
	ck_assert(blkdev_raw(one, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at));
	ck_assert_ptr_eq(at.dev, files[0]);
	blkdev_unref(one);
}
END_TEST

START_TEST(a_part_that_has_no_raw_way_has_none_in_the_whole)
{
	struct blkdev *mem = memdev_new(FILE_SIZE, 512);
	struct blkdev *two[] = { files[0], mem };
	struct blkdev *dev = concat_new(two, 2);
	struct blkdev_raw at;

	ck_assert(
		blkdev_raw(dev, BLKDEV_READ, memory, 4096, dev_off_at(0), &at));
	ck_assert(!blkdev_raw(dev, BLKDEV_READ, memory, 4096,
			      dev_off_at(FILE_SIZE), &at));
	blkdev_unref(dev);
	blkdev_unref(mem);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("concat");
	TCase *tc = tcase_create("memory"), *raw = tcase_create("raw");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, geometry_is_the_sum_and_the_strictest);
	tcase_add_loop_test(tc, one_readonly_part_makes_the_whole_readonly, 0,
			    2);
	tcase_add_test(tc, random_io_agrees_with_a_model);
	tcase_add_test(tc, discard_reaches_every_part);
	tcase_add_test(tc, discard_is_none_when_one_part_cannot);
	tcase_add_test(tc, flush_reaches_every_part_and_tells_the_first_error);
	tcase_add_test(tc, error_of_a_part_is_the_requests);
	tcase_add_test(tc, counters_are_the_sum_of_the_parts);
	tcase_add_test(tc, parts_live_as_long_as_the_whole);
	tcase_add_test(tc, more_than_a_file_can_have_is_refused);
	suite_add_tcase(suite, raw);
	tcase_add_checked_fixture(raw, setup_files, teardown_files);
	tcase_add_test(raw, range_in_one_part_goes_its_raw_way);
	tcase_add_test(raw, range_across_parts_has_no_raw_way);
	tcase_add_test(raw, flush_goes_the_raw_way_of_a_single_part_only);
	tcase_add_test(raw, a_part_that_has_no_raw_way_has_none_in_the_whole);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
