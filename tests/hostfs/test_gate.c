/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What may be opened and what may be written: every line of the gate, on hosts
 * made or bent by e2fsprogs, with the code and the words of its sentence.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfile.h>

#include <support/hostimg.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FINE (-1)

static const struct host_case {
	const char *mkfs;
	const char *edit;	 /* of debugfs; NULL */
	int readonly, readwrite; /* FINE or the error's code */
	const char *words;	 /* in every sentence */
} hosts[] = {
	{ "-t ext2", NULL, FINE, FINE, NULL },
	{ "-t ext3", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O meta_bg,^resize_inode", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O ^64bit,^flex_bg", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O 64bit,metadata_csum_seed,large_dir,ea_inode,"
	  "stable_inodes,orphan_file,inline_data,verity",
	  NULL, FINE, FINE, NULL },
	{ "-t ext4 -O encrypt", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O casefold", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O sparse_super2,^resize_inode", NULL, FINE, FINE, NULL },
	{ "-t ext4 -O ^metadata_csum,uninit_bg", NULL, FINE, FINE, NULL },
	{ "-r 0", NULL, FINE, FINE, NULL },

	{ "-t ext4 -O bigalloc", NULL, FINE, RAWMAP_ERROR_READONLY,
	  "'bigalloc'" },
	{ "-t ext4 -O quota", NULL, FINE, RAWMAP_ERROR_READONLY,
	  "tune2fs -O ^quota" },
	{ "-t ext4 -O project,quota", NULL, FINE, RAWMAP_ERROR_READONLY,
	  "(-r)" },
	{ "-t ext4 -O mmp", NULL, FINE, RAWMAP_ERROR_READONLY,
	  "tune2fs -O ^mmp" },
	{ "-t ext4 -O fast_commit", NULL, FINE, RAWMAP_ERROR_READONLY,
	  "tune2fs -O ^fast_commit" },
	{ "-t ext4", "feature shared_blocks\n", FINE, RAWMAP_ERROR_READONLY,
	  "'shared_blocks'" },
	{ "-t ext4", "feature read-only\n", FINE, RAWMAP_ERROR_READONLY,
	  "'read-only'" },
	{ "-t ext4", "ssv feature_ro_compat 0x20000000\n", FINE,
	  RAWMAP_ERROR_READONLY, "'FEATURE_R29'" },
	{ "-t ext2", "ssv feature_compat 0x20000000\n", FINE, FINE, NULL },
	{ "-t ext4", "ssv feature_incompat 0x20000042\n",
	  RAWMAP_ERROR_UNSUPPORTED, RAWMAP_ERROR_UNSUPPORTED, "'FEATURE_I29'" },
	{ "-t ext2", "ssv feature_incompat 3\n", RAWMAP_ERROR_UNSUPPORTED,
	  RAWMAP_ERROR_UNSUPPORTED, "'compression'" },
	{ "-O journal_dev", NULL, RAWMAP_ERROR_UNSUPPORTED,
	  RAWMAP_ERROR_UNSUPPORTED, "journal of another filesystem" },
	{ "-t ext4", "ssv journal_inum 0\n", FINE, RAWMAP_ERROR_READONLY,
	  "journal on another device" },

	{ "-t ext4", "feature needs_recovery\n", FINE, RAWMAP_ERROR_DIRTY,
	  "'e2fsck -p' or 'rawmap recover'" },
	{ "-t ext2", "feature needs_recovery\n", FINE, RAWMAP_ERROR_DIRTY,
	  "read-only (-r)" },
	{ "-t ext2", "ssv state 0\n", FINE, RAWMAP_ERROR_DIRTY, "e2fsck -p" },
	{ "-t ext4", "ssv state 3\n", FINE, RAWMAP_ERROR_DIRTY,
	  "errors recorded" },
	{ "-t ext4", "ssv last_orphan 12\n", FINE, RAWMAP_ERROR_DIRTY,
	  "orphaned inodes" },
	{ "-t ext4 -O orphan_file", "feature orphan_present\n", FINE,
	  RAWMAP_ERROR_DIRTY, "orphaned inodes" },
	{ "-t ext4", "ssv rev_level 9\n", RAWMAP_ERROR_CORRUPT,
	  RAWMAP_ERROR_CORRUPT, "cannot open the filesystem" },
};

struct bed {
	struct hostimg *img;
	struct blkdev *dev;
	struct hostfs *fs;
};

static void bed_open(struct bed *bed, bool readonly, int expected,
		     const char *words)
{
	const struct hostfs_options opt = {
		.name = hostimg_path(bed->img),
		.readonly = readonly,
	};
	g_autoptr(GError) error = NULL;

	bed->dev = hostimg_dev(bed->img, readonly);
	bed->fs = hostfs_open(bed->dev, &opt, &error);
	if (expected == FINE) {
		ck_assert_msg(bed->fs != NULL, "%s",
			      error ? error->message : "?");
		return;
	}
	ck_assert_ptr_null(bed->fs);
	ck_assert_msg(error->code == expected &&
			      strstr(error->message, words) &&
			      strstr(error->message, opt.name),
		      "code %d: %s", error->code, error->message);
}

static void bed_close(struct bed *bed)
{
	hostfs_abandon(bed->fs);
	blkdev_unref(bed->dev);
}

START_TEST(hosts_are_let_in_or_refused)
{
	const struct host_case *c = &hosts[_i];
	const struct hostimg_spec spec = { .mkfs = c->mkfs, .size = 16 << 20 };
	struct bed bed = { .img = hostimg_make(&spec) };

	if (c->edit)
		hostimg_edit(bed.img, "%s", c->edit);
	bed_open(&bed, true, c->readonly, c->words);
	bed_close(&bed);
	bed_open(&bed, false, c->readwrite, c->words);
	bed_close(&bed);
	hostimg_free(bed.img);
}
END_TEST

static const struct inode_case {
	const char *path;
	const char *edit;
	int readonly, readwrite;
	const char *words;
} inodes[] = {
	{ "/file", "", FINE, FINE, NULL },
	{ "/file", "sif file flags 0x8000a\n", FINE, FINE, NULL },
	{ "/file", "sif file flags 0x80010\n", FINE, RAWMAP_ERROR_READONLY,
	  "immutable" },
	{ "/file", "sif file flags 0x80020\n", FINE, RAWMAP_ERROR_READONLY,
	  "append-only" },
	{ "/file", "sif file flags 0x84000\n", FINE, RAWMAP_ERROR_READONLY,
	  "journalled" },
	{ "/file", "sif file flags 0x180000\n", FINE, RAWMAP_ERROR_READONLY,
	  "fs-verity" },
	{ "/file", "sif file flags 0x280000\n", FINE, RAWMAP_ERROR_READONLY,
	  "extended attribute" },
	{ "/file", "sif file flags 0x80800\n", RAWMAP_ERROR_UNSUPPORTED,
	  RAWMAP_ERROR_UNSUPPORTED, "encrypted" },
	{ "/file", "sif file flags 0x80200\n", RAWMAP_ERROR_UNSUPPORTED,
	  RAWMAP_ERROR_UNSUPPORTED, "compressed" },
	{ "/file", "sif file flags 0x80004\n", FINE, FINE, NULL },
	{ "/file", "sif file flags 0x10000000\n", RAWMAP_ERROR_CORRUPT,
	  RAWMAP_ERROR_READONLY, "inode" },
	{ "/file", "sif file links_count 0\n", RAWMAP_ERROR_NOT_FOUND,
	  RAWMAP_ERROR_NOT_FOUND, "no links" },
	{ "/file", "sif file size 0x7fffffffffffffff\n", RAWMAP_ERROR_CORRUPT,
	  RAWMAP_ERROR_CORRUPT, "size is impossible" },
	{ "/file", "sif file extra_isize 999\n", RAWMAP_ERROR_CORRUPT,
	  RAWMAP_ERROR_CORRUPT, "" },
	{ "/lost+found", "", RAWMAP_ERROR_NOT_A_FILE, RAWMAP_ERROR_NOT_A_FILE,
	  "a directory" },
	{ "/", "", RAWMAP_ERROR_NOT_A_FILE, RAWMAP_ERROR_NOT_A_FILE,
	  "a directory" },
	{ "/pipe", "mknod pipe p\n", RAWMAP_ERROR_NOT_A_FILE,
	  RAWMAP_ERROR_NOT_A_FILE, "a pipe" },
	{ "/disk", "mknod disk b 8 0\n", RAWMAP_ERROR_NOT_A_FILE,
	  RAWMAP_ERROR_NOT_A_FILE, "a device node" },
	{ "<8>", "", FINE, RAWMAP_ERROR_READONLY, "filesystem itself" },
	{ "<12>", "ssv orphan_file_inum 12\nfeature orphan_file\n", FINE,
	  RAWMAP_ERROR_READONLY, "filesystem itself" },
};

static void check_inode(struct bed *bed, const struct inode_case *c,
			bool readonly)
{
	int expected = readonly ? c->readonly : c->readwrite;
	g_autoptr(GError) error = NULL;
	struct hostfile *hf;

	bed_open(bed, readonly, FINE, NULL);
	hf = hostfile_open(bed->fs, c->path, 4096, &error);
	if (expected == FINE)
		ck_assert_msg(hf != NULL, "%s", error ? error->message : "?");
	else
		ck_assert_msg(!hf && error->code == expected &&
				      strstr(error->message, c->words) &&
				      strstr(error->message, c->path),
			      "code %d: %s", error ? error->code : 0,
			      error ? error->message : "opened");
	hostfile_close(hf);
	bed_close(bed);
}

START_TEST(inodes_are_let_in_or_refused)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4",
					   .size = 16 << 20 };
	const struct hostimg_piece piece = { 0, 100 };
	struct bed bed = { .img = hostimg_make(&spec) };

	hostimg_put(bed.img, "file", 1, 5000, &piece, 1);
	hostimg_edit(bed.img, "%s", inodes[_i].edit);
	check_inode(&bed, &inodes[_i], true);
	check_inode(&bed, &inodes[_i], false);
	hostimg_free(bed.img);
}
END_TEST

/* Fields of the journal's superblock, big-endian, and what they provoke. */
static const struct {
	unsigned offset;
	int readwrite;
	const char *words;
} journals[] = {
	{ 28, RAWMAP_ERROR_DIRTY, "holds changes" },  /* s_start */
	{ 32, RAWMAP_ERROR_DIRTY, "error recorded" }, /* s_errno */
	{ 0, RAWMAP_ERROR_CORRUPT, "superblock" },    /* h_magic */
};

/* needs_recovery is clear all the time: what e2fsck would still replay. */
START_TEST(a_journal_in_use_without_the_flag_is_refused)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext3 -b 1024",
					   .size = 16 << 20 };
	struct bed bed = { .img = hostimg_make(&spec) };
	g_autofree char *block = hostimg_ask(bed.img, "bmap <8> 0");
	g_autofree uint8_t *bytes = NULL;
	uint64_t at = g_ascii_strtoull(block, NULL, 10) * 1024;
	size_t len;

	bytes = hostimg_bytes(bed.img, &len);
	ck_assert_uint_eq(bytes[at], 0xc0);
	bytes[at + journals[_i].offset + 3] ^= 5;
	hostimg_store(bed.img, bytes, len);
	bed_open(&bed, false, journals[_i].readwrite, journals[_i].words);
	bed_close(&bed);
	bed_open(&bed, true, FINE, NULL);
	bed_close(&bed);
	hostimg_free(bed.img);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/gate");
	TCase *tc = tcase_create("gate");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, hosts_are_let_in_or_refused, 0,
			    G_N_ELEMENTS(hosts));
	tcase_add_loop_test(tc, a_journal_in_use_without_the_flag_is_refused, 0,
			    G_N_ELEMENTS(journals));
	tcase_add_loop_test(tc, inodes_are_let_in_or_refused, 0,
			    G_N_ELEMENTS(inodes));
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
