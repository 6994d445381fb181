/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The raw way to a file device: what may go it, whom it keeps out, what it
 * counts. RAWMAP_TEST_CONCURRENT
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/filedev.h>

#include "support/memdev.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (64u << 10)

static char path[] = "filedev-raw-XXXXXX";
static _Alignas(4096) uint8_t memory[2 * 4096];

static void setup(void)
{
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static struct blkdev *open_it(enum filedev_direct direct, bool readonly)
{
	struct filedev_options opt = { .readonly = readonly, .direct = direct };
	g_autoptr(GError) error = NULL;
	struct blkdev *dev = filedev_open(path, &opt, &error);

	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	return dev;
}

/* NULL, and said so, where the working directory has no direct I/O. */
static struct blkdev *open_direct(void)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, false);

	if (filedev_is_direct(dev))
		return dev;
	printf("skipped: no direct I/O here\n");
	blkdev_unref(dev);
	return NULL;
}

static bool fits(struct blkdev *dev, const void *buf, uint64_t len, dev_off pos)
{
	struct blkdev_raw at;

	return blkdev_raw(dev, BLKDEV_READ, buf, len, pos, &at);
}

START_TEST(a_device_in_memory_has_no_raw_way)
{
	struct blkdev *mem = memdev_new(SIZE, 512);
	struct blkdev_raw at;

	ck_assert(!fits(mem, memory, 4096, dev_off_at(0)));
	ck_assert(!blkdev_raw(mem, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at));
	blkdev_unref(mem);
}
END_TEST

START_TEST(a_file_device_is_its_own_end)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, false);
	struct blkdev_raw at = { .fd = -1 };

	ck_assert(blkdev_raw(dev, BLKDEV_WRITE, memory, 4096, dev_off_at(8192),
			     &at));
	ck_assert_ptr_eq(at.dev, dev);
	ck_assert_int_ge(at.fd, 0);
	ck_assert_uint_eq(at.pos.v, 8192);
	ck_assert(blkdev_raw(dev, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at));
	ck_assert_ptr_eq(at.dev, dev);
	blkdev_unref(dev);
}
END_TEST

START_TEST(a_readonly_device_is_only_read_so)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, true);
	struct blkdev_raw at;

	ck_assert(fits(dev, memory, 4096, dev_off_at(0)));
	ck_assert(!blkdev_raw(dev, BLKDEV_WRITE, memory, 4096, dev_off_at(0),
			      &at));
	ck_assert(!blkdev_raw(dev, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at));
	blkdev_unref(dev);
}
END_TEST

START_TEST(a_direct_source_takes_aligned_ranges_and_memory)
{
	struct blkdev *dev = open_direct();
	uint32_t align;

	if (!dev)
		return;
	align = blkdev_geometry(dev)->align;
	ck_assert(fits(dev, memory, align, dev_off_at(0)));
	ck_assert(fits(dev, memory, align, dev_off_at(SIZE - align)));
	ck_assert(!fits(dev, memory, align, dev_off_at(1)));
	ck_assert(!fits(dev, memory, align - 1, dev_off_at(0)));
	ck_assert(!fits(dev, memory + 1, align, dev_off_at(0)));
	blkdev_unref(dev);
}
END_TEST

START_TEST(a_buffered_source_takes_any_alignment)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_OFF, false);

	ck_assert(fits(dev, memory + 1, 777, dev_off_at(5)));
	blkdev_unref(dev);
}
END_TEST

/* @_i: the mode. */
START_TEST(nothing_and_what_lies_outside_does_not_fit)
{
	struct blkdev *dev = open_it((enum filedev_direct)_i, false);

	ck_assert(!fits(dev, memory, 0, dev_off_at(0)));
	ck_assert(!fits(dev, memory, 4096, dev_off_at(SIZE)));
	ck_assert(!fits(dev, memory, 8192, dev_off_at(SIZE - 4096)));
	ck_assert(!fits(dev, memory, 4096, dev_off_at(UINT64_MAX - 4095)));
	blkdev_unref(dev);
}
END_TEST

START_TEST(the_odd_end_of_a_file_does_not_fit)
{
	struct blkdev *dev;

	ck_assert_int_eq(truncate(path, SIZE + 100), 0);
	dev = open_direct();
	if (!dev)
		return;
	ck_assert(fits(dev, memory, 4096, dev_off_at(SIZE - 4096)));
	ck_assert(!fits(dev, memory, 100, dev_off_at(SIZE)));
	ck_assert(!fits(dev, memory, 8192, dev_off_at(SIZE - 4096)));
	blkdev_unref(dev);
}
END_TEST

START_TEST(a_readonly_device_is_never_held)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, true);

	ck_assert(!filedev_raw_hold(dev));
	blkdev_unref(dev);
}
END_TEST

START_TEST(several_writes_hold_it_at_a_time)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, false);

	ck_assert(filedev_raw_hold(dev));
	ck_assert(filedev_raw_hold(dev));
	ck_assert_int_eq(blkdev_pwrite(dev, memory, 4096, dev_off_at(0)), 0);
	filedev_raw_release(dev);
	filedev_raw_release(dev);
	blkdev_unref(dev);
}
END_TEST

struct partial {
	struct blkdev *dev;
	gint done; /* atomic */
};

static void *write_one_byte(void *arg)
{
	struct partial *p = arg;

	ck_assert_int_eq(blkdev_pwrite(p->dev, "x", 1, dev_off_at(10)), 0);
	g_atomic_int_set(&p->done, 1);
	return NULL;
}

/*
 * It reads a sector that is being written: it has to wait, and while it does
 * nobody else may begin.
 */
START_TEST(part_of_a_sector_waits_for_whole_ones)
{
	struct partial p = { .dev = open_direct() };
	pthread_t thread;
	char byte = 0;

	if (!p.dev)
		return;
	ck_assert(filedev_raw_hold(p.dev));
	ck_assert_int_eq(pthread_create(&thread, NULL, write_one_byte, &p), 0);
	while (filedev_raw_hold(p.dev)) {
		filedev_raw_release(p.dev);
		ck_assert(!g_atomic_int_get(&p.done));
		sched_yield();
	}
	ck_assert(!g_atomic_int_get(&p.done));
	filedev_raw_release(p.dev);
	pthread_join(thread, NULL);
	ck_assert_int_eq(blkdev_pread(p.dev, &byte, 1, dev_off_at(10)), 0);
	ck_assert_int_eq(byte, 'x');
	ck_assert(filedev_raw_hold(p.dev));
	filedev_raw_release(p.dev);
	blkdev_unref(p.dev);
}
END_TEST

START_TEST(what_is_done_is_counted)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, false);
	struct blkdev_counters c;

	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_READ, 512, 0), 0);
	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_READ, 1024, 0), 0);
	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_WRITE, 4096, 0), 0);
	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_FLUSH, 0, 0), 0);
	blkdev_counters(dev, &c);
	ck_assert_uint_eq(c.reads, 2);
	ck_assert_uint_eq(c.read_bytes, 1536);
	ck_assert_uint_eq(c.writes, 1);
	ck_assert_uint_eq(c.write_bytes, 4096);
	ck_assert_uint_eq(c.flushes, 1);
	ck_assert_uint_eq(c.errors, 0);
	blkdev_unref(dev);
}
END_TEST

/* EINVAL would look like the caller's bug. */
START_TEST(an_error_is_counted_and_is_what_pwrite_would_say)
{
	struct blkdev *dev = open_it(FILEDEV_DIRECT_AUTO, false);
	struct blkdev_counters c;

	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_WRITE, 512, -ENOSPC),
			 -ENOSPC);
	ck_assert_int_eq(filedev_raw_done(dev, BLKDEV_WRITE, 512, -EINVAL),
			 -EIO);
	blkdev_counters(dev, &c);
	ck_assert_uint_eq(c.writes, 2);
	ck_assert_uint_eq(c.errors, 2);
	blkdev_unref(dev);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filedev_raw");
	TCase *tc = tcase_create("filedev_raw");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_device_in_memory_has_no_raw_way);
	tcase_add_test(tc, a_file_device_is_its_own_end);
	tcase_add_test(tc, a_readonly_device_is_only_read_so);
	tcase_add_test(tc, a_direct_source_takes_aligned_ranges_and_memory);
	tcase_add_test(tc, a_buffered_source_takes_any_alignment);
	tcase_add_loop_test(tc, nothing_and_what_lies_outside_does_not_fit,
			    FILEDEV_DIRECT_AUTO, FILEDEV_DIRECT_OFF + 1);
	tcase_add_test(tc, the_odd_end_of_a_file_does_not_fit);
	tcase_add_test(tc, a_readonly_device_is_never_held);
	tcase_add_test(tc, several_writes_hold_it_at_a_time);
	tcase_add_test(tc, part_of_a_sector_waits_for_whole_ones);
	tcase_add_test(tc, what_is_done_is_counted);
	tcase_add_test(tc, an_error_is_counted_and_is_what_pwrite_would_say);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
