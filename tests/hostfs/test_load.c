/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading maps: against debugfs' own reading of the same file, map and bytes;
 * look-ahead and eviction; and damaged metadata, which may give errors and
 * nothing else.
 */
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/map/extmap.h>

#include <support/hostimg.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB    (UINT64_C(1) << 20)
#define BUDGET (1 << 20)

static const struct shape {
	const char *mkfs;
	uint32_t bs;
} shapes[] = {
	{ "-t ext2 -b 1024", 1024 },
	{ "-t ext2 -b 2048", 2048 },
	{ "-t ext2 -b 4096", 4096 },
	{ "-t ext3 -b 1024", 1024 },
	{ "-t ext3 -b 2048", 2048 },
	{ "-t ext3 -b 4096", 4096 },
	{ "-t ext4 -b 1024", 1024 },
	{ "-t ext4 -b 2048", 2048 },
	{ "-t ext4 -b 4096", 4096 },
	{ "-t ext4 -b 1024 -O ^metadata_csum,^64bit", 1024 },
};

struct bed {
	struct hostimg *img;
	struct blkdev *dev;
	struct hostfs *fs;
	struct hostfile *hf;
};

static void bed_make(struct bed *bed, const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = 16 * MIB };

	*bed = (struct bed){ .img = hostimg_make(&spec) };
}

static void bed_open(struct bed *bed, const char *path, uint64_t budget)
{
	const struct hostfs_options opt = { .readonly = true };
	GError *error = NULL;

	bed->dev = hostimg_dev(bed->img, true);
	bed->fs = hostfs_open(bed->dev, &opt, &error);
	ck_assert_msg(bed->fs != NULL, "%s", error ? error->message : "?");
	bed->hf = hostfile_open(bed->fs, path, budget, &error);
	ck_assert_msg(bed->hf != NULL, "%s", error ? error->message : "?");
}

static void bed_clear(struct bed *bed)
{
	hostfile_close(bed->hf);
	ck_assert_int_eq(hostfs_close(bed->fs), 0);
	blkdev_unref(bed->dev);
	hostimg_free(bed->img);
}

/* The extent at @at, loaded where it must be; the cache says the same then. */
static int lookup(struct hostfile *hf, uint64_t at, uint64_t max,
		  struct extent *ret)
{
	int err = hostfile_map_at(hf, lblk_at(at), max, ret);
	struct extent cached;

	if (err)
		return err;
	ck_assert(extmap_lookup(hostfile_map(hf), lblk_at(at), max, &cached));
	ck_assert_uint_eq(cached.start.v, ret->start.v);
	ck_assert_int_eq(cached.state, ret->state);
	ck_assert_uint_ge(cached.len, ret->len);
	if (ret->state != EXTENT_HOLE)
		ck_assert_uint_eq(cached.phys.v, ret->phys.v);
	return 0;
}

/* [0, blocks) as extents, holes left out, merged as hostimg_extents() does. */
static GArray *read_map(struct hostfile *hf, uint64_t blocks)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct extent e, *last;

	for (uint64_t at = 0; at < blocks; at = extent_end(&e)) {
		ck_assert_int_eq(lookup(hf, at, blocks - at, &e), 0);
		ck_assert_uint_eq(e.start.v, at);
		if (e.state == EXTENT_HOLE)
			continue;
		last = list->len ? &g_array_index(list, struct extent,
						  list->len - 1)
				 : NULL;
		if (last && last->state == e.state && extent_end(last) == at &&
		    last->phys.v + last->len == e.phys.v)
			last->len += e.len;
		else
			g_array_append_val(list, e);
	}
	return list;
}

static void check_same(const GArray *ours, const GArray *theirs)
{
	ck_assert_uint_eq(ours->len, theirs->len);
	for (unsigned i = 0; i < ours->len; i++) {
		const struct extent *a = &g_array_index(ours, struct extent, i);
		const struct extent *b =
			&g_array_index(theirs, struct extent, i);

		ck_assert_uint_eq(a->start.v, b->start.v);
		ck_assert_uint_eq(a->len, b->len);
		ck_assert_uint_eq(a->phys.v, b->phys.v);
		ck_assert_int_eq((int)a->state, (int)b->state);
	}
}

static void check_map(struct bed *bed, const char *path, uint64_t blocks)
{
	g_autoptr(GArray) theirs = hostimg_extents(bed->img, path);
	g_autoptr(GArray) ours = read_map(bed->hf, blocks);
	g_autofree char *wrong = hostfile_check(bed->hf);

	ck_assert_uint_gt(theirs->len, 0);
	check_same(ours, theirs);
	ck_assert_msg(!wrong, "%s", wrong);
}

/* What the map says lies on the device is what was put into the file. */
static void check_bytes(struct bed *bed, uint32_t seed, uint64_t blocks)
{
	unsigned bits = hostfs_block_bits(bed->fs);
	g_autofree uint8_t *buf = g_malloc(UINT64_C(1) << bits);
	struct extent e;

	for (uint64_t at = 0; at < blocks; at = extent_end(&e)) {
		ck_assert_int_eq(lookup(bed->hf, at, 1, &e), 0);
		if (e.state != EXTENT_MAPPED)
			continue;
		ck_assert_int_eq(blkdev_pread(bed->dev, buf, 1u << bits,
					      dev_of_pblk(e.phys, bits)),
				 0);
		for (uint64_t k = 0; k < 1u << bits; k += 61)
			ck_assert_uint_eq(buf[k],
					  hostimg_pattern(seed,
							  (at << bits) + k));
	}
}

START_TEST(a_sparse_file_maps_as_debugfs_says)
{
	uint32_t bs = shapes[_i].bs;
	const struct hostimg_piece pieces[] = {
		{ 0, bs },
		{ 4 * bs, 12 * bs },
		{ 20 * bs, 7 * bs },
		{ 300 * bs, bs },
		{ 400 * bs, 30 * bs },
		{ 3000 * (uint64_t)bs, bs },
		{ 5000 * (uint64_t)bs, 3 * bs },
	};
	struct bed bed;

	bed_make(&bed, shapes[_i].mkfs);
	hostimg_put(bed.img, "file", 5, 6000 * (uint64_t)bs, pieces,
		    G_N_ELEMENTS(pieces));
	bed_open(&bed, "/file", BUDGET);
	ck_assert_uint_eq(hostfile_size(bed.hf), 6000 * (uint64_t)bs);
	check_map(&bed, "/file", 6000);
	check_bytes(&bed, 5, 6000);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_file_of_single_blocks_maps_as_debugfs_says)
{
	struct bed bed;

	bed_make(&bed, shapes[_i].mkfs);
	hostimg_put_comb(bed.img, "comb", 6, shapes[_i].bs, 1100);
	bed_open(&bed, "/comb", BUDGET);
	check_map(&bed, "/comb", 2200);
	check_bytes(&bed, 6, 2200);
	bed_clear(&bed);
}
END_TEST

START_TEST(blocks_behind_triple_indirection_are_found)
{
	const struct hostimg_piece pieces[] = {
		{ 1024, 1024 },	    { 20 * 1024, 1024 }, { 64 * MIB, 2048 },
		{ 69 * MIB, 1024 }, { 200 * MIB, 1024 },
	};
	struct bed bed;

	bed_make(&bed, "-t ext3 -b 1024");
	hostimg_put(bed.img, "far", 7, 300 * MIB, pieces, 5);
	bed_open(&bed, "/far", BUDGET);
	check_map(&bed, "/far", 300 * 1024);
	bed_clear(&bed);
}
END_TEST

START_TEST(unwritten_extents_are_told_from_written_ones)
{
	const struct hostimg_piece piece = { 10 * 1024, 1024 };
	struct bed bed;
	struct extent e;

	bed_make(&bed, "-t ext4 -b 1024");
	hostimg_put(bed.img, "file", 8, 200 * 1024, &piece, 1);
	hostimg_edit(bed.img, "fallocate /file 50 120\n");
	bed_open(&bed, "/file", BUDGET);
	ck_assert_int_eq(lookup(bed.hf, 60, 100, &e), 0);
	ck_assert_int_eq((int)e.state, EXTENT_UNWRITTEN);
	check_map(&bed, "/file", 200);
	bed_clear(&bed);
}
END_TEST

START_TEST(blocks_behind_the_end_of_the_map_are_a_hole)
{
	struct bed bed;
	struct extent e;

	bed_make(&bed, shapes[_i].mkfs);
	hostimg_put_comb(bed.img, "comb", 6, shapes[_i].bs, 30);
	bed_open(&bed, "/comb", BUDGET);
	ck_assert_int_eq(lookup(bed.hf, LBLK_END - 1, 10, &e), 0);
	ck_assert_int_eq((int)e.state, EXTENT_HOLE);
	ck_assert_int_eq(lookup(bed.hf, LBLK_END / 2, 10, &e), 0);
	ck_assert_int_eq((int)e.state, EXTENT_HOLE);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_hole_is_answered_in_few_loads)
{
	struct bed bed;
	struct extmap_stats stats;

	bed_make(&bed, shapes[_i].mkfs);
	hostimg_put_comb(bed.img, "comb", 6, shapes[_i].bs, 1);
	bed_open(&bed, "/comb", BUDGET);
	g_array_unref(read_map(bed.hf, LBLK_END));
	extmap_stats(hostfile_map(bed.hf), &stats);
	ck_assert_uint_le(stats.loads, 5);
	bed_clear(&bed);
}
END_TEST

/* A leaf of 1 KiB indirect blocks is 256 blocks. */
static uint64_t loads_of(struct bed *bed)
{
	struct extmap_stats stats;

	extmap_stats(hostfile_map(bed->hf), &stats);
	return stats.loads;
}

START_TEST(sequential_misses_load_more_and_more)
{
	struct bed bed;
	struct extent e;
	uint64_t before, at = 0, calls = 0;

	bed_make(&bed, "-t ext2 -b 1024");
	hostimg_put_comb(bed.img, "comb", 6, 1024, 5000);
	bed_open(&bed, "/comb", 16 << 20);
	for (; at < 10000; at++) {
		if (extmap_lookup(hostfile_map(bed.hf), lblk_at(at), 1, &e))
			continue;
		ck_assert_int_eq(hostfile_map_at(bed.hf, lblk_at(at), 1, &e),
				 0);
		calls++;
	}
	/* 40 leaves by 1 or 2, 4, 8, 16, 16. */
	ck_assert_uint_ge(loads_of(&bed), 40);
	ck_assert_uint_le(calls, 7);
	before = loads_of(&bed);
	ck_assert_int_eq(hostfile_map_at(bed.hf, lblk_at(5), 1, &e), 0);
	ck_assert_uint_eq(loads_of(&bed), before);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_random_miss_loads_one_leaf)
{
	struct bed bed;
	struct extent e;

	bed_make(&bed, "-t ext2 -b 1024");
	hostimg_put_comb(bed.img, "comb", 6, 1024, 5000);
	bed_open(&bed, "/comb", 16 << 20);
	ck_assert_int_eq(hostfile_map_at(bed.hf, lblk_at(9000), 1, &e), 0);
	ck_assert_int_eq(hostfile_map_at(bed.hf, lblk_at(3000), 1, &e), 0);
	ck_assert_int_eq(hostfile_map_at(bed.hf, lblk_at(6000), 1, &e), 0);
	ck_assert_uint_eq(loads_of(&bed), 3);
	bed_clear(&bed);
}
END_TEST

START_TEST(what_was_asked_for_is_known_with_no_budget_at_all)
{
	struct bed bed;

	bed_make(&bed, shapes[_i].mkfs);
	hostimg_put_comb(bed.img, "comb", 6, shapes[_i].bs, 1100);
	bed_open(&bed, "/comb", 0);
	check_map(&bed, "/comb", 2200);
	bed_clear(&bed);
}
END_TEST

/* ---- damage ---- */

static uint32_t next_random(uint32_t *state)
{
	*state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
	return *state >> 8;
}

static void use_damaged(struct hostfile *hf)
{
	struct hostfile_attr attr;
	struct extent e;
	int err;

	hostfile_attr(hf, &attr);
	for (uint64_t at = 0; at < 1400; at += 97) {
		err = lookup(hf, at, 1, &e);
		ck_assert(!err || err == -EUCLEAN || err == -EIO);
	}
	for (uint64_t at = 1 << 16; at < LBLK_END; at *= 2) {
		err = lookup(hf, at, 1, &e);
		ck_assert(!err || err == -EUCLEAN || err == -EIO);
	}
}

/* True when the file could be opened. */
static bool open_damaged(struct blkdev *dev, bool readonly)
{
	const struct hostfs_options opt = { .readonly = readonly };
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);
	struct hostfile *hf = NULL;

	if (fs)
		hf = hostfile_open(fs, "/dir/link", BUDGET, &error);
	ck_assert(hf || error);
	if (hf)
		use_damaged(hf);
	hostfile_close(hf);
	hostfs_abandon(fs);
	return hf != NULL;
}

/* Byte positions where damage is interesting. */
static GArray *metadata_of(struct hostimg *img, uint32_t bs)
{
	static const char *const files[] = { "/comb", "/dir", "/" };
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct extent e = { .phys = pblk_at(1024 / 64), .len = 1024 / 64 };
	g_autofree char *where = hostimg_ask(img, "imap <12>");
	const char *block = strstr(where, "located at block ");

	/* In units of 64 bytes: superblock, descriptors, inodes 9 to 16. */
	g_array_append_val(list, e);
	e.phys = pblk_at((bs > 1024 ? bs : 2048) / 64);
	e.len = 1;
	g_array_append_val(list, e);
	ck_assert_ptr_nonnull(block);
	e.phys = pblk_at(strtoull(block + 17, NULL, 10) * (bs / 64));
	e.len = bs / 64;
	g_array_append_val(list, e);
	for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autoptr(GArray)
			found = i ? hostimg_extents(img, files[i])
				  : hostimg_tree_blocks(img, files[i]);

		for (unsigned k = 0; k < found->len && k < 4; k++) {
			e = g_array_index(found, struct extent, k);
			e.phys.v *= bs / 64;
			e.len = bs / 64;
			g_array_append_val(list, e);
		}
	}
	return list;
}

START_TEST(damaged_metadata_gives_errors_and_nothing_else)
{
	static const char *const mkfs[] = {
		"-t ext4 -b 1024 -N 16 -O ^metadata_csum",
		"-t ext2 -b 1024 -N 16",
		"-t ext4 -b 1024 -N 16",
	};
	struct bed bed;
	g_autoptr(GArray) places = NULL;
	g_autofree uint8_t *bytes = NULL;
	g_autoptr(blkdev) dev = NULL;
	uint32_t seed = (uint32_t)_i + 1;
	unsigned opened = 0;
	size_t len;

	bed_make(&bed, mkfs[_i]);
	hostimg_put_comb(bed.img, "comb", 6, 1024, 700);
	hostimg_edit(bed.img, "mkdir dir\nsymlink /dir/link /comb\n");
	places = metadata_of(bed.img, 1024);
	bytes = hostimg_bytes(bed.img, &len);
	dev = memdev_new(len, 512);
	memcpy(memdev_bytes(dev), bytes, len);
	ck_assert(open_damaged(dev, false));
	for (unsigned i = 0; i < 1500; i++) {
		const struct extent *e =
			&g_array_index(places, struct extent,
				       next_random(&seed) % places->len);
		uint64_t at =
			e->phys.v * 64 + next_random(&seed) % (e->len * 64);
		uint8_t *byte = memdev_bytes(dev) + at;
		uint8_t saved = *byte;

		*byte = next_random(&seed) % 3
				? (uint8_t)(saved ^
					    1u << next_random(&seed) % 8)
				: (uint8_t)next_random(&seed);
		opened += open_damaged(dev, i % 2);
		*byte = saved;
	}
	ck_assert_uint_gt(opened, 0);
	hostimg_free(bed.img);
}
END_TEST

START_TEST(a_wrong_checksum_of_a_tree_block_is_found)
{
	struct bed bed;
	g_autoptr(GArray) tree = NULL;
	g_autofree uint8_t *bytes = NULL;
	const struct extent *e;
	struct extent found;
	size_t len;

	bed_make(&bed, "-t ext4 -b 1024");
	hostimg_put_comb(bed.img, "comb", 6, 1024, 300);
	tree = hostimg_tree_blocks(bed.img, "/comb");
	bytes = hostimg_bytes(bed.img, &len);
	e = &g_array_index(tree, struct extent, 0);
	/* An extent's place, in a way that nothing but the sum can tell. */
	bytes[e->phys.v * 1024 + 12 + 8] ^= 1;
	hostimg_store(bed.img, bytes, len);
	bed_open(&bed, "/comb", BUDGET);
	ck_assert_int_eq(lookup(bed.hf, 0, 1, &found), -EUCLEAN);
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/load");
	TCase *tc = tcase_create("load");
	SRunner *runner;
	int failed, n = G_N_ELEMENTS(shapes);

	tcase_add_loop_test(tc, a_sparse_file_maps_as_debugfs_says, 0, n);
	tcase_add_loop_test(tc, a_file_of_single_blocks_maps_as_debugfs_says, 0,
			    n);
	tcase_add_test(tc, blocks_behind_triple_indirection_are_found);
	tcase_add_test(tc, unwritten_extents_are_told_from_written_ones);
	tcase_add_loop_test(tc, blocks_behind_the_end_of_the_map_are_a_hole, 0,
			    n);
	tcase_add_loop_test(tc, a_hole_is_answered_in_few_loads, 0, n);
	tcase_add_test(tc, sequential_misses_load_more_and_more);
	tcase_add_test(tc, a_random_miss_loads_one_leaf);
	tcase_add_loop_test(
		tc, what_was_asked_for_is_known_with_no_budget_at_all, 0, n);
	tcase_add_loop_test(tc, damaged_metadata_gives_errors_and_nothing_else,
			    0, 3);
	tcase_add_test(tc, a_wrong_checksum_of_a_tree_block_is_found);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
