/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host whose primary superblock is no good, and the copies that it has: found,
 * named in the sentence, read by.
 */
#include "reach_bed.h"

#include <support/faultdev.h>

#include <ext2fs/ext2_fs.h>

#define MIB  (UINT64_C(1) << 20)
#define SEED 6

static const struct kind {
	const char *mkfs;
	uint64_t size;
	uint32_t block_size;
	uint64_t copy; /* where mke2fs puts the first one */
} kinds[] = {
	{ "-t ext2 -b 1024", 24 * MIB, 1024, 8193 },
	{ "-t ext2 -b 2048", 64 * MIB, 2048, 16384 },
	{ "-t ext3 -b 4096", 192 * MIB, 4096, 32768 },
	{ "-t ext4 -b 1024", 24 * MIB, 1024, 8193 },
	{ "-t ext4 -b 2048", 64 * MIB, 2048, 16384 },
	{ "-t ext4 -b 4096", 192 * MIB, 4096, 32768 },
	{ "-t ext4 -b 8192", 600 * MIB, 8192, 65528 },
	{ "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,^64bit", 24 * MIB, 1024,
	  8193 },
	{ "-t ext4 -b 1024 -O meta_bg,^resize_inode", 24 * MIB, 1024, 8193 },
	{ "-t ext4 -b 1024 -O sparse_super2,^resize_inode", 24 * MIB, 1024,
	  8193 },
	{ "-t ext4 -b 1024 -O ^sparse_super,^resize_inode", 24 * MIB, 1024,
	  8193 },
	{ "-t ext4 -b 4096 -O bigalloc", 2200 * MIB, 4096, 524288 },
	{ "-t ext4 -b 1024 -O bigalloc", 300 * MIB, 1024, 131072 },
	{ "-r 0 -b 1024", 24 * MIB, 1024, 8193 },
	{ "-t ext4 -b 1024 -I 128", 24 * MIB, 1024, 8193 },
};
#define EXT2	0
#define EXT3	2
#define EXT4	3
#define EXT4_4K 5

static struct hostimg *make(const struct kind *kind)
{
	static const struct hostimg_piece pieces[] = {
		{ 0, 70000 },
		{ 300000, 50000 },
	};
	const struct hostimg_spec spec = {
		.mkfs = kind->mkfs,
		.size = kind->size,
	};
	struct hostimg *host = hostimg_make(&spec);

	hostimg_put(host, "f", SEED, 400001, pieces, 2);
	return host;
}

static uint64_t descriptors_at(const struct kind *kind)
{
	bool first_is_one = kind->block_size == 1024 &&
			    !strstr(kind->mkfs, "bigalloc");

	return (1 + first_is_one) * (uint64_t)kind->block_size;
}

/* The primary superblock, and the first block of the descriptors. */
static void destroy(struct hostimg *host, const struct kind *kind)
{
	host_fill(host, 0, 1024, 1024);
	host_fill(host, 0, kind->block_size,
		  MAX(descriptors_at(kind), UINT64_C(2048)));
}

/* The copy that the sentence of a refusal names. */
static uint64_t suggested(struct hostimg *host, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct reach r;
	const char *sb;

	ck_assert_ptr_null(
		reach_try(&r, host, (struct hostfs_options){ 0 }, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_CORRUPT);
	ck_assert_msg(strstr(error->message, words) != NULL, "%s",
		      error->message);
	blkdev_unref(r.dev);
	blkdev_unref(r.file);
	sb = strstr(error->message, "'-o ro,sb=");
	return sb ? strtoull(sb + 10, NULL, 10) : 0;
}

static void reads_by(struct hostimg *host, uint64_t block, uint32_t size,
		     const uint8_t *want, size_t len)
{
	const struct hostfs_options opt = {
		.super_block = block,
		.super_block_size = size,
	};
	struct hostfs_info info;
	struct reach r;

	reach_open(&r, host, opt);
	hostfs_info(r.fs, &info);
	ck_assert_uint_eq(info.super_block, block);
	ck_assert(!info.needs_recovery);
	hostfs_info_clear(&info);
	reach_image(&r, "/f");
	reach_holds(&r, want, len);
	reach_close(&r);
}

START_TEST(a_copy_is_found_and_read_by)
{
	const struct kind *kind = &kinds[_i];
	struct hostimg *host = make(kind);
	g_autofree uint8_t *want = NULL;
	size_t len;

	want = hostimg_cat(host, "/f", &len);
	destroy(host, kind);
	ck_assert_uint_eq(suggested(host, "holds no ext2, ext3 or ext4"),
			  kind->copy);
	reads_by(host, kind->copy, 0, want, len);
	reads_by(host, kind->copy, kind->block_size, want, len);
	hostimg_free(host);
}
END_TEST

/* The others, by name. */
START_TEST(every_copy_does)
{
	static const uint64_t copies[] = { 8193, 24577, 40961, 57345, 73729 };
	const struct kind kind = { "-t ext4 -b 1024", 80 * MIB, 1024, 0 };
	struct hostimg *host = make(&kind);
	g_autofree uint8_t *want = NULL;
	size_t len;

	want = hostimg_cat(host, "/f", &len);
	destroy(host, &kind);
	for (unsigned i = 0; i < G_N_ELEMENTS(copies); i++)
		reads_by(host, copies[i], 0, want, len);
	hostimg_free(host);
}
END_TEST

/* Also one that nothing is wrong with; block 1 is that at 1 KiB blocks. */
START_TEST(the_primary_can_be_named)
{
	struct hostimg *host = make(&kinds[EXT4]);
	g_autofree uint8_t *want = NULL;
	size_t len;

	want = hostimg_cat(host, "/f", &len);
	reads_by(host, 1, 0, want, len);
	reads_by(host, 1, 1024, want, len);
	hostimg_free(host);
}
END_TEST

static const struct {
	int kind;
	uint64_t pos;
	int byte;
	size_t len;
	const char *words;
} damages[] = {
	{ EXT4_4K, 1024 + 0x78, 0xff, 4, "damaged superblock" },
	{ EXT2, 1024 + 0x18, 0xff, 4, "impossible numbers" },
	/* the tables of group 0 */
	{ EXT2, 2048, 0xff, 12, "group descriptors" },
	{ EXT4_4K, 4096, 0xff, 12, "" },
};

START_TEST(every_damage_that_a_copy_heals_names_it)
{
	const struct kind *kind = &kinds[damages[_i].kind];
	struct hostimg *host = make(kind);
	g_autofree uint8_t *want = NULL;
	size_t len;

	want = hostimg_cat(host, "/f", &len);
	host_fill(host, damages[_i].byte, damages[_i].len, damages[_i].pos);
	ck_assert_uint_eq(suggested(host, damages[_i].words), kind->copy);
	reads_by(host, kind->copy, 0, want, len);
	hostimg_free(host);
}
END_TEST

START_TEST(where_there_is_none_nothing_is_promised)
{
	const struct kind small = { "-t ext4 -b 1024", 8 * MIB, 1024, 0 };
	struct hostimg *host = make(&small);

	destroy(host, &small);
	ck_assert_uint_eq(suggested(host, "holds no ext2"), 0);
	hostimg_free(host);
}
END_TEST

/* A source that is cut short is not made longer by any copy. */
START_TEST(a_copy_that_is_no_better_is_not_named)
{
	struct hostimg *host = make(&kinds[EXT4]);

	ck_assert_int_eq(truncate(hostimg_path(host), 20 * MIB), 0);
	ck_assert_uint_eq(suggested(host, "cut short"), 0);
	hostimg_free(host);
}
END_TEST

/*
 * In a host there may be an image of a host, with superblocks of its own. The
 * third group, which has no copy, begins with the second of these.
 */
static const uint64_t elsewhere[] = { 9001, 16385 };

START_TEST(a_superblock_that_belongs_elsewhere_is_not_taken)
{
	struct hostimg *host = make(&kinds[EXT4]);
	g_autoptr(GError) error = NULL;
	struct hostfs_options opt = { .super_block = elsewhere[_i] };
	uint8_t super[1024];
	struct reach r;

	host_read(host, super, sizeof(super), 1024);
	host_write(host, super, sizeof(super), elsewhere[_i] * 1024);
	ck_assert_ptr_null(reach_try(&r, host, opt, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(error->message, "has no superblock"));
	blkdev_unref(r.dev);
	blkdev_unref(r.file);
	hostimg_free(host);
}
END_TEST

static const struct {
	uint64_t block;
	uint32_t size;
	int code;
	const char *words;
} wrong[] = {
	{ 100, 0, RAWMAP_ERROR_CORRUPT, "no superblock" },
	{ 100, 1024, RAWMAP_ERROR_CORRUPT, "block 100 of 1024 bytes" },
	{ 8193, 4096, RAWMAP_ERROR_CORRUPT, "no superblock" },
	{ 1000000, 0, RAWMAP_ERROR_CORRUPT, "no superblock" },
	{ 1000000, 65536, RAWMAP_ERROR_CORRUPT, "no superblock" },
	{ 8193, 3000, RAWMAP_ERROR_USAGE, "3000" },
	{ 8193, 512, RAWMAP_ERROR_USAGE, "512" },
	{ 8193, 131072, RAWMAP_ERROR_USAGE, "131072" },
	{ UINT64_C(1) << 40, 0, RAWMAP_ERROR_USAGE, "too far" },
	{ UINT64_MAX, 1024, RAWMAP_ERROR_USAGE, "too far" },
};

START_TEST(a_wrong_block_gets_a_sentence)
{
	struct hostimg *host = make(&kinds[EXT4]);
	const struct hostfs_options opt = {
		.super_block = wrong[_i].block,
		.super_block_size = wrong[_i].size,
	};
	g_autoptr(GError) error = NULL;
	struct reach r;

	ck_assert_ptr_null(reach_try(&r, host, opt, &error));
	ck_assert_msg(error->code == wrong[_i].code &&
			      strstr(error->message, wrong[_i].words),
		      "code %d: %s", error->code, error->message);
	blkdev_unref(r.dev);
	blkdev_unref(r.file);
	hostimg_free(host);
}
END_TEST

/* @_i: with the size of blocks, or without */
START_TEST(a_copy_that_cannot_be_read_is_an_io_error)
{
	const struct hostfs_options opt = {
		.readonly = true,
		.super_block = 8193,
		.super_block_size = _i ? 1024 : 0,
	};
	struct hostimg *host = make(&kinds[EXT4]);
	g_autoptr(blkdev) dev = hostimg_dev(host, true);
	g_autoptr(blkdev) bad = faultdev_new(dev);
	g_autoptr(GError) error = NULL;

	faultdev_spoil(bad, dev_off_at(8193 * 1024), 512, EIO);
	ck_assert_ptr_null(hostfs_open(bad, &opt, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO),
		      "%s", error->message);
	hostimg_free(host);
}
END_TEST

/* Copies do not know that a host was left in use; its journal does. */
START_TEST(a_log_in_use_is_told)
{
	const struct hostfs_options opt = { .super_block = 32768 };
	struct hostimg *host = make(&kinds[EXT3]);
	g_autofree char *block = hostimg_ask(host, "bmap <8> 0");
	uint64_t at = g_ascii_strtoull(block, NULL, 10) * 4096;
	const uint8_t start[4] = { 0, 0, 0, 1 };
	struct hostfs_info info;
	struct reach r;

	host_write(host, start, sizeof(start), at + 28);
	reach_open(&r, host, opt);
	hostfs_info(r.fs, &info);
	ck_assert(info.needs_recovery);
	hostfs_info_clear(&info);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* A log in use, and in it a copy of the superblock, in its place. */
static void log_copy(struct hostimg *host, uint64_t block,
		     const struct ext2_super_block *copy)
{
	g_autofree char *file =
		g_build_filename(hostimg_dir(host), "copy", NULL);

	ck_assert(g_file_set_contents(file, (const char *)copy, sizeof(*copy),
				      NULL));
	hostimg_edit(host, "jo\njw -b %lu %s\njc\n", (unsigned long)block,
		     file);
}

/*
 * The bytes of the table of inodes of a group are then 2^32 more than 32 bits can
 * say, which libext2fs takes.
 */
START_TEST(a_copy_in_the_log_is_judged_as_every_other)
{
	const struct kind kind = { "-t ext3 -b 1024", 24 * MIB, 1024, 8193 };
	const struct hostfs_options opt = { .super_block = 8193 };
	struct hostimg *host = make(&kind);
	g_autoptr(GError) error = NULL;
	struct ext2_super_block copy;
	struct reach r;
	uint32_t groups;

	host_read(host, &copy, sizeof(copy), 8193 * 1024);
	ck_assert_uint_eq(copy.s_magic, EXT2_SUPER_MAGIC);
	groups = copy.s_inodes_count / copy.s_inodes_per_group;
	copy.s_inodes_per_group +=
		(uint32_t)((UINT64_C(1) << 32) / EXT2_INODE_SIZE(&copy));
	copy.s_inodes_count = groups * copy.s_inodes_per_group;
	log_copy(host, 8193, &copy);
	ck_assert_ptr_null(reach_try(&r, host, opt, &error));
	ck_assert_msg(error->code == RAWMAP_ERROR_CORRUPT &&
			      strstr(error->message, "impossible numbers"),
		      "code %d: %s", error->code, error->message);
	blkdev_unref(r.dev);
	blkdev_unref(r.file);
	hostimg_free(host);
}
END_TEST

/* As a host that was enlarged while it was mounted leaves it. */
START_TEST(a_sound_copy_in_the_log_is_read_by)
{
	const struct kind kind = { "-t ext3 -b 1024", 24 * MIB, 1024, 8193 };
	const struct hostfs_options opt = { .super_block = 8193 };
	struct hostimg *host = make(&kind);
	struct ext2_super_block copy;
	struct hostfs_info info;
	struct reach r;

	host_read(host, &copy, sizeof(copy), 8193 * 1024);
	memcpy(copy.s_volume_name, "from the log", 12);
	log_copy(host, 8193, &copy);
	reach_open(&r, host, opt);
	hostfs_info(r.fs, &info);
	ck_assert(info.replayed);
	ck_assert_str_eq(info.label, "from the log");
	hostfs_info_clear(&info);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* Which bitmaps were ever written a copy does not know either. */
START_TEST(what_is_in_use_cannot_be_told)
{
	const struct hostfs_options opt = {
		.super_block = 8193,
		.deleted = true,
	};
	struct hostfile_remains left = { .blocks = 4711 };
	struct hostimg *host = make(&kinds[EXT4]);
	struct reach r;

	hostimg_edit(host, "rm f\n");
	reach_open(&r, host, opt);
	reach_image(&r, "<12>");
	ck_assert_int_eq(hostfile_remains(image_file(r.img), &left),
			 -EOPNOTSUPP);
	ck_assert_uint_eq(left.blocks, 4711);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_super");
	TCase *tc = tcase_create("reach_super");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_copy_is_found_and_read_by, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_test(tc, every_copy_does);
	tcase_add_test(tc, the_primary_can_be_named);
	tcase_add_loop_test(tc, every_damage_that_a_copy_heals_names_it, 0,
			    G_N_ELEMENTS(damages));
	tcase_add_test(tc, where_there_is_none_nothing_is_promised);
	tcase_add_test(tc, a_copy_that_is_no_better_is_not_named);
	tcase_add_loop_test(tc,
			    a_superblock_that_belongs_elsewhere_is_not_taken, 0,
			    G_N_ELEMENTS(elsewhere));
	tcase_add_loop_test(tc, a_wrong_block_gets_a_sentence, 0,
			    G_N_ELEMENTS(wrong));
	tcase_add_loop_test(tc, a_copy_that_cannot_be_read_is_an_io_error, 0,
			    2);
	tcase_add_test(tc, a_log_in_use_is_told);
	tcase_add_test(tc, a_copy_in_the_log_is_judged_as_every_other);
	tcase_add_test(tc, a_sound_copy_in_the_log_is_read_by);
	tcase_add_test(tc, what_is_in_use_cannot_be_told);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
