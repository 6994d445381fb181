/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths inside the host, and the inode that they lead to. */
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfile.h>

#include <support/hostimg.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define LONG_NAME                                                           \
	"a-name-that-is-longer-than-the-sixty-bytes-an-inode-has-room-for-" \
	"so-that-a-link-to-it-needs-a-block"

static struct hostimg *img;
static struct blkdev *dev;
static struct hostfs *fs;

static const char *const flavours[] = {
	"-t ext4 -b 1024",
	"-t ext2 -b 1024 -O ^dir_index,^filetype",
	"-t ext4 -b 1024 -O inline_data -I 256",
};

static void setup(int flavour)
{
	const struct hostimg_spec spec = { .mkfs = flavours[flavour] };
	const struct hostfs_options opt = { .readonly = true };
	const struct hostimg_piece piece = { 0, 9999 };
	GError *error = NULL;

	img = hostimg_make(&spec);
	hostimg_put(img, "disk.img", 1, 9999, &piece, 1); /* inode 12 */
	hostimg_edit(img, "mkdir vm\n"
			  "mkdir vm/old\n"
			  "ln /disk.img /vm/old/hard\n"
			  "symlink /vm/rel ../disk.img\n"
			  "symlink /vm/abs /disk.img\n"
			  "symlink /vm/dir /vm/old\n"
			  "symlink /vm/dots ./old/../../disk.img\n"
			  "ln /disk.img /vm/" LONG_NAME "\n"
			  "symlink /vm/long /vm/" LONG_NAME "\n"
			  "symlink /a /b\n"
			  "symlink /b /a\n"
			  "symlink /dangling /nowhere\n"
			  "symlink /vm/slash /vm/\n");
	dev = hostimg_dev(img, true);
	fs = hostfs_open(dev, &opt, &error);
	ck_assert_msg(fs != NULL, "%s", error ? error->message : "?");
}

static void teardown(void)
{
	ck_assert_int_eq(hostfs_close(fs), 0);
	blkdev_unref(dev);
	hostimg_free(img);
}

static const char *const good[] = {
	"/disk.img",
	"//disk.img",
	"/./disk.img",
	"/../../disk.img",
	"/vm/old/hard",
	"/vm/../disk.img",
	"/vm/rel",
	"/vm/abs",
	"/vm/dir/hard",
	"/vm/dir//hard",
	"/vm/dots",
	"/vm/long",
	"/vm/" LONG_NAME,
	"/vm/slash/rel",
	"/vm/slash/slash/slash/dir/hard",
	"<12>",
};

START_TEST(paths_lead_to_the_inode)
{
	setup(_i);
	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		GError *error = NULL;
		struct hostfile *hf = hostfile_open(fs, good[i], 0, &error);
		struct hostfile_attr attr;

		ck_assert_msg(hf != NULL, "%s", error ? error->message : "?");
		hostfile_attr(hf, &attr);
		ck_assert_uint_eq(attr.ino, 12);
		ck_assert_uint_eq(attr.size, 9999);
		ck_assert_str_eq(hostfile_path(hf), good[i]);
		hostfile_close(hf);
	}
	teardown();
}
END_TEST

static const struct {
	const char *path;
	int code;
	const char *words;
} bad[] = {
	{ "disk.img", RAWMAP_ERROR_USAGE, "starts with '/'" },
	{ "", RAWMAP_ERROR_USAGE, "starts with '/'" },
	{ "<>", RAWMAP_ERROR_USAGE, "<12>" },
	{ "<12", RAWMAP_ERROR_USAGE, "<12>" },
	{ "<12>x", RAWMAP_ERROR_USAGE, "<12>" },
	{ "<-1>", RAWMAP_ERROR_USAGE, "<12>" },
	{ "<0>", RAWMAP_ERROR_NOT_FOUND, "inodes 1 to" },
	{ "<99999999>", RAWMAP_ERROR_NOT_FOUND, "inodes 1 to" },
	{ "<99999999999999999999999>", RAWMAP_ERROR_NOT_FOUND, "inodes 1 to" },
	{ "/nothing", RAWMAP_ERROR_NOT_FOUND, "no 'nothing'" },
	{ "/disk.im", RAWMAP_ERROR_NOT_FOUND, "no 'disk.im'" },
	{ "/vm/nothing/disk.img", RAWMAP_ERROR_NOT_FOUND, "no 'nothing'" },
	{ "/dangling", RAWMAP_ERROR_NOT_FOUND, "no 'nowhere'" },
	{ "/disk.img/", RAWMAP_ERROR_NOT_FOUND, "not a directory" },
	{ "/disk.img/x", RAWMAP_ERROR_NOT_FOUND, "not a directory" },
	{ "/a", RAWMAP_ERROR_NOT_FOUND, "symbolic links" },
	{ "/a/x", RAWMAP_ERROR_NOT_FOUND, "symbolic links" },
	{ "/vm", RAWMAP_ERROR_NOT_A_FILE, "a directory" },
	{ "/vm/", RAWMAP_ERROR_NOT_A_FILE, "a directory" },
	{ "/vm/dir", RAWMAP_ERROR_NOT_A_FILE, "a directory" },
};

START_TEST(paths_that_lead_nowhere_get_a_sentence)
{
	setup(_i);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		ck_assert_ptr_null(hostfile_open(fs, bad[i].path, 0, &error));
		ck_assert_msg(error->code == bad[i].code &&
				      strstr(error->message, bad[i].words),
			      "'%s': code %d: %s", bad[i].path, error->code,
			      error->message);
	}
	teardown();
}
END_TEST

START_TEST(a_name_is_the_last_component)
{
	struct hostfile *hf;

	setup(0);
	hf = hostfile_open(fs, "/vm/rel", 0, NULL);
	ck_assert_str_eq(hostfile_name(hf), "rel");
	hostfile_close(hf);
	hf = hostfile_open(fs, "<12>", 0, NULL);
	ck_assert_str_eq(hostfile_name(hf), "inode-12");
	ck_assert_ptr_eq(hostfile_host(hf), fs);
	hostfile_close(hf);
	teardown();
}
END_TEST

START_TEST(one_inode_is_open_once)
{
	g_autoptr(GError) error = NULL;
	struct hostfile *hf;

	setup(0);
	hf = hostfile_open(fs, "/disk.img", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	ck_assert_ptr_null(hostfile_open(fs, "/vm/rel", 0, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_BUSY);
	ck_assert_ptr_nonnull(strstr(error->message, "/disk.img"));
	hostfile_close(hf);
	hf = hostfile_open(fs, "/vm/rel", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	hostfile_close(hf);
	teardown();
}
END_TEST

#define BIG 400

/* /big/number-0 and so on: links to /disk.img. */
static void make_big_directory(void)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4 -b 1024" };
	const struct hostimg_piece piece = { 0, 100 };
	GString *script = g_string_new("mkdir big\n");
	g_autofree char *stat = NULL;

	img = hostimg_make(&spec);
	hostimg_put(img, "disk.img", 1, 9999, &piece, 1);
	for (unsigned i = 0; i < BIG; i++)
		g_string_append_printf(script,
				       "symlink big/number-%u /disk.img\n", i);
	hostimg_edit(img, "%s", script->str);
	hostimg_index_dirs(img);
	stat = hostimg_ask(img, "stat big");
	ck_assert_ptr_nonnull(strstr(stat, "Flags: 0x81000"));
	g_string_free(script, TRUE);
}

START_TEST(names_of_a_large_indexed_directory_are_found)
{
	const struct hostfs_options opt = { .readonly = true };

	make_big_directory();
	dev = hostimg_dev(img, true);
	fs = hostfs_open(dev, &opt, NULL);
	for (unsigned i = 0; i < BIG; i += 57) {
		g_autofree char *path = g_strdup_printf("/big/number-%u", i);
		struct hostfile *hf = hostfile_open(fs, path, 0, NULL);

		ck_assert_ptr_nonnull(hf);
		hostfile_close(hf);
	}
	teardown();
}
END_TEST

/* Where the @n-th block of /big lies. */
static uint64_t block_of_big(unsigned n)
{
	g_autofree char *said = hostimg_ask(img, "bmap /big %u", n);
	uint64_t block = g_ascii_strtoull(said, NULL, 10);

	ck_assert_uint_gt(block, 0);
	return block;
}

/* Number @i is found, or the sentence names @block. */
static bool is_found_beside(unsigned i, uint64_t block)
{
	g_autofree char *path = g_strdup_printf("/big/number-%u", i);
	g_autofree char *words = g_strdup_printf("block %lu", (long)block);
	g_autoptr(GError) error = NULL;
	struct hostfile *hf = hostfile_open(fs, path, 0, &error);

	if (hf) {
		hostfile_close(hf);
		return true;
	}
	ck_assert_msg(error->code == RAWMAP_ERROR_CORRUPT &&
			      strstr(error->message, words),
		      "code %d: %s", error->code, error->message);
	return false;
}

/* As the kernel finds them, which goes by the index. */
START_TEST(names_beside_a_damaged_block_of_a_directory_are_found)
{
	static const char garbage[1024] = "no entries";
	const struct hostfs_options opt = { .readonly = true };
	g_autofree uint8_t *bytes = NULL;
	unsigned found = 0;
	uint64_t block;
	size_t len;

	make_big_directory();
	block = block_of_big(2);
	bytes = hostimg_bytes(img, &len);
	memcpy(bytes + block * 1024, garbage, sizeof(garbage));
	hostimg_store(img, bytes, len);
	dev = hostimg_dev(img, true);
	fs = hostfs_open(dev, &opt, NULL);
	for (unsigned i = 0; i < BIG; i++)
		found += is_found_beside(i, block);
	/* A block has room for 42. */
	ck_assert_uint_ge(found, BIG - 42);
	ck_assert_uint_lt(found, BIG);
	teardown();
}
END_TEST

START_TEST(attributes_are_those_of_the_inode)
{
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	const struct hostfs_options opt = { .readonly = true };
	const struct hostimg_piece piece = { 0, 3000 };
	struct hostfile_attr attr;
	struct hostfile *hf;

	img = hostimg_make(&spec);
	hostimg_put(img, "file", 1, 9999, &piece, 1);
	hostimg_edit(img, "sif file mode 0100640\nsif file uid 70000\n"
			  "sif file gid 80000\nsif file links_count 3\n"
			  "sif file mtime @0x60000000\n"
			  "sif file mtime_extra 0x1d\n"
			  "sif file atime @0x50000000\n");
	dev = hostimg_dev(img, true);
	fs = hostfs_open(dev, &opt, NULL);
	hf = hostfile_open(fs, "/file", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	hostfile_attr(hf, &attr);
	ck_assert_uint_eq(attr.mode, 0100640);
	ck_assert_uint_eq(attr.uid, 70000);
	ck_assert_uint_eq(attr.gid, 80000);
	ck_assert_uint_eq(attr.links, 3);
	ck_assert_int_eq(attr.mtime.tv_sec, 0x160000000);
	ck_assert_int_eq(attr.mtime.tv_nsec, 7);
	ck_assert_int_eq(attr.atime.tv_sec, 0x50000000);
	ck_assert(attr.extent_mapped && hostfile_extent_mapped(hf));
	ck_assert_uint_ge(attr.blocks, 6);
	hostfile_close(hf);
	teardown();
}
END_TEST

/* What the kernel's ext4_max_size() and ext4_max_bitmap_size() give. */
static const struct {
	const char *mkfs;
	uint64_t max;
} sizes[] = {
	{ "-t ext4 -b 4096", UINT64_C(17592186040320) },
	{ "-t ext4 -b 1024", UINT64_C(4398046510080) },
	{ "-t ext2 -b 1024 -O ^huge_file", UINT64_C(17247252480) },
	{ "-t ext2 -b 4096 -O ^huge_file", UINT64_C(2194719883264) },
	{ "-t ext3 -b 4096 -O huge_file", UINT64_C(4402345721856) },
};

START_TEST(the_largest_size_is_the_kernels)
{
	const struct hostimg_spec spec = {
		.mkfs = sizes[_i].mkfs,
		.size = 16 << 20,
	};
	const struct hostfs_options opt = { .readonly = true };
	const struct hostimg_piece piece = { 0, 100 };
	struct hostfile *hf;

	img = hostimg_make(&spec);
	hostimg_put(img, "file", 1, 100, &piece, 1);
	dev = hostimg_dev(img, true);
	fs = hostfs_open(dev, &opt, NULL);
	hf = hostfile_open(fs, "/file", 0, NULL);
	ck_assert_ptr_nonnull(hf);
	ck_assert_uint_eq(hostfile_max_size(hf), sizes[_i].max);
	hostfile_close(hf);
	teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/lookup");
	TCase *tc = tcase_create("lookup");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, paths_lead_to_the_inode, 0,
			    G_N_ELEMENTS(flavours));
	tcase_add_loop_test(tc, paths_that_lead_nowhere_get_a_sentence, 0,
			    G_N_ELEMENTS(flavours));
	tcase_add_test(tc, a_name_is_the_last_component);
	tcase_add_test(tc, one_inode_is_open_once);
	tcase_add_test(tc, names_of_a_large_indexed_directory_are_found);
	tcase_add_test(tc,
		       names_beside_a_damaged_block_of_a_directory_are_found);
	tcase_add_test(tc, attributes_are_those_of_the_inode);
	tcase_add_loop_test(tc, the_largest_size_is_the_kernels, 0,
			    G_N_ELEMENTS(sizes));
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
