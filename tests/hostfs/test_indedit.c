/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Indirect trees under change: torture against a model, and the exactness that
 * punching such a file asks for.
 */
#include <rawmap/map/extmap.h>
#include <support/hostimg.h>
#include <support/maprig.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#define MIB	(UINT64_C(1) << 20)
#define EXT2_1K "-t ext2 -b 1024"

static void torture(const char *mkfs, uint64_t bytes, uint64_t blocks,
		    unsigned steps, uint64_t max_len)
{
	struct maprig *rig = maprig_new(mkfs, bytes, blocks);

	ck_assert(!hostfile_extent_mapped(rig->hf));
	for (unsigned i = 1; i <= steps; i++) {
		maprig_random(rig, max_len);
		if (i % (steps / 4) == 0)
			maprig_verify(rig);
		if (i == steps / 2) {
			maprig_judge(rig);
			maprig_open(rig, NULL);
		}
	}
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}

static uint64_t blocks_used(struct maprig *rig)
{
	struct hostfile_attr attr;

	hostfile_attr(rig->hf, &attr);
	return attr.blocks * 512 / rig->bs;
}

START_TEST(torture_ext2_1k_blocks)
{
	/* 66 000 is the first block behind the double indirect ones. */
	torture(EXT2_1K, 32 * MIB, 70000, 8000, 900);
}
END_TEST

START_TEST(torture_ext3_without_journal_4k_blocks)
{
	torture("-t ext3 -b 4096 -O ^has_journal", 64 * MIB, 12000, 6000, 300);
}
END_TEST

START_TEST(torture_ext4_without_extents_with_checksums)
{
	torture("-t ext4 -b 1024 -O ^extent,^64bit,^has_journal,metadata_csum",
		24 * MIB, 16000, 6000, 400);
}
END_TEST

START_TEST(torture_with_a_journal)
{
	torture(_i ? "-t ext3 -b 4096" : "-t ext3 -b 1024", 64 * MIB, 12000,
		6000, 300);
}
END_TEST

START_TEST(torture_on_a_host_that_is_nearly_full)
{
	torture(EXT2_1K " -m 0", 4 * MIB, 6000, 4000, 600);
}
END_TEST

/* [start, +len) of a full file: nothing but these blocks may go. */
static void punch_exactly(uint64_t start, uint64_t len)
{
	struct maprig *rig = maprig_new(EXT2_1K, 32 * MIB, 10000);
	uint64_t before;

	ck_assert_int_eq(maprig_write(rig, 0, 10000), 0);
	before = blocks_used(rig);
	ck_assert_int_eq(maprig_punch(rig, start, len), 0);
	ck_assert_uint_eq(blocks_used(rig), before - len);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}

START_TEST(one_block_punched_frees_one_block)
{
	punch_exactly(2060, 1);
}
END_TEST

START_TEST(two_blocks_punched_free_two_blocks)
{
	punch_exactly(2061, 2);
}
END_TEST

START_TEST(a_punch_behind_the_first_double_leaf_is_exact)
{
	punch_exactly(3000, 10);
}
END_TEST

START_TEST(a_punch_over_array_borders_is_exact)
{
	struct maprig *rig = maprig_new(EXT2_1K, 32 * MIB, 10000);

	ck_assert_int_eq(maprig_write(rig, 0, 10000), 0);
	/* Direct, all of the single and the first of the double one. */
	ck_assert_int_eq(maprig_punch(rig, 5, 12 + 256 + 3 - 5), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_tree_without_pointers_has_no_blocks)
{
	struct maprig *rig = maprig_new(EXT2_1K, 32 * MIB, 70000);

	for (uint64_t at = 0; at < 70000; at += 997)
		ck_assert_int_eq(maprig_write(rig, at, 1), 0);
	maprig_judge(rig);
	maprig_open(rig, NULL);
	ck_assert_int_eq(maprig_punch(rig, 0, 70000), 0);
	ck_assert_uint_eq(blocks_used(rig), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(punching_a_missing_subtree_is_one_step)
{
	struct maprig *rig = maprig_new(EXT2_1K, 8 * MIB, 100);
	uint64_t done;

	/* The whole triple indirect tree: 256^3 blocks from 65804 on. */
	ck_assert_int_eq(
		hostfile_punch(rig->hf, lblk_at(65804), 1 << 30, &done), 0);
	ck_assert_uint_eq(done, 256 * 256 * 256);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(there_is_no_unwritten_state)
{
	struct maprig *rig = maprig_new(EXT2_1K, 8 * MIB, 100);
	uint64_t done = 1;

	ck_assert_int_eq(hostfile_prealloc(rig->hf, lblk_at(0), 1, &done),
			 -EOPNOTSUPP);
	ck_assert_uint_eq(done, 0);
	ck_assert_int_eq(hostfile_unwrite(rig->hf, lblk_at(0), 1, &done),
			 -EOPNOTSUPP);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("indedit");
	TCase *tc = tcase_create("tree");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, torture_ext2_1k_blocks);
	tcase_add_test(tc, torture_ext3_without_journal_4k_blocks);
	tcase_add_test(tc, torture_ext4_without_extents_with_checksums);
	tcase_add_loop_test(tc, torture_with_a_journal, 0, 2);
	tcase_add_test(tc, torture_on_a_host_that_is_nearly_full);
	tcase_add_test(tc, one_block_punched_frees_one_block);
	tcase_add_test(tc, two_blocks_punched_free_two_blocks);
	tcase_add_test(tc, a_punch_behind_the_first_double_leaf_is_exact);
	tcase_add_test(tc, a_punch_over_array_borders_is_exact);
	tcase_add_test(tc, a_tree_without_pointers_has_no_blocks);
	tcase_add_test(tc, punching_a_missing_subtree_is_one_step);
	tcase_add_test(tc, there_is_no_unwritten_state);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
