/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts that the recovery leaves alone: each with its code, words that say why,
 * and not a byte written.
 */
#include "recover_bed.h"

#include <support/nowritedev.h>

#define FINE (-1)

static const struct host_case {
	const char *mkfs;
	const char *edit; /* of debugfs; NULL */
	int expected;	  /* FINE: nothing to do; or the error's code */
	const char *words;
} hosts[] = {
	{ "-t ext4", NULL, FINE, NULL },
	{ "-t ext3", NULL, FINE, NULL },
	{ "-t ext2", NULL, FINE, NULL },
	{ "-t ext4 -O ^has_journal", NULL, FINE, NULL },
	{ "-t ext4 -O bigalloc,quota,project", NULL, FINE, NULL },
	{ "-t ext4", "ssv state 3\n", FINE, NULL },

	{ "-t ext2", "feature needs_recovery\n", RAWMAP_ERROR_CORRUPT,
	  "has none" },
	{ "-t ext4", "ssv feature_incompat 0x20000000\n",
	  RAWMAP_ERROR_UNSUPPORTED, "'FEATURE_I29'" },
	{ "-O journal_dev", NULL, RAWMAP_ERROR_UNSUPPORTED,
	  "journal of another filesystem" },
	{ "-t ext4", "feature needs_recovery\nssv journal_inum 0\n",
	  RAWMAP_ERROR_UNSUPPORTED, "on another device" },
	{ "-t ext4", "feature needs_recovery\nfeature mmp\n",
	  RAWMAP_ERROR_UNSUPPORTED, "'mmp'" },
	{ "-t ext4", "feature needs_recovery\nssv last_orphan 12\n",
	  RAWMAP_ERROR_DIRTY, "orphaned inodes" },
	/* The orphan file is the first ordinary inode behind lost+found. */
	{ "-t ext4 -O orphan_file",
	  "feature needs_recovery\nfeature orphan_present\nclri <12>\n",
	  RAWMAP_ERROR_CORRUPT, "orphan file that cannot be read" },

	/* Where the journal's map makes no sense. */
	{ "-t ext4", "feature needs_recovery\nclri <8>\n", RAWMAP_ERROR_CORRUPT,
	  "cannot be found" },
	{ "-t ext4", "feature needs_recovery\nssv journal_inum 4000000\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext4", "feature needs_recovery\nssv journal_inum 2\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext4", "feature needs_recovery\npunch <8> 100 101\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext3", "feature needs_recovery\npunch <8> 100 101\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext4", "feature needs_recovery\nsif <8> size 4096000\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext4",
	  "feature needs_recovery\nsif <8> size 0x7fffffffffffffff\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext3", "feature needs_recovery\nsif <8> block[3] 0x7ffffff0\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	{ "-t ext3", "feature needs_recovery\nsif <8> block[0] 1\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	/* As many blocks as the size says, one of them in the wrong place. */
	{ "-t ext4 -b 1024 -J size=1",
	  "feature needs_recovery\npunch <8> 100 100\n"
	  "sif <8> size 1047552\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
	/* The first extent, of 1024 blocks, unwritten. */
	{ "-t ext4 -b 1024 -J size=1",
	  "feature needs_recovery\nsif <8> block[4] 33792\n",
	  RAWMAP_ERROR_CORRUPT, "cannot be found" },
};

/* Refused, or nothing to do: nothing is written anyway. */
static void expect(const struct bed *bed, const uint8_t *bytes, bool dry_run,
		   int expected, const char *words)
{
	const struct recover_options opt = { .dry_run = dry_run };
	struct recover_report report = { .blocks = 4711 };
	g_autoptr(blkdev) dev = bed_device(bed, bytes);
	g_autoptr(blkdev) guard = nowritedev_new(dev);
	g_autoptr(GError) error = NULL;
	bool done = hostfs_recover(guard, &opt, &report, &error);

	if (expected == FINE) {
		ck_assert_msg(done, "%s", error ? error->message : "?");
		ck_assert(!report.needed);
		ck_assert_uint_eq(report.blocks, 0);
		return;
	}
	ck_assert(!done);
	ck_assert_uint_eq(report.blocks, 4711);
	ck_assert_msg(error->code == expected &&
			      strstr(error->message, words) &&
			      strstr(error->message, "'the source'"),
		      "code %d: %s", error->code, error->message);
}

static void init_plain(struct bed *bed, const char *mkfs, const char *edit)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = 16 << 20 };

	*bed = (struct bed){ .img = hostimg_make(&spec), .bs = 1024 };
	bed->journal = g_array_new(FALSE, FALSE, sizeof(struct extent));
	if (edit)
		hostimg_edit(bed->img, "%s", edit);
	bed_refresh(bed);
}

START_TEST(hosts_that_are_left_alone)
{
	const struct host_case *c = &hosts[_i];
	struct bed bed;

	init_plain(&bed, c->mkfs, c->edit);
	expect(&bed, bed.dirty, false, c->expected, c->words);
	bed_clear(&bed);
}
END_TEST

START_TEST(mmp_hinders_no_dry_run)
{
	const struct recover_options opt = { .dry_run = true };
	struct recover_report report;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	init_plain(&bed, "-t ext4", "feature needs_recovery\nfeature mmp\n");
	{
		g_autoptr(blkdev) dev = bed_device(&bed, bed.dirty);

		ck_assert(hostfs_recover(dev, &opt, &report, &error));
		ck_assert(report.needed);
	}
	bed_clear(&bed);
}
END_TEST

START_TEST(what_is_no_filesystem_is_refused)
{
	static const size_t sizes[] = { 512, 1024, 2047, 2048, 1 << 20 };
	struct bed bed = { .bs = 512, .size = sizes[_i] };
	g_autofree uint8_t *zeros = g_malloc0(bed.size);

	expect(&bed, zeros, false, RAWMAP_ERROR_CORRUPT, "no ext2, ext3");
}
END_TEST

/* One bit of the primary superblock. */
START_TEST(a_damaged_superblock_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[0]);
	bed_super(bed.dirty)->s_mtime ^= 1;
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_CORRUPT,
	       "damaged superblock");
	bed_clear(&bed);
}
END_TEST

/* A committed block of the log: kinds 0 and 1 have checksums. */
START_TEST(a_damaged_log_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	bed_journal_block(&bed, bed.dirty, 2)[5] ^= 1;
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_CORRUPT, "journal");
	expect(&bed, bed.dirty, true, RAWMAP_ERROR_CORRUPT, "journal");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_damaged_journal_superblock_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	bed_journal_super(&bed, bed.dirty)->header.magic = be32_of(4711);
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_CORRUPT, "journal");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_log_that_the_superblock_does_not_know_of_is_refused)
{
	struct bed bed;

	bed_init(&bed, &kinds[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	bed_refresh(&bed);
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_DIRTY, "'e2fsck -f'");
	expect(&bed, bed.dirty, true, RAWMAP_ERROR_DIRTY, "'e2fsck -f'");
	bed_clear(&bed);
}
END_TEST

START_TEST(an_error_that_the_superblock_does_not_know_of_is_refused)
{
	struct bed bed;

	init_plain(&bed, "-t ext3 -b 1024", NULL);
	g_array_unref(bed.journal);
	bed.journal = hostimg_extents(bed.img, "<8>");
	bed_journal_super(&bed, bed.dirty)->error = be32_of(5);
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_DIRTY, "recorded an error");
	bed_clear(&bed);
}
END_TEST

/* The log must not be able to move the filesystem under our feet. */
START_TEST(a_log_that_leaves_no_filesystem_is_refused)
{
	static const struct {
		size_t at;
		const char *words;
	} damages[] = {
		{ offsetof(struct ext2_super_block, s_magic), "no ext2" },
		{ offsetof(struct ext2_super_block, s_blocks_count),
		  "cut short" },
		{ offsetof(struct ext2_super_block, s_log_block_size),
		  "numbers" },
		{ offsetof(struct ext2_super_block, s_inodes_per_group) + 3,
		  "numbers" },
		{ offsetof(struct ext2_super_block, s_inodes_count),
		  "no filesystem" },
	};
	g_autofree uint8_t *super = NULL;
	g_autofree char *file = NULL, *script = NULL;
	struct bed bed;

	bed_init(&bed, &kinds[2]);
	super = g_memdup2(bed_super(bed.dirty), 1024);
	super[damages[_i].at] ^= 0x7f;
	file = bed_file(&bed, "super", super, 1024);
	script = g_strdup_printf("journal_write -b 1 %s\n", file);
	bed_log(&bed, "", script);
	bed_refresh(&bed);
	expect(&bed, bed.dirty, false, RAWMAP_ERROR_CORRUPT, damages[_i].words);
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/recover_refused");
	TCase *tc = tcase_create("recover_refused");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, hosts_that_are_left_alone, 0,
			    G_N_ELEMENTS(hosts));
	tcase_add_test(tc, mmp_hinders_no_dry_run);
	tcase_add_loop_test(tc, what_is_no_filesystem_is_refused, 0, 5);
	tcase_add_test(tc, a_damaged_superblock_is_refused);
	tcase_add_loop_test(tc, a_damaged_log_is_refused, 0, 2);
	tcase_add_loop_test(tc, a_damaged_journal_superblock_is_refused, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(
		tc, a_log_that_the_superblock_does_not_know_of_is_refused, 0,
		G_N_ELEMENTS(kinds));
	tcase_add_test(
		tc, an_error_that_the_superblock_does_not_know_of_is_refused);
	tcase_add_loop_test(tc, a_log_that_leaves_no_filesystem_is_refused, 0,
			    5);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
