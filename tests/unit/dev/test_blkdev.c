/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The choke point: what it refuses, what it passes, what it counts. */
#include <rawmap/dev/blkdev.h>

#include "support/faultdev.h"
#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define SIZE 4096

/* A device that only counts what reaches it. */
struct probe {
	struct blkdev dev;
	unsigned calls, zero_writes;
	bool *closed;
};

static int probe_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	(void)pos;
	((struct probe *)dev)->calls++;
	memset(buf, 7, len);
	return 0;
}

static int probe_pwrite(struct blkdev *dev, const void *buf, size_t len,
			dev_off pos)
{
	(void)pos;
	(void)len;
	((struct probe *)dev)->calls++;
	((struct probe *)dev)->zero_writes += !*(const char *)buf;
	return 0;
}

static int probe_flush(struct blkdev *dev)
{
	((struct probe *)dev)->calls++;
	return 0;
}

static void probe_close(struct blkdev *dev)
{
	if (((struct probe *)dev)->closed)
		*((struct probe *)dev)->closed = true;
	g_free(dev);
}

static const struct blkdev_ops probe_ops = {
	.name = "probe",
	.pread = probe_pread,
	.pwrite = probe_pwrite,
	.flush = probe_flush,
	.close = probe_close,
};

static struct probe *probe_new(uint64_t size, bool readonly)
{
	struct probe *p = g_new0(struct probe, 1);
	struct blkdev_geometry geo = {
		.size = size,
		.sector = 512,
		.align = 1,
		.readonly = readonly,
	};

	blkdev_init(&p->dev, &probe_ops, &geo);
	return p;
}

/* Every ranged request at once: all must answer the same. */
static void ck_all(struct blkdev *dev, size_t len, uint64_t pos, int expected)
{
	static char buf[SIZE * 2];
	dev_off at = dev_off_at(pos);

	ck_assert_int_eq(blkdev_pread(dev, buf, len, at), expected);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, len, at), expected);
	ck_assert_int_eq(blkdev_discard(dev, len, at), expected);
	ck_assert_int_eq(blkdev_zero(dev, len, at), expected);
}

START_TEST(range_past_the_end_is_einval)
{
	struct probe *p = probe_new(SIZE, false);

	ck_all(&p->dev, 1, SIZE, -EINVAL);
	ck_all(&p->dev, 2, SIZE - 1, -EINVAL);
	ck_all(&p->dev, SIZE + 1, 0, -EINVAL);
	ck_assert_uint_eq(p->calls, 0);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(range_that_overflows_is_einval)
{
	struct probe *p = probe_new(SIZE, false);

	ck_all(&p->dev, 2, UINT64_MAX, -EINVAL);
	ck_all(&p->dev, SIZE, UINT64_MAX - SIZE + 1, -EINVAL);
	ck_assert_int_eq(blkdev_zero(&p->dev, UINT64_MAX, dev_off_at(1)),
			 -EINVAL);
	ck_assert_uint_eq(p->calls, 0);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(range_up_to_the_end_passes)
{
	g_autoptr(blkdev) dev = memdev_new(SIZE, 512);

	ck_all(dev, SIZE, 0, 0);
	ck_all(dev, 1, SIZE - 1, 0);
}
END_TEST

START_TEST(request_of_no_bytes_does_nothing_anywhere)
{
	struct probe *p = probe_new(SIZE, true);

	ck_all(&p->dev, 0, 0, 0);
	ck_all(&p->dev, 0, SIZE, 0);
	ck_all(&p->dev, 0, UINT64_MAX, 0);
	ck_assert_uint_eq(p->calls, 0);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(readonly_refuses_all_changes)
{
	struct probe *p = probe_new(SIZE, true);
	char buf[8];

	ck_assert_int_eq(blkdev_pwrite(&p->dev, buf, 8, dev_off_at(0)), -EROFS);
	ck_assert_int_eq(blkdev_zero(&p->dev, 8, dev_off_at(0)), -EROFS);
	ck_assert_int_eq(blkdev_discard(&p->dev, 8, dev_off_at(0)), -EROFS);
	ck_assert_int_eq(blkdev_pwrite(&p->dev, buf, 8, dev_off_at(SIZE)),
			 -EROFS);
	ck_assert_int_eq(blkdev_flush(&p->dev), 0);
	ck_assert_uint_eq(p->calls, 0);
	ck_assert_int_eq(blkdev_pread(&p->dev, buf, 8, dev_off_at(0)), 0);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(discard_without_op_is_eopnotsupp)
{
	struct probe *p = probe_new(SIZE, false);
	struct blkdev_counters c;

	ck_assert_int_eq(blkdev_discard(&p->dev, 8, dev_off_at(0)),
			 -EOPNOTSUPP);
	blkdev_counters(&p->dev, &c);
	ck_assert_uint_eq(c.errors, 0);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(zero_without_op_writes_zeros_in_bounded_pieces)
{
	struct probe *p = probe_new(UINT64_C(1) << 40, false);

	ck_assert_int_eq(blkdev_zero(&p->dev, (5 << 20) + 1, dev_off_at(3)), 0);
	ck_assert_uint_eq(p->calls, 6);
	ck_assert_uint_eq(p->zero_writes, 6);
	blkdev_unref(&p->dev);
}
END_TEST

START_TEST(zeros_can_be_written_where_there_is_another_way)
{
	g_autoptr(blkdev) dev = memdev_new(SIZE, 512);
	struct blkdev_counters c;

	memset(memdev_bytes(dev), 7, SIZE);
	ck_assert_int_eq(blkdev_write_zeros(dev, 1000, dev_off_at(3)), 0);
	ck_assert_int_eq(memdev_bytes(dev)[2], 7);
	ck_assert_int_eq(memdev_bytes(dev)[3], 0);
	ck_assert_int_eq(memdev_bytes(dev)[1002], 0);
	ck_assert_int_eq(memdev_bytes(dev)[1003], 7);
	ck_assert_int_eq(blkdev_write_zeros(dev, 1, dev_off_at(SIZE)), -EINVAL);
	ck_assert_int_eq(blkdev_write_zeros(dev, 0, dev_off_at(SIZE)), 0);
	blkdev_counters(dev, &c);
	ck_assert_uint_eq(c.zeros, 0);
	ck_assert_uint_eq(c.write_bytes, 1000);
}
END_TEST

START_TEST(counters_count_requests_bytes_and_errors)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = faultdev_new(mem);
	struct blkdev_counters c;
	char buf[100] = { 0 };

	ck_all(dev, 100, 0, 0);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	faultdev_arm(dev, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_pread(dev, buf, 50, dev_off_at(0)), -EIO);
	ck_assert_int_eq(blkdev_pread(dev, buf, 50, dev_off_at(SIZE)), -EINVAL);
	blkdev_counters(dev, &c);
	ck_assert_uint_eq(c.reads, 2);
	ck_assert_uint_eq(c.read_bytes, 150);
	ck_assert_uint_eq(c.writes, 1);
	ck_assert_uint_eq(c.write_bytes, 100);
	ck_assert_uint_eq(c.flushes, 1);
	ck_assert_uint_eq(c.discards, 1);
	ck_assert_uint_eq(c.zeros, 1);
	ck_assert_uint_eq(c.errors, 1);
}
END_TEST

START_TEST(last_unref_closes)
{
	bool closed = false;
	struct probe *p = probe_new(SIZE, false);

	p->closed = &closed;
	blkdev_unref(NULL);
	ck_assert_ptr_eq(blkdev_ref(&p->dev), &p->dev);
	blkdev_unref(&p->dev);
	ck_assert(!closed);
	blkdev_unref(&p->dev);
	ck_assert(closed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("blkdev");
	TCase *tc = tcase_create("choke point");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, range_past_the_end_is_einval);
	tcase_add_test(tc, range_that_overflows_is_einval);
	tcase_add_test(tc, range_up_to_the_end_passes);
	tcase_add_test(tc, request_of_no_bytes_does_nothing_anywhere);
	tcase_add_test(tc, readonly_refuses_all_changes);
	tcase_add_test(tc, discard_without_op_is_eopnotsupp);
	tcase_add_test(tc, zero_without_op_writes_zeros_in_bounded_pieces);
	tcase_add_test(tc, zeros_can_be_written_where_there_is_another_way);
	tcase_add_test(tc, counters_count_requests_bytes_and_errors);
	tcase_add_test(tc, last_unref_closes);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
