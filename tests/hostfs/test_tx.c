/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transaction: what a commit writes, in which order, and what an error
 * makes of the host. Blocks are taken from the allocator directly; files and
 * their trees have tests of their own.
 */
#include "../../src/hostfs/hostfs_priv.h"

#include <support/faultdev.h>
#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/nowritedev.h>
#include <support/recdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB	(UINT64_C(1) << 20)
#define NOWHERE UINT64_MAX

/* A filter over a memory device that holds a fresh host. */
struct bed {
	struct hostimg *img;
	struct blkdev *mem, *dev;
	struct hostfs *fs;
};

static const char *const mkfs[] = {
	"-t ext2 -b 1024",
	"-t ext2 -b 4096",
	"-t ext4 -b 1024 -O ^has_journal",
	"-t ext4 -b 4096 -O ^has_journal",
};

static void bed_open(struct bed *bed)
{
	const struct hostfs_options opt = { .readonly = false };
	GError *error = NULL;

	bed->fs = hostfs_open(bed->dev, &opt, &error);
	ck_assert_msg(bed->fs, "%s", error ? error->message : "");
}

static void bed_make(struct bed *bed, int shape,
		     struct blkdev *(*filter)(struct blkdev *))
{
	const struct hostimg_spec spec = { mkfs[shape], 8 * MIB };
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bed->img = hostimg_make(&spec);
	hostimg_put(bed->img, "file", 1, 9000, NULL, 0);
	hostimg_edit(bed->img, "set_inode_field file mtime @100\n");
	bytes = hostimg_bytes(bed->img, &len);
	bed->mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed->mem), bytes, len);
	bed->dev = filter(bed->mem);
	bed_open(bed);
}

/* The host is closed or abandoned already. */
static void bed_clear(struct bed *bed)
{
	blkdev_unref(bed->dev);
	blkdev_unref(bed->mem);
	hostimg_free(bed->img);
}

static void expect_fsck(struct bed *bed, int status)
{
	g_autofree char *said = NULL;

	hostimg_store(bed->img, memdev_bytes(bed->mem), 8 * MIB);
	ck_assert_msg(hostimg_fsck(bed->img, &said) == status, "%s", said);
}

static pblk fill_one(struct bed *bed)
{
	pblk start;
	uint32_t len;

	ck_assert_int_eq(
		alloc_take(bed->fs->alloc, pblk_at(1000), 1, &start, &len), 0);
	alloc_publish(bed->fs->alloc, start, len);
	return start;
}

/* A tree block with content, new in this transaction. */
static pblk new_tree_block(struct bed *bed, uint8_t content)
{
	g_autofree uint8_t *buf = g_malloc(bed->fs->block_size);
	pblk block;

	memset(buf, content, bed->fs->block_size);
	ck_assert_int_eq(meta_alloc(bed->fs, pblk_at(1500), &block), 0);
	ck_assert(meta_is_new(bed->fs, block));
	ck_assert_int_eq(meta_write(bed->fs, block, buf), 0);
	return block;
}

static void change_tree_block(struct bed *bed, pblk block, uint8_t content)
{
	g_autofree uint8_t *buf = g_malloc(bed->fs->block_size);

	memset(buf, content, bed->fs->block_size);
	ck_assert_int_eq(meta_write(bed->fs, block, buf), 0);
}

/* ---- what the record says ---- */

static bool covers(const struct recdev_event *e, uint64_t pos)
{
	return e->kind == RECDEV_WRITE && e->pos.v <= pos &&
	       pos < e->pos.v + e->len;
}

/* The epoch of the only write that covers device byte @pos. */
static uint64_t epoch_of(struct bed *bed, uint64_t pos)
{
	g_autoptr(GPtrArray) events = recdev_events(bed->dev);
	uint64_t found = NOWHERE;

	for (guint i = 0; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];

		if (!covers(e, pos))
			continue;
		ck_assert_uint_eq(found, NOWHERE);
		found = e->epoch;
	}
	return found;
}

static uint64_t epoch_of_block(struct bed *bed, uint64_t block)
{
	return epoch_of(bed, block << bed->fs->bits);
}

static uint16_t state_of(const struct recdev_event *e)
{
	uint64_t at = 1024 + offsetof(struct ext2_super_block, s_state);

	return (uint16_t)(e->bytes[at - e->pos.v] | e->bytes[at - e->pos.v + 1]
							    << 8);
}

static uint16_t state_on_source(struct bed *bed)
{
	struct ext2_super_block sb;

	memcpy(&sb, memdev_bytes(bed->mem) + 1024, sizeof(sb));
	return sb.s_state;
}

static size_t events(struct bed *bed)
{
	g_autoptr(GPtrArray) list = recdev_events(bed->dev);

	return list->len;
}

/* ---- order ---- */

START_TEST(test_unchanged_host_is_not_written)
{
	struct bed bed;
	pblk start;
	uint32_t len;

	bed_make(&bed, _i, nowritedev_new);
	ck_assert_int_eq(
		alloc_take(bed.fs->alloc, pblk_at(1000), 9, &start, &len), 0);
	alloc_give_back(bed.fs->alloc, start, len);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_int_eq(hostfs_sync(bed.fs), 0);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_nothing_is_written_before_the_commit)
{
	struct bed bed;
	pblk block;

	bed_make(&bed, _i, nowritedev_new);
	fill_one(&bed);
	block = new_tree_block(&bed, 7);
	change_tree_block(&bed, block, 8);
	ck_assert_int_eq(alloc_release(bed.fs->alloc, fill_one(&bed), 1), 0);
	ck_assert_int_eq(tx_store_super(bed.fs), 0);
	ck_assert(tx_pending(bed.fs));
	hostfs_abandon(bed.fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_mark_first_then_first_then_second)
{
	struct bed bed;
	pblk old, fresh;
	const struct recdev_event *e;
	GPtrArray *list;

	bed_make(&bed, _i, recdev_new);
	old = new_tree_block(&bed, 1);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);

	/* Mark, flush, first epoch, flush; there is no second one. */
	list = recdev_events(bed.dev);
	e = list->pdata[0];
	ck_assert(covers(e, 1024));
	ck_assert_uint_eq(e->len, bed.fs->block_size);
	ck_assert_uint_eq(state_of(e) & EXT2_VALID_FS, 0);
	ck_assert_uint_eq(recdev_changes(bed.dev, 0), 1);
	ck_assert_uint_eq(recdev_epochs(bed.dev), 3);
	ck_assert_uint_eq(recdev_changes(bed.dev, 2), 0);
	ck_assert_uint_eq(epoch_of_block(&bed, old.v), 1);
	g_ptr_array_unref(list);

	recdev_clear(bed.dev);
	ck_assert(!meta_is_new(bed.fs, old));
	change_tree_block(&bed, old, 2);
	fresh = new_tree_block(&bed, 3);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(epoch_of_block(&bed, fresh.v), 0);
	ck_assert_uint_eq(
		epoch_of_block(&bed, ext2fs_block_bitmap_loc(bed.fs->fs, 0)),
		0);
	ck_assert_uint_eq(epoch_of(&bed, 1024), 0);
	ck_assert_uint_eq(epoch_of_block(&bed, old.v), 1);
	ck_assert_uint_eq(recdev_epochs(bed.dev), 3);
	hostfs_abandon(bed.fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_host_is_marked_until_it_is_finished)
{
	struct bed bed;
	GPtrArray *list;
	guint last = 0;
	pblk block;

	bed_make(&bed, _i, recdev_new);
	block = fill_one(&bed);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(state_on_source(&bed) & EXT2_VALID_FS, 0);
	ck_assert_int_eq(alloc_release(bed.fs->alloc, block, 1), 0);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);

	list = recdev_events(bed.dev);
	for (guint i = 0; i < list->len; i++)
		if (covers(list->pdata[i], 1024))
			last = i;
	for (guint i = 0; i <= last; i++)
		if (covers(list->pdata[i], 1024))
			ck_assert_int_eq(!(state_of(list->pdata[i]) &
					   EXT2_VALID_FS),
					 i < last);
	/* Alone between two flushes, and the last of all. */
	ck_assert_uint_eq(last, list->len - 2);
	ck_assert_int_eq(((struct recdev_event *)list->pdata[last - 1])->kind,
			 RECDEV_FLUSH);
	ck_assert_int_eq(((struct recdev_event *)list->pdata[last + 1])->kind,
			 RECDEV_FLUSH);
	g_ptr_array_unref(list);
	expect_fsck(&bed, 0);
	bed_clear(&bed);
}
END_TEST

/* A superblock that waited in the overlay since before the mark. */
START_TEST(test_early_superblock_does_not_undo_the_mark)
{
	struct bed bed;

	bed_make(&bed, _i, recdev_new);
	bed.fs->fs->super->s_mnt_count++;
	ck_assert_int_eq(tx_store_super(bed.fs), 0);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(state_on_source(&bed) & EXT2_VALID_FS, 0);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	ck_assert_uint_eq(state_on_source(&bed) & EXT2_VALID_FS, EXT2_VALID_FS);
	expect_fsck(&bed, 0);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_released_bits_go_out_lazily)
{
	struct bed bed;
	struct blkdev_counters before, after;
	pblk block;

	bed_make(&bed, _i, recdev_new);
	block = fill_one(&bed);
	ck_assert_int_eq(alloc_release(bed.fs->alloc, block, 1), 0);
	ck_assert_int_eq(hostfs_sync(bed.fs), 0);
	ck_assert(alloc_dirty(bed.fs->alloc));

	/* Nothing urgent: a sync is one flush. */
	ck_assert(!tx_pending(bed.fs));
	recdev_clear(bed.dev);
	ck_assert_int_eq(hostfs_sync(bed.fs), 0);
	ck_assert_uint_eq(events(&bed), 1);

	/* The timer writes them, without a flush. */
	blkdev_counters(bed.dev, &before);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	blkdev_counters(bed.dev, &after);
	ck_assert_uint_gt(after.writes, before.writes);
	ck_assert_uint_eq(after.flushes, before.flushes);
	ck_assert(!alloc_dirty(bed.fs->alloc));
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	expect_fsck(&bed, 0);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_times_alone_need_no_flush)
{
	struct bed bed;
	struct timespec later = { .tv_sec = time(NULL) + 60 };
	struct hostfile *hf;
	GError *error = NULL;

	bed_make(&bed, _i, recdev_new);
	hf = hostfile_open(bed.fs, "/file", 4096, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	hostfile_touch(hf, &later);
	ck_assert(!tx_pending(bed.fs));
	ck_assert_int_eq(hostfs_sync(bed.fs), 0);
	ck_assert_uint_eq(events(&bed), 1);

	/* The mark has the only flush. */
	recdev_clear(bed.dev);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(recdev_changes(bed.dev, 0), 1);
	ck_assert_uint_ge(recdev_changes(bed.dev, 1), 1);
	ck_assert_uint_eq(recdev_epochs(bed.dev), 2);
	recdev_clear(bed.dev);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(events(&bed), 0);
	hostfile_close(hf);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	expect_fsck(&bed, 0);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_sync_flushes_once_when_nothing_is_pending)
{
	struct bed bed;

	bed_make(&bed, _i, recdev_new);
	ck_assert_int_eq(hostfs_sync(bed.fs), 0);
	ck_assert_uint_eq(events(&bed), 1);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(events(&bed), 1);
	hostfs_abandon(bed.fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_freed_tree_block_is_not_written)
{
	struct bed bed;
	pblk block;

	bed_make(&bed, _i, recdev_new);
	block = new_tree_block(&bed, 5);
	ck_assert_int_eq(meta_free(bed.fs, block), 0);
	ck_assert(!meta_is_new(bed.fs, block));
	ck_assert_uint_eq(alloc_pending(bed.fs->alloc), 1);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(epoch_of_block(&bed, block.v), NOWHERE);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	expect_fsck(&bed, 0);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_tree_block_over_metadata_is_refused)
{
	struct bed bed;
	g_autofree uint8_t *buf = NULL;
	uint64_t table;

	bed_make(&bed, _i, nowritedev_new);
	buf = g_malloc0(bed.fs->block_size);
	table = ext2fs_inode_table_loc(bed.fs->fs, 0);
	ck_assert_int_eq(meta_write(bed.fs, pblk_at(table), buf), -EUCLEAN);
	ck_assert_int_eq(meta_free(bed.fs, pblk_at(table)), -EUCLEAN);
	ck_assert(!tx_pending(bed.fs));
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	bed_clear(&bed);
}
END_TEST

static int start(struct bed *bed)
{
	int err;

	mutex_lock(&bed->fs->lock);
	err = tx_start(bed->fs);
	mutex_unlock(&bed->fs->lock);
	return err;
}

START_TEST(test_large_transaction_is_committed_before_it_grows)
{
	struct bed bed;
	unsigned n = 0;

	bed_make(&bed, 0, recdev_new);
	while (n < 4000) {
		new_tree_block(&bed, (uint8_t)(n % 250 + 1));
		n++;
	}
	ck_assert_int_eq(start(&bed), 0);
	ck_assert_uint_eq(events(&bed), 0);
	while (n++ < 4096)
		new_tree_block(&bed, 1);
	ck_assert_int_eq(start(&bed), 0);
	ck_assert_uint_eq(overlay_dirty_count(bed.fs->meta), 0);
	ck_assert_uint_eq(bed.fs->stats.commits, 1);
	ck_assert_uint_ge(bed.fs->stats.commit_blocks, 4096);
	hostfs_abandon(bed.fs);
	bed_clear(&bed);
}
END_TEST

/* ---- errors ---- */

/* A history that has every kind of commit in it, until the first error. */
static int history(struct bed *bed)
{
	pblk tree = new_tree_block(bed, 1), data;
	int err;

	err = hostfs_commit(bed->fs);
	if (err)
		return err;
	change_tree_block(bed, tree, 2);
	data = fill_one(bed);
	err = alloc_release(bed->fs->alloc, data, 1);
	if (!err)
		err = hostfs_sync(bed->fs);
	if (!err)
		err = meta_free(bed->fs, tree);
	if (!err)
		err = hostfs_commit(bed->fs);
	if (!err)
		err = hostfs_commit(bed->fs);
	if (!err)
		err = hostfs_settle(bed->fs);
	return err;
}

static void expect_broken(struct bed *bed)
{
	struct hostfs_stats stats;
	size_t dirty = overlay_dirty_count(bed->fs->meta);
	struct blkdev_counters before, after;

	hostfs_stats(bed->fs, &stats);
	ck_assert_int_eq(stats.failed, EIO);
	ck_assert_int_eq(tx_may_change(bed->fs), -EROFS);
	/* What comes later changes neither the source nor the reason. */
	blkdev_counters(bed->mem, &before);
	tx_fail(bed->fs, -ENOSPC, "something else");
	ck_assert_int_eq(hostfs_commit(bed->fs), -EROFS);
	ck_assert_int_eq(hostfs_sync(bed->fs), -EROFS);
	ck_assert_uint_eq(overlay_dirty_count(bed->fs->meta), dirty);
	ck_assert_int_eq(hostfs_close(bed->fs), -EIO);
	blkdev_counters(bed->mem, &after);
	ck_assert_uint_eq(after.writes, before.writes);
}

START_TEST(test_failed_write_or_flush_breaks_the_host)
{
	struct bed bed;
	GBytes *fresh;
	bool fired = true;

	bed_make(&bed, _i % 4, faultdev_new);
	fresh = memdev_snapshot(bed.mem);
	for (uint64_t n = 1; fired; n++) {
		int err;

		faultdev_arm(bed.dev, _i < 4 ? FAULTDEV_WRITE : FAULTDEV_FLUSH,
			     n, EIO, FAULTDEV_ONCE);
		err = history(&bed);
		fired = faultdev_fired(bed.dev);
		ck_assert_int_eq(err, fired ? -EIO : 0);
		if (!fired) {
			ck_assert_uint_ge(n, 8);
			break;
		}
		ck_assert(state_on_source(&bed) & EXT2_ERROR_FS);
		expect_broken(&bed);
		faultdev_disarm(bed.dev);
		memdev_restore(bed.mem, fresh);
		bed_open(&bed);
	}
	faultdev_disarm(bed.dev);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	expect_fsck(&bed, 0);
	g_bytes_unref(fresh);
	bed_clear(&bed);
}
END_TEST

START_TEST(test_dead_source_breaks_the_host_once)
{
	struct bed bed;

	bed_make(&bed, _i, faultdev_new);
	fill_one(&bed);
	faultdev_arm(bed.dev, FAULTDEV_ANY, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(hostfs_commit(bed.fs), -EIO);
	expect_broken(&bed);
	bed_clear(&bed);
}
END_TEST

/* The second epoch never follows a first one that may be lost. */
START_TEST(test_no_later_epoch_after_an_error)
{
	struct bed bed;
	pblk old;

	bed_make(&bed, _i, faultdev_new);
	old = new_tree_block(&bed, 1);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	change_tree_block(&bed, old, 2);
	fill_one(&bed);
	faultdev_arm(bed.dev, FAULTDEV_FLUSH, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(hostfs_commit(bed.fs), -EIO);
	ck_assert_uint_eq(memdev_bytes(bed.mem)[old.v << bed.fs->bits], 1);
	hostfs_abandon(bed.fs);
	bed_clear(&bed);
}
END_TEST

static Suite *suite(void)
{
	const int n = G_N_ELEMENTS(mkfs);
	Suite *s = suite_create("tx");
	TCase *order = tcase_create("order");
	TCase *errors = tcase_create("errors");

	tcase_add_loop_test(order, test_unchanged_host_is_not_written, 0, n);
	tcase_add_loop_test(order, test_nothing_is_written_before_the_commit, 0,
			    n);
	tcase_add_loop_test(order, test_mark_first_then_first_then_second, 0,
			    n);
	tcase_add_loop_test(order, test_host_is_marked_until_it_is_finished, 0,
			    n);
	tcase_add_loop_test(order, test_early_superblock_does_not_undo_the_mark,
			    0, n);
	tcase_add_loop_test(order, test_released_bits_go_out_lazily, 0, n);
	tcase_add_loop_test(order, test_times_alone_need_no_flush, 0, n);
	tcase_add_loop_test(
		order, test_sync_flushes_once_when_nothing_is_pending, 0, n);
	tcase_add_loop_test(order, test_freed_tree_block_is_not_written, 0, n);
	tcase_add_loop_test(order, test_tree_block_over_metadata_is_refused, 0,
			    n);
	tcase_add_test(order,
		       test_large_transaction_is_committed_before_it_grows);
	tcase_add_loop_test(errors, test_failed_write_or_flush_breaks_the_host,
			    0, 2 * n);
	tcase_add_loop_test(errors, test_dead_source_breaks_the_host_once, 0,
			    n);
	tcase_add_loop_test(errors, test_no_later_epoch_after_an_error, 0, n);
	suite_add_tcase(s, order);
	suite_add_tcase(s, errors);
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
