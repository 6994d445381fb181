/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Journals whose map makes no sense: a log read through one of these would be
 * another one, so nothing is recovered, nor shown, by it.
 */
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/recover.h>

#include <support/badhost.h>
#include <support/patchdev.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext3_extents.h>

#include <check.h>
#include <stdlib.h>

/* Of badhost_kinds: an extent maps the journal, sums are right again. */
#define EXT4 2

static struct badhost *bh;
static struct blkdev *dev;

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	bh = badhost_new(EXT4);
	dev = patchdev_new(bh->bytes);
}

static void teardown(void)
{
	blkdev_unref(dev);
	badhost_free(bh);
}

/* ---- ways to bend it: @e is the last extent of the root ---- */

static void as_it_is(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)inode;
	(void)e;
}

static void unwritten(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)inode;
	e->ee_len = (uint16_t)(e->ee_len + 32768);
}

static void behind_a_hole(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)inode;
	e->ee_block++;
}

static void a_block_short(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)inode;
	e->ee_len--;
}

static void outside(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)inode;
	e->ee_start = 4000; /* of 4096 blocks */
}

static void of_no_size(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)e;
	inode->i_size = 0;
}

static void of_a_directory(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)e;
	inode->i_mode = LINUX_S_IFDIR | 0755;
}

static void inline_data(struct ext2_inode *inode, struct ext3_extent *e)
{
	(void)e;
	inode->i_flags |= EXT4_INLINE_DATA_FL;
}

static const struct {
	void (*bend)(struct ext2_inode *inode, struct ext3_extent *last);
	bool refused;
} ways[] = {
	{ as_it_is, false },	  { unwritten, true },
	{ behind_a_hole, true },  { a_block_short, true },
	{ outside, true },	  { of_no_size, true },
	{ of_a_directory, true }, { inline_data, true },
};

static void bend(unsigned way)
{
	uint64_t pos = badhost_inode_pos(bh, EXT2_JOURNAL_INO);
	struct ext2_inode inode;
	struct ext3_extent_header *eh = (void *)inode.i_block;
	struct ext3_extent *e = (void *)(eh + 1);

	patchdev_peek(dev, &inode, sizeof(inode), pos);
	ck_assert(inode.i_flags & EXT4_EXTENTS_FL);
	ck_assert_uint_eq(eh->eh_depth, 0);
	ck_assert_uint_ge(eh->eh_entries, 1);
	ways[way].bend(&inode, &e[eh->eh_entries - 1]);
	patchdev_poke(dev, &inode, sizeof(inode), pos);
	badhost_seal(bh, dev);
}

/* @_i: of ways */
START_TEST(a_journal_with_a_bent_map_is_refused)
{
	const struct recover_options opt = { .dry_run = true };
	g_autoptr(GError) error = NULL;
	struct recover_report report;

	bend((unsigned)_i);
	ck_assert_int_eq(hostfs_recover(dev, &opt, &report, &error),
			 !ways[_i].refused);
	ck_assert_msg(!error || g_error_matches(error, RAWMAP_ERROR,
						RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/journal_map");
	TCase *tc = tcase_create("journal_map");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_journal_with_a_bent_map_is_refused, 0,
			    G_N_ELEMENTS(ways));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
