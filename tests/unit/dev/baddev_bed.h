/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter for damaged media over a device in memory, some sectors of which
 * can be spoiled: what it is given, and what it must say.
 */
#ifndef TESTS_UNIT_DEV_BADDEV_BED_H
#define TESTS_UNIT_DEV_BADDEV_BED_H

#include <rawmap/base/bytes.h>
#include <rawmap/dev/baddev.h>

#include "support/faultdev.h"
#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR	512
#define SECTORS 256
#define SIZE	(SECTOR * SECTORS + 100) /* the last sector is a short one */

/* dev -> fault -> mem */
static struct blkdev *mem, *fault, *dev;
static struct badranges *known;
static uint8_t content[SIZE]; /* no byte of it is zero */
static unsigned said;
static struct badrange last_said;

static inline void setup(void)
{
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 7 % 255 + 1);
	known = badranges_new(BADRANGES_MAX);
	said = 0;
}

static inline void drop(void)
{
	blkdev_unref(dev);
	blkdev_unref(fault);
	blkdev_unref(mem);
	dev = fault = mem = NULL;
}

static inline void teardown(void)
{
	drop();
	badranges_free(known);
}

static inline void hear(void *arg, const struct badrange *range)
{
	ck_assert_ptr_eq(arg, &said);
	said++;
	last_said = *range;
}

static inline void start(bool readonly, bool zeros)
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

static inline void know(uint64_t pos, uint64_t len)
{
	badranges_add(known, dev_off_at(pos), len);
}

static inline void spoil(uint64_t sector, uint64_t n)
{
	faultdev_spoil(fault, dev_off_at(sector * SECTOR), n * SECTOR, EIO);
}

static inline uint64_t lower_reads(void)
{
	struct blkdev_counters c;

	blkdev_counters(fault, &c);
	return c.reads;
}

static inline uint64_t lower_errors(void)
{
	struct blkdev_counters c;

	blkdev_counters(fault, &c);
	return c.errors;
}

static inline int read_at(uint64_t pos, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);

	return blkdev_pread(dev, buf, len, dev_off_at(pos));
}

static inline int write_at(uint64_t pos, uint64_t len)
{
	return blkdev_pwrite(dev, content + pos, len, dev_off_at(pos));
}

/* The content, with zeros where @bad says. */
static inline void ck_bytes(uint64_t pos, uint64_t len,
			    const struct badranges *bad)
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

static inline void ck_content(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) none = badranges_new(2);

	ck_bytes(pos, len, none);
}

static inline void ck_zeros(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) all = badranges_new(2);

	badranges_add(all, dev_off_at(pos), len);
	ck_bytes(pos, len, all);
}

static inline void ck_report_is(const struct badranges *want)
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
static inline void ck_reported(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) want = badranges_new(2);

	badranges_add(want, dev_off_at(pos), len);
	ck_report_is(want);
}

static inline void ck_sectors_reported(uint64_t sector, uint64_t n)
{
	ck_reported(sector * SECTOR, n * SECTOR);
}

/* Runs @tc, which has all tests of the program but its fixture. */
static inline int bed_main(const char *name, TCase *tc)
{
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
