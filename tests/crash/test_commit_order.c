/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a commit writes, and in which order, as a recording device sees it.
 * docs/durability.md promises it, and every crash state depends on it. Here is
 * what all hosts have in common, and the two epochs of those without a journal;
 * test_journal_order.c has the others.
 */
#include <crash/order_bed.h>

#include <stdio.h>
#include <stdlib.h>

/* Those without a journal come first. */
static const char *const mkfs[] = {
	"-t ext2 -b 1024",
	"-t ext4 -b 1024 -O ^has_journal,^metadata_csum",
	"-t ext3 -b 1024",
	"-t ext4 -b 1024",
};
#define ORDERED 2

/* ---- the order ---- */

static struct {
	unsigned first; /* number of the commit's first epoch */
	unsigned inodes, old_trees, systems, others;
} seen;

static void see_commit(const struct recdev_event *e, uint64_t block)
{
	bool old_tree = listed(bed.tree, block);

	if (is_inode_table(block)) {
		seen.inodes++;
		ck_assert_uint_eq(e->epoch, seen.first + 1);
	} else if (old_tree) {
		seen.old_trees++;
		ck_assert_msg(!bed.extents,
			      "tree block %llu is changed in"
			      " place",
			      (unsigned long long)block);
		ck_assert_uint_eq(e->epoch, seen.first + 1);
	} else {
		seen.systems += is_system(block);
		seen.others += !is_system(block);
		ck_assert_msg(e->epoch == seen.first,
			      "block %llu goes out in epoch %u, not %u",
			      (unsigned long long)block, e->epoch, seen.first);
	}
}

/* The superblock alone, not clean, and a flush. */
static void check_mark(size_t at)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);
	const struct recdev_event *mark = events->pdata[at];
	const struct recdev_event *then = events->pdata[at + 1];

	ck_assert_int_eq(mark->kind, RECDEV_WRITE);
	ck_assert_uint_eq(mark->pos.v, 1024);
	ck_assert_uint_eq(mark->len, BS);
	ck_assert(!marked_clean(mark->bytes));
	ck_assert_int_eq(then->kind, RECDEV_FLUSH);
}

/* In the bitmap of the only group, each block of the image is taken. */
static void check_bits(void)
{
	const uint8_t *bits = memdev_bytes(bed.mem) + bed.block_bitmap * BS;

	look();
	for (uint64_t block = 1; block < SIZE / BS; block++) {
		uint64_t bit = block - 1;

		if (listed(bed.tree, block) || listed(bed.data, block))
			ck_assert_msg(bits[bit / 8] >> bit % 8 & 1,
				      "block %llu is not marked as taken",
				      (unsigned long long)block);
	}
}

static void check_one_commit(GRand *rand, bool first_of_all)
{
	size_t before;

	start_recording();
	memset(&seen, 0, sizeof(seen));
	change_much(rand);
	before = events_so_far();
	each_block(0, see_data_only);
	flush();
	if (first_of_all) {
		check_mark(before);
		before += 2;
		seen.first = 1;
	}
	each_block(before, see_commit);
	ck_assert_uint_eq(flushes(), seen.first + 2);
	ck_assert_uint_gt(seen.inodes, 0);
	/* Later ones may take just what the one before released: nothing changes. */
	if (first_of_all)
		ck_assert_uint_gt(seen.systems, 0);
	check_bits();
	if (bed.extents)
		ck_assert_uint_gt(seen.others, 0);
	else
		ck_assert_uint_gt(seen.old_trees, 0);
}

START_TEST(what_exists_changes_only_behind_the_flush)
{
	uint32_t seed = g_getenv("RAWMAP_SEED")
				? (uint32_t)g_ascii_strtoull(
					  g_getenv("RAWMAP_SEED"), NULL, 0)
				: g_random_int();
	GRand *rand = g_rand_new_with_seed(seed);

	fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", mkfs[_i], seed);
	bed_make(mkfs[_i]);
	for (int i = 0; i < 6; i++)
		check_one_commit(rand, i == 0);
	bed_clear();
	g_rand_free(rand);
}
END_TEST

static void see_new_data(const struct recdev_event *e, uint64_t block)
{
	if (!listed(bed.data, block) || is_system(block))
		return;
	seen.others++;
	ck_assert_uint_eq(e->epoch, 0);
}

START_TEST(the_data_of_a_fill_precedes_the_commit)
{
	bed_make(mkfs[_i]);
	put(2 * COMB + 40, 30);
	flush();
	look();
	memset(&seen, 0, sizeof(seen));
	each_block(0, see_new_data);
	ck_assert_uint_eq(seen.others, 30);
	bed_clear();
}
END_TEST

START_TEST(a_flush_with_nothing_pending_is_one_device_flush)
{
	bed_make(mkfs[_i]);
	put(2 * COMB + 40, 3);
	flush();
	/* Bits of released blocks and the like may wait behind a commit. */
	flush();
	recdev_clear(bed.rec);
	flush();
	ck_assert_uint_eq(events_so_far(), 1);
	ck_assert_uint_eq(flushes(), 1);
	bed_clear();
}
END_TEST

START_TEST(a_commit_with_nothing_pending_does_nothing)
{
	bed_make(mkfs[_i]);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(events_so_far(), 0);
	bed_clear();
}
END_TEST

START_TEST(an_overwrite_writes_no_metadata)
{
	bed_make(mkfs[_i]);
	start_recording();
	put(10, 1);
	flush();
	ck_assert_uint_eq(events_so_far(), 2);
	each_block(0, see_data_only);
	ck_assert_uint_eq(flushes(), 1);
	/* Not even the mark: the host is as clean as it was. */
	ck_assert(marked_clean(memdev_bytes(bed.mem) + 1024));
	bed_clear();
}
END_TEST

/* All that was the image's, data and tree, when the recording started. */
static void see_no_freed(const struct recdev_event *e, uint64_t block)
{
	(void)e;
	ck_assert_msg(!listed(bed.data, block),
		      "data block %llu is written"
		      " before the commit that frees it",
		      (unsigned long long)block);
	ck_assert_msg(!listed(bed.tree, block),
		      "tree block %llu is written"
		      " before the commit that frees it",
		      (unsigned long long)block);
}

START_TEST(freed_blocks_are_not_written_before_the_commit)
{
	bed_make(mkfs[_i]);
	start_recording();
	punch(0, 2 * COMB);
	/* More than lay between the freed ones. */
	put(2 * COMB + 100, 800);
	flush();
	each_block(0, see_no_freed);
	ck_assert_uint_gt(flushes(), 1);
	bed_clear();
}
END_TEST

static unsigned reused;

static void see_reuse(const struct recdev_event *e, uint64_t block)
{
	(void)e;
	reused += listed(bed.data, block);
}

START_TEST(freed_blocks_are_used_again_after_the_commit)
{
	bed_make(mkfs[_i]);
	start_recording();
	punch(0, 2 * COMB);
	flush();
	reused = 0;
	put(0, 2 * COMB);
	each_block(0, see_reuse);
	ck_assert_uint_gt(reused, COMB / 2);
	bed_clear();
}
END_TEST

START_TEST(the_host_becomes_clean_last)
{
	g_autoptr(GPtrArray) events = NULL;
	const struct recdev_event *last, *mark, *before;

	bed_make(mkfs[_i]);
	put(2 * COMB + 100, 10);
	punch(4, 40);
	flush();
	ck_assert(!marked_clean(memdev_bytes(bed.mem) + 1024));
	bed_close();
	events = recdev_events(bed.rec);
	ck_assert_uint_gt(events->len, 3);
	last = events->pdata[events->len - 1];
	mark = events->pdata[events->len - 2];
	before = events->pdata[events->len - 3];
	ck_assert_int_eq(last->kind, RECDEV_FLUSH);
	ck_assert_int_eq(mark->kind, RECDEV_WRITE);
	ck_assert_uint_eq(mark->pos.v, 1024);
	ck_assert(marked_clean(mark->bytes));
	ck_assert_int_eq(before->kind, RECDEV_FLUSH);
	bed_clear();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commit_order");
	TCase *tc = tcase_create("commit_order");
	const int n = G_N_ELEMENTS(mkfs);
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, what_exists_changes_only_behind_the_flush, 0,
			    ORDERED);
	tcase_add_loop_test(tc, the_data_of_a_fill_precedes_the_commit, 0, n);
	tcase_add_loop_test(
		tc, a_flush_with_nothing_pending_is_one_device_flush, 0, n);
	tcase_add_loop_test(tc, a_commit_with_nothing_pending_does_nothing, 0,
			    n);
	tcase_add_loop_test(tc, an_overwrite_writes_no_metadata, 0, n);
	tcase_add_loop_test(tc, freed_blocks_are_not_written_before_the_commit,
			    0, n);
	tcase_add_loop_test(tc, freed_blocks_are_used_again_after_the_commit, 0,
			    n);
	tcase_add_loop_test(tc, the_host_becomes_clean_last, 0, n);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
