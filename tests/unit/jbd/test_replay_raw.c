/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a view costs: nothing where the log has no copy, the raw way goes on
 * below; and in memory some bytes a block of the log, however long that is.
 */
#include "replay_bed.h"

#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#define BS 1024

/* The device of @lb as a file, which has a raw way. */
static struct blkdev *as_file(struct logbuild *lb)
{
	const struct filedev_options opt = {
		.readonly = true,
		.direct = FILEDEV_DIRECT_OFF,
	};
	struct blkdev *mem = logbuild_dev(lb), *dev;
	size_t size = (size_t)blkdev_geometry(mem)->size;
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp(NULL, &path, NULL);

	ck_assert_int_ge(fd, 0);
	ck_assert(write(fd, memdev_bytes(mem), size) == (ssize_t)size);
	close(fd);
	dev = filedev_open(path, &opt, NULL);
	ck_assert_ptr_nonnull(dev);
	unlink(path);
	return dev;
}

struct raw_bed {
	struct bed bed;
	struct blkdev *lower, *view;
};

static void raw_init(struct raw_bed *rb)
{
	static const struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_REVOKE
	};
	static const uint64_t blocks[] = { 0, 3, 4, 9, 10, 12, 20, 37 };

	rb->bed = bed_of(&spec);
	for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++)
		logbuild_data(rb->bed.lb, blocks[i], 5);
	logbuild_commit(rb->bed.lb);
	logbuild_super(rb->bed.lb, 1);
	rb->lower = as_file(rb->bed.lb);
	rb->bed.j = logbuild_open_on(rb->bed.lb, rb->lower);
	rb->bed.r = replay_scan(rb->bed.j, 1024, NULL, NULL, NULL);
	ck_assert_ptr_nonnull(rb->bed.r);
	rb->view = replay_view_new(rb->bed.r, rb->lower);
}

static void raw_clear(struct raw_bed *rb)
{
	blkdev_unref(rb->view);
	blkdev_unref(rb->lower);
	bed_close(&rb->bed);
}

static bool touches(struct replay *r, uint64_t pos, uint64_t len)
{
	for (uint64_t b = pos / BS; b <= (pos + len - 1) / BS; b++)
		if (replay_get(r, pblk_at(b), NULL))
			return true;
	return false;
}

static void check_range(struct raw_bed *rb, uint64_t pos, uint64_t len)
{
	struct blkdev_raw raw = { 0 };
	bool found = blkdev_raw(rb->view, BLKDEV_READ, NULL, len,
				dev_off_at(pos), &raw);

	ck_assert_msg(found == !touches(rb->bed.r, pos, len),
		      "%" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT, len,
		      pos);
	if (!found)
		return;
	ck_assert_ptr_eq(raw.dev, rb->lower);
	ck_assert_uint_eq(raw.pos.v, pos);
	ck_assert_int_ge(raw.fd, 0);
}

START_TEST(raw_way_goes_past_the_log_only)
{
	static const uint64_t lens[] = { 1,	 BS - 1,     BS,
					 BS + 1, 2 * BS + 1, 9 * BS };
	struct raw_bed rb;

	raw_init(&rb);
	for (uint64_t block = 0; block < 45; block++)
		for (size_t i = 0; i < G_N_ELEMENTS(lens); i++) {
			check_range(&rb, block * BS, lens[i]);
			check_range(&rb, block * BS + 1, lens[i]);
			check_range(&rb, block * BS + BS - 1, lens[i]);
		}
	check_range(&rb, 38 * BS, (1024 - 38) * BS);
	raw_clear(&rb);
}
END_TEST

START_TEST(raw_way_is_for_reads)
{
	struct raw_bed rb;
	struct blkdev_raw raw;

	raw_init(&rb);
	ck_assert(!blkdev_raw(rb.view, BLKDEV_WRITE, NULL, BS,
			      dev_off_at(BS * 30), &raw));
	ck_assert(!blkdev_raw(rb.view, BLKDEV_FLUSH, NULL, 0, dev_off_at(0),
			      &raw));
	raw_clear(&rb);
}
END_TEST

START_TEST(no_raw_way_where_there_is_none_below)
{
	struct bed bed = bed_of(&formats[1]);
	struct blkdev_raw raw;
	struct blkdev *view;

	put_tx(bed.lb, 1);
	bed_scan(&bed);
	view = replay_view_new(bed.r, logbuild_dev(bed.lb));
	ck_assert(!blkdev_raw(view, BLKDEV_READ, NULL, BS, dev_off_at(BS * 30),
			      &raw));
	blkdev_unref(view);
	bed_close(&bed);
}
END_TEST

/* ---- memory ---- */

#define MANY 25000u

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Sanitizers have a heap of their own, which does not tell. */
static bool can_count(void)
{
	size_t before = allocated();
	void *some = g_malloc(1 << 20);
	bool grew = allocated() > before;

	g_free(some);
	return grew;
}

struct peak {
	size_t bytes;
};

static void note_peak(void *ctx, unsigned pass, uint64_t done, uint64_t total)
{
	struct peak *peak = ctx;

	/* Behind the last block of the pass with both lists in memory. */
	if (pass == 3 && done == total)
		peak->bytes = allocated();
}

START_TEST(index_takes_16_bytes_a_block)
{
	const struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_CSUM_V3,
		.maxlen = MANY + 1000,
		.fs_blocks = 2 * MANY + 2000,
	};
	struct bed bed = bed_of(&spec);
	struct peak peak = { 0 };
	size_t before;

	for (uint32_t i = 0; i < MANY; i++)
		logbuild_data(bed.lb, spec.fs_blocks - 1 - i, i);
	logbuild_commit(bed.lb);
	bed.j = logbuild_open(bed.lb);
	before = allocated();
	bed.r = replay_scan(bed.j, spec.fs_blocks, note_peak, &peak, NULL);
	ck_assert_ptr_nonnull(bed.r);
	ck_assert_uint_eq(replay_report(bed.r)->blocks, MANY);
	if (can_count()) {
		ck_assert_uint_le(allocated() - before, 16 * MANY + 8192);
		ck_assert_uint_ge(peak.bytes, before + 16 * MANY);
		ck_assert_uint_le(peak.bytes - before, 64 * MANY + (1 << 20));
	}
	bed_close(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay: what a view costs");
	TCase *tc = tcase_create("replay: what a view costs");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, raw_way_goes_past_the_log_only);
	tcase_add_test(tc, raw_way_is_for_reads);
	tcase_add_test(tc, no_raw_way_where_there_is_none_below);
	tcase_add_test(tc, index_takes_16_bytes_a_block);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
