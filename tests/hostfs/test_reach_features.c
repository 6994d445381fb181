/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts of every kind that libext2fs opens, for reading: what the image holds
 * is what debugfs reads.
 */
#include "reach_bed.h"

#define MIB (UINT64_C(1) << 20)

static const struct host_kind {
	const char *mkfs;
	uint64_t size;
	const char *edit; /* of debugfs, behind everything; NULL */
	const char *tune; /* the same, of tune2fs */
} kinds[] = {
	{ "-t ext4 -b 1024 -O bigalloc -C 16384", 0, NULL, NULL },
	{ "-t ext4 -b 4096 -O bigalloc", 64 * MIB, NULL, NULL },
	{ "-t ext4 -b 4096 -O bigalloc,inline_data -C 8192", 64 * MIB, NULL,
	  NULL },
	{ "-t ext4 -O encrypt", 0, NULL, NULL },
	{ "-t ext4 -O casefold", 0, NULL, NULL },
	{ "-t ext4 -b 1024 -O 64bit", 0, NULL, NULL },
	{ "-t ext4 -b 1024 -O ^64bit,^metadata_csum", 0, NULL, NULL },
	{ "-t ext4 -b 1024 -O meta_bg,^resize_inode", 32 * MIB, NULL, NULL },
	{ "-t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg,64bit", 32 * MIB,
	  NULL, NULL },
	{ "-t ext4 -b 1024 -O sparse_super2,^resize_inode", 32 * MIB, NULL,
	  NULL },
	{ "-t ext4 -b 1024 -O flex_bg -G 4", 64 * MIB, NULL, NULL },
	{ "-t ext4 -b 1024 -O ^flex_bg", 32 * MIB, NULL, NULL },
	{ "-t ext4 -b 1024 -I 128 -O ^extra_isize", 0, NULL, NULL },
	{ "-t ext4 -I 512", 0, NULL, NULL },
	{ "-t ext4 -I 1024", 0, NULL, NULL },
	{ "-t ext4 -b 4096 -I 4096 -N 256", 32 * MIB, NULL, NULL },
	{ "-t ext4 -O ea_inode", 0, NULL, NULL },
	{ "-t ext4 -O large_dir", 0, NULL, NULL },
	{ "-t ext4 -O quota", 0, NULL, NULL },
	{ "-t ext4 -O project,quota", 0, NULL, NULL },
	{ "-t ext4 -O ^metadata_csum,uninit_bg", 32 * MIB, NULL, NULL },
	{ "-t ext2 -O ^filetype,^dir_index", 0, NULL, NULL },
	{ "-t ext4 -O ^filetype", 0, NULL, NULL },
	{ "-t ext4 -O stable_inodes", 0, NULL, NULL },
	{ "-t ext4 -O metadata_csum_seed", 0, NULL, NULL },
	{ "-t ext4 -O orphan_file", 0, NULL, NULL },
	{ "-t ext4 -O fast_commit", 64 * MIB, NULL, NULL },
	{ "-t ext4", 0, NULL, "-O mmp" },
	{ "-t ext4", 0, "feature shared_blocks\n", NULL },
	{ "-t ext4", 0, "feature read-only\n", NULL },
	{ "-t ext4", 0, "ssv state 3\n", NULL },
	{ "-t ext4", 0, "ssv last_orphan 12\n", NULL },
	{ "-r 0", 0, NULL, NULL },
	{ "-t ext2 -b 2048", 0, NULL, NULL },
	{ "-t ext4 -b 8192 -O ^has_journal", 32 * MIB, NULL, NULL },
	{ "-t ext4 -b 16384 -O ^has_journal", 32 * MIB, NULL, NULL },
	{ "-t ext4 -b 32768 -O ^has_journal", 32 * MIB, NULL, NULL },
	{ "-t ext4 -b 65536 -O ^has_journal", 64 * MIB, NULL, NULL },
	{ "-t ext2 -b 65536", 64 * MIB, NULL, NULL },
};

static struct hostimg *make(const char *mkfs, uint64_t size)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = size };

	return hostimg_make(&spec);
}

/* Bytes, holes, more extents than an inode has room for, a name in a folder. */
static void furnish(struct hostimg *host)
{
	static const struct hostimg_piece pieces[] = {
		{ 0, 70000 },
		{ 300000, 200000 },
		{ 900001, 1 },
	};

	hostimg_put(host, "disk.img", 1, 1000001, pieces, 3);
	hostimg_put_comb(host, "comb", 2, 4096, 40);
	hostimg_put(host, "empty", 3, 0, NULL, 0);
	hostimg_edit(host, "mkdir folder\nmkdir folder/in\n"
			   "ln /disk.img /folder/in/again\n"
			   "symlink link folder/in/again\n");
}

START_TEST(images_are_what_debugfs_reads)
{
	static const char *const paths[] = {
		"/disk.img",
		"/comb",
		"/folder/in/again",
		"<12>",
	};
	const struct host_kind *kind = &kinds[_i];
	struct hostimg *host = make(kind->mkfs, kind->size);
	g_autofree uint8_t *want = NULL;
	struct reach r;
	size_t len;

	furnish(host);
	want = hostimg_cat(host, "/disk.img", &len);
	if (kind->edit)
		hostimg_edit(host, "%s", kind->edit);
	if (kind->tune)
		hostimg_tune(host, kind->tune);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++)
		reach_agrees(&r, host, paths[i]);
	reach_image(&r, "/empty");
	reach_holds(&r, NULL, 0);
	image_free(g_steal_pointer(&r.img));
	/* debugfs' dump does not follow it. */
	reach_image(&r, "/link");
	reach_holds(&r, want, len);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* fs-verity keeps its tree behind the end of the file. */
START_TEST(a_sealed_file_ends_where_it_ends)
{
	const struct hostimg_piece piece = { 0, 200000 };
	struct hostimg *host = make("-t ext4 -O verity", 0);
	struct reach r;

	hostimg_put(host, "f", 1, 200000, &piece, 1);
	hostimg_edit(host, "sif f size 100001\nsif f flags 0x180000\n");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_agrees(&r, host, "/f");
	reach_image(&r, "/f");
	ck_assert_uint_eq(image_size(r.img), 100001);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(only_the_encrypted_files_of_a_host_are_refused)
{
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = make("-t ext4 -O encrypt", 0);
	struct reach r;

	hostimg_put(host, "plain", 1, 5000, &piece, 1);
	hostimg_put(host, "secret", 2, 5000, &piece, 1);
	hostimg_edit(host,
		     "mkdir safe\nln /plain /safe/other\n"
		     "sif secret flags 0x80800\nsif safe flags 0x80800\n");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_agrees(&r, host, "/plain");
	reach_refused(&r, "/secret", RAWMAP_ERROR_UNSUPPORTED, "encrypted");
	reach_refused(&r, "/safe/any", RAWMAP_ERROR_NOT_FOUND,
		      "names there are encrypted");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* 'chattr +c' asks for compression, which no kernel does. */
START_TEST(a_file_that_is_to_be_compressed_is_plain)
{
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = make("-t ext4", 0);
	struct reach r;

	hostimg_put(host, "f", 1, 5000, &piece, 1);
	hostimg_edit(host, "sif f flags 0x80004\n");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_agrees(&r, host, "/f");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* ---- folders that fold case ---- */

#define STRASSE        \
	"Stra\xc3\x9f" \
	"e.IMG" /* a sharp s */
#define STRASSE_BIG "STRASSE.img"
#define CAFE	    "caf\xc3\xa9"  /* one letter with its accent */
#define CAFE_APART  "CAFE\xcc\x81" /* a letter, and an accent behind */

/* Two files, 12 and 13. The kernel would not let "a" and "A" into one folder. */
static struct hostimg *make_folded(const char *mkfs)
{
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = make(mkfs, 0);

	hostimg_put(host, "one", 1, 5000, &piece, 1);
	hostimg_put(host, "two", 2, 5000, &piece, 1);
	hostimg_edit(host, "mkdir Vm\n"
			   "ln /one /Vm/" STRASSE "\n"
			   "ln /one /Vm/" CAFE "\n"
			   "ln /one /Vm/a\n"
			   "ln /two /Vm/A\n"
			   "ln /two /Vm/b\xff\n");
	return host;
}

static void fold(struct hostimg *host, const char *more)
{
	hostimg_edit(host, "sif Vm flags %s\n", more);
}

static uint64_t inode_of(struct reach *r, const char *path)
{
	struct hostfile_attr attr;

	reach_image(r, path);
	image_attr(r->img, &attr);
	image_free(g_steal_pointer(&r->img));
	return attr.ino;
}

START_TEST(a_casefolded_folder_does_not_tell_case_apart)
{
	struct hostimg *host = make_folded("-t ext4 -O casefold");
	struct reach r;

	fold(host, "0x40080000");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	ck_assert_uint_eq(inode_of(&r, "/Vm/" STRASSE), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/" STRASSE_BIG), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/" CAFE), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/" CAFE_APART), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/../Vm/./" CAFE_APART), 12);
	/* As asked for comes first. */
	ck_assert_uint_eq(inode_of(&r, "/Vm/a"), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/A"), 13);
	/* What is no UTF-8 is only itself. */
	ck_assert_uint_eq(inode_of(&r, "/Vm/b\xff"), 13);
	reach_refused(&r, "/Vm/B\xff", RAWMAP_ERROR_NOT_FOUND, "there is no");
	/* The folder's name stands in one that is not folded. */
	reach_refused(&r, "/vm/a", RAWMAP_ERROR_NOT_FOUND, "there is no 'vm'");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(so_does_one_in_its_inode)
{
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = make("-t ext4 -O casefold,inline_data", 0);
	struct reach r;

	hostimg_put(host, "one", 1, 5000, &piece, 1);
	hostimg_put(host, "two", 2, 5000, &piece, 1);
	hostimg_edit(host, "mkdir Vm\nln /one /Vm/a\nln /two /Vm/A\n"
			   "ln /two /Vm/Disk\n");
	fold(host, "0x50000000");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	ck_assert_uint_eq(inode_of(&r, "/Vm/a"), 12);
	ck_assert_uint_eq(inode_of(&r, "/Vm/A"), 13);
	ck_assert_uint_eq(inode_of(&r, "/Vm/dISK"), 13);
	ck_assert_uint_eq(inode_of(&r, "/Vm/../one"), 12);
	reach_refused(&r, "/Vm/b", RAWMAP_ERROR_NOT_FOUND, "there is no 'b'");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_folder_that_is_not_casefolded_does)
{
	struct hostimg *host = make_folded("-t ext4 -O casefold");
	struct reach r;

	reach_open(&r, host, (struct hostfs_options){ 0 });
	ck_assert_uint_eq(inode_of(&r, "/Vm/" STRASSE), 12);
	reach_refused(&r, "/Vm/" STRASSE_BIG, RAWMAP_ERROR_NOT_FOUND,
		      "there is no");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* The flag means nothing on a host without the feature. */
START_TEST(without_the_feature_nothing_is_folded)
{
	struct hostimg *host = make_folded("-t ext4");
	struct reach r;

	fold(host, "0x40080000");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, "/Vm/" STRASSE_BIG, RAWMAP_ERROR_NOT_FOUND,
		      "there is no");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_features");
	TCase *tc = tcase_create("reach_features");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, images_are_what_debugfs_reads, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_sealed_file_ends_where_it_ends);
	tcase_add_test(tc, only_the_encrypted_files_of_a_host_are_refused);
	tcase_add_test(tc, a_file_that_is_to_be_compressed_is_plain);
	tcase_add_test(tc, a_casefolded_folder_does_not_tell_case_apart);
	tcase_add_test(tc, so_does_one_in_its_inode);
	tcase_add_test(tc, a_folder_that_is_not_casefolded_does);
	tcase_add_test(tc, without_the_feature_nothing_is_folded);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
