/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening a file of changes again: damaged ones, and those of another source or
 * of another state of it, are refused with a sentence.
 */
#include "cow_bed.h"

#include "support/faultdev.h"

#include <rawmap/base/crc32c.h>

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

static void ck_refused(int code, const char *text)
{
	bed_refused(&b, b.store, code, text);
}

START_TEST(any_flipped_byte_of_the_header_is_refused)
{
	uint8_t *header;

	/* Small: it is sampled each time. */
	bed_clear(&b);
	bed_init(&b, 10000, 1);
	bed_close(&b);
	header = memdev_bytes(b.store);
	for (unsigned i = 0; i < 4096; i++) {
		uint8_t bit = (uint8_t)(1u << i % 8);

		header[i] ^= bit;
		ck_refused(-1, "the-file");
		header[i] ^= bit;
	}
	bed_open_on(&b, b.store, false);
}
END_TEST

START_TEST(zeros_are_no_copy_on_write_file)
{
	bed_close(&b);
	memset(memdev_bytes(b.store), 0, 4096);
	ck_refused(RAWMAP_ERROR_CORRUPT, "not a copy-on-write file");
}
END_TEST

START_TEST(a_later_version_is_unsupported)
{
	bed_close(&b);
	memdev_bytes(b.store)[16] = 2;
	ck_refused(RAWMAP_ERROR_UNSUPPORTED, "version 2");
}
END_TEST

/* The checksum is right, so somebody meant it. */
static void sign_header(void)
{
	uint8_t *header = memdev_bytes(b.store);
	const uint8_t hole[4] = { 0 };
	uint32_t sum = crc32c(~0u, header, 56);

	sum = crc32c(sum, hole, sizeof(hole));
	sum = crc32c(sum, header + 60, 4096 - 60);
	for (unsigned i = 0; i < 4; i++)
		header[56 + i] = (uint8_t)(sum >> 8 * i);
}

START_TEST(a_header_that_makes_no_sense_is_corrupt)
{
	uint8_t *header = memdev_bytes(b.store);

	bed_close(&b);
	header[28]--; /* samples */
	sign_header();
	ck_refused(RAWMAP_ERROR_CORRUPT, "samples instead of");
	header[28]++;
	header[24] ^= 1; /* bytes of a cluster */
	sign_header();
	ck_refused(RAWMAP_ERROR_CORRUPT, "makes no sense: clusters of");
}
END_TEST

START_TEST(a_header_that_cannot_be_written_is_an_io_error)
{
	g_autoptr(blkdev) fault = faultdev_new(b.store);
	g_autoptr(GError) error = NULL;

	bed_close(&b);
	memset(memdev_bytes(b.store), 0, 4096);
	faultdev_arm(fault, FAULTDEV_WRITE, 1, ENOSPC, FAULTDEV_ONCE);
	ck_assert_ptr_null(bed_try(&b, fault, true, &error));
	ck_assert_msg(strstr(error->message, "cannot write the header of") !=
			      NULL,
		      "%s", error->message);
}
END_TEST

/* @_i: bytes that the store has too many, from a negative number on */
START_TEST(a_file_of_another_length_is_corrupt)
{
	static const int more[] = { -4096, -(1 << 20) - 41 * 4096, -1, 4096 };
	uint64_t size = cow_store_size(BED_SIZE);
	uint64_t other = size + (uint64_t)(int64_t)more[_i];
	g_autoptr(blkdev) store = memdev_new(other, 512);

	bed_close(&b);
	memcpy(memdev_bytes(store), memdev_bytes(b.store), MIN(size, other));
	bed_refused(&b, store, RAWMAP_ERROR_CORRUPT,
		    other < 4096   ? "not a copy-on-write file"
		    : other < size ? "cut off"
				   : "made longer");
}
END_TEST

START_TEST(clusters_behind_the_end_are_corrupt)
{
	bed_close(&b);
	memdev_bytes(b.store)[4096 + 41 / 8] = 1u << 41 % 8;
	ck_refused(RAWMAP_ERROR_CORRUPT, "bitmap");
	memdev_bytes(b.store)[4096 + 41 / 8] = 0;
	memdev_bytes(b.store)[8191] = 0x80;
	ck_refused(RAWMAP_ERROR_CORRUPT, "bitmap");
}
END_TEST

START_TEST(a_source_of_another_size_is_refused)
{
	bed_close(&b);
	bed_set_source(&b, BED_SIZE - 1);
	ck_refused(RAWMAP_ERROR_FAILED, "'the-source'");
}
END_TEST

START_TEST(a_changed_source_is_refused_with_the_place)
{
	bed_close(&b);
	memdev_bytes(b.mem)[5 * 4096 + 7] ^= 1;
	memdev_bytes(b.mem)[9 * 4096] ^= 1;
	ck_refused(RAWMAP_ERROR_FAILED,
		   "in 2 of 41 sampled blocks, first at byte 20480:");
}
END_TEST

START_TEST(of_a_large_source_ends_and_samples_are_compared)
{
	const uint64_t size = 8u << 20, mib = 1u << 20;
	const uint64_t at[] = { 0, mib - 1, size - mib, size - 1 };
	uint8_t *source;

	bed_clear(&b);
	bed_init(&b, size, 2);
	bed_close(&b);
	source = memdev_bytes(b.mem);
	for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
		source[at[i]] ^= 1;
		ck_refused(RAWMAP_ERROR_FAILED, "in 1 of 576");
		source[at[i]] ^= 1;
	}
	/* Whichever they are. */
	for (uint64_t pos = mib; pos < size - mib; pos += 4096)
		source[pos] ^= 1;
	ck_refused(RAWMAP_ERROR_FAILED, "in 64 of 576");
}
END_TEST

START_TEST(bad_blocks_of_the_source_are_not_compared)
{
	bed_close(&b);
	b.spot->pos = 3 * 4096 + 10;
	b.spot->len = 4096;
	bed_open_on(&b, b.store, false);
	bed_close(&b);
	b.spot->len = 0;
	memdev_bytes(b.mem)[3 * 4096] ^= 1;
	ck_refused(RAWMAP_ERROR_FAILED, "first at byte 12288");
}
END_TEST

START_TEST(what_lies_beside_bad_blocks_is_compared)
{
	bed_close(&b);
	b.spot->pos = 3 * 4096 + 10;
	b.spot->len = 4096;
	memdev_bytes(b.mem)[5 * 4096] ^= 1;
	ck_refused(RAWMAP_ERROR_FAILED, "in 1 of 39 sampled blocks, first at "
					"byte 20480:");
}
END_TEST

START_TEST(blocks_that_were_bad_then_are_not_compared)
{
	bed_close(&b);
	b.spot->pos = 3 * 4096;
	b.spot->len = 1;
	memset(memdev_bytes(b.store), 0, 4096);
	bed_open_on(&b, b.store, true);
	bed_close(&b);
	b.spot->len = 0;
	bed_open_on(&b, b.store, false);
	bed_expect(&b, b.bytes);
}
END_TEST

START_TEST(a_source_that_cannot_be_read_at_all_is_an_io_error)
{
	bed_close(&b);
	b.spot->len = BED_SIZE;
	ck_refused(RAWMAP_ERROR_IO, "none of 41");
}
END_TEST

static void add_tests(Suite *suite)
{
	TCase *tc = tcase_create("refused");

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, any_flipped_byte_of_the_header_is_refused);
	tcase_add_test(tc, zeros_are_no_copy_on_write_file);
	tcase_add_test(tc, a_later_version_is_unsupported);
	tcase_add_test(tc, a_header_that_makes_no_sense_is_corrupt);
	tcase_add_test(tc, a_header_that_cannot_be_written_is_an_io_error);
	tcase_add_loop_test(tc, a_file_of_another_length_is_corrupt, 0, 4);
	tcase_add_test(tc, clusters_behind_the_end_are_corrupt);
	tcase_add_test(tc, a_source_of_another_size_is_refused);
	tcase_add_test(tc, a_changed_source_is_refused_with_the_place);
	tcase_add_test(tc, of_a_large_source_ends_and_samples_are_compared);
	tcase_add_test(tc, bad_blocks_of_the_source_are_not_compared);
	tcase_add_test(tc, what_lies_beside_bad_blocks_is_compared);
	tcase_add_test(tc, blocks_that_were_bad_then_are_not_compared);
	tcase_add_test(tc, a_source_that_cannot_be_read_at_all_is_an_io_error);
}

int main(void)
{
	Suite *suite = suite_create("cow refused");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_tests(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
