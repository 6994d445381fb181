/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the block allocator promises, one by one. */
#include "alloc_bed.h"

/* ---- which run ---- */

START_TEST(test_free_goal_is_taken)
{
	struct bed bed;
	struct run a, b;

	bed_make(&bed, "-t ext2 -b 1024", 30 * MIB);
	a = take(&bed, 12000, 5);
	b = take(&bed, a.start + a.len, 7);
	ck_assert_uint_eq(b.start, a.start + a.len);
	ck_assert_uint_eq(b.len, 7);
	give_back(&bed, a);
	give_back(&bed, b);
	bed_finish(&bed);
}
END_TEST

START_TEST(test_full_run_is_preferred_to_a_splinter)
{
	struct bed bed;
	struct run wall, got;

	bed_make(&bed, "-t ext2 -b 1024", 30 * MIB);
	wall = take(&bed, 12000, 100);
	ck_assert_uint_eq(wall.len, 100);
	/* One free block right behind the goal, then taken ones, then room. */
	give_back(&bed, (struct run){ wall.start + 10, 1 });
	got = take(&bed, wall.start + 9, 16);
	ck_assert_uint_eq(got.len, 16);
	ck_assert_uint_eq(got.start, wall.start + 100);
	/* A single block does fit there. */
	got = take(&bed, wall.start + 9, 1);
	ck_assert_uint_eq(got.start, wall.start + 10);
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}
END_TEST

/* Take every block of [start, start + len), then give every other one back. */
static void make_comb(struct bed *bed, uint64_t start, uint64_t len)
{
	for (uint64_t b = start; b < start + len; b++)
		ck_assert_uint_eq(take(bed, b, 1).start, b);
	for (uint64_t b = start; b < start + len; b += 2)
		give_back(bed, (struct run){ b, 1 });
}

START_TEST(test_other_group_is_preferred_to_splinters)
{
	struct bed bed;
	struct run got;
	uint64_t first = 2 * 8192 + 1; /* of a group without metadata */

	bed_make(&bed, "-t ext4 -b 1024 -O ^has_journal", 30 * MIB);
	make_comb(&bed, first, 8192);
	got = take(&bed, first + 1, 16);
	ck_assert_uint_eq(got.len, 16);
	ck_assert_uint_ge(got.start, first + 8192);

	/* Back in the same group as soon as it has such a run again. */
	for (uint64_t b = first + 4001; b < first + 4021; b += 2)
		give_back(&bed, (struct run){ b, 1 });
	got = take(&bed, first + 1, 16);
	ck_assert_uint_eq(got.start, first + 4000);
	ck_assert_uint_eq(got.len, 16);
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}
END_TEST

START_TEST(test_search_wraps_to_the_beginning)
{
	struct bed bed;
	struct run last, got;

	bed_make(&bed, "-t ext2 -b 1024", 8 * MIB);
	last = take(&bed, 8000, 4096);
	ck_assert_uint_eq(last.start + last.len, 8192);
	got = take(&bed, 8191, 10);
	ck_assert_uint_eq(got.len, 10);
	ck_assert_uint_lt(got.start, 8000);
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}
END_TEST

/* ---- accounting ---- */

static void take_everything(struct bed *bed)
{
	pblk start;
	uint32_t len;
	int err;

	while (!(err = alloc_take(bed->fs->alloc, pblk_at(0), UINT32_MAX,
				  &start, &len)))
		alloc_publish(bed->fs->alloc, start, len);
	ck_assert_int_eq(err, -ENOSPC);
}

START_TEST(test_full_host_counts_zero_and_says_enospc)
{
	struct bed bed;

	bed_make(&bed, shapes[_i].mkfs, shapes[_i].size);
	take_everything(&bed);
	ck_assert_uint_eq(alloc_available(bed.fs->alloc), 0);
	ck_assert_uint_eq(alloc_available_meta(bed.fs->alloc), 0);
	ck_assert_uint_eq(ext2fs_free_blocks_count(bed.fs->fs->super), 0);
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}
END_TEST

START_TEST(test_released_blocks_wait_for_the_commit)
{
	struct bed bed;
	struct run mine;
	pblk start;
	uint32_t len;

	bed_make(&bed, "-t ext2 -b 1024", 8 * MIB);
	mine = take(&bed, 4000, 8);
	publish(&bed, mine);
	take_everything(&bed);
	ck_assert_int_eq(release(&bed, mine), 0);
	ck_assert_uint_eq(alloc_pending(bed.fs->alloc), mine.len);
	ck_assert_int_eq(alloc_take(bed.fs->alloc, pblk_at(mine.start), 1,
				    &start, &len),
			 -ENOSPC);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(take(&bed, mine.start, 99).len, mine.len);
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}
END_TEST

START_TEST(test_available_takes_off_reserve_and_promises)
{
	struct bed bed;
	struct alloc *a;
	uint64_t all, root;
	struct run r;

	bed_make(&bed, "-t ext2 -b 1024 -m 10", 8 * MIB);
	a = bed.fs->alloc;
	all = ext2fs_free_blocks_count(bed.fs->fs->super);
	root = ext2fs_r_blocks_count(bed.fs->fs->super);
	ck_assert_uint_gt(root, 0);
	ck_assert_uint_eq(alloc_available(a), all - root);
	ck_assert_uint_eq(alloc_available_meta(a), all);
	r = take(&bed, 5000, 20);
	alloc_promise(a, 3);
	ck_assert_uint_eq(alloc_available(a), all - root - 23);
	publish(&bed, (struct run){ r.start, 5 });
	ck_assert_uint_eq(alloc_available(a), all - root - 23);
	give_back(&bed, (struct run){ r.start + 5, 15 });
	ck_assert_uint_eq(alloc_available(a), all - root - 8);
	alloc_unpromise(a, 3);
	ck_assert_uint_eq(alloc_available_meta(a), all - 5);
	alloc_promise(a, all - root);
	ck_assert_uint_eq(alloc_available(a), 0);
	alloc_unpromise(a, all - root);
	ck_assert_int_eq(release(&bed, (struct run){ r.start, 5 }), 0);
	bed_finish(&bed);
}
END_TEST

START_TEST(test_release_of_free_blocks_changes_nothing)
{
	struct bed bed;
	struct run r;
	uint64_t before;

	bed_make(&bed, "-t ext4 -b 1024 -O ^has_journal", 30 * MIB);
	/* Up to the end of a group; the next one has no blocks of its own. */
	r = take(&bed, 8192 + 8193 - 50, 50);
	ck_assert_uint_eq(r.start + r.len, 2 * 8192 + 1);
	publish(&bed, r);
	before = alloc_available(bed.fs->alloc);
	ck_assert_int_eq(release(&bed, (struct run){ r.start, 1000 }),
			 -EUCLEAN);
	ck_assert_uint_eq(alloc_pending(bed.fs->alloc), 0);
	ck_assert_uint_eq(alloc_available(bed.fs->alloc), before);
	ck_assert_int_eq(release(&bed, r), 0);
	/* A second time: it is pending already. */
	ck_assert_int_eq(release(&bed, r), -EUCLEAN);
	ck_assert_uint_eq(alloc_pending(bed.fs->alloc), 50);
	bed_finish(&bed);
}
END_TEST

/* ---- damaged hosts ---- */

static void refused(struct bed *bed, uint64_t goal)
{
	pblk start;
	uint32_t len;

	bed_open(bed);
	ck_assert_int_eq(alloc_take(bed->fs->alloc, pblk_at(goal), 1, &start,
				    &len),
			 -EUCLEAN);
	ck_assert_uint_eq(bed->fs->alloc->reserved, 0);
	bed_close(bed);
	hostimg_free(bed->img);
}

START_TEST(test_metadata_shown_free_is_not_handed_out)
{
	const struct hostimg_spec spec = { "-t ext2 -b 1024", 8 * MIB };
	struct bed bed = { .img = hostimg_make(&spec) };
	ext2_filsys fs = ext_open(bed.img, EXT2_FLAG_RW);
	uint64_t table = ext2fs_inode_table_loc(fs, 0);

	ext2fs_block_alloc_stats2(fs, table + 3, -1);
	ck_assert_int_eq(ext2fs_close(fs), 0);
	refused(&bed, table + 3);
}
END_TEST

/*
 * One bit of the first group's bitmap, without anything that belongs to it;
 * with another one flipped the other way round the count stays right.
 */
static uint64_t flip_bits(struct hostimg *img, bool keep_count)
{
	ext2_filsys fs = ext_open(img, 0);
	size_t at = ext2fs_block_bitmap_loc(fs, 0) * fs->blocksize;
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	ext2fs_free(fs);
	bytes = hostimg_bytes(img, &len);
	bytes[at + 900] |= 1;
	if (keep_count)
		bytes[at] &= 0xfe;
	hostimg_store(img, bytes, len);
	return 7300;
}

START_TEST(test_wrong_bitmap_checksum_is_refused)
{
	const struct hostimg_spec spec = { "-t ext4 -b 1024", 8 * MIB };
	struct bed bed = { .img = hostimg_make(&spec) };

	refused(&bed, flip_bits(bed.img, true));
}
END_TEST

START_TEST(test_wrong_free_count_is_refused)
{
	const struct hostimg_spec spec = { "-t ext2 -b 1024", 8 * MIB };
	struct bed bed = { .img = hostimg_make(&spec) };

	refused(&bed, flip_bits(bed.img, false));
}
END_TEST

/* ---- size of the host ---- */

/* Allocate one block, commit; what did that read and write? */
static void cost(const char *mkfs, uint64_t size, struct blkdev_counters *ret)
{
	struct bed bed;
	struct blkdev_counters before;
	struct run r;

	bed_make(&bed, mkfs, size);
	blkdev_counters(bed.dev, &before);
	r = take(&bed,
		 hostfs_guard(bed.fs, dev_off_at(size / 2), 4096)
			 ? 0
			 : size / 2 / 4096,
		 1);
	publish(&bed, r);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	blkdev_counters(bed.dev, ret);
	ret->reads -= before.reads;
	ret->writes -= before.writes;
	ret->flushes -= before.flushes;
	hostfs_abandon(bed.fs);
	blkdev_unref(bed.dev);
	hostimg_free(bed.img);
}

#define HUGE_MKFS                                                     \
	"-t ext4 -b 4096 -T largefile4 -O ^has_journal,^resize_inode" \
	" -E lazy_itable_init=1,nodiscard"
#define HUGE_SIZE (UINT64_C(4) << 40)

START_TEST(test_cost_does_not_depend_on_the_host)
{
	struct blkdev_counters small, huge;

	cost(HUGE_MKFS, 256 * MIB, &small);
	cost(HUGE_MKFS, HUGE_SIZE, &huge);
	ck_assert_uint_le(small.reads, 6);
	ck_assert_uint_le(small.writes, 6);
	ck_assert_uint_le(huge.reads, small.reads + 2);
	ck_assert_uint_le(huge.writes, small.writes + 2);
	ck_assert_uint_eq(huge.flushes, small.flushes);
}
END_TEST

START_TEST(test_groups_in_memory_are_bounded)
{
	struct bed bed;

	bed_make(&bed, HUGE_MKFS, HUGE_SIZE);
	for (uint64_t i = 0; i < 600; i++)
		give_back(&bed, take(&bed, i * 32768 * 50 + 20000, 3));
	ck_assert_uint_le(g_hash_table_size(bed.fs->alloc->groups), 129);
	bed_close(&bed);
	hostimg_free(bed.img);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("alloc");
	TCase *storm = tcase_create("storm");
	TCase *rest = tcase_create("rest");

	tcase_add_loop_test(storm, test_full_host_counts_zero_and_says_enospc,
			    0, G_N_ELEMENTS(shapes));
	tcase_add_test(rest, test_free_goal_is_taken);
	tcase_add_test(rest, test_full_run_is_preferred_to_a_splinter);
	tcase_add_test(rest, test_other_group_is_preferred_to_splinters);
	tcase_add_test(rest, test_search_wraps_to_the_beginning);
	tcase_add_test(rest, test_released_blocks_wait_for_the_commit);
	tcase_add_test(rest, test_available_takes_off_reserve_and_promises);
	tcase_add_test(rest, test_release_of_free_blocks_changes_nothing);
	tcase_add_test(rest, test_metadata_shown_free_is_not_handed_out);
	tcase_add_test(rest, test_wrong_bitmap_checksum_is_refused);
	tcase_add_test(rest, test_wrong_free_count_is_refused);
	tcase_add_test(rest, test_cost_does_not_depend_on_the_host);
	tcase_add_test(rest, test_groups_in_memory_are_bounded);
	suite_add_tcase(s, storm);
	suite_add_tcase(s, rest);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
