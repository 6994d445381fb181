/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watcher of the write-ahead order: a log that is not what the journal's
 * features say is caught.
 */
#include "orderdev_pen.h"

static void setup(void)
{
	pen_open(V3);
}

static void setup_plain(void)
{
	pen_open(0);
}

/* ---- h: checksums, escapes ---- */

static void bend_and_put(size_t at)
{
	pen_begin();
	pen_fine();
	pen_build(&(struct put){ pen.tree, 1 }, 1, &pen.leaf, 1);
	pen.built->data[at] ^= 0x40;
	pen_put();
}

START_TEST(wrong_sum_of_a_descriptor)
{
	bend_and_put(BS - 1);
	pen_caught("checksum of a descriptor");
}
END_TEST

START_TEST(wrong_sum_of_a_copy)
{
	bend_and_put(BS + 500);
	pen_caught("checksum of the copy");
}
END_TEST

START_TEST(wrong_sum_of_a_revoke_block)
{
	bend_and_put(3 * BS - 100);
	pen_caught("checksum of a revoke");
}
END_TEST

START_TEST(wrong_sum_of_a_commit_block)
{
	uint8_t buf[BS];

	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_flush();
	pen_build_commit(buf);
	buf[60] ^= 1;
	pen_fine();
	pen_write(pen.journal[pen.head], buf);
	pen_caught("checksum of a commit");
}
END_TEST

START_TEST(commit_block_with_another_kind_of_sum)
{
	uint8_t buf[BS];

	pen_begin();
	pen_log_open(pen.tree, 1);
	pen_flush();
	pen_build_commit(buf);
	buf[12] = 1;
	pen_fine();
	pen_write(pen.journal[pen.head], buf);
	pen_caught("of its own kind");
}
END_TEST

START_TEST(wrong_sum_of_the_journal_superblock)
{
	uint8_t buf[BS];

	memcpy(buf, pen_at(pen.journal[0]), BS);
	buf[0xfd] ^= 1;
	pen_write(pen.journal[0], buf);
	pen_caught("checksum of the journal superblock");
}
END_TEST

START_TEST(magic_not_escaped)
{
	pen_begin();
	pen_build(&(struct put){ pen.tree, 1 }, 1, NULL, 0);
	put32(pen.built->data + BS, JBD_MAGIC);
	pen_fine();
	pen_put();
	pen_caught("not escaped");
}
END_TEST

/* ---- i: features ---- */

START_TEST(revoke_block_without_the_feature)
{
	pen_begin();
	pen_fine();
	pen_build(NULL, 0, &pen.tree, 1);
	pen_put();
	pen_caught("lacks the feature");
}
END_TEST

START_TEST(features_change_while_the_log_is_in_use)
{
	pen_begin();
	pen_fine();
	pen.incompat |= REVOKE;
	pen_jsb(1, pen.seq);
	pen_caught("features changed");
}
END_TEST

START_TEST(escape_of_what_is_no_magic)
{
	pen_begin();
	pen_build(&(struct put){ pen.tree, MAGIC }, 1, NULL, 0);
	put32(pen.built->data + BS, 1);
	pen_fine();
	pen_put();
	pen_caught("not escaped");
}
END_TEST

START_TEST(block_without_a_header)
{
	uint8_t buf[BS] = { 1 };

	pen_begin();
	pen_fine();
	pen_write(pen.journal[1], buf);
	pen_caught("no header");
}
END_TEST

/* As the writer does where the commit block will be. */
START_TEST(zeros_are_a_place_that_is_written_later)
{
	uint8_t buf[BS] = { 0 };

	pen_begin();
	pen_write(pen.journal[1], buf);
	pen_fine();
	pen_write(pen.journal[1], buf);
	pen_fine();
	buf[BS - 1] = 1;
	pen_write(pen.journal[1], buf);
	pen_caught("no header");
}
END_TEST

START_TEST(block_of_no_known_type)
{
	uint8_t buf[BS];

	pen_begin();
	pen_fine();
	pen_header(buf, 9);
	pen_write(pen.journal[1], buf);
	pen_caught("of type 9");
}
END_TEST

START_TEST(descriptor_without_a_last_tag)
{
	pen_begin();
	pen_fine();
	pen_build(&(struct put){ pen.tree, 1 }, 1, NULL, 0);
	put32(pen.built->data + 16, 0); /* sum, flags */
	memset(pen.built->data + 36, 0xff, 8);
	for (size_t at = 36; at + 8 <= BS; at += 8)
		put32(pen.built->data + at + 4, JBD_FLAG_SAME_UUID);
	for (size_t at = 36; at + 8 <= BS; at += 8)
		put32(pen.built->data + at, pen.tree);
	pen_put();
	pen_caught("without a last tag");
}
END_TEST

START_TEST(revoke_block_of_an_odd_size)
{
	pen.incompat |= REVOKE;
	pen_begin();
	pen_fine();
	pen_build(NULL, 0, &pen.tree, 1);
	put32(pen.built->data + 12, 19);
	pen_put();
	pen_caught("19 bytes");
}
END_TEST

START_TEST(unknown_feature)
{
	pen_fine();
	pen.incompat |= 0x100;
	pen_jsb(0, pen.seq);
	pen_caught("has features");
}
END_TEST

START_TEST(journal_superblock_wiped)
{
	uint8_t buf[BS] = { 0 };

	pen_write(pen.journal[0], buf);
	pen_caught("none any more");
}
END_TEST

START_TEST(long_tags_without_the_feature)
{
	pen_begin();
	pen.incompat |= JBD_INCOMPAT_64BIT;
	pen_fine();
	pen_log_open(pen.tree, 1);
	pen_caught("not of the size");
}
END_TEST

START_TEST(short_tags_with_the_feature)
{
	pen.incompat |= JBD_INCOMPAT_64BIT;
	pen_begin();
	pen.incompat = 0;
	pen_fine();
	pen_log_open(pen.tree, 1);
	pen_caught("log block 1");
}
END_TEST

static void add_format(Suite *suite)
{
	TCase *tc = tcase_create("format"), *plain = tcase_create("plain");

	tcase_add_checked_fixture(tc, setup, pen_close);
	tcase_add_test(tc, wrong_sum_of_a_descriptor);
	tcase_add_test(tc, wrong_sum_of_a_copy);
	tcase_add_test(tc, wrong_sum_of_a_revoke_block);
	tcase_add_test(tc, wrong_sum_of_a_commit_block);
	tcase_add_test(tc, commit_block_with_another_kind_of_sum);
	tcase_add_test(tc, wrong_sum_of_the_journal_superblock);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(plain, setup_plain, pen_close);
	tcase_add_test(plain, magic_not_escaped);
	tcase_add_test(plain, revoke_block_without_the_feature);
	tcase_add_test(plain, features_change_while_the_log_is_in_use);
	tcase_add_test(plain, escape_of_what_is_no_magic);
	tcase_add_test(plain, block_without_a_header);
	tcase_add_test(plain, zeros_are_a_place_that_is_written_later);
	tcase_add_test(plain, block_of_no_known_type);
	tcase_add_test(plain, descriptor_without_a_last_tag);
	tcase_add_test(plain, revoke_block_of_an_odd_size);
	tcase_add_test(plain, unknown_feature);
	tcase_add_test(plain, journal_superblock_wiped);
	tcase_add_test(plain, long_tags_without_the_feature);
	tcase_add_test(plain, short_tags_with_the_feature);
	suite_add_tcase(suite, plain);
}

int main(void)
{
	Suite *suite = suite_create("format of the log");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_format(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
