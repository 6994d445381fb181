/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write: what a flush that is under way has settled, and what it has
 * not; and headers whose sum is right, and nothing else.
 */
#include "cow_bed.h"

#include <rawmap/base/crc32c.h>
#include <rawmap/base/endian.h>

#include <stdlib.h>

static struct cow_bed b;

/* ---- a store that says when it is flushed, and has a raw way ---- */

static void (*at_flush)(void);
static int flush_fails; /* 0 or -errno */

static int hooked_flush(struct blkdev *dev)
{
	if (at_flush)
		at_flush();
	return flush_fails ? flush_fails : spotdev_flush(dev);
}

static bool hooked_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		       uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	(void)io;
	(void)buf;
	(void)len;
	*ret = (struct blkdev_raw){ .dev = dev, .fd = -1, .pos = pos };
	return true;
}

static struct blkdev *hooked_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "hooked",
		.pread = spotdev_pread,
		.pwrite = spotdev_pwrite,
		.flush = hooked_flush,
		.raw = hooked_raw,
		.close = spotdev_close,
	};
	struct spotdev *s = spotdev_new(blkdev_ref(lower));

	s->dev.ops = &ops;
	return &s->dev;
}

static void setup(void)
{
	g_autoptr(blkdev) hooked = NULL;

	at_flush = NULL;
	flush_fails = 0;
	bed_init(&b, BED_SIZE, 1);
	bed_close(&b);
	hooked = hooked_new(b.store);
	bed_open_on(&b, hooked, false);
}

static void teardown(void)
{
	at_flush = NULL;
	bed_clear(&b);
}

static bool is_settled(void)
{
	struct cow_info info;

	ck_assert(cow_info(b.cow, &info));
	return info.settled;
}

static bool flush_is_raw(void)
{
	struct blkdev_raw at;

	return blkdev_raw(b.cow, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at);
}

/* Does FILE say that it has the cluster? */
static bool is_said(unsigned cluster)
{
	return memdev_bytes(b.store)[4096 + cluster / 8] >> cluster % 8 & 1;
}

/* ---- flushes ---- */

static unsigned flushes;

static void see_unsettled(void)
{
	flushes++;
	ck_assert(!is_settled());
	ck_assert(!flush_is_raw());
}

/* Else another flush meanwhile would be one of FILE alone. */
START_TEST(a_flush_under_way_has_settled_nothing)
{
	flushes = 0;
	bed_write(&b, 0, 'a', BED_CLUSTER);
	at_flush = see_unsettled;
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert_uint_eq(flushes, 2);
	ck_assert(is_settled());
}
END_TEST

static void write_another(void)
{
	at_flush = NULL;
	bed_write(&b, 9 * BED_CLUSTER, 'b', BED_CLUSTER);
}

/* In the same page of the bitmap; nobody knows yet that it is durable. */
START_TEST(what_is_written_during_a_flush_is_for_the_next)
{
	bed_write(&b, 0, 'a', BED_CLUSTER);
	at_flush = write_another;
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert(is_said(0) && !is_said(9));
	ck_assert(!is_settled());
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert(is_said(0) && is_said(9));
	ck_assert(is_settled());
}
END_TEST

START_TEST(after_a_failed_flush_there_is_no_other_way)
{
	ck_assert(!flush_is_raw());
	flush_fails = -EIO;
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
	flush_fails = 0;
	ck_assert(is_settled());
	ck_assert(!flush_is_raw());
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
}
END_TEST

START_TEST(sectors_are_the_larger_ones)
{
	g_autoptr(blkdev) source = memdev_new(BED_SIZE, 4096);
	g_autoptr(blkdev) store = memdev_new(cow_store_size(BED_SIZE), 512);
	g_autoptr(blkdev) other = memdev_new(BED_SIZE, 512);
	g_autoptr(blkdev) large = memdev_new(cow_store_size(BED_SIZE), 4096);
	g_autoptr(GError) error = NULL;
	struct blkdev *cow =
		cow_new(source, NULL, store, &bed_names, true, &error);

	ck_assert_ptr_nonnull(cow);
	ck_assert_uint_eq(blkdev_geometry(cow)->sector, 4096);
	blkdev_unref(cow);
	cow = cow_new(other, NULL, large, &bed_names, true, &error);
	ck_assert_ptr_nonnull(cow);
	ck_assert_uint_eq(blkdev_geometry(cow)->sector, 4096);
	blkdev_unref(cow);
}
END_TEST

/* FILE is read by others than who wrote it, and by later versions. */
START_TEST(a_cluster_and_its_bit_lie_where_the_format_says)
{
	const uint64_t size = UINT64_C(1) << 40, n = 300 * 32768 + 5;
	g_autoptr(blkdev) source = memdev_new(size, 512);
	g_autoptr(blkdev) store = memdev_new(cow_store_size(size), 512);
	g_autoptr(GError) error = NULL;
	struct blkdev *cow =
		cow_new(source, NULL, store, &bed_names, true, &error);
	const uint8_t *file = memdev_bytes(store);
	struct cow_info info;

	ck_assert_ptr_nonnull(cow);
	ck_assert(cow_info(cow, &info));
	ck_assert_int_eq(blkdev_pwrite(cow, "x", 1,
				       dev_off_at(n * info.cluster + 7)),
			 0);
	ck_assert_int_eq(blkdev_flush(cow), 0);
	ck_assert_uint_eq(file[4096 + n / 8], 1u << n % 8);
	ck_assert_uint_eq(
		file[cow_store_size(size) - info.clusters * info.cluster +
		     n * info.cluster + 7],
		'x');
	blkdev_unref(cow);
}
END_TEST

/* ---- headers ---- */

/* As cow_header.c has it: with zeros in its place, byte 56. */
static void seal(uint8_t *header)
{
	le32 sum = le32_of(0);

	memcpy(header + 56, &sum, sizeof(sum));
	sum = le32_of(crc32c(~0u, header, 4096));
	memcpy(header + 56, &sum, sizeof(sum));
}

static void ck_refused(int code, const char *words)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(bed_try(&b, b.store, false, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code) &&
			      strstr(error->message, words),
		      "%s", error->message);
}

static const struct {
	unsigned at;
	uint32_t number;
	int code;
	const char *words;
} headers[] = {
	{ 16, 2, RAWMAP_ERROR_UNSUPPORTED, "version 2" },
	{ 20, 1, RAWMAP_ERROR_UNSUPPORTED, "flags 0x1" },
	{ 24, 0, RAWMAP_ERROR_CORRUPT, "makes no sense" },
	{ 24, 2048, RAWMAP_ERROR_CORRUPT, "makes no sense" },
	{ 24, 5000, RAWMAP_ERROR_CORRUPT, "makes no sense" },
	{ 24, 1u << 21, RAWMAP_ERROR_CORRUPT, "makes no sense" },
	{ 28, 40, RAWMAP_ERROR_CORRUPT, "40 samples instead of 41" },
	{ 28, 577, RAWMAP_ERROR_CORRUPT, "577 samples" },
	{ 32, 40 * BED_CLUSTER, RAWMAP_ERROR_CORRUPT, "made longer" },
	{ 32, 40 * BED_CLUSTER + 1, RAWMAP_ERROR_FAILED, "163841 bytes" },
	{ 40, 2u << 20, RAWMAP_ERROR_CORRUPT, "makes no sense" },
	{ 40, 8192, RAWMAP_ERROR_CORRUPT, "makes no sense" },
};

/* @_i: of headers */
START_TEST(a_header_that_makes_no_sense_is_refused)
{
	uint8_t *header = memdev_bytes(b.store);
	le32 number = le32_of(headers[_i].number);

	bed_close(&b);
	memcpy(header + headers[_i].at, &number, sizeof(number));
	seal(header);
	ck_refused(headers[_i].code, headers[_i].words);
}
END_TEST

START_TEST(a_header_that_is_sealed_again_is_one)
{
	bed_close(&b);
	seal(memdev_bytes(b.store));
	bed_open_on(&b, b.store, false);
	bed_expect(&b, b.bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cow map");
	TCase *tc = tcase_create("cow map");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_flush_under_way_has_settled_nothing);
	tcase_add_test(tc, what_is_written_during_a_flush_is_for_the_next);
	tcase_add_test(tc, after_a_failed_flush_there_is_no_other_way);
	tcase_add_test(tc, sectors_are_the_larger_ones);
	tcase_add_test(tc, a_cluster_and_its_bit_lie_where_the_format_says);
	tcase_add_loop_test(tc, a_header_that_makes_no_sense_is_refused, 0,
			    G_N_ELEMENTS(headers));
	tcase_add_test(tc, a_header_that_is_sealed_again_is_one);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
