/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Punch, preallocation, unwriting; also where libext2fs goes wrong. */
#include <rawmap/dev/blkdev.h>
#include <rawmap/map/extmap.h>
#include <support/faultdev.h>
#include <support/hostimg.h>
#include <support/maprig.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB	(UINT64_C(1) << 20)
#define EXT4_1K "-t ext4 -b 1024 -m 0 -O ^has_journal"
#define EXT2_1K "-t ext2 -b 1024 -m 0"
#define EXT4_J	"-t ext4 -b 1024 -m 0"
#define EXT3_J	"-t ext3 -b 1024 -m 0"

static const char *const kinds[] = { EXT4_1K, EXT2_1K, EXT4_J, EXT3_J };

static uint64_t blocks_used(struct maprig *rig)
{
	struct hostfile_attr attr;

	hostfile_attr(rig->hf, &attr);
	return attr.blocks * 512 / rig->bs;
}

START_TEST(punched_blocks_are_reusable_after_the_commit_only)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 1000);
	struct hostfs_stats stats;
	uint64_t before;

	ck_assert_int_eq(maprig_write(rig, 0, 1000), 0);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	before = maprig_available(rig);
	ck_assert_int_eq(maprig_punch(rig, 0, 10), 0);
	hostfs_stats(rig->fs, &stats);
	ck_assert_uint_ge(stats.pending_free, 10);
	ck_assert_uint_le(maprig_available(rig), before);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	ck_assert_uint_eq(maprig_available(rig), before + 10);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(punching_a_hole_frees_nothing)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 1000);
	uint64_t done, used;

	ck_assert_int_eq(maprig_write(rig, 500, 1), 0);
	used = blocks_used(rig);
	ck_assert_int_eq(maprig_punch(rig, 0, 500), 0);
	ck_assert_int_eq(maprig_punch(rig, 501, 499), 0);
	ck_assert_uint_eq(blocks_used(rig), used);
	ck_assert_int_eq(hostfile_punch(rig->hf, lblk_at(LBLK_END), 5, &done),
			 0);
	ck_assert_uint_eq(done, 5);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(the_last_block_of_the_host_can_be_punched)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 9000);
	uint64_t last = 8 * MIB / 1024 - 1, used;

	/* An empty file of group 0 has block n at 1 + n if that is free. */
	ck_assert_int_eq(maprig_write(rig, last - 20, 20), 0);
	ck_assert_uint_eq(maprig_look(rig, last - 1, 1).phys.v, last);
	used = blocks_used(rig);
	ck_assert_int_eq(maprig_punch(rig, last - 5, 5), 0);
	ck_assert_uint_eq(blocks_used(rig), used - 5);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

/* Nothing left at all: not for data, not for tree blocks. */
static void exhaust(struct maprig *rig)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	maprig_write(rig, 0, rig->blocks);
	for (uint64_t at = 0; at < rig->blocks; at++)
		if (rig->state[at] == EXTENT_HOLE &&
		    maprig_write(rig, at, 1) == -ENOSPC)
			break;
}

START_TEST(a_full_host_can_be_emptied)
{
	struct maprig *rig = maprig_new(kinds[_i], 4 * MIB, 6000);

	for (uint64_t at = 0; at < 600; at += 2)
		ck_assert_int_eq(maprig_write(rig, at, 1), 0);
	exhaust(rig);
	for (uint64_t at = 0; at < 6000; at += 40)
		ck_assert_int_eq(maprig_punch(rig, at, 40), 0);
	maprig_verify(rig);
	ck_assert_uint_eq(blocks_used(rig), 0);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_punch_without_end_empties_the_file)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 3000);

	for (uint64_t at = 0; at < 3000; at += 7)
		ck_assert_int_eq(maprig_write(rig, at, 1), 0);
	ck_assert_int_eq(maprig_punch(rig, 0, LBLK_END), 0);
	ck_assert_uint_eq(blocks_used(rig), 0);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(preallocated_blocks_are_unwritten_also_beyond_the_end)
{
	struct maprig *rig = maprig_new(EXT4_1K, 8 * MIB, 3000);

	ck_assert_int_eq(maprig_write(rig, 100, 5), 0);
	ck_assert_int_eq(maprig_prealloc(rig, 50, 1000), 0);
	ck_assert_uint_eq(hostfile_size(rig->hf), 105 * 1024);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_large_preallocation_splits_at_the_unwritten_limit)
{
	struct maprig *rig = maprig_new("-t ext4 -b 1024 -g 8192 -m 0 "
					"-O ^has_journal,^resize_inode",
					96 * MIB, 80000);

	ck_assert_int_eq(maprig_prealloc(rig, 0, 80000), 0);
	maprig_verify(rig);
	ck_assert_int_eq(maprig_write(rig, 0, 80000), 0);
	maprig_verify(rig);
	ck_assert_int_eq(maprig_unwrite(rig, 1, 79998), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(unwriting_keeps_the_blocks)
{
	struct maprig *rig = maprig_new(EXT4_1K, 8 * MIB, 100);
	uint64_t used, phys;

	ck_assert_int_eq(maprig_write(rig, 0, 100), 0);
	used = blocks_used(rig);
	phys = maprig_look(rig, 30, 1).phys.v;
	ck_assert_int_eq(maprig_unwrite(rig, 20, 30), 0);
	ck_assert_uint_eq(blocks_used(rig), used);
	ck_assert_uint_eq(maprig_look(rig, 30, 1).phys.v, phys);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(extents_unwritten_and_written_again_merge)
{
	struct maprig *rig = maprig_new(EXT4_1K, 8 * MIB, 2000);

	ck_assert_int_eq(maprig_write(rig, 0, 2000), 0);
	for (uint64_t at = 0; at < 2000; at += 20)
		ck_assert_int_eq(maprig_unwrite(rig, at, 10), 0);
	maprig_verify(rig);
	for (uint64_t at = 0; at < 2000; at += 20)
		ck_assert_int_eq(maprig_write(rig, at, 10), 0);
	maprig_verify(rig);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	/* Three leaves below one node; each has few extents now. */
	ck_assert_uint_le(blocks_used(rig), 2004);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

/* Free @block of group 0 in its bitmap and counts, on the device. */
static void free_behind_its_back(struct maprig *rig, uint64_t block)
{
	const uint8_t *super = memdev_bytes(rig->mem) + 1024;
	uint8_t *bytes = memdev_bytes(rig->mem);
	uint32_t first = super[20], bitmap;

	memcpy(&bitmap, bytes + (first + 1) * 1024, sizeof(bitmap));
	block -= first;
	bytes[bitmap * 1024 + block / 8] &= (uint8_t) ~(1 << block % 8);
	bytes[(first + 1) * 1024 + 12]++; /* bg_free_blocks_count */
	bytes[1024 + 12]++;		  /* s_free_blocks_count */
}

START_TEST(a_punch_that_meets_a_free_block_stops_before_it)
{
	struct maprig *rig =
		maprig_new(_i ? EXT2_1K : EXT4_1K ",^metadata_csum,^uninit_bg",
			   8 * MIB, 1000);
	uint64_t done, used;
	pblk bad;

	/* Ten separate blocks; the sixth is free by its bitmap. */
	for (uint64_t at = 0; at < 20; at += 2)
		ck_assert_int_eq(maprig_write(rig, at, 1), 0);
	bad = maprig_look(rig, 10, 1).phys;
	used = blocks_used(rig);
	maprig_close(rig);
	free_behind_its_back(rig, bad.v);
	maprig_open(rig, NULL);

	/* One leaf or, with pointers, one of two arrays. */
	ck_assert_int_eq(hostfile_punch(rig->hf, lblk_at(0), 20, &done), 0);
	ck_assert_uint_eq(done, 10);
	ck_assert_uint_le(blocks_used(rig), used - 5);
	for (uint64_t at = 0; at < 10; at++)
		rig->state[at] = EXTENT_HOLE;
	maprig_verify(rig);
	used = blocks_used(rig);
	ck_assert_int_eq(hostfile_punch(rig->hf, lblk_at(10), 10, &done),
			 -EUCLEAN);
	ck_assert_uint_eq(done, 0);
	ck_assert_uint_eq(blocks_used(rig), used);
	maprig_verify(rig);
	maprig_free(rig);
}
END_TEST

typedef int (*change_fn)(struct maprig *rig, uint64_t start, uint64_t len);

/*
 * Fail the 1st, 2nd, ... read of a change until none fails: after each failure
 * the file is what it was, but for whole steps that were done.
 */
static void fail_every_read(const char *mkfs, change_fn change)
{
	struct maprig *rig = maprig_new(mkfs, 8 * MIB, 3000);
	bool fired = true;

	for (uint64_t at = 0; at < 1200; at += 2)
		ck_assert_int_eq(maprig_write(rig, at, 1), 0);
	ck_assert_int_eq(maprig_write(rig, 1300, 400), 0);
	for (unsigned n = 1; fired; n++) {
		struct hostfs_stats stats;
		int err;

		maprig_close(rig);
		maprig_open(rig, faultdev_new);
		faultdev_arm(rig->dev, FAULTDEV_READ, n, EIO, FAULTDEV_ONCE);
		err = change(rig, 341 + n, 3);
		if (!err)
			err = change(rig, 1350 + 7 * n, 3);
		fired = faultdev_fired(rig->dev);
		faultdev_disarm(rig->dev);
		/* A read that only looked ahead may fail unnoticed. */
		ck_assert(!err || (fired && err == -EIO));
		hostfs_stats(rig->fs, &stats);
		ck_assert_int_eq(stats.failed, 0);
		maprig_verify(rig);
		extmap_drop_all(hostfile_map(rig->hf));
		maprig_verify(rig);
		ck_assert_uint_lt(n, 40);
	}
	maprig_judge(rig);
	maprig_free(rig);
}

START_TEST(a_fill_that_cannot_read_changes_nothing)
{
	fail_every_read(kinds[_i], maprig_write);
}
END_TEST

START_TEST(a_punch_that_cannot_read_changes_nothing)
{
	fail_every_read(kinds[_i], maprig_punch);
}
END_TEST

START_TEST(a_preallocation_that_cannot_read_changes_nothing)
{
	fail_every_read(EXT4_1K, maprig_prealloc);
}
END_TEST

START_TEST(an_unwriting_that_cannot_read_changes_nothing)
{
	fail_every_read(EXT4_1K, maprig_unwrite);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("punch");
	TCase *tc = tcase_create("punch");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc,
			    punched_blocks_are_reusable_after_the_commit_only,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, punching_a_hole_frees_nothing, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, the_last_block_of_the_host_can_be_punched, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_full_host_can_be_emptied, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_punch_without_end_empties_the_file, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_test(tc,
		       preallocated_blocks_are_unwritten_also_beyond_the_end);
	tcase_add_test(tc, a_large_preallocation_splits_at_the_unwritten_limit);
	tcase_add_test(tc, unwriting_keeps_the_blocks);
	tcase_add_test(tc, extents_unwritten_and_written_again_merge);
	tcase_add_loop_test(tc, a_punch_that_meets_a_free_block_stops_before_it,
			    0, 2);
	tcase_add_loop_test(tc, a_fill_that_cannot_read_changes_nothing, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_punch_that_cannot_read_changes_nothing, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_preallocation_that_cannot_read_changes_nothing);
	tcase_add_test(tc, an_unwriting_that_cannot_read_changes_nothing);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
