/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts made to keep a reader busy, or to fool the guard: numbers and maps that
 * make no sense but get past libext2fs. What is asked of each is that it is
 * refused, and soon; "soon" is counted in requests and lookups, not in seconds.
 */
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/image/image.h>
#include <rawmap/map/extmap.h>

#include <support/badhost.h>
#include <support/patchdev.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext3_extents.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of badhost_kinds. */
#define EXT2	  0
#define EXT4_BARE 1
#define EXT4	  2
#define EXT3	  3
#define CLUSTERS  6

/* What a small host can need. */
#define REQUESTS 500

#define LONG_LINK 15 /* inode of /vm/long */

static struct badhost *bh;
static struct blkdev *dev;

static void setup(unsigned kind)
{
	log_set_level(LOG_LEVEL_ERROR);
	bh = badhost_new(kind);
	dev = patchdev_new(bh->bytes);
}

static void teardown(void)
{
	blkdev_unref(dev);
	badhost_free(bh);
}

static struct hostfs *open_host(bool readonly, GError **error)
{
	const struct hostfs_options opt = { .readonly = readonly };

	return hostfs_open(dev, &opt, error);
}

static void expect_refused(void)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(open_host(true, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
}

static void get_inode(uint32_t ino, struct ext2_inode *ret)
{
	patchdev_peek(dev, ret, sizeof(*ret), badhost_inode_pos(bh, ino));
}

static void put_inode(uint32_t ino, const struct ext2_inode *inode)
{
	patchdev_poke(dev, inode, sizeof(*inode), badhost_inode_pos(bh, ino));
	badhost_seal(bh, dev);
}

/* A block that may be used for anything: the file's own. */
static uint32_t spare(unsigned i)
{
	return (uint32_t)g_array_index(bh->extents, struct extent, i).phys.v;
}

/* ---- the superblock ---- */

static void change_super(void (*how)(struct ext2_super_block *super))
{
	struct ext2_super_block super;

	patchdev_peek(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	how(&super);
	patchdev_poke(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	badhost_seal(bh, dev);
}

/* The bytes of the table of a group are 2^32 more than 32 bits can say. */
static void too_many_inodes(struct ext2_super_block *super)
{
	uint32_t groups = super->s_inodes_count / super->s_inodes_per_group;
	uint64_t more = (UINT64_C(1) << 32) / EXT2_INODE_SIZE(super);

	super->s_inodes_per_group += (uint32_t)more;
	super->s_inodes_count = groups * super->s_inodes_per_group;
}

static void first_block_zero(struct ext2_super_block *super)
{
	super->s_first_data_block = 0;
}

START_TEST(a_table_of_inodes_larger_than_its_blocks_is_refused)
{
	setup(EXT2);
	change_super(too_many_inodes);
	expect_refused();
	teardown();
}
END_TEST

START_TEST(a_first_group_that_starts_before_the_superblock_is_refused)
{
	setup(EXT2);
	change_super(first_block_zero);
	expect_refused();
	teardown();
}
END_TEST

/* More than a block of bitmap can count, all of them in one group. */
static void too_many_blocks(struct ext2_super_block *super)
{
	uint32_t bits = 8 * 1024u << super->s_log_block_size;
	uint32_t ratio =
		super->s_blocks_per_group / super->s_clusters_per_group;

	/* libext2fs takes no more. */
	bits = MIN(2 * bits, 65528);
	super->s_clusters_per_group = bits;
	super->s_blocks_per_group = bits * ratio;
	super->s_inodes_count = super->s_inodes_per_group;
}

/* @_i: of badhost_kinds */
START_TEST(a_group_larger_than_its_bitmap_is_refused)
{
	setup((unsigned)_i);
	change_super(too_many_blocks);
	expect_refused();
	teardown();
}
END_TEST

/* Of a number that no reader needs. */
START_TEST(a_descriptor_with_a_wrong_sum_is_refused)
{
	const struct badhost_area *a;
	uint8_t byte;
	guint i = 0;

	setup(EXT4);
	do
		a = &g_array_index(bh->areas, struct badhost_area, i++);
	while (a->what != BADHOST_DESC);
	patchdev_peek(dev, &byte, 1, a->pos + 12); /* free blocks */
	byte ^= 1;
	patchdev_poke(dev, &byte, 1, a->pos + 12);
	expect_refused();
	teardown();
}
END_TEST

static void first_inode_zero(struct ext2_super_block *super)
{
	super->s_first_ino = 0;
}

START_TEST(the_first_inodes_are_not_written_whatever_the_superblock_says)
{
	g_autoptr(GError) error = NULL;
	struct hostfs *fs;

	setup(EXT2);
	change_super(first_inode_zero);
	fs = open_host(false, &error);
	ck_assert_msg(fs, "%s", error ? error->message : "");
	ck_assert_ptr_null(hostfile_open(fs, "<7>", 0, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_READONLY),
		      "%s", error->message);
	hostfs_abandon(fs);
	teardown();
}
END_TEST

/* ---- trees ---- */

/* A node whose @n entries all lead to @child. */
static void put_node(void *raw, size_t size, unsigned depth, unsigned n,
		     uint32_t child)
{
	struct ext3_extent_header *eh = raw;
	struct ext3_extent_idx *ix = (void *)(eh + 1);

	memset(raw, 0, size);
	eh->eh_magic = EXT3_EXT_MAGIC;
	eh->eh_depth = (uint16_t)depth;
	eh->eh_entries = (uint16_t)n;
	eh->eh_max = (uint16_t)((size - sizeof(*eh)) / sizeof(*ix));
	for (unsigned i = 0; i < n; i++)
		ix[i] = (struct ext3_extent_idx){ .ei_block = i,
						  .ei_leaf = child };
}

/*
 * Four entries, below each four levels of nodes that are full of one child, and
 * leaves of extents without blocks: 200 million reads, and no block at the end.
 */
static void make_endless(struct ext2_inode *inode)
{
	const size_t size = 1024, full = (size - 12) / 12;
	uint8_t raw[1024];

	for (unsigned level = 0; level < 5; level++) {
		unsigned depth = 4 - level;

		put_node(raw, size, depth, (unsigned)full,
			 depth ? spare(level + 1) : 0);
		patchdev_poke(dev, raw, size, spare(level) * size);
	}
	put_node(inode->i_block, sizeof(inode->i_block), 5, 4, spare(0));
	inode->i_flags |= EXT4_EXTENTS_FL;
}

/* What a path leads through makes no sense, and that is found soon. */
static void refuse_path(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = open_host(true, NULL);

	ck_assert_ptr_nonnull(fs);
	ck_assert_ptr_null(hostfile_open(fs, path, 0, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
	hostfs_close(fs);
}

START_TEST(a_link_with_an_endless_map_is_an_error)
{
	struct ext2_inode inode;

	setup(EXT4_BARE);
	get_inode(LONG_LINK, &inode);
	make_endless(&inode);
	put_inode(LONG_LINK, &inode);
	patchdev_allow(dev, REQUESTS);
	refuse_path("/vm/long");
	teardown();
}
END_TEST

START_TEST(a_directory_with_an_endless_map_is_an_error)
{
	struct ext2_inode inode;

	setup(EXT4_BARE);
	get_inode(EXT2_ROOT_INO, &inode);
	make_endless(&inode);
	inode.i_size = 1u << 30;
	put_inode(EXT2_ROOT_INO, &inode);
	patchdev_allow(dev, REQUESTS);
	refuse_path("/vm/long");
	teardown();
}
END_TEST

static void put_leaf(uint32_t block, uint32_t start, unsigned len,
		     uint32_t phys)
{
	uint8_t raw[1024];
	struct ext3_extent_header *eh = (void *)raw;
	struct ext3_extent *e = (void *)(eh + 1);

	put_node(raw, sizeof(raw), 0, 1, 0);
	*e = (struct ext3_extent){ .ee_block = start,
				   .ee_len = (uint16_t)len,
				   .ee_start = phys };
	patchdev_poke(dev, raw, sizeof(raw), block * UINT64_C(1024));
}

/* Two leaves: blocks 0 to 7, and 8 to 15. */
static void put_two_leaves(unsigned len_of_first)
{
	struct ext2_inode inode;
	struct ext3_extent_idx *ix = (void *)(inode.i_block + 3);

	put_leaf(spare(0), 0, len_of_first, spare(2));
	put_leaf(spare(1), 8, 8, spare(2));
	get_inode(BADHOST_DISK, &inode);
	put_node(inode.i_block, sizeof(inode.i_block), 1, 2, spare(0));
	ix[1].ei_block = 8;
	ix[1].ei_leaf = spare(1);
	put_inode(BADHOST_DISK, &inode);
}

/* What a block is would depend on which leaf was read last. */
START_TEST(an_extent_that_reaches_into_the_next_leaf_is_an_error)
{
	char byte;

	setup(EXT4_BARE);
	for (unsigned len = 8; len <= 9; len++) {
		struct hostfs *fs;
		struct image *img;

		put_two_leaves(len);
		fs = open_host(true, NULL);
		ck_assert_ptr_nonnull(fs);
		img = image_new(hostfile_open(fs, "<12>", 1 << 20, NULL), true);
		ck_assert_int_eq(image_pread(img, &byte, 1, img_off_at(0)),
				 len == 8 ? 1 : -EUCLEAN);
		image_free(img);
		hostfs_close(fs);
	}
	teardown();
}
END_TEST

/* libext2fs takes a depth of 65535, and a block of memory for each level. */
#define DEEP 100

static void make_deep_journal(void)
{
	struct ext2_inode inode;
	uint8_t raw[1024];

	for (unsigned i = 0; i < DEEP; i++) {
		put_node(raw, sizeof(raw), 4, 1, spare(i + 1));
		patchdev_poke(dev, raw, sizeof(raw), spare(i) * sizeof(raw));
	}
	get_inode(EXT2_JOURNAL_INO, &inode);
	inode.i_flags |= EXT4_EXTENTS_FL;
	put_node(inode.i_block, sizeof(inode.i_block), 65535, 1, spare(0));
	put_inode(EXT2_JOURNAL_INO, &inode);
}

/* A look at its first block is all that a clean host is read for. */
START_TEST(a_journal_with_too_deep_a_map_is_left_alone)
{
	struct hostfs *fs;

	setup(EXT3);
	make_deep_journal();
	patchdev_allow(dev, DEEP);
	fs = open_host(true, NULL);
	ck_assert_ptr_nonnull(fs);
	hostfs_close(fs);
	teardown();
}
END_TEST

START_TEST(a_journal_with_too_deep_a_map_is_refused_at_once)
{
	const struct recover_options opt = { .dry_run = true };
	g_autoptr(GError) error = NULL;
	struct recover_report report;

	setup(EXT3);
	make_deep_journal();
	patchdev_allow(dev, DEEP / 2);
	ck_assert(!hostfs_recover(dev, &opt, &report, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
	teardown();
}
END_TEST

/* ---- a map of many leaves that are one block of zeros ---- */

static void put_pointers(uint32_t block, uint32_t to)
{
	uint32_t pointers[256];

	for (unsigned i = 0; i < 256; i++)
		pointers[i] = to;
	patchdev_poke(dev, pointers, sizeof(pointers), block * UINT64_C(1024));
}

static void make_empty_leaves(void)
{
	struct ext2_inode inode;

	get_inode(BADHOST_DISK, &inode);
	memset(inode.i_block, 0, sizeof(inode.i_block));
	inode.i_block[EXT2_TIND_BLOCK] = spare(0);
	inode.i_size = 0;
	inode.i_size_high = 1;
	put_inode(BADHOST_DISK, &inode);
	put_pointers(spare(0), spare(1));
	put_pointers(spare(1), spare(2));
	put_pointers(spare(2), 0);
}

/* Twenty leaves among them with a block at their end. */
#define RUNS 20

static void make_few_blocks(void)
{
	uint32_t pointers[256];

	for (unsigned i = 0; i < 256; i++)
		pointers[i] = spare(2);
	for (unsigned i = 0; i < RUNS; i++)
		pointers[i * 12] = spare(20 + i);
	patchdev_poke(dev, pointers, sizeof(pointers),
		      spare(3) * UINT64_C(1024));
	for (unsigned i = 0; i < RUNS; i++) {
		put_pointers(spare(20 + i), 0);
		patchdev_poke(dev, &(uint32_t){ spare(20 + RUNS + i) }, 4,
			      spare(20 + i) * UINT64_C(1024) + 255 * 4);
	}
	patchdev_poke(dev, &(uint32_t){ spare(3) }, 4,
		      spare(0) * UINT64_C(1024));
}

/*
 * There are 65536 leaves: each is looked at a few times, not all of them for
 * each. Without a cache, so that none is remembered as a part of a larger hole.
 */
START_TEST(truncating_a_map_of_many_empty_leaves_is_linear)
{
	struct hostfs *fs;
	struct hostfile *hf;
	struct image *img;
	struct extmap_stats stats;

	setup(EXT2);
	make_empty_leaves();
	if (_i)
		make_few_blocks();
	fs = open_host(false, NULL);
	ck_assert_ptr_nonnull(fs);
	hf = hostfile_open(fs, "<12>", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	img = image_new(hf, false);
	ck_assert_int_eq(image_truncate(img, 0), 0);
	extmap_stats(hostfile_map(hf), &stats);
	ck_assert_uint_lt(stats.hits + stats.misses, 1000000);
	image_free(img);
	hostfs_close(fs);
	teardown();
}
END_TEST

/* ---- a deleted file that has 16 million blocks, all the same ---- */

static void make_same_blocks(void)
{
	struct ext2_inode inode;

	get_inode(BADHOST_DISK, &inode);
	memset(inode.i_block, 0, sizeof(inode.i_block));
	inode.i_block[EXT2_TIND_BLOCK] = spare(0);
	inode.i_size_high = 1;
	inode.i_links_count = 0;
	put_inode(BADHOST_DISK, &inode);
	for (unsigned i = 0; i < 3; i++)
		put_pointers(spare(i), spare(i + 1));
}

START_TEST(a_file_of_more_blocks_than_the_host_is_not_counted)
{
	const struct hostfs_options opt = { .readonly = true, .deleted = true };
	struct hostfile_remains left;
	struct hostfile *hf;
	struct hostfs *fs;

	setup(EXT2);
	make_same_blocks();
	fs = hostfs_open(dev, &opt, NULL);
	ck_assert_ptr_nonnull(fs);
	hf = hostfile_open(fs, "<12>", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	ck_assert_int_eq(hostfile_remains(hf, &left), -EUCLEAN);
	hostfile_close(hf);
	hostfs_close(fs);
	teardown();
}
END_TEST

/* No size says where it ended, and a search from its end finds nothing. */
START_TEST(a_deleted_map_of_many_empty_leaves_is_an_error)
{
	const struct hostfs_options opt = { .readonly = true, .deleted = true };
	g_autoptr(GError) error = NULL;
	struct ext2_inode inode;
	struct hostfs *fs;

	setup(EXT2);
	make_empty_leaves();
	get_inode(BADHOST_DISK, &inode);
	inode.i_links_count = 0;
	inode.i_size_high = 0;
	put_inode(BADHOST_DISK, &inode);
	fs = hostfs_open(dev, &opt, NULL);
	ck_assert_ptr_nonnull(fs);
	ck_assert_ptr_null(hostfile_open(fs, "<12>", 0, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
	hostfs_close(fs);
	teardown();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hostile");
	TCase *tc = tcase_create("hostile");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a_table_of_inodes_larger_than_its_blocks_is_refused);
	tcase_add_test(
		tc, a_first_group_that_starts_before_the_superblock_is_refused);
	tcase_add_loop_test(tc, a_group_larger_than_its_bitmap_is_refused, EXT2,
			    EXT2 + 1);
	tcase_add_loop_test(tc, a_group_larger_than_its_bitmap_is_refused,
			    CLUSTERS, CLUSTERS + 1);
	tcase_add_test(
		tc,
		the_first_inodes_are_not_written_whatever_the_superblock_says);
	tcase_add_test(tc, a_link_with_an_endless_map_is_an_error);
	tcase_add_test(tc, a_directory_with_an_endless_map_is_an_error);
	tcase_add_test(tc, a_journal_with_too_deep_a_map_is_left_alone);
	tcase_add_test(tc,
		       an_extent_that_reaches_into_the_next_leaf_is_an_error);
	tcase_add_test(tc, a_journal_with_too_deep_a_map_is_refused_at_once);
	tcase_add_test(tc, a_file_of_more_blocks_than_the_host_is_not_counted);
	tcase_add_loop_test(tc, truncating_a_map_of_many_empty_leaves_is_linear,
			    0, 2);
	tcase_add_test(tc, a_descriptor_with_a_wrong_sum_is_refused);
	tcase_add_test(tc, a_deleted_map_of_many_empty_leaves_is_an_error);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
