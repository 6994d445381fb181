/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a commit writes, and in which order, as a recording device sees it.
 * docs/durability.md promises it, and every crash state depends on it. The
 * hosts have one block group, so that a block's number says what it is.
 */
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/recdev.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE  (UINT64_C(6) << 20)
#define BS    1024
#define NAME  "disk.img"
#define IMAGE "/" NAME
#define COMB  500 /* blocks of data, each alone */

static const char *const mkfs[] = {
	"-t ext2 -b 1024",
	"-t ext3 -b 1024",
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -O ^has_journal,^metadata_csum",
};

struct bed {
	struct hostimg *img;
	struct blkdev *mem, *rec;
	struct hostfs *fs;
	struct image *image;
	uint32_t itable, itable_end; /* blocks */
	uint32_t block_bitmap, inode_bitmap, desc;
	GArray *tree, *data; /* of struct extent, as on the source */
	bool extents;
};

static struct bed bed;

static uint32_t u32_at(uint64_t pos)
{
	uint32_t v;

	memcpy(&v, memdev_bytes(bed.mem) + pos, sizeof(v));
	return GUINT32_FROM_LE(v);
}

static bool marked_clean(const uint8_t *super)
{
	return super[58] & 1;
}

/* The first group's descriptor follows the superblock's block. */
static void learn_layout(void)
{
	uint32_t per_group = u32_at(1024 + 40);
	uint32_t inode_size = u32_at(1024 + 88) & 0xffff;

	bed.desc = 2;
	bed.block_bitmap = u32_at(2048);
	bed.inode_bitmap = u32_at(2048 + 4);
	bed.itable = u32_at(2048 + 8);
	bed.itable_end = bed.itable + per_group * inode_size / BS;
}

static void bed_open(void)
{
	const struct hostfs_options opt = { .use_reserved = true };
	GError *error = NULL;
	struct hostfile *hf;

	bed.fs = hostfs_open(bed.rec, &opt, &error);
	ck_assert_msg(bed.fs, "%s", error ? error->message : "");
	hf = hostfile_open(bed.fs, IMAGE, 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	bed.image = image_new(hf, false);
	bed.extents = hostfile_extent_mapped(hf);
}

static void bed_make(int kind)
{
	const struct hostimg_spec spec = { mkfs[kind], SIZE };
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	memset(&bed, 0, sizeof(bed));
	bed.img = hostimg_make(&spec);
	hostimg_put_comb(bed.img, NAME, 1, BS, COMB);
	bytes = hostimg_bytes(bed.img, &len);
	bed.mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed.mem), bytes, len);
	bed.rec = recdev_new(bed.mem);
	learn_layout();
	bed_open();
}

static void bed_close(void)
{
	image_free(bed.image);
	bed.image = NULL;
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	bed.fs = NULL;
}

static void forget_map(void)
{
	g_clear_pointer(&bed.tree, g_array_unref);
	g_clear_pointer(&bed.data, g_array_unref);
}

static void bed_clear(void)
{
	if (bed.fs)
		bed_close();
	forget_map();
	blkdev_unref(bed.rec);
	blkdev_unref(bed.mem);
	hostimg_free(bed.img);
}

/* What the source says now is the state that a commit starts from. */
static void start_recording(void)
{
	forget_map();
	hostimg_store(bed.img, memdev_bytes(bed.mem), SIZE);
	bed.tree = hostimg_tree_blocks(bed.img, IMAGE);
	bed.data = hostimg_extents(bed.img, IMAGE);
	recdev_clear(bed.rec);
}

/* ---- what a block is ---- */

static bool listed(const GArray *list, uint64_t block)
{
	for (guint i = 0; i < list->len; i++) {
		const struct extent *e = &g_array_index(list, struct extent, i);

		if (block >= e->phys.v && block < e->phys.v + e->len)
			return true;
	}
	return false;
}

static bool is_super(uint64_t block)
{
	return block == 1;
}

static bool is_inode_table(uint64_t block)
{
	return block >= bed.itable && block < bed.itable_end;
}

static bool is_system(uint64_t block)
{
	return is_super(block) || is_inode_table(block) || block == bed.desc ||
	       block == bed.block_bitmap || block == bed.inode_bitmap;
}

/* Calls @see for every block of every write among the events from @first. */
typedef void (*see_fn)(const struct recdev_event *e, uint64_t block);

static void each_block(size_t first, see_fn see)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);

	for (guint i = (guint)first; i < events->len; i++) {
		const struct recdev_event *e = events->pdata[i];

		if (e->kind == RECDEV_FLUSH || e->kind == RECDEV_MARK)
			continue;
		for (uint64_t b = e->pos.v / BS; b * BS < e->pos.v + e->len;
		     b++)
			see(e, b);
	}
}

static size_t events_so_far(void)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);

	return events->len;
}

static unsigned flushes(void)
{
	return recdev_epochs(bed.rec) - 1;
}

/* ---- operations ---- */

static void put(uint64_t block, uint64_t n)
{
	g_autofree uint8_t *buf = g_malloc(n * BS);

	memset(buf, 0xa5, n * BS);
	ck_assert_int_eq(image_pwrite(bed.image, buf, n * BS,
				      img_off_at(block * BS)),
			 (ssize_t)(n * BS));
}

static void punch(uint64_t block, uint64_t n)
{
	ck_assert_int_eq(image_punch(bed.image, img_off_at(block * BS), n * BS),
			 0);
}

static void flush(void)
{
	ck_assert_int_eq(image_flush(bed.image), 0);
}

/* Fills, punches, an overwrite, zeros: all over the tree. */
static void change_much(GRand *rand)
{
	for (int i = 0; i < 12; i++) {
		uint64_t at = (uint64_t)g_rand_int_range(rand, 0, 2 * COMB);
		uint64_t n = (uint64_t)g_rand_int_range(rand, 1, 8);

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			punch(at, n * 4);
			break;
		case 1:
			ck_assert_int_eq(image_zero(bed.image,
						    img_off_at(at * BS), n * BS,
						    true),
					 0);
			break;
		default:
			put(at, n);
			break;
		}
	}
	put(2 * COMB + 300, 3);
}

/* ---- the order ---- */

static struct {
	unsigned first; /* number of the commit's first epoch */
	unsigned inodes, old_trees, systems, others;
} seen;

static void see_data_only(const struct recdev_event *e, uint64_t block)
{
	ck_assert_msg(!is_system(block) && !listed(bed.tree, block),
		      "block %llu is written before the commit",
		      (unsigned long long)block);
	ck_assert_uint_eq(e->epoch, 0);
}

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
	ck_assert_uint_gt(seen.systems, 0);
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
	bed_make(_i);
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
	bed_make(_i);
	put(2 * COMB + 40, 30);
	flush();
	forget_map();
	hostimg_store(bed.img, memdev_bytes(bed.mem), SIZE);
	bed.data = hostimg_extents(bed.img, IMAGE);
	memset(&seen, 0, sizeof(seen));
	each_block(0, see_new_data);
	ck_assert_uint_eq(seen.others, 30);
	bed_clear();
}
END_TEST

START_TEST(a_flush_with_nothing_pending_is_one_device_flush)
{
	bed_make(_i);
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
	bed_make(_i);
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	ck_assert_uint_eq(events_so_far(), 0);
	bed_clear();
}
END_TEST

START_TEST(an_overwrite_writes_no_metadata)
{
	bed_make(_i);
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
	bed_make(_i);
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
	bed_make(_i);
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

	bed_make(_i);
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
			    n);
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
