/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watcher of the write-ahead order: each rule is broken once by hand, and
 * until then all is fine.
 */
#include "orderdev_pen.h"

static void setup(void)
{
	pen_open(V3);
}

/* ---- a: home after commit ---- */

START_TEST(home_before_the_commit_block)
{
	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_flush();
	pen_fine();
	pen_home(pen.tree, 1);
	pen_caught("went home before");
}
END_TEST

START_TEST(home_before_the_flush_of_the_commit_block)
{
	pen_begin();
	pen_log_open(pen.itable, 1);
	pen_flush();
	pen_commit();
	pen_fine();
	pen_home(pen.itable, 1);
	pen_caught("went home before");
}
END_TEST

START_TEST(changed_while_its_transaction_is_open)
{
	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_fine();
	pen_home(pen.tree, 2);
	pen_caught("which logs it, is not durable");
}
END_TEST

START_TEST(zeroed_while_its_transaction_is_open)
{
	pen_begin();
	pen_home(pen.tree, 7);
	pen_log_open(pen.tree, 1);
	pen_fine();
	blkdev_zero(pen.dev, BS, dev_off_at(pen.tree * BS));
	pen_caught("which logs it, is not durable");
}
END_TEST

START_TEST(last_copy_but_one_goes_home)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_log(pen.itable, 2);
	pen_fine();
	pen_home(pen.itable, 1);
	pen_caught("filesystem's own");
}
END_TEST

/* ---- b: only by the log ---- */

START_TEST(own_block_past_the_log)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_fine();
	pen_home(pen.bitmap, 1);
	pen_caught("filesystem's own");
}
END_TEST

START_TEST(own_block_discarded)
{
	blkdev_discard(pen.dev, BS, dev_off_at(pen.itable * BS));
	pen_caught("filesystem's own");
}
END_TEST

START_TEST(counts_of_the_superblock_past_the_log)
{
	pen_begin();
	pen_fine();
	pen_super(true, false, 1);
	pen_caught("filesystem's own");
}
END_TEST

/* ---- c: the commit block last ---- */

START_TEST(commit_block_in_one_epoch_with_the_rest)
{
	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_fine();
	pen_commit();
	pen_caught("commit block");
}
END_TEST

START_TEST(revoke_block_behind_the_flush)
{
	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_flush();
	pen_build(NULL, 0, &pen.leaf, 1);
	pen_put();
	pen_fine();
	pen_commit();
	pen_caught("commit block");
}
END_TEST

START_TEST(commit_of_a_block_that_never_came)
{
	pen_begin();
	pen_build(&(struct put){ pen.itable, 1 }, 1, NULL, 0);
	pen_write(pen.journal[pen.head], pen.built->data);
	pen.head += 2;
	pen_flush();
	pen_commit();
	pen_flush();
	pen_fine();
	pen_home(pen.itable, 1);
	pen_caught("filesystem's own");
}
END_TEST

/* ---- d: an open log ---- */

START_TEST(log_without_needs_recovery)
{
	pen_home(pen.journal[1], 1);
	pen_caught("needs_recovery");
}
END_TEST

START_TEST(log_before_start_is_durable)
{
	pen_super(true, false, 0);
	pen_flush();
	pen.head = 1;
	pen_jsb(1, ++pen.seq);
	pen_fine();
	pen_log_open(pen.tree, 1);
	pen_caught("start and sequence");
}
END_TEST

START_TEST(live_log_block_written_over)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_fine();
	pen.head = 1;
	pen_log_open(pen.tree, 2);
	pen_caught("written over");
}
END_TEST

START_TEST(new_lap_before_its_tail_is_durable)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	pen_flush();
	pen.head = 1;
	pen_jsb(1, pen.seq);
	pen_fine();
	pen_log_open(pen.tree, 2);
	pen_caught("start and sequence");
}
END_TEST

START_TEST(sequence_left_out)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_fine();
	pen.seq++;
	pen_log_open(pen.tree, 2);
	pen_caught("bears sequence");
}
END_TEST

START_TEST(sequence_used_again_in_the_next_lap)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_log(pen.itable, 2);
	pen_home(pen.itable, 2);
	pen_flush();
	pen_fine();
	pen.seq--;
	pen_lap();
	pen_caught("used already");
}
END_TEST

START_TEST(sequence_used_again_in_the_next_session)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	pen_flush();
	pen_end();
	pen_fine();
	pen.seq -= 2;
	pen_begin();
	pen_caught("used already");
}
END_TEST

START_TEST(sequence_left_out_by_the_next_lap)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	pen_flush();
	pen_fine();
	pen.seq++;
	pen_lap();
	pen_caught("instead of");
}
END_TEST

START_TEST(sequence_falls_between_sessions)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	pen_flush();
	pen.seq += 5;
	pen_end();
	pen_fine();
	pen_jsb(0, pen.seq - 2); /* in no log block */
	pen_caught("fell");
}
END_TEST

START_TEST(log_block_discarded)
{
	pen_begin();
	pen_fine();
	blkdev_discard(pen.dev, BS, dev_off_at((uint64_t)pen.journal[9] * BS));
	pen_caught("of the journal was discarded");
}
END_TEST

START_TEST(journal_block_outside_the_log)
{
	struct jbd_super *s = (void *)pen_at(pen.journal[0]);

	s->maxlen = be32_of(1000);
	pen_sum_jsb(s);
	orderdev_look(pen.dev);
	pen_begin();
	pen_write(pen.journal[999], pen_at(0));
	pen_fine();
	pen_write(pen.journal[1000], pen_at(0));
	pen_caught("not in its log");
}
END_TEST

START_TEST(map_of_the_journal_written)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext3 -b 1024" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(GArray) tree = hostimg_tree_blocks(img, "<8>");
	uint64_t block = g_array_index(tree, struct extent, 0).phys.v;
	struct blkdev *file = hostimg_dev(img, false);

	blkdev_unref(pen.dev);
	pen.dev = orderdev_new(file);
	orderdev_set_fatal(pen.dev, false);
	pen_fine();
	blkdev_zero(pen.dev, BS, dev_off_at(block * BS));
	pen_caught("journal's map");
	blkdev_unref(file);
	hostimg_free(img);
}
END_TEST

START_TEST(start_outside_the_log)
{
	pen_super(true, false, 0);
	pen_flush();
	pen_fine();
	pen_jsb(4000, pen.seq + 1);
	pen_caught("outside its log");
}
END_TEST

START_TEST(place_of_the_log_changes)
{
	uint8_t buf[BS];

	memcpy(buf, pen_at(pen.journal[0]), BS);
	put32(buf + 20, 7); /* s_first */
	pen_sum_jsb((void *)buf);
	pen_write(pen.journal[0], buf);
	pen_caught("never changes");
}
END_TEST

/* ---- e: the tail ---- */

START_TEST(tail_moves_with_a_block_not_home)
{
	struct put puts[] = { { pen.itable, 1 }, { pen.tree, 2 } };

	pen_begin();
	pen_tx(puts, 2, NULL, 0);
	pen_home(pen.itable, 1);
	pen_flush();
	pen_fine();
	pen_lap();
	pen_caught("is not home");
}
END_TEST

START_TEST(tail_moves_with_a_block_home_unflushed)
{
	pen_begin();
	pen_log(pen.itable, 1);
	pen_home(pen.itable, 1);
	pen_fine();
	pen_jsb(0, pen.seq);
	pen_caught("without a flush");
}
END_TEST

START_TEST(tail_moves_past_an_unflushed_commit)
{
	pen_begin();
	pen_log_open(pen.itable, 1);
	pen_flush();
	pen_commit();
	pen_fine();
	pen_jsb(0, pen.seq);
	pen_caught("commit block");
}
END_TEST

START_TEST(needs_recovery_goes_before_the_log_is_empty)
{
	pen_begin();
	pen_jsb(0, pen.seq);
	pen_fine();
	pen_super(false, false, 0);
	pen_caught("needs_recovery was cleared");
}
END_TEST

START_TEST(start_before_needs_recovery)
{
	pen_super(true, false, 0);
	pen_fine();
	pen_jsb(1, pen.seq + 1);
	pen_caught("needs_recovery");
}
END_TEST

START_TEST(logged_superblock_without_needs_recovery)
{
	pen_begin();
	pen_fine();
	pen_log_open(1, 1); /* bytes of 8: that bit is not set */
	pen_caught("logs a superblock");
}
END_TEST

/* ---- f: revoked ---- */

START_TEST(reused_without_a_revoke)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_home(pen.tree, 1);
	pen_flush();
	pen_fine();
	pen_home(pen.tree, 33);
	pen_caught("was reused");
}
END_TEST

START_TEST(reused_before_the_revoke_is_durable)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_build(NULL, 0, &pen.tree, 1);
	pen_put();
	pen_flush();
	pen_commit();
	pen_fine();
	pen_home(pen.tree, 33);
	pen_caught("was reused");
}
END_TEST

START_TEST(discarded_without_a_revoke)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_fine();
	blkdev_discard(pen.dev, BS, dev_off_at(pen.tree * BS));
	pen_caught("was discarded");
}
END_TEST

START_TEST(revoke_is_older_than_the_last_copy)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_revoke(pen.tree);
	pen_home(pen.tree, 33);
	pen_log(pen.tree, 2);
	pen_fine();
	pen_home(pen.tree, 34);
	pen_caught("was reused");
}
END_TEST

START_TEST(revoked_copy_goes_home_over_data)
{
	pen_begin();
	pen_log(pen.tree, 1);
	pen_revoke(pen.tree);
	pen_home(pen.tree, 33);
	pen_fine();
	pen_home(pen.tree, 1);
	pen_caught("which is revoked");
}
END_TEST

/* ---- g ---- */

START_TEST(own_block_revoked)
{
	pen_begin();
	pen_fine();
	pen_build(NULL, 0, &pen.itable, 1);
	pen_put();
	pen_caught("never freed");
}
END_TEST

START_TEST(logs_a_block_of_the_journal)
{
	pen_begin();
	pen_fine();
	pen_log_open(pen.journal[5], 1);
	pen_caught("of the journal itself");
}
END_TEST

START_TEST(logs_a_block_beyond_the_end)
{
	pen_begin();
	pen_fine();
	pen_log_open(8192, 1);
	pen_caught("does not have");
}
END_TEST

START_TEST(logs_one_block_twice)
{
	struct put puts[] = { { pen.tree, 1 }, { pen.tree, 2 } };

	pen_begin();
	pen_fine();
	pen_build(puts, 2, NULL, 0);
	pen_put();
	pen_caught("twice");
}
END_TEST

/* The data block comes with a later write than the revoke before it. */
START_TEST(revokes_and_logs_one_block)
{
	pen_begin();
	pen_fine();
	pen_build(NULL, 0, &pen.tree, 1);
	pen_put();
	pen_log_open(pen.tree, 1);
	pen_caught("logs and revokes");
}
END_TEST

START_TEST(logs_and_revokes_one_block)
{
	pen_begin();
	pen_fine();
	pen_build(&(struct put){ pen.tree, 1 }, 1, &pen.tree, 1);
	pen_put();
	pen_caught("logs and revokes");
}
END_TEST

static void add_order(Suite *suite)
{
	TCase *tc = tcase_create("order");

	tcase_add_checked_fixture(tc, setup, pen_close);
	tcase_add_test(tc, home_before_the_commit_block);
	tcase_add_test(tc, home_before_the_flush_of_the_commit_block);
	tcase_add_test(tc, changed_while_its_transaction_is_open);
	tcase_add_test(tc, zeroed_while_its_transaction_is_open);
	tcase_add_test(tc, last_copy_but_one_goes_home);
	tcase_add_test(tc, own_block_past_the_log);
	tcase_add_test(tc, own_block_discarded);
	tcase_add_test(tc, counts_of_the_superblock_past_the_log);
	tcase_add_test(tc, commit_block_in_one_epoch_with_the_rest);
	tcase_add_test(tc, revoke_block_behind_the_flush);
	tcase_add_test(tc, commit_of_a_block_that_never_came);
	tcase_add_test(tc, log_without_needs_recovery);
	tcase_add_test(tc, log_before_start_is_durable);
	tcase_add_test(tc, live_log_block_written_over);
	tcase_add_test(tc, new_lap_before_its_tail_is_durable);
	tcase_add_test(tc, sequence_left_out);
	tcase_add_test(tc, sequence_used_again_in_the_next_lap);
	tcase_add_test(tc, sequence_used_again_in_the_next_session);
	tcase_add_test(tc, sequence_left_out_by_the_next_lap);
	tcase_add_test(tc, sequence_falls_between_sessions);
	tcase_add_test(tc, log_block_discarded);
	tcase_add_test(tc, journal_block_outside_the_log);
	tcase_add_test(tc, map_of_the_journal_written);
	tcase_add_test(tc, start_outside_the_log);
	tcase_add_test(tc, place_of_the_log_changes);
	tcase_add_test(tc, tail_moves_with_a_block_not_home);
	tcase_add_test(tc, tail_moves_with_a_block_home_unflushed);
	tcase_add_test(tc, tail_moves_past_an_unflushed_commit);
	tcase_add_test(tc, needs_recovery_goes_before_the_log_is_empty);
	tcase_add_test(tc, start_before_needs_recovery);
	tcase_add_test(tc, logged_superblock_without_needs_recovery);
	tcase_add_test(tc, reused_without_a_revoke);
	tcase_add_test(tc, reused_before_the_revoke_is_durable);
	tcase_add_test(tc, discarded_without_a_revoke);
	tcase_add_test(tc, revoke_is_older_than_the_last_copy);
	tcase_add_test(tc, revoked_copy_goes_home_over_data);
	tcase_add_test(tc, own_block_revoked);
	tcase_add_test(tc, logs_a_block_of_the_journal);
	tcase_add_test(tc, logs_a_block_beyond_the_end);
	tcase_add_test(tc, logs_one_block_twice);
	tcase_add_test(tc, revokes_and_logs_one_block);
	tcase_add_test(tc, logs_and_revokes_one_block);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("write-ahead order");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_order(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
