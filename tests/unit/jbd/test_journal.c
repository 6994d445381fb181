/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal's superblock, sound and hostile; the way from its blocks to the
 * device; what an update changes and what not.
 */
#include "journal_bed.h"

#include <rawmap/dev/blkdev.h>

#include <errno.h>

#define BLOCKS 1500u

static void expect_refusal(struct bed *bed, int code)
{
	GError *error = NULL;
	struct journal *j = bed_try(bed, &error);

	ck_assert(!j);
	ck_assert(error);
	ck_assert_msg(error->domain == RAWMAP_ERROR && error->code == code,
		      "%s", error->message);
	g_error_free(error);
}

/* ---- reading ---- */

START_TEST(a_sound_superblock_is_understood)
{
	const struct journal_info *info;
	struct bed bed;
	struct journal *j;
	uint32_t incompat;

	bed_init(&bed, _i, BLOCKS, NULL);
	bed_set(&bed, AT_START, 77);
	bed_set(&bed, AT_ERROR, (uint32_t)-EIO);
	j = bed_open(&bed);
	info = journal_info(j);
	incompat = bed.shape.incompat;
	ck_assert_uint_eq(info->maxlen, BLOCKS);
	ck_assert_uint_eq(info->first, 1);
	ck_assert_uint_eq(info->last, BLOCKS);
	ck_assert_uint_eq(info->sequence, 41);
	ck_assert_uint_eq(info->start, 77);
	ck_assert_int_eq(info->error, -EIO);
	ck_assert_uint_eq(info->version, 2);
	ck_assert_int_eq(info->csum, incompat & INCOMPAT_V3 ? JOURNAL_CSUM_V3
				     : incompat & INCOMPAT_V2
					     ? JOURNAL_CSUM_V2
					     : JOURNAL_CSUM_NONE);
	ck_assert_int_eq(info->is_64bit, !!(incompat & INCOMPAT_64BIT));
	ck_assert(!info->has_revoke && !info->async_commit);
	ck_assert(!info->fast_commit);
	ck_assert_mem_eq(info->uuid, bed_super(&bed) + AT_UUID, 16);
	ck_assert_str_eq(journal_name(j), "host");
	ck_assert_uint_eq(journal_block_bits(j), bed.shape.bits);
	ck_assert_ptr_eq(journal_dev(j), bed.dev);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(flags_are_read_from_the_features)
{
	const struct shape shape = { 12, 1, INCOMPAT_REVOKE | INCOMPAT_ASYNC };
	struct journal *j;
	struct bed bed;

	bed_init_shape(&bed, shape, BLOCKS, NULL);
	j = bed_open(&bed);
	ck_assert_int_eq(journal_info(j)->csum, JOURNAL_CSUM_V1);
	ck_assert(journal_info(j)->has_revoke);
	ck_assert(journal_info(j)->async_commit);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(version_1_has_no_features_whatever_stands_there)
{
	const struct journal_info *info;
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_TYPE, 3);
	memset(bed_super(&bed) + AT_COMPAT, 0xff, 1024 - AT_COMPAT);
	j = bed_open(&bed);
	info = journal_info(j);
	ck_assert_uint_eq(info->version, 1);
	ck_assert_int_eq(info->csum, JOURNAL_CSUM_NONE);
	ck_assert(!info->is_64bit && !info->has_revoke);
	ck_assert(!info->async_commit && !info->fast_commit);
	ck_assert_uint_eq(info->last, BLOCKS);
	ck_assert_uint_eq(info->uuid[0], 0);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(the_log_ends_before_the_fast_commit_area)
{
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_INCOMPAT, INCOMPAT_FC);
	j = bed_open(&bed);
	ck_assert(journal_info(j)->fast_commit);
	ck_assert_uint_eq(journal_info(j)->last, BLOCKS - 256);
	ck_assert_uint_eq(journal_info(j)->maxlen, BLOCKS);
	journal_close(j);
	bed_set(&bed, AT_NUM_FC, 100);
	j = bed_open(&bed);
	ck_assert_uint_eq(journal_info(j)->last, BLOCKS - 100);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

/* ---- hostile ---- */

static const struct {
	size_t at;
	uint32_t value;
	int code;
} hostile[] = {
	{ 0, 0, RAWMAP_ERROR_CORRUPT },
	{ AT_TYPE, 0, RAWMAP_ERROR_CORRUPT },
	{ AT_TYPE, 2, RAWMAP_ERROR_CORRUPT },
	{ AT_TYPE, 5, RAWMAP_ERROR_CORRUPT },
	{ AT_BLOCKSIZE, 0, RAWMAP_ERROR_UNSUPPORTED },
	{ AT_BLOCKSIZE, 8192, RAWMAP_ERROR_UNSUPPORTED },
	{ AT_MAXLEN, 0, RAWMAP_ERROR_CORRUPT },
	{ AT_MAXLEN, 1, RAWMAP_ERROR_CORRUPT },
	{ AT_MAXLEN, BLOCKS + 1, RAWMAP_ERROR_CORRUPT },
	{ AT_MAXLEN, UINT32_MAX, RAWMAP_ERROR_CORRUPT },
	{ AT_FIRST, 0, RAWMAP_ERROR_CORRUPT },
	{ AT_FIRST, BLOCKS, RAWMAP_ERROR_CORRUPT },
	{ AT_FIRST, UINT32_MAX, RAWMAP_ERROR_CORRUPT },
	{ AT_START, BLOCKS, RAWMAP_ERROR_CORRUPT },
	{ AT_START, UINT32_MAX, RAWMAP_ERROR_CORRUPT },
	{ AT_INCOMPAT, 0x40, RAWMAP_ERROR_UNSUPPORTED },
	{ AT_INCOMPAT, 0x80000000u, RAWMAP_ERROR_UNSUPPORTED },
	{ AT_RO_COMPAT, 1, RAWMAP_ERROR_UNSUPPORTED },
};

START_TEST(an_impossible_number_is_refused)
{
	struct bed bed;

	/* With and without a sum that is right. */
	for (int shape = PLAIN; shape <= FULL; shape += FULL - PLAIN) {
		bed_init(&bed, shape, BLOCKS, NULL);
		bed_set(&bed, hostile[_i].at, hostile[_i].value);
		expect_refusal(&bed, hostile[_i].code);
		bed_clear(&bed);
	}
}
END_TEST

START_TEST(a_tail_before_the_log_is_refused)
{
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_FIRST, 10);
	bed_set(&bed, AT_START, 9);
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_fast_commit_area_that_leaves_no_log_is_refused)
{
	static const uint32_t sizes[] = { BLOCKS - 1023, BLOCKS, BLOCKS + 1,
					  UINT32_MAX };
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_INCOMPAT, INCOMPAT_FC);
	bed_set(&bed, AT_NUM_FC, sizes[_i]);
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_tail_in_the_fast_commit_area_is_refused)
{
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_INCOMPAT, INCOMPAT_FC);
	bed_set(&bed, AT_START, BLOCKS - 256);
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed_clear(&bed);
}
END_TEST

START_TEST(one_wrong_bit_anywhere_fails_the_checksum)
{
	struct bed bed;

	bed_init(&bed, FULL, BLOCKS, NULL);
	/* In bytes that mean nothing to anybody, too. */
	for (size_t at = 0x58; at < 1024; at += 13) {
		bed_super(&bed)[at] ^= 1;
		expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
		bed_super(&bed)[at] ^= 1;
	}
	journal_close(bed_open(&bed));
	bed_clear(&bed);
}
END_TEST

START_TEST(kinds_of_checksums_exclude_each_other)
{
	static const uint32_t pairs[][2] = {
		{ 0, INCOMPAT_V2 | INCOMPAT_V3 },
		{ 1, INCOMPAT_V2 },
		{ 1, INCOMPAT_V3 },
	};
	struct bed bed;

	bed_init(&bed, FULL, BLOCKS, NULL);
	bed_set(&bed, AT_COMPAT, pairs[_i][0]);
	bed_set(&bed, AT_INCOMPAT, pairs[_i][1]);
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed_clear(&bed);
}
END_TEST

START_TEST(an_unknown_checksum_type_is_refused)
{
	struct bed bed;

	bed_init(&bed, FULL, BLOCKS, NULL);
	bed_super(&bed)[AT_CSUM_TYPE] = 1;
	bed_sum(&bed);
	expect_refusal(&bed, RAWMAP_ERROR_UNSUPPORTED);
	bed_clear(&bed);
}
END_TEST

START_TEST(runs_beyond_the_device_are_refused)
{
	static const struct journal_run bad[] = {
		{ { DEV_BLOCKS }, 1 },	      { { DEV_BLOCKS - 1 }, 2 },
		{ { UINT64_MAX }, 2 },	      { { 1 }, UINT64_MAX },
		{ { UINT64_C(1) << 52 }, 1 }, /* its byte does not fit */
	};
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	/* Long enough without that run: it is its place that is wrong. */
	bed_set(&bed, AT_MAXLEN, 5 * RUN);
	bed.runs[5] = (struct journal_run){ { DEV_BLOCKS - 1 }, 1 };
	journal_close(bed_open(&bed));
	bed.runs[5] = bad[_i];
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed.n = 0;
	expect_refusal(&bed, RAWMAP_ERROR_CORRUPT);
	bed_clear(&bed);
}
END_TEST

static int pread_nothing(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EIO;
}

static int pwrite_nothing(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EIO;
}

static int flush_nothing(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static void close_nothing(struct blkdev *dev)
{
	(void)dev;
}

/* As many runs of the largest device as come around. */
START_TEST(runs_that_are_too_long_together_are_refused)
{
	static const struct blkdev_ops ops = { .name = "huge",
					       .pread = pread_nothing,
					       .pwrite = pwrite_nothing,
					       .flush = flush_nothing,
					       .close = close_nothing };
	const struct blkdev_geometry geo = { .size = UINT64_C(1) << 63,
					     .sector = 512,
					     .align = 1 };
	const uint64_t len = geo.size >> 10;
	struct journal_run runs[2049];
	g_autoptr(GError) error = NULL;
	struct blkdev dev;

	blkdev_init(&dev, &ops, &geo);
	for (size_t i = 0; i < G_N_ELEMENTS(runs); i++)
		runs[i] = (struct journal_run){ pblk_at(0), len };
	ck_assert_ptr_null(journal_open(&dev, runs, G_N_ELEMENTS(runs), 10,
					"host", &error));
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
	ck_assert_str_eq(error->message, "the journal of 'host' is impossibly "
					 "long; run 'e2fsck -f' on it");
	blkdev_unref(&dev);
}
END_TEST

START_TEST(an_unreadable_superblock_is_an_io_error)
{
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, faultdev_new);
	faultdev_arm(bed.dev, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	expect_refusal(&bed, RAWMAP_ERROR_IO);
	bed_clear(&bed);
}
END_TEST

/* ---- blocks ---- */

START_TEST(every_block_is_where_the_runs_say)
{
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS + 50, NULL);
	bed_set(&bed, AT_MAXLEN, BLOCKS + 20);
	j = bed_open(&bed);
	for (uint32_t b = 0; b < BLOCKS + 20; b++) {
		uint32_t more;
		pblk at = journal_block_at(j, b, &more);
		uint32_t left = MIN(RUN - b % RUN, BLOCKS + 20 - b);

		ck_assert_uint_eq(at.v, bed.runs[b / RUN].phys.v + b % RUN);
		ck_assert_uint_eq(more, left - 1);
	}
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(reads_and_writes_cross_runs_in_one_request_each)
{
	size_t len = (size_t)250 << 12;
	g_autofree uint8_t *buf = g_malloc(len);
	g_autofree uint8_t *back = g_malloc(len);
	struct blkdev_counters count;
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	j = bed_open(&bed);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i / 4096 + i);
	/* Blocks 690..939: of four runs, over the seam of the two halves. */
	ck_assert_int_eq(journal_write(j, 690, 250, buf), 0);
	for (uint32_t b = 0; b < BLOCKS; b++) {
		const uint8_t *p = bed_block(&bed, b);

		if (b >= 690 && b < 940)
			ck_assert_mem_eq(p, buf + ((size_t)(b - 690) << 12),
					 4096);
		else if (b)
			ck_assert_uint_eq(p[17], STALE);
	}
	ck_assert_int_eq(journal_read(j, 690, 250, back), 0);
	ck_assert_mem_eq(back, buf, len);
	blkdev_counters(bed.mem, &count);
	ck_assert_uint_eq(count.writes, 4);
	ck_assert_uint_eq(count.reads, 1 + 4);
	ck_assert_uint_eq(count.flushes, 0);
	/* Gaps belong to somebody else. */
	ck_assert_uint_eq(*(bed_block(&bed, 799) + 4096), STALE);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(an_error_of_the_device_comes_through)
{
	g_autofree uint8_t *buf = g_malloc0((size_t)250 << 12);
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, faultdev_new);
	j = bed_open(&bed);
	faultdev_arm(bed.dev, FAULTDEV_READ, 2, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(journal_read(j, 690, 250, buf), -EIO);
	faultdev_arm(bed.dev, FAULTDEV_WRITE, 3, ENXIO, FAULTDEV_ONCE);
	ck_assert_int_eq(journal_write(j, 690, 250, buf), -ENXIO);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

/* ---- the update ---- */

static void expect_update(struct bed *bed, const struct journal_change *change,
			  uint32_t compat, uint32_t incompat)
{
	size_t size = (size_t)1 << bed->shape.bits;
	g_autofree uint8_t *want = g_memdup2(bed_super(bed), size);
	struct blkdev_counters before, after;
	struct journal *j = bed_open(bed);

	put32(want + AT_SEQUENCE, change->sequence);
	put32(want + AT_START, change->start);
	put32(want + AT_ERROR, (uint32_t)change->error);
	put32(want + AT_COMPAT, compat);
	put32(want + AT_INCOMPAT, incompat);
	if (incompat & CSUM_V2_OR_V3)
		put32(want + AT_CSUM, slow_crc_but(~0u, want, 1024, AT_CSUM));
	blkdev_counters(bed->mem, &before);
	ck_assert_int_eq(journal_update(j, change), 0);
	blkdev_counters(bed->mem, &after);
	ck_assert_uint_eq(after.writes, before.writes + 1);
	ck_assert_uint_eq(after.write_bytes, before.write_bytes + size);
	ck_assert_uint_eq(after.flushes, before.flushes);
	ck_assert_mem_eq(bed_super(bed), want, size);
	ck_assert_uint_eq(journal_info(j)->sequence, change->sequence);
	ck_assert_uint_eq(journal_info(j)->start, change->start);
	ck_assert_int_eq(journal_info(j)->error, change->error);
	journal_close(j);
	/* And it is sound. */
	journal_close(bed_open(bed));
}

START_TEST(an_update_changes_what_it_names_and_nothing_else)
{
	const struct journal_change change = { .sequence = 0xfffffff0u,
					       .start = 99,
					       .error = -EROFS };
	struct bed bed;

	bed_init(&bed, _i, BLOCKS, NULL);
	expect_update(&bed, &change, 0, bed.shape.incompat);
	bed_clear(&bed);
}
END_TEST

START_TEST(features_are_set_and_cleared_on_demand)
{
	const struct journal_change change = { .sequence = 5,
					       .start = 1,
					       .need_64bit = true,
					       .need_revoke = true,
					       .plain_commits = true };
	struct shape shape = shapes[_i];
	struct bed bed;

	/* Bit 30: a compatible feature of times to come. */
	shape.compat = 1u << 30 | (shape.incompat & CSUM_V2_OR_V3 ? 0 : 1);
	shape.incompat |= INCOMPAT_ASYNC;
	bed_init_shape(&bed, shape, BLOCKS, NULL);
	expect_update(&bed, &change, 1u << 30,
		      (shape.incompat & ~INCOMPAT_ASYNC) | INCOMPAT_64BIT |
			      INCOMPAT_REVOKE);
	bed_clear(&bed);
}
END_TEST

START_TEST(version_1_is_updated_without_features)
{
	const struct journal_change change = { .sequence = 6,
					       .plain_commits = true };
	g_autofree uint8_t *tail = NULL;
	struct journal *j;
	struct bed bed;

	bed_init(&bed, PLAIN, BLOCKS, NULL);
	bed_set(&bed, AT_TYPE, 3);
	memset(bed_super(&bed) + AT_COMPAT, 0xff, 4096 - AT_COMPAT);
	tail = g_memdup2(bed_super(&bed) + AT_COMPAT, 4096 - AT_COMPAT);
	j = bed_open(&bed);
	ck_assert_int_eq(journal_update(j, &change), 0);
	ck_assert_uint_eq(bed_field(&bed, AT_SEQUENCE), 6);
	ck_assert_mem_eq(bed_super(&bed) + AT_COMPAT, tail, 4096 - AT_COMPAT);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

START_TEST(after_a_failed_update_the_info_is_as_before)
{
	const struct journal_change change = { .sequence = 5, .start = 1 };
	struct journal *j;
	struct bed bed;

	bed_init(&bed, FULL, BLOCKS, faultdev_new);
	j = bed_open(&bed);
	faultdev_arm(bed.dev, FAULTDEV_WRITE, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(journal_update(j, &change), -EIO);
	ck_assert_uint_eq(journal_info(j)->sequence, 41);
	ck_assert_uint_eq(journal_info(j)->start, 0);
	ck_assert_int_eq(journal_update(j, &change), 0);
	ck_assert_uint_eq(journal_info(j)->sequence, 5);
	journal_close(j);
	bed_clear(&bed);
}
END_TEST

static void add_hostile(TCase *tc)
{
	int n = (int)(sizeof(hostile) / sizeof(hostile[0]));

	tcase_add_loop_test(tc, an_impossible_number_is_refused, 0, n);
	tcase_add_test(tc, a_tail_before_the_log_is_refused);
	tcase_add_loop_test(
		tc, a_fast_commit_area_that_leaves_no_log_is_refused, 0, 4);
	tcase_add_test(tc, a_tail_in_the_fast_commit_area_is_refused);
	tcase_add_test(tc, one_wrong_bit_anywhere_fails_the_checksum);
	tcase_add_loop_test(tc, kinds_of_checksums_exclude_each_other, 0, 3);
	tcase_add_test(tc, an_unknown_checksum_type_is_refused);
	tcase_add_loop_test(tc, runs_beyond_the_device_are_refused, 0, 5);
	tcase_add_test(tc, runs_that_are_too_long_together_are_refused);
	tcase_add_test(tc, an_unreadable_superblock_is_an_io_error);
}

int main(void)
{
	Suite *suite = suite_create("journal");
	TCase *tc = tcase_create("journal");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_sound_superblock_is_understood, 0, N_SHAPES);
	tcase_add_test(tc, flags_are_read_from_the_features);
	tcase_add_test(tc, version_1_has_no_features_whatever_stands_there);
	tcase_add_test(tc, the_log_ends_before_the_fast_commit_area);
	add_hostile(tc);
	tcase_add_test(tc, every_block_is_where_the_runs_say);
	tcase_add_test(tc, reads_and_writes_cross_runs_in_one_request_each);
	tcase_add_test(tc, an_error_of_the_device_comes_through);
	tcase_add_loop_test(tc,
			    an_update_changes_what_it_names_and_nothing_else, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, features_are_set_and_cleared_on_demand, 0,
			    N_SHAPES);
	tcase_add_test(tc, version_1_is_updated_without_features);
	tcase_add_test(tc, after_a_failed_update_the_info_is_as_before);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
