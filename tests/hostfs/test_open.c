/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening the host: what it says about itself, what it refuses, the guard. */
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct shape {
	const char *mkfs, *kind;
	uint32_t block_size;
} shapes[] = {
	{ "-t ext2 -b 1024", "ext2", 1024 },
	{ "-t ext2 -b 2048", "ext2", 2048 },
	{ "-t ext2 -b 4096", "ext2", 4096 },
	{ "-t ext3 -b 1024", "ext3", 1024 },
	{ "-t ext3 -b 2048", "ext3", 2048 },
	{ "-t ext3 -b 4096", "ext3", 4096 },
	{ "-t ext4 -b 1024", "ext4", 1024 },
	{ "-t ext4 -b 2048", "ext4", 2048 },
	{ "-t ext4 -b 4096", "ext4", 4096 },
	{ "-t ext4 -b 1024 -O meta_bg,^resize_inode", "ext4", 1024 },
	{ "-t ext4 -b 4096 -O ^has_journal,sparse_super2", "ext4", 4096 },
	{ "-t ext4 -b 1024 -I 128 -O ^metadata_csum,^64bit,uninit_bg", "ext4",
	  1024 },
};

static struct hostimg *make(const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = 16 << 20 };

	return hostimg_make(&spec);
}

static struct blkdev *mem_of(struct hostimg *img)
{
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(img, &len);
	struct blkdev *dev = memdev_new(len, 512);

	memcpy(memdev_bytes(dev), bytes, len);
	return dev;
}

static struct hostfs *open_ok(struct blkdev *dev, bool readonly)
{
	const struct hostfs_options opt = { .readonly = readonly };
	GError *error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);

	ck_assert_msg(fs != NULL, "%s", error ? error->message : "?");
	return fs;
}

static void check_refused(struct blkdev *dev, bool readonly,
			  enum rawmap_error code, const char *part)
{
	const struct hostfs_options opt = { .readonly = readonly };
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);

	ck_assert_ptr_null(fs);
	ck_assert_ptr_nonnull(error);
	ck_assert_msg(error->code == (int)code && strstr(error->message, part),
		      "code %d: %s", error->code, error->message);
}

START_TEST(info_says_what_mke2fs_made)
{
	const struct shape *shape = &shapes[_i];
	struct hostimg *img = make(shape->mkfs);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	const struct hostfs_options opt = {
		.name = hostimg_path(img),
		.readonly = true,
	};
	GError *error = NULL;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autofree char *stats = hostimg_ask(img, "stats");
	g_autofree char *line = NULL;

	fs = hostfs_open(dev, &opt, &error);
	ck_assert_ptr_nonnull(fs);
	hostfs_info(fs, &info);
	ck_assert_uint_eq(info.block_size, shape->block_size);
	ck_assert_uint_eq(info.blocks * info.block_size, 16 << 20);
	ck_assert_str_eq(info.kind, shape->kind);
	ck_assert(info.clean && !info.has_error && !info.needs_recovery);
	ck_assert_uint_eq(1u << hostfs_block_bits(fs), shape->block_size);
	line = g_strdup_printf("%s\n", info.uuid);
	ck_assert_ptr_nonnull(strstr(stats, line));
	g_free(line);
	line = g_strdup_printf("Filesystem features:      %s\n", info.features);
	ck_assert_msg(strstr(stats, line) != NULL, "%s in %s", line, stats);
	g_free(line);
	line = g_strdup_printf("Free blocks:              %" G_GUINT64_FORMAT
			       "\n",
			       info.free_blocks);
	ck_assert_ptr_nonnull(strstr(stats, line));
	ck_assert_int_eq(info.has_journal,
			 strstr(info.features, "has_journal") != NULL);
	hostfs_info_clear(&info);
	ck_assert_int_eq(hostfs_close(fs), 0);
	hostimg_free(img);
}
END_TEST

START_TEST(open_and_close_change_nothing)
{
	struct hostimg *img = make(shapes[_i].mkfs);
	g_autoptr(blkdev) dev = mem_of(img);
	GBytes *before = memdev_snapshot(dev), *after;
	struct blkdev_counters count;

	ck_assert_int_eq(hostfs_close(open_ok(dev, true)), 0);
	ck_assert_int_eq(hostfs_close(open_ok(dev, false)), 0);
	hostfs_abandon(open_ok(dev, false));
	after = memdev_snapshot(dev);
	ck_assert(g_bytes_equal(before, after));
	blkdev_counters(dev, &count);
	ck_assert_uint_eq(count.writes + count.zeros + count.discards, 0);
	g_bytes_unref(before);
	g_bytes_unref(after);
	hostimg_free(img);
}
END_TEST

static int guard_block(struct hostfs *fs, uint64_t block)
{
	unsigned bits = hostfs_block_bits(fs);

	return hostfs_guard(fs, dev_of_pblk(pblk_at(block), bits),
			    UINT64_C(1) << bits);
}

static void check_guard(struct hostfs *fs, const GArray *list, int expected)
{
	for (unsigned i = 0; i < list->len; i++) {
		const struct extent *e = &g_array_index(list, struct extent, i);

		for (uint64_t k = 0; k < e->len; k++)
			ck_assert_int_eq(guard_block(fs, e->phys.v + k),
					 expected);
	}
}

/* The number behind each @what in @stats is a block that is not ours. */
static void check_guard_named(struct hostfs *fs, const char *stats,
			      const char *what)
{
	const char *p = stats;
	unsigned n = 0;

	for (; (p = strstr(p, what)); n++) {
		p += strlen(what);
		ck_assert_int_eq(guard_block(fs, strtoull(p, NULL, 10)),
				 -EUCLEAN);
	}
	ck_assert_uint_gt(n, 0);
}

START_TEST(guard_knows_the_blocks_that_are_not_data)
{
	const struct hostimg_piece piece = { 0, 300000 };
	struct hostimg *img = make(shapes[_i].mkfs);
	g_autofree char *stats = NULL;
	g_autoptr(GArray) data = NULL, journal = NULL, tree = NULL;
	g_autoptr(blkdev) dev = NULL;
	struct hostfs *fs;

	hostimg_put(img, "file", 1, 300000, &piece, 1);
	stats = hostimg_ask(img, "stats");
	data = hostimg_extents(img, "/file");
	journal = hostimg_extents(img, "<8>");
	tree = hostimg_tree_blocks(img, "<8>");
	dev = mem_of(img);
	fs = open_ok(dev, false);
	check_guard(fs, data, 0);
	check_guard(fs, journal, -EUCLEAN);
	check_guard(fs, tree, -EUCLEAN);
	check_guard_named(fs, stats, "block bitmap at ");
	check_guard_named(fs, stats, "inode bitmap at ");
	check_guard_named(fs, stats, "inode table at ");
	ck_assert_int_eq(guard_block(fs, 0), -EUCLEAN);
	ck_assert_int_eq(guard_block(fs, 1), -EUCLEAN);
	hostfs_abandon(fs);
	hostimg_free(img);
}
END_TEST

START_TEST(guard_refuses_ranges_that_reach_outside)
{
	struct hostimg *img = make("-t ext2 -b 1024");
	g_autoptr(blkdev) dev = mem_of(img);
	struct hostfs *fs = open_ok(dev, false);
	uint64_t end = 16 << 20;

	ck_assert_int_eq(hostfs_guard(fs, dev_off_at(end - 512), 512), 0);
	ck_assert_int_eq(hostfs_guard(fs, dev_off_at(end - 512), 513),
			 -EUCLEAN);
	ck_assert_int_eq(hostfs_guard(fs, dev_off_at(end), 1), -EUCLEAN);
	ck_assert_int_eq(hostfs_guard(fs, dev_off_at(UINT64_MAX), 2), -EUCLEAN);
	ck_assert_int_eq(hostfs_guard(fs, dev_off_at(4096), UINT64_MAX),
			 -EUCLEAN);
	hostfs_abandon(fs);
	hostimg_free(img);
}
END_TEST

START_TEST(what_is_not_ext_is_refused)
{
	g_autoptr(blkdev) zeros = memdev_new(1 << 20, 512);
	g_autoptr(blkdev) tiny = memdev_new(1500, 512);

	check_refused(zeros, true, RAWMAP_ERROR_CORRUPT,
		      "no ext2, ext3 or ext4 filesystem");
	check_refused(tiny, true, RAWMAP_ERROR_CORRUPT,
		      "no ext2, ext3 or ext4 filesystem");
}
END_TEST

START_TEST(a_source_cut_short_is_refused_with_both_sizes)
{
	struct hostimg *img = make("-t ext4 -b 1024");
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(img, &len);
	g_autoptr(blkdev) dev = memdev_new_readonly(bytes, len - 512, 512);

	check_refused(dev, true, RAWMAP_ERROR_CORRUPT, "16776704 bytes");
	check_refused(dev, true, RAWMAP_ERROR_CORRUPT, "16777216");
	hostimg_free(img);
}
END_TEST

START_TEST(a_damaged_superblock_is_refused)
{
	struct hostimg *img = make("-t ext4");
	g_autoptr(blkdev) dev = mem_of(img);

	memdev_bytes(dev)[1024 + 0x78] ^= 1;
	check_refused(dev, true, RAWMAP_ERROR_CORRUPT, "wrong checksum");
	hostimg_free(img);
}
END_TEST

START_TEST(impossible_numbers_are_refused)
{
	static const struct {
		unsigned offset;
		uint8_t byte;
	} damage[] = {
		{ 0x18, 60 },			/* s_log_block_size */
		{ 0x14, 200 },			/* s_first_data_block */
		{ 0x20, 3 },			/* s_blocks_per_group */
		{ 0x22, 0x77 }, { 0x28, 0x11 }, /* s_inodes_per_group */
		{ 0x07, 0xff }, /* s_blocks_count, far too many */
		{ 0x59, 0x40 }, /* s_inode_size */
	};
	struct hostimg *img = make("-t ext2 -b 1024 -I 128");
	g_autoptr(blkdev) dev = mem_of(img);
	uint8_t *super = memdev_bytes(dev) + 1024;

	for (unsigned i = 0; i < G_N_ELEMENTS(damage); i++) {
		uint8_t saved = super[damage[i].offset];

		super[damage[i].offset] = damage[i].byte;
		check_refused(dev, true, RAWMAP_ERROR_CORRUPT, "");
		super[damage[i].offset] = saved;
	}
	ck_assert_int_eq(hostfs_close(open_ok(dev, true)), 0);
	hostimg_free(img);
}
END_TEST

START_TEST(descriptors_that_point_outside_are_refused)
{
	struct hostimg *img = make("-t ext2 -b 1024");
	g_autoptr(blkdev) dev = mem_of(img);

	/* The inode table of group 0, in the block behind the superblock. */
	memset(memdev_bytes(dev) + 2048 + 8, 0xff, 4);
	check_refused(dev, true, RAWMAP_ERROR_CORRUPT, "group descriptors");
	hostimg_free(img);
}
END_TEST

START_TEST(a_readonly_host_has_nothing_to_write)
{
	struct hostimg *img = make("-t ext2 -b 1024");
	g_autoptr(blkdev) dev = mem_of(img);
	const struct hostfs_options opt = {
		.readonly = true,
		.name = hostimg_path(img),
	};
	struct hostfs *fs = hostfs_open(dev, &opt, NULL);

	ck_assert_ptr_eq(hostfs_data_dev(fs), dev);
	ck_assert(hostfs_readonly(fs));
	ck_assert_int_eq(hostfs_sync(fs), 0);
	ck_assert_int_eq(hostfs_commit(fs), 0);
	ck_assert(!hostfs_pending(fs));
	ck_assert_uint_eq(hostfs_available(fs), 0);
	ck_assert_int_eq(hostfs_close(fs), 0);
	hostimg_free(img);
}
END_TEST

START_TEST(size_and_times_survive_and_fsck_agrees)
{
	const uint64_t size = UINT64_C(5) << 30;
	const struct timespec when = { INT64_C(0x180000001), 123456789 };
	const struct hostimg_piece piece = { 0, 3000 };
	struct hostimg *img = make(shapes[_i].mkfs);
	g_autofree char *said = NULL;
	struct blkdev *dev;
	struct hostfs *fs;
	struct hostfile *hf;
	struct hostfile_attr attr;

	hostimg_put(img, "file", 1, 5000, &piece, 1);
	dev = hostimg_dev(img, false);
	fs = open_ok(dev, false);
	hf = hostfile_open(fs, "/file", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	ck_assert_int_eq(hostfile_set_size(hf, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(hostfile_set_size(hf, size), 0);
	ck_assert_uint_eq(hostfile_size(hf), size);
	ck_assert_int_eq(hostfile_set_times(hf, &when, &when), 0);
	hostfile_close(hf);
	ck_assert_int_eq(hostfs_close(fs), 0);
	blkdev_unref(dev);
	ck_assert_msg(hostimg_fsck(img, &said) == 0, "%s", said);

	dev = hostimg_dev(img, true);
	fs = open_ok(dev, true);
	hf = hostfile_open(fs, "/file", 0, NULL);
	ck_assert_int_eq(hostfile_set_size(hf, 1), -EROFS);
	ck_assert_int_eq(hostfile_set_times(hf, &when, NULL), -EROFS);
	hostfile_attr(hf, &attr);
	ck_assert_uint_eq(attr.size, size);
	if (!strstr(shapes[_i].mkfs, "-I 128")) {
		ck_assert_int_eq(attr.mtime.tv_sec, when.tv_sec);
		ck_assert_int_eq(attr.mtime.tv_nsec, when.tv_nsec);
		ck_assert_int_eq(attr.atime.tv_sec, when.tv_sec);
	} else {
		ck_assert_int_eq(attr.mtime.tv_sec, INT32_MAX);
		ck_assert_int_eq(attr.mtime.tv_nsec, 0);
	}
	hostfile_close(hf);
	ck_assert_int_eq(hostfs_close(fs), 0);
	blkdev_unref(dev);
	hostimg_free(img);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/open");
	TCase *tc = tcase_create("open");
	SRunner *runner;
	int failed, n = G_N_ELEMENTS(shapes);

	tcase_add_loop_test(tc, info_says_what_mke2fs_made, 0, n);
	tcase_add_loop_test(tc, open_and_close_change_nothing, 0, n);
	tcase_add_loop_test(tc, guard_knows_the_blocks_that_are_not_data, 0, n);
	tcase_add_test(tc, guard_refuses_ranges_that_reach_outside);
	tcase_add_test(tc, what_is_not_ext_is_refused);
	tcase_add_test(tc, a_source_cut_short_is_refused_with_both_sizes);
	tcase_add_test(tc, a_damaged_superblock_is_refused);
	tcase_add_test(tc, impossible_numbers_are_refused);
	tcase_add_test(tc, descriptors_that_point_outside_are_refused);
	tcase_add_loop_test(tc, size_and_times_survive_and_fsck_agrees, 0, n);
	tcase_add_test(tc, a_readonly_host_has_nothing_to_write);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
