/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watcher of the write-ahead order: what is sound passes. */
/* RAWMAP_TEST_CONCURRENT */
#include "orderdev_pen.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint32_t formats[] = {
	REVOKE,
	REVOKE | JBD_INCOMPAT_64BIT,
	REVOKE | JBD_INCOMPAT_CSUM_V2,
	REVOKE | JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_64BIT,
	REVOKE | JBD_INCOMPAT_CSUM_V3,
	V3,
};

static void setup(void)
{
	pen_open(V3);
}

static struct orderdev_stats stats(void)
{
	struct orderdev_stats s;

	orderdev_stats(pen.dev, &s);
	return s;
}

/* ---- what is sound ---- */

START_TEST(sound_sessions_pass_in_each_format)
{
	struct put both[2];

	pen_open(formats[_i]);
	both[0] = (struct put){ pen.itable, 1 };
	both[1] = (struct put){ pen.tree, MAGIC };
	pen_begin();
	pen_tx(both, 2, NULL, 0);
	pen_home(pen.itable, 1);
	pen_home(pen.tree, MAGIC);
	both[0].version = 2;
	pen_tx(both, 1, &pen.tree, 1);
	pen_home(pen.tree, 33); /* data now */
	ck_assert_int_eq(blkdev_discard(pen.dev, BS, dev_off_at(pen.tree * BS)),
			 0);
	pen_home(pen.itable, 2);
	pen_flush();
	pen_lap();
	both[1].version = 5;
	pen_tx(both, 2, NULL, 0);
	pen_home(pen.tree, 5);
	pen_flush();
	pen_end();
	pen_begin();
	pen_log(pen.itable, 7);
	pen_home(pen.itable, 7);
	pen_flush();
	pen_end();
	pen_fine();
	ck_assert_uint_eq(stats().transactions, 4);
	ck_assert_uint_eq(stats().copies, 6);
	ck_assert_uint_eq(stats().revokes, 1);
	ck_assert_uint_eq(stats().home_writes, 7);
	ck_assert_uint_eq(stats().tails, 5);
	pen_close();
}
END_TEST

START_TEST(log_blocks_in_any_order_pass)
{
	struct put puts[] = { { pen.itable, 1 }, { pen.tree, 2 } };

	pen_begin();
	pen_build(puts, 2, NULL, 0);
	for (uint32_t i = 3; i--;)
		pen_write(pen.journal[pen.head + i], pen.built->data + i * BS);
	pen.head += 3;
	pen_flush();
	pen_commit();
	pen_flush();
	pen_home(pen.itable, 1);
	pen_fine();
	ck_assert_uint_eq(stats().copies, 2);
}
END_TEST

START_TEST(state_of_the_superblock_passes)
{
	pen_super(false, true, 0);
	pen_begin();
	pen_super(true, true, 0);
	pen_fine();
}
END_TEST

START_TEST(counts_of_the_superblock_pass_while_the_log_is_empty)
{
	pen_super(false, false, 1);
	pen_fine();
}
END_TEST

START_TEST(logged_superblock_goes_home_and_keeps_its_state)
{
	uint8_t *data;

	pen_super(true, false, 0);
	pen_flush();
	pen.seq++;
	pen_lap();
	pen_build(&(struct put){ 1, 1 }, 1, NULL, 0);
	data = pen.built->data + BS;
	memcpy(data, pen_at(1), BS);
	put32(data + 12, 4711); /* free blocks */
	pen_tag(pen.built->data + 12, &(struct put){ 1, 1 }, JBD_FLAG_LAST_TAG,
		data);
	put32(pen.built->data + BS - 4, 0);
	pen_tail(pen.built->data);
	pen_put();
	pen_flush();
	pen_commit();
	pen_super(true, true, 0); /* the old one, with an error */
	pen_flush();
	pen_fine();
	pen_write(1, data);
	pen_super(true, true, 0);
	pen_flush();
	pen_end();
	pen_fine();
}
END_TEST

START_TEST(tail_moves_to_a_later_transaction)
{
	uint32_t second;

	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	second = pen.head;
	pen_log(pen.tree, 1);
	pen_jsb(second, pen.seq - 1);
	pen_flush();
	pen_log(pen.itable, 2);
	pen_fine();
	/* The first one is gone: its blocks may be written, not the second's. */
	pen_write(pen.journal[1], pen.built->data);
	pen_fine();
	pen_write(pen.journal[second], pen.built->data);
	pen_caught("written over");
}
END_TEST

START_TEST(half_a_log_block_counts_for_nothing)
{
	dev_off pos;

	pen_begin();
	pen_build(&(struct put){ pen.itable, 1 }, 1, NULL, 0);
	pos = dev_off_at((uint64_t)pen.journal[pen.head] * BS);
	ck_assert_int_eq(blkdev_pwrite(pen.dev, pen.built->data, BS / 2, pos),
			 0);
	pen_fine();
	pen_put();
	pen_flush();
	pen_commit();
	pen_flush();
	pen_home(pen.itable, 1);
	pen_fine();
	ck_assert_uint_eq(stats().transactions, 1);
}
END_TEST

START_TEST(half_a_home_write_is_judged_by_its_half)
{
	uint8_t buf[BS];

	pen_begin();
	pen_log(pen.itable, 1);
	pen_content(&(struct put){ pen.itable, 1 }, buf);
	ck_assert_int_eq(blkdev_pwrite(pen.dev, buf, BS / 2,
				       dev_off_at(pen.itable * BS)),
			 0);
	pen_fine();
	ck_assert_int_eq(
		blkdev_pwrite(pen.dev, buf, 1, dev_off_at(pen.bitmap * BS)), 0);
	pen_caught("filesystem's own");
}
END_TEST

/* Another watcher finds what a crash left, and sees the recovery. */
START_TEST(log_in_use_is_read_by_a_look)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_log(pen.tree, MAGIC);
	pen_revoke(pen.tree);
	pen_log_open(pen.bitmap, 1);
	orderdev_look(pen.dev);
	ck_assert_uint_eq(stats().transactions, 6);
	pen_home(pen.itable, 1);
	pen_home(pen.tree, 3); /* revoked */
	pen_flush();
	pen.seq++;
	pen_end();
	pen_fine();
}
END_TEST

START_TEST(uncommitted_sequence_is_not_used_again_after_a_look)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_revoke(pen.tree);
	pen_log_open(pen.bitmap, 1);
	orderdev_look(pen.dev);
	pen_fine();
	pen_jsb(0, pen.seq);
	pen_caught("used already");
}
END_TEST

START_TEST(recovery_that_forgets_a_block_is_caught)
{
	pen_begin();
	pen_log(pen.itable, 1);
	orderdev_look(pen.dev);
	pen_fine();
	pen_jsb(0, pen.seq);
	pen_caught("not home");
}
END_TEST

START_TEST(host_without_a_journal_passes_through)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext2 -b 1024" };
	struct hostimg *img = hostimg_make(&spec);
	struct orderdev_stats s;
	struct blkdev *file = hostimg_dev(img, false);
	struct blkdev *dev = orderdev_new(file);
	char buf[4096] = { 1 };

	ck_assert_int_eq(blkdev_pwrite(dev, buf, 4096, dev_off_at(2048)), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1, dev_off_at(2048)), 0);
	ck_assert_int_eq(buf[0], 1);
	ck_assert_int_eq(blkdev_flush(dev), 0);
	orderdev_stats(dev, &s);
	ck_assert(!s.journal);
	ck_assert_uint_eq(s.flushes, 1);
	ck_assert_ptr_null(orderdev_complaint(dev));
	blkdev_unref(dev);
	blkdev_unref(file);
	hostimg_free(img);
}
END_TEST

static void *write_data(void *unused)
{
	char buf[512];

	(void)unused;
	memset(buf, 1, sizeof(buf));
	for (unsigned i = 0; i < 200; i++) {
		dev_off pos = dev_off_at((7100 + i % 50) * BS + 512);

		if (blkdev_pwrite(pen.dev, buf, 512, pos) ||
		    (i % 16 == 0 && blkdev_flush(pen.dev)))
			return pen.dev;
	}
	return NULL;
}

START_TEST(data_flows_beside_commits)
{
	pthread_t thread;
	void *failed;

	pen_begin();
	ck_assert_int_eq(pthread_create(&thread, NULL, write_data, NULL), 0);
	for (int i = 1; i < 40; i++) {
		pen_log(pen.itable, i);
		pen_home(pen.itable, i);
	}
	ck_assert_int_eq(pthread_join(thread, &failed), 0);
	ck_assert_ptr_null(failed);
	pen_fine();
	ck_assert_uint_eq(stats().transactions, 39);
}
END_TEST

START_TEST(violation_ends_the_process)
{
	struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		fclose(stderr);
		orderdev_set_fatal(pen.dev, true);
		pen_home(pen.itable, 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}
END_TEST

static void add_sound(Suite *suite)
{
	TCase *formats_case = tcase_create("formats");
	TCase *tc = tcase_create("sound");

	tcase_add_loop_test(formats_case, sound_sessions_pass_in_each_format, 0,
			    G_N_ELEMENTS(formats));
	tcase_add_test(formats_case, host_without_a_journal_passes_through);
	suite_add_tcase(suite, formats_case);
	tcase_add_checked_fixture(tc, setup, pen_close);
	tcase_add_test(tc, log_blocks_in_any_order_pass);
	tcase_add_test(tc, state_of_the_superblock_passes);
	tcase_add_test(tc,
		       counts_of_the_superblock_pass_while_the_log_is_empty);
	tcase_add_test(tc, logged_superblock_goes_home_and_keeps_its_state);
	tcase_add_test(tc, tail_moves_to_a_later_transaction);
	tcase_add_test(tc, half_a_log_block_counts_for_nothing);
	tcase_add_test(tc, half_a_home_write_is_judged_by_its_half);
	tcase_add_test(tc, log_in_use_is_read_by_a_look);
	tcase_add_test(tc, uncommitted_sequence_is_not_used_again_after_a_look);
	tcase_add_test(tc, recovery_that_forgets_a_block_is_caught);
	tcase_add_test(tc, data_flows_beside_commits);
	tcase_add_test(tc, violation_ends_the_process);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("write-ahead order");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_sound(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
