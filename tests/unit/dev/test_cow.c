/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write, on devices in memory: what is read back, what is refused, and
 * what a failing device does to it.
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

static void ck_refused_on(struct blkdev *store, int code, const char *text)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(bed_try(&b, store, false, &error));
	ck_assert_msg(code < 0 || g_error_matches(error, RAWMAP_ERROR, code),
		      "%s", error->message);
	ck_assert_msg(strstr(error->message, text) != NULL, "%s",
		      error->message);
}

static void ck_refused(int code, const char *text)
{
	ck_refused_on(b.store, code, text);
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

/* ---- what is refused ---- */

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
	ck_refused_on(store, RAWMAP_ERROR_CORRUPT,
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
		ck_refused_on(fault, RAWMAP_ERROR_IO, "the-file");
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

static void add_refusing(Suite *suite)
{
	TCase *tc = tcase_create("refusing");

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
	add_refusing(suite);
	add_failing(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
