/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write, on devices in memory: what is read back, and what a failing
 * device does to it.
 */
#include "cow_bed.h"

#include "support/faultdev.h"

#include <stdlib.h>

static struct cow_bed b;

static void setup(void)
{
	bed_init(&b, BED_SIZE, 1);
}

static void teardown(void)
{
	bed_clear(&b);
}

/* ---- what is read ---- */

START_TEST(what_was_never_written_is_the_source)
{
	bed_expect(&b, b.bytes);
	ck_assert_uint_eq(bed_present(&b), 0);
}
END_TEST

START_TEST(part_of_a_cluster_keeps_the_rest)
{
	bed_write(&b, 3 * BED_CLUSTER + 100, 'x', 5);
	memset(b.bytes + 3 * BED_CLUSTER + 100, 'x', 5);
	bed_expect(&b, b.bytes);
	ck_assert_uint_eq(bed_present(&b), 1);
	bed_reopen(&b);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(the_short_last_cluster_is_like_others)
{
	uint64_t start = 40 * BED_CLUSTER;
	struct cow_info info;

	bed_write(&b, BED_SIZE - 1, 'x', 1);
	b.bytes[BED_SIZE - 1] = 'x';
	bed_expect(&b, b.bytes);
	ck_assert(cow_info(b.cow, &info));
	ck_assert_uint_eq(info.bytes, BED_SIZE - start);
	bed_write(&b, start, 'y', BED_SIZE - start);
	memset(b.bytes + start, 'y', BED_SIZE - start);
	bed_reopen(&b);
	bed_expect(&b, b.bytes);
}
END_TEST

struct step {
	uint64_t pos, len;
	uint8_t byte;
};

static struct step step_random(GRand *rand, unsigned n)
{
	struct step s = { .byte = (uint8_t)n };
	guint32 max = n % 5 ? 3 * BED_CLUSTER : (guint32)b.size;

	s.pos = g_rand_int(rand) % b.size;
	s.len = 1 + g_rand_int(rand) % max;
	if (n % 3 == 0) {
		s.pos &= ~(uint64_t)(BED_CLUSTER - 1);
		s.len = align_ceil(s.len, BED_CLUSTER);
	}
	s.len = MIN(s.len, b.size - s.pos);
	return s;
}

/* What was discarded is as it was, or as memdev makes it; and stays that. */
static void do_discard(const struct step *s, uint8_t *model)
{
	g_autofree uint8_t *got = g_malloc(s->len);
	unsigned bad = 0;

	ck_assert_int_eq(blkdev_discard(b.cow, s->len, dev_off_at(s->pos)), 0);
	ck_assert_int_eq(blkdev_pread(b.cow, got, s->len, dev_off_at(s->pos)),
			 0);
	for (uint64_t i = 0; i < s->len; i++)
		if (got[i] != MEMDEV_DISCARDED)
			bad += got[i] != model[s->pos + i];
	ck_assert_uint_eq(bad, 0);
	memcpy(model + s->pos, got, s->len);
}

static void do_step(const struct step *s, unsigned n, uint8_t *model)
{
	switch (n % 8) {
	case 5:
		ck_assert_int_eq(blkdev_zero(b.cow, s->len, dev_off_at(s->pos)),
				 0);
		memset(model + s->pos, 0, s->len);
		break;
	case 6:
		do_discard(s, model);
		break;
	case 7:
		if (n % 16 == 7)
			ck_assert_int_eq(blkdev_flush(b.cow), 0);
		else
			bed_reopen(&b);
		break;
	default:
		bed_write(&b, s->pos, s->byte, s->len);
		memset(model + s->pos, s->byte, s->len);
	}
}

/* @_i: the seed */
START_TEST(random_io_agrees_with_a_model)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	g_autofree uint8_t *model = g_memdup2(b.bytes, BED_SIZE);

	for (unsigned n = 0; n < 120; n++) {
		struct step s = step_random(rand, n);

		do_step(&s, n, model);
		bed_expect(&b, model);
	}
}
END_TEST

START_TEST(zeros_hide_what_a_crash_left_in_the_file)
{
	uint64_t data = cow_store_size(BED_SIZE) - 41 * BED_CLUSTER;

	memset(memdev_bytes(b.store) + data + BED_CLUSTER, 0x5a,
	       2 * BED_CLUSTER);
	ck_assert_int_eq(blkdev_zero(b.cow, BED_CLUSTER + 10,
				     dev_off_at(BED_CLUSTER)),
			 0);
	memset(b.bytes + BED_CLUSTER, 0, BED_CLUSTER + 10);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(discard_brings_nothing_up_and_nothing_back)
{
	bed_write(&b, BED_CLUSTER, 'x', BED_CLUSTER);
	ck_assert_int_eq(blkdev_discard(b.cow, BED_SIZE, dev_off_at(0)), 0);
	ck_assert_uint_eq(bed_present(&b), 1);
	memset(b.bytes + BED_CLUSTER, MEMDEV_DISCARDED, BED_CLUSTER);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(info_says_what_is_in_the_file)
{
	struct cow_info info = { 0 };

	ck_assert(!cow_info(b.source, &info));
	ck_assert(cow_info(b.cow, &info));
	ck_assert_uint_eq(info.cluster, BED_CLUSTER);
	ck_assert_uint_eq(info.clusters, 41);
	ck_assert_uint_eq(info.bytes, 0);
	ck_assert(info.settled);
	bed_write(&b, 0, 'x', 2 * BED_CLUSTER + 1);
	ck_assert(cow_info(b.cow, &info));
	ck_assert_uint_eq(info.present, 3);
	ck_assert_uint_eq(info.bytes, 3 * BED_CLUSTER);
	ck_assert(!info.settled);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert(cow_info(b.cow, &info));
	ck_assert(info.settled);
}
END_TEST

/* ---- large ones ---- */

START_TEST(clusters_grow_with_the_source)
{
	const uint64_t gib = UINT64_C(1) << 30;

	ck_assert_uint_eq(cow_store_size(0), 1 << 20);
	ck_assert_uint_eq(cow_store_size(1), (1 << 20) + 4096);
	ck_assert_uint_eq(cow_store_size(512 * gib), 512 * gib + (17 << 20));
	ck_assert_uint_eq(cow_store_size(512 * gib + 1),
			  512 * gib + 8192 + (9 << 20));
	ck_assert_uint_eq(cow_store_size(128 * 1024 * gib),
			  128 * 1024 * gib + (17 << 20));
	ck_assert_uint_eq(cow_store_size(128 * 1024 * gib + 1), 0);
	ck_assert_uint_eq(cow_store_size(UINT64_MAX), 0);
}
END_TEST

START_TEST(a_source_of_a_terabyte_works)
{
	const uint64_t size = UINT64_C(1) << 40;
	g_autoptr(blkdev) source = memdev_new(size, 512);
	g_autoptr(blkdev) store = memdev_new(cow_store_size(size), 512);
	g_autoptr(GError) error = NULL;
	struct blkdev *cow =
		cow_new(source, NULL, store, &bed_names, true, &error);
	char got[6] = "";

	ck_assert_ptr_nonnull(cow);
	ck_assert_int_eq(blkdev_pwrite(cow, "first", 6, dev_off_at(77)), 0);
	ck_assert_int_eq(blkdev_pwrite(cow, "last", 5, dev_off_at(size - 5)),
			 0);
	blkdev_unref(cow);
	cow = cow_new(source, NULL, store, &bed_names, false, &error);
	ck_assert_ptr_nonnull(cow);
	ck_assert_int_eq(blkdev_pread(cow, got, 6, dev_off_at(77)), 0);
	ck_assert_str_eq(got, "first");
	ck_assert_int_eq(blkdev_pread(cow, got, 5, dev_off_at(size - 5)), 0);
	ck_assert_str_eq(got, "last");
	blkdev_unref(cow);
}
END_TEST

START_TEST(an_empty_source_works)
{
	g_autoptr(blkdev) source = memdev_new(0, 512);
	g_autoptr(blkdev) store = memdev_new(cow_store_size(0), 512);
	g_autoptr(GError) error = NULL;
	struct blkdev *cow =
		cow_new(source, NULL, store, &bed_names, true, &error);

	ck_assert_ptr_nonnull(cow);
	ck_assert_int_eq(blkdev_pwrite(cow, "x", 1, dev_off_at(0)), -EINVAL);
	ck_assert_int_eq(blkdev_flush(cow), 0);
	blkdev_unref(cow);
	cow = cow_new(source, NULL, store, &bed_names, false, &error);
	ck_assert_ptr_nonnull(cow);
	blkdev_unref(cow);
}
END_TEST

/* ---- devices that fail ---- */

START_TEST(a_bad_spot_of_the_source_can_be_written_over)
{
	uint64_t pos = 7 * BED_CLUSTER + 512;

	b.spot->pos = pos;
	b.spot->len = 512;
	bed_write(&b, pos, 'x', 512);
	memset(b.bytes + pos, 'x', 512);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(a_cluster_that_cannot_be_copied_is_an_error_and_stays)
{
	uint64_t pos = 7 * BED_CLUSTER + 512;

	b.spot->pos = pos;
	b.spot->len = 512;
	ck_assert_int_eq(blkdev_pwrite(b.cow, "x", 1, dev_off_at(pos + 512)),
			 -EIO);
	b.spot->len = 0;
	ck_assert_uint_eq(bed_present(&b), 0);
	bed_expect(&b, b.bytes);
}
END_TEST

/* The bed's, over a faultdev, which is returned. */
static struct blkdev *reopen_with_faults(void)
{
	struct blkdev *fault = faultdev_new(b.store);

	bed_close(&b);
	bed_open_on(&b, fault, false);
	return fault;
}

/* @_i: whole clusters, or part of one */
START_TEST(without_space_a_write_says_so_and_nothing_is_lost)
{
	g_autoptr(blkdev) fault = reopen_with_faults();
	size_t len = _i ? 100 : 2 * BED_CLUSTER;
	g_autofree uint8_t *buf = g_malloc0(len);

	bed_write(&b, 20 * BED_CLUSTER, 'a', BED_CLUSTER);
	memset(b.bytes + 20 * BED_CLUSTER, 'a', BED_CLUSTER);
	faultdev_arm(fault, FAULTDEV_WRITE, 1, ENOSPC, FAULTDEV_SHORT);
	ck_assert_int_eq(blkdev_pwrite(b.cow, buf, len, dev_off_at(0)),
			 -ENOSPC);
	bed_expect(&b, b.bytes);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert_int_eq(blkdev_pwrite(b.cow, buf, len, dev_off_at(0)), 0);
	memset(b.bytes, 0, len);
	bed_reopen(&b);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(a_bitmap_that_finds_no_space_is_written_next_time)
{
	g_autoptr(blkdev) fault = reopen_with_faults();

	bed_write(&b, 0, 'a', BED_CLUSTER);
	memset(b.bytes, 'a', BED_CLUSTER);
	faultdev_arm(fault, FAULTDEV_WRITE, 1, ENOSPC, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(b.cow), -ENOSPC);
	bed_expect(&b, b.bytes);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	/* Without the last chance that closing is. */
	faultdev_arm(fault, FAULTDEV_ANY, 1, EIO, FAULTDEV_PERSISTENT);
	bed_reopen(&b);
	bed_expect(&b, b.bytes);
}
END_TEST

/* @_i: which of the two flushes of the file */
START_TEST(after_a_failed_flush_none_succeeds)
{
	g_autoptr(blkdev) fault = reopen_with_faults();

	bed_write(&b, 0, 'a', BED_CLUSTER);
	faultdev_arm(fault, FAULTDEV_FLUSH, (uint64_t)_i, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
	bed_write(&b, 0, 'b', BED_CLUSTER);
	memset(b.bytes, 'b', BED_CLUSTER);
	bed_expect(&b, b.bytes);
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
}
END_TEST

START_TEST(closing_flushes)
{
	g_autoptr(blkdev) fault = reopen_with_faults();

	bed_write(&b, 0, 'a', BED_CLUSTER);
	faultdev_arm(fault, FAULTDEV_FLUSH, 99, EIO, FAULTDEV_ONCE);
	bed_close(&b);
	ck_assert_uint_eq(faultdev_count(fault, FAULTDEV_FLUSH), 2);
	ck_assert_uint_eq(memdev_bytes(b.store)[4096], 1);
}
END_TEST

START_TEST(without_news_a_flush_is_one_flush)
{
	g_autoptr(blkdev) fault = reopen_with_faults();

	bed_write(&b, 0, 'a', BED_CLUSTER);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	bed_write(&b, 0, 'b', BED_CLUSTER);
	faultdev_arm(fault, FAULTDEV_ANY, 99, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert_uint_eq(faultdev_count(fault, FAULTDEV_FLUSH), 1);
	ck_assert_uint_eq(faultdev_count(fault, FAULTDEV_ANY), 1);
}
END_TEST

START_TEST(a_store_that_cannot_be_read_is_an_io_error)
{
	g_autoptr(blkdev) fault = faultdev_new(b.store);

	bed_close(&b);
	for (unsigned n = 1; n <= 2; n++) {
		faultdev_arm(fault, FAULTDEV_READ, n, EIO, FAULTDEV_ONCE);
		bed_refused(&b, fault, RAWMAP_ERROR_IO, "the-file");
	}
	faultdev_arm(fault, FAULTDEV_READ, 3, EIO, FAULTDEV_ONCE);
	bed_open_on(&b, fault, false);
	ck_assert(!faultdev_fired(fault));
}
END_TEST

static void add_reading(Suite *suite)
{
	TCase *tc = tcase_create("reading");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_was_never_written_is_the_source);
	tcase_add_test(tc, part_of_a_cluster_keeps_the_rest);
	tcase_add_test(tc, the_short_last_cluster_is_like_others);
	tcase_add_loop_test(tc, random_io_agrees_with_a_model, 0, 8);
	tcase_add_test(tc, zeros_hide_what_a_crash_left_in_the_file);
	tcase_add_test(tc, discard_brings_nothing_up_and_nothing_back);
	tcase_add_test(tc, info_says_what_is_in_the_file);
	tcase_add_test(tc, clusters_grow_with_the_source);
	tcase_add_test(tc, a_source_of_a_terabyte_works);
	tcase_add_test(tc, an_empty_source_works);
}

static void add_failing(Suite *suite)
{
	TCase *tc = tcase_create("failing");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_bad_spot_of_the_source_can_be_written_over);
	tcase_add_test(tc,
		       a_cluster_that_cannot_be_copied_is_an_error_and_stays);
	tcase_add_loop_test(
		tc, without_space_a_write_says_so_and_nothing_is_lost, 0, 2);
	tcase_add_test(tc, a_bitmap_that_finds_no_space_is_written_next_time);
	tcase_add_loop_test(tc, after_a_failed_flush_none_succeeds, 1, 3);
	tcase_add_test(tc, closing_flushes);
	tcase_add_test(tc, without_news_a_flush_is_one_flush);
	tcase_add_test(tc, a_store_that_cannot_be_read_is_an_io_error);
}

int main(void)
{
	Suite *suite = suite_create("cow");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_reading(suite);
	add_failing(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
