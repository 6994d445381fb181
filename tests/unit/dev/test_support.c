/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test devices themselves: a crash test is worth what its recorder is. */
#include "support/faultdev.h"
#include "support/memdev.h"
#include "support/nowritedev.h"
#include "support/recdev.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 8192

static void fill(struct blkdev *dev, int byte, size_t len, uint64_t pos)
{
	char buf[SIZE];

	memset(buf, byte, len);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, len, dev_off_at(pos)), 0);
}

START_TEST(memdev_snapshot_restores)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(GBytes) before = NULL;

	fill(mem, 1, SIZE, 0);
	before = memdev_snapshot(mem);
	fill(mem, 2, 10, 5);
	ck_assert_uint_eq(memdev_bytes(mem)[5], 2);
	memdev_restore(mem, before);
	ck_assert_uint_eq(memdev_bytes(mem)[5], 1);
}
END_TEST

START_TEST(memdev_of_terabytes_is_cheap)
{
	g_autoptr(blkdev) mem = NULL;
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur != RLIM_INFINITY)
		return;
	mem = memdev_new(UINT64_C(1) << 40, 512);
	fill(mem, 1, 10, (UINT64_C(1) << 40) - 10);
}
END_TEST

START_TEST(faultdev_fails_the_nth_once)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = faultdev_new(mem);
	char c = 0;

	faultdev_arm(dev, FAULTDEV_WRITE, 2, ENOSPC, FAULTDEV_ONCE);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	fill(dev, 1, 10, 0);
	ck_assert(!faultdev_fired(dev));
	ck_assert_int_eq(blkdev_pwrite(dev, &c, 1, dev_off_at(0)), -ENOSPC);
	ck_assert(faultdev_fired(dev));
	ck_assert_uint_eq(memdev_bytes(mem)[0], 1);
	fill(dev, 2, 10, 0);
	ck_assert_uint_eq(faultdev_count(dev, FAULTDEV_WRITE), 3);
	ck_assert_uint_eq(faultdev_count(dev, FAULTDEV_ANY), 4);
}
END_TEST

START_TEST(faultdev_persistent_fails_until_disarmed)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = faultdev_new(mem);

	faultdev_arm(dev, FAULTDEV_ANY, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(blkdev_flush(dev), -EIO);
	ck_assert_int_eq(blkdev_zero(dev, 1, dev_off_at(0)), -EIO);
	ck_assert_int_eq(blkdev_discard(dev, 1, dev_off_at(0)), -EIO);
	faultdev_disarm(dev);
	ck_assert_int_eq(blkdev_flush(dev), 0);
}
END_TEST

START_TEST(faultdev_short_write_lands_by_half)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = faultdev_new(mem);
	char buf[8] = "abcdefg";

	faultdev_arm(dev, FAULTDEV_WRITE, 1, EIO, FAULTDEV_SHORT);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, 8, dev_off_at(0)), -EIO);
	ck_assert_mem_eq(memdev_bytes(mem), "abcd\0\0\0\0", 8);
}
END_TEST

START_TEST(recdev_replays_epochs_fates_and_marks)
{
	static const enum recdev_fate fates[] = {
		RECDEV_LOST,
		RECDEV_HEAD,
		RECDEV_TAIL,
		RECDEV_KEPT,
	};
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = recdev_new(mem);
	g_autofree uint8_t *bytes = g_malloc0(SIZE);

	fill(dev, 1, 1024, 0);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	recdev_mark(dev, 42);
	fill(dev, 2, 512, 0);
	fill(dev, 3, 1024, 1024);
	fill(dev, 4, 1024, 2048);
	ck_assert_int_eq(blkdev_zero(dev, 512, dev_off_at(512)), 0);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	fill(dev, 5, 100, 4096);

	ck_assert_uint_eq(recdev_epochs(dev), 3);
	ck_assert_uint_eq(recdev_changes(dev, 1), 4);
	ck_assert_int_eq(recdev_find_mark(dev, 42), 2);
	ck_assert_int_eq(recdev_find_mark(dev, 43), -1);
	recdev_replay(dev, 1, fates, bytes);
	ck_assert_uint_eq(bytes[0], 1);		 /* lost: epoch 0 stays */
	ck_assert_uint_eq(bytes[512], 0);	 /* kept zero */
	ck_assert_uint_eq(bytes[1024 + 511], 3); /* head */
	ck_assert_uint_eq(bytes[1024 + 512], 0);
	ck_assert_uint_eq(bytes[2048 + 511], 0); /* tail */
	ck_assert_uint_eq(bytes[2048 + 512], 4);
	ck_assert_uint_eq(bytes[4096], 0); /* a later epoch */
}
END_TEST

START_TEST(recdev_whole_record_is_the_device)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) dev = recdev_new(mem);
	g_autofree uint8_t *bytes = g_malloc0(SIZE);
	g_autoptr(GPtrArray) all = NULL;

	fill(dev, 1, 5000, 100);
	ck_assert_int_eq(blkdev_discard(dev, 512, dev_off_at(1024)), 0);
	ck_assert_int_eq(blkdev_zero(dev, 99, dev_off_at(2000)), 0);
	all = recdev_events(dev);
	recdev_replay_prefix(dev, all->len, bytes);
	ck_assert_mem_eq(bytes, memdev_bytes(mem), SIZE);
	recdev_clear(dev);
	ck_assert_uint_eq(recdev_changes(dev, 0), 0);
}
END_TEST

START_TEST(recdev_failed_flush_ends_no_epoch)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);
	g_autoptr(blkdev) fault = faultdev_new(mem);
	g_autoptr(blkdev) dev = recdev_new(fault);

	faultdev_arm(fault, FAULTDEV_ANY, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(blkdev_flush(dev), -EIO);
	ck_assert_int_eq(blkdev_zero(dev, 1, dev_off_at(0)), -EIO);
	ck_assert_uint_eq(recdev_epochs(dev), 1);
	ck_assert_uint_eq(recdev_changes(dev, 0), 0);
}
END_TEST

static int signal_of(int (*act)(struct blkdev *dev), struct blkdev *dev)
{
	static const struct rlimit no_core;
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		_exit(act(dev) != 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	return 0;
}

static int act_write(struct blkdev *dev)
{
	return blkdev_pwrite(dev, "x", 1, dev_off_at(0));
}

static int act_zero(struct blkdev *dev)
{
	return blkdev_zero(dev, 1, dev_off_at(0));
}

static int act_discard(struct blkdev *dev)
{
	return blkdev_discard(dev, 1, dev_off_at(0));
}

static int act_flush_and_read(struct blkdev *dev)
{
	char c;

	return blkdev_flush(dev) || blkdev_pread(dev, &c, 1, dev_off_at(0));
}

START_TEST(nowritedev_aborts_on_changes_alone)
{
	g_autoptr(blkdev) mem = memdev_new_readonly("content", 8, 512);
	g_autoptr(blkdev) dev = nowritedev_new(mem);

	ck_assert_int_eq(signal_of(act_write, dev), SIGABRT);
	ck_assert_int_eq(signal_of(act_zero, dev), SIGABRT);
	ck_assert_int_eq(signal_of(act_discard, dev), SIGABRT);
	ck_assert_int_eq(signal_of(act_flush_and_read, dev), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("test devices");
	TCase *tc = tcase_create("test devices");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, memdev_snapshot_restores);
	tcase_add_test(tc, memdev_of_terabytes_is_cheap);
	tcase_add_test(tc, faultdev_fails_the_nth_once);
	tcase_add_test(tc, faultdev_persistent_fails_until_disarmed);
	tcase_add_test(tc, faultdev_short_write_lands_by_half);
	tcase_add_test(tc, recdev_replays_epochs_fates_and_marks);
	tcase_add_test(tc, recdev_whole_record_is_the_device);
	tcase_add_test(tc, recdev_failed_flush_ends_no_epoch);
	tcase_add_test(tc, nowritedev_aborts_on_changes_alone);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
