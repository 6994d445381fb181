/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is done with an index: taking the log home, and looking at a device as if
 * it were home. Readers are many: RAWMAP_TEST_CONCURRENT.
 */
#include "replay_bed.h"

#include "support/faultdev.h"
#include "support/nowritedev.h"
#include "support/recdev.h"

#include <errno.h>
#include <pthread.h>

#define BS 1024

/* A few runs of blocks, single ones between them, some twice, some revoked. */
static struct bed bed_new(const struct logbuild_spec *spec)
{
	static const uint64_t revoked[] = { 8, 200 };
	struct bed bed = { logbuild_new(spec), NULL, NULL };

	for (uint32_t i = 2; i < 12; i++)
		logbuild_data(bed.lb, i, i);
	logbuild_data(bed.lb, 30, 1 | LOGBUILD_MAGIC);
	logbuild_commit(bed.lb);
	logbuild_revoke(bed.lb, revoked, 2);
	for (uint32_t i = 20; i < 25; i++)
		logbuild_data(bed.lb, 44 - i, i | LOGBUILD_MAGIC);
	logbuild_data(bed.lb, 3, 99);
	logbuild_data(bed.lb, 110, 3);
	logbuild_commit(bed.lb);
	return bed;
}

static const struct logbuild_spec plain = {
	.incompat = JBD_INCOMPAT_REVOKE | JBD_INCOMPAT_CSUM_V3,
	.start = 50,
};

/* ---- apply ---- */

START_TEST(applied_twice_is_applied_once)
{
	struct bed bed = bed_new(&formats[_i]);

	bed_judge(&bed, 2);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

/* Also with half of the failing write on the device. */
START_TEST(apply_after_any_failed_write_comes_right)
{
	for (uint64_t nth = 1;; nth++) {
		struct bed bed = bed_new(&plain);
		g_autoptr(blkdev) dev = faultdev_new(logbuild_dev(bed.lb));
		bool fired;
		int err;

		bed_scan(&bed);
		faultdev_arm(dev, FAULTDEV_WRITE, nth, ENOSPC,
			     nth % 2 ? FAULTDEV_SHORT : FAULTDEV_ONCE);
		err = replay_apply(bed.r, dev, NULL, NULL);
		fired = faultdev_fired(dev);
		ck_assert_int_eq(err, fired ? -ENOSPC : 0);
		bed_judge(&bed, 2);
		bed_close(&bed);
		if (!fired)
			break;
	}
}
END_TEST

START_TEST(apply_and_get_report_a_failed_read_of_the_log)
{
	struct bed bed = bed_new(&plain);
	g_autoptr(blkdev) dev = faultdev_new(logbuild_dev(bed.lb));
	uint8_t block[BS];

	logbuild_super(bed.lb, plain.start);
	bed.j = logbuild_open_on(bed.lb, dev);
	bed.r = replay_scan(bed.j, 1024, NULL, NULL, NULL);
	ck_assert(bed.r);
	faultdev_arm(dev, FAULTDEV_READ, 2, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(replay_apply(bed.r, logbuild_dev(bed.lb), NULL, NULL),
			 -EIO);
	faultdev_arm(dev, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(replay_get(bed.r, pblk_at(3), block), -EIO);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

static void check_ascending(struct blkdev *rec, uint64_t *ret_writes)
{
	g_autoptr(GPtrArray) events = recdev_events(rec);
	uint64_t end = 0;

	*ret_writes = 0;
	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = g_ptr_array_index(events, i);

		ck_assert_int_eq(e->kind, RECDEV_WRITE);
		ck_assert_uint_ge(e->pos.v, end);
		ck_assert_uint_le(e->len, 1 << 20);
		end = e->pos.v + e->len;
		++*ret_writes;
	}
}

START_TEST(apply_writes_ascending_neighbours_together)
{
	struct bed bed = bed_new(&plain);
	g_autoptr(blkdev) rec = recdev_new(logbuild_dev(bed.lb));
	uint64_t writes;

	bed_scan(&bed);
	ck_assert_int_eq(replay_apply(bed.r, rec, NULL, NULL), 0);
	check_ascending(rec, &writes);
	/* 2-7, 9-11, 20-24, 30, 110 */
	ck_assert_uint_eq(writes, 5);
	bed_close(&bed);
}
END_TEST

/* 2 MiB of log, its blocks in no order: two sweeps of 256 KiB at once. */
START_TEST(log_is_read_in_few_requests)
{
	struct logbuild_spec spec = {
		.bits = 12,
		.maxlen = 1000,
		.fs_blocks = 1700,
		.incompat = JBD_INCOMPAT_CSUM_V3,
	};
	struct bed bed = { logbuild_new(&spec), NULL, NULL };
	g_autoptr(blkdev) dev = faultdev_new(logbuild_dev(bed.lb));

	for (uint32_t i = 0; i < 512; i++)
		logbuild_data(bed.lb, 1100 + i * 37 % 512, i);
	logbuild_commit(bed.lb);
	logbuild_super(bed.lb, 1);
	bed.j = logbuild_open_on(bed.lb, dev);
	faultdev_arm(dev, FAULTDEV_READ, UINT64_MAX, EIO, FAULTDEV_ONCE);
	bed.r = replay_scan(bed.j, 1700, NULL, NULL, NULL);
	ck_assert(bed.r);
	ck_assert_uint_le(faultdev_count(dev, FAULTDEV_READ), 2 * 10);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(apply_writes_no_more_than_a_mebibyte_at_once)
{
	struct logbuild_spec spec = {
		.bits = 12,
		.maxlen = 1000,
		.fs_blocks = 1700,
		.incompat = JBD_INCOMPAT_CSUM_V2,
	};
	struct bed bed = { logbuild_new(&spec), NULL, NULL };
	g_autoptr(blkdev) rec = recdev_new(logbuild_dev(bed.lb));
	uint64_t writes;

	for (uint32_t i = 0; i < 513; i++)
		logbuild_data(bed.lb, 1612 - i, i);
	logbuild_commit(bed.lb);
	bed_scan(&bed);
	ck_assert_int_eq(replay_apply(bed.r, rec, NULL, NULL), 0);
	check_ascending(rec, &writes);
	ck_assert_uint_eq(writes, 3);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(scan_and_view_write_nothing)
{
	struct bed bed = bed_new(&plain);
	g_autoptr(blkdev) dev = nowritedev_new(logbuild_dev(bed.lb));
	g_autoptr(blkdev) view = NULL;
	g_autofree uint8_t *all = NULL;

	logbuild_super(bed.lb, plain.start);
	bed.j = logbuild_open_on(bed.lb, dev);
	bed.r = replay_scan(bed.j, 1024, NULL, NULL, NULL);
	ck_assert(bed.r);
	view = replay_view_new(bed.r, dev);
	all = bed_read_all(view);
	bed_close(&bed);
}
END_TEST

/* The log is needed no longer than the index says: its end may be gone. */
START_TEST(index_does_not_follow_the_superblock)
{
	struct bed bed = bed_new(&plain);
	const struct journal_change done = { .sequence = 100 };

	bed_scan(&bed);
	ck_assert_int_eq(journal_update(bed.j, &done), 0);
	ck_assert_uint_eq(journal_info(bed.j)->start, 0);
	bed_judge(&bed, 2);
	bed_close(&bed);
}
END_TEST

/* ---- progress ---- */

struct seen {
	unsigned pass;
	uint64_t done, total;
	unsigned passes;
};

static void follow(void *ctx, unsigned pass, uint64_t done, uint64_t total)
{
	struct seen *p = ctx;

	ck_assert_uint_ge(pass, 1);
	ck_assert_uint_le(pass, REPLAY_PASSES);
	ck_assert_uint_gt(total, 0);
	ck_assert_uint_le(done, total);
	if (pass == p->pass) {
		ck_assert_uint_eq(total, p->total);
		ck_assert_uint_ge(done, p->done);
	} else {
		ck_assert_uint_gt(pass, p->pass);
		ck_assert_uint_eq(p->done, p->total);
		p->passes |= 1u << pass;
	}
	p->pass = pass;
	p->done = done;
	p->total = total;
}

START_TEST(progress_never_goes_back_and_comes_to_its_end)
{
	bool sums = formats[_i].incompat &
		    (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3);
	struct bed bed = bed_new(&formats[_i]);
	struct seen p = { 0 };

	bed.j = logbuild_open(bed.lb);
	bed.r = replay_scan(bed.j, logbuild_fs_blocks(bed.lb), follow, &p,
			    NULL);
	ck_assert(bed.r);
	ck_assert_uint_eq(p.done, p.total);
	ck_assert_int_eq(replay_apply(bed.r, logbuild_dev(bed.lb), follow, &p),
			 0);
	ck_assert_uint_eq(p.done, p.total);
	ck_assert_uint_eq(p.passes, 2 | 4 | 16 | (sums ? 8u : 0u));
	bed_close(&bed);
}
END_TEST

START_TEST(empty_log_has_no_progress)
{
	struct bed bed = bed_new(&plain);
	struct seen p = { 0 };

	logbuild_super(bed.lb, 0);
	bed.j = logbuild_open_on(bed.lb, logbuild_dev(bed.lb));
	bed.r = replay_scan(bed.j, 1024, follow, &p, NULL);
	ck_assert(bed.r);
	ck_assert_int_eq(replay_apply(bed.r, logbuild_dev(bed.lb), follow, &p),
			 0);
	ck_assert_uint_eq(p.passes, 0);
	bed_close(&bed);
}
END_TEST

/* ---- the view ---- */

START_TEST(view_reads_any_bytes)
{
	struct bed bed = bed_new(&plain);
	uint64_t blocks, revoked, size = 1024 * BS;
	g_autofree uint8_t *model = NULL, *buf = g_malloc(9 * BS);
	g_autoptr(blkdev) view = NULL;
	uint32_t seed = 5;

	bed_scan(&bed);
	model = logbuild_model(bed.lb, &blocks, &revoked);
	view = replay_view_new(bed.r, logbuild_dev(bed.lb));
	for (int i = 0; i < 20000; i++) {
		uint64_t pos, len;

		seed = seed * 1664525 + 1013904223;
		pos = (seed >> 8) % (i % 2 ? 40 * BS : size);
		seed = seed * 1664525 + 1013904223;
		len = 1 + (seed >> 8) % (i % 3 ? 9 * BS : 50);
		len = MIN(len, size - pos);
		ck_assert_int_eq(blkdev_pread(view, buf, len, dev_off_at(pos)),
				 0);
		ck_assert_mem_eq(buf, model + pos, len);
	}
	bed_close(&bed);
}
END_TEST

START_TEST(view_is_its_lower_device_but_read_only)
{
	struct bed bed = bed_new(&plain);
	struct blkdev *lower = logbuild_dev(bed.lb);
	const struct blkdev_geometry *geo, *below = blkdev_geometry(lower);
	g_autoptr(blkdev) view = NULL;

	bed_scan(&bed);
	view = replay_view_new(bed.r, lower);
	geo = blkdev_geometry(view);
	ck_assert_uint_eq(geo->size, below->size);
	ck_assert_uint_eq(geo->sector, below->sector);
	ck_assert(geo->readonly);
	ck_assert(!geo->can_discard);
	ck_assert_int_eq(blkdev_pwrite(view, "x", 1, dev_off_at(0)), -EROFS);
	ck_assert_int_eq(blkdev_flush(view), 0);
	bed_close(&bed);
}
END_TEST

/* A device that ends inside of a block that the log has. */
START_TEST(view_of_a_device_cut_short)
{
	struct bed bed = bed_new(&plain);
	uint64_t blocks, revoked, size = 24 * BS + 100;
	g_autofree uint8_t *model = NULL, *seen = NULL;
	g_autoptr(blkdev) lower = NULL, view = NULL;

	bed_scan(&bed);
	model = logbuild_model(bed.lb, &blocks, &revoked);
	lower = memdev_new_readonly(memdev_bytes(logbuild_dev(bed.lb)), size,
				    512);
	view = replay_view_new(bed.r, lower);
	seen = bed_read_all(view);
	ck_assert_mem_eq(seen, model, size);
	bed_close(&bed);
}
END_TEST

START_TEST(view_reports_failed_reads_of_both_devices)
{
	struct bed bed = bed_new(&plain);
	g_autoptr(blkdev) dev = faultdev_new(logbuild_dev(bed.lb));
	g_autoptr(blkdev) view = NULL;
	uint8_t buf[3 * BS];

	logbuild_super(bed.lb, plain.start);
	bed.j = logbuild_open_on(bed.lb, dev);
	bed.r = replay_scan(bed.j, 1024, NULL, NULL, NULL);
	view = replay_view_new(bed.r, dev);
	/* Not kept, kept, not kept; a part of a block that is. */
	for (uint64_t nth = 1; nth <= 3; nth++) {
		faultdev_arm(dev, FAULTDEV_READ, nth, EIO, FAULTDEV_ONCE);
		ck_assert_int_eq(blkdev_pread(view, buf, 3 * BS,
					      dev_off_at(29 * BS)),
				 -EIO);
		ck_assert(faultdev_fired(dev));
	}
	faultdev_arm(dev, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_pread(view, buf, 1, dev_off_at(30 * BS)), -EIO);
	bed_close(&bed);
}
END_TEST

/* ---- many readers ---- */

struct reader {
	struct replay *r;
	struct blkdev *view;
	const uint8_t *model;
	bool same;
};

static void *read_everything(void *arg)
{
	struct reader *reader = arg;
	uint8_t buf[BS];

	reader->same = true;
	for (uint64_t i = 0; i < 3000; i++) {
		uint64_t block = i % 120;
		int got = replay_get(reader->r, pblk_at(block), buf);

		if (!got)
			got = blkdev_pread(reader->view, buf, BS,
					   dev_off_at(block * BS)) +
			      1;
		if (got != 1 || memcmp(buf, reader->model + block * BS, BS))
			reader->same = false;
	}
	return NULL;
}

START_TEST(many_threads_may_read)
{
	struct bed bed = bed_new(&plain);
	uint64_t blocks, revoked;
	g_autofree uint8_t *model = NULL;
	g_autoptr(blkdev) view = NULL;
	struct reader readers[4];
	pthread_t threads[4];

	bed_scan(&bed);
	model = logbuild_model(bed.lb, &blocks, &revoked);
	view = replay_view_new(bed.r, logbuild_dev(bed.lb));
	for (int i = 0; i < 4; i++) {
		readers[i] = (struct reader){ bed.r, view, model, false };
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						read_everything, &readers[i]),
				 0);
	}
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert(readers[i].same);
	}
	bed_close(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay: apply and view");
	TCase *tc = tcase_create("replay: apply and view");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, applied_twice_is_applied_once, 0, N_FORMATS);
	tcase_add_test(tc, apply_after_any_failed_write_comes_right);
	tcase_add_test(tc, apply_and_get_report_a_failed_read_of_the_log);
	tcase_add_test(tc, apply_writes_ascending_neighbours_together);
	tcase_add_test(tc, log_is_read_in_few_requests);
	tcase_add_test(tc, apply_writes_no_more_than_a_mebibyte_at_once);
	tcase_add_test(tc, scan_and_view_write_nothing);
	tcase_add_test(tc, index_does_not_follow_the_superblock);
	tcase_add_loop_test(tc, progress_never_goes_back_and_comes_to_its_end,
			    0, N_FORMATS);
	tcase_add_test(tc, empty_log_has_no_progress);
	tcase_add_test(tc, view_reads_any_bytes);
	tcase_add_test(tc, view_is_its_lower_device_but_read_only);
	tcase_add_test(tc, view_of_a_device_cut_short);
	tcase_add_test(tc, view_reports_failed_reads_of_both_devices);
	tcase_add_test(tc, many_threads_may_read);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
