/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Directories and symbolic links that were bent: what of them is believed, and
 * how far. A name that is read where there is none leads to another image.
 */
#include "reach_bed.h"

#define BS	 1024
#define INDIRECT "-t ext2 -b 1024"
#define EXTENTS	 "-t ext4 -b 1024 -O ^has_journal,^metadata_csum"
#define INLINE \
	"-t ext4 -b 1024 -I 256 -O inline_data,^has_journal,^metadata_csum"

/* So long that it needs a block. */
#define TARGET                                                                \
	"/d/../d/../d/../d/../d/../d/../d/../d/../d/../d/../d/../d/../d/../d" \
	"/../f"

/* The file /f, inode 12, which is also /d/last. */
static struct hostimg *make(const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs };
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = hostimg_make(&spec);

	hostimg_put(host, "f", 1, 5000, &piece, 1);
	hostimg_edit(host,
		     "mkdir d\nln /f /d/last\nsymlink /long " TARGET "\n");
	return host;
}

static void refused(struct hostimg *host, const char *path,
		    enum rawmap_error code, const char *words)
{
	struct reach r;

	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, path, code, words);
	reach_close(&r);
}

static void leads_to_12(struct hostimg *host, const char *path)
{
	struct hostfile_attr attr;
	struct reach r;

	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_image(&r, path);
	image_attr(r.img, &attr);
	ck_assert_uint_eq(attr.ino, 12);
	reach_close(&r);
}

/* ---- entries ---- */

/* From here on: inode, le16 length of the entry, length of the name, type. */
static const struct {
	bool last;	/* that entry, or the first */
	unsigned field; /* byte of it */
	uint8_t bytes[2];
	unsigned len;
} bends[] = {
	{ false, 4, { 0, 0 }, 2 },   { false, 4, { 4, 0 }, 2 },
	{ false, 4, { 10, 0 }, 2 },  { false, 4, { 0xff, 0xff }, 2 },
	{ false, 6, { 5 }, 1 },	     { false, 6, { 255 }, 1 },
	{ true, 4, { 0xe8, 3 }, 2 }, /* the block has 1000 bytes behind it */
	{ true, 4, { 0xec, 3 }, 2 }, { true, 4, { 0, 4 }, 2 },
};

/* @_i: of bends. The entries: "." and ".." of 12 bytes, and the last. */
START_TEST(entries_that_do_not_fit_their_block_are_an_error)
{
	struct hostimg *host = make(INDIRECT);
	g_autofree char *block = hostimg_ask(host, "bmap /d 0");
	uint64_t pos = g_ascii_strtoull(block, NULL, 10) * BS;
	bool sound = bends[_i].last && bends[_i].bytes[0] == 0xe8;

	leads_to_12(host, "/d/last");
	refused(host, "/d/no", RAWMAP_ERROR_NOT_FOUND, "there is no 'no'");
	pos += (bends[_i].last ? 24 : 0) + bends[_i].field;
	host_write(host, bends[_i].bytes, bends[_i].len, pos);
	if (sound)
		refused(host, "/d/no", RAWMAP_ERROR_NOT_FOUND, "no 'no'");
	else
		refused(host, "/d/no", RAWMAP_ERROR_CORRUPT,
			"of a directory, inode 13");
	hostimg_free(host);
}
END_TEST

/* ---- blocks ---- */

START_TEST(a_block_that_was_never_written_has_no_names)
{
	struct hostimg *host = make(EXTENTS);

	leads_to_12(host, "/d/last");
	hostimg_edit(host, "sif /d block[4] 0x8001\n");
	refused(host, "/d/last", RAWMAP_ERROR_NOT_FOUND, "no 'last'");
	hostimg_free(host);
}
END_TEST

/* @_i: which kind of map */
START_TEST(a_directory_ends_where_its_size_does)
{
	struct hostimg *host = make(_i ? EXTENTS : INDIRECT);
	g_autoptr(GString) script = g_string_new(NULL);

	for (unsigned i = 0; i < 60; i++)
		g_string_append_printf(
			script, "symlink /d/a-name-to-fill-it-up-with-%u /f\n",
			i);
	hostimg_edit(host, "%s", script->str);
	leads_to_12(host, "/d/a-name-to-fill-it-up-with-59");
	hostimg_edit(host, "sif /d size 1024\n");
	leads_to_12(host, "/d/last");
	refused(host, "/d/a-name-to-fill-it-up-with-59", RAWMAP_ERROR_NOT_FOUND,
		"there is no");
	hostimg_free(host);
}
END_TEST

/* ---- in the inode ---- */

START_TEST(names_are_found_in_both_parts_of_an_inode)
{
	uint8_t value[16] = { 12, 0, 0, 0, 16, 0, 6, 1 };
	struct hostimg *host = make(INLINE);
	g_autofree char *file =
		g_build_filename(hostimg_dir(host), "entry", NULL);

	memcpy(value + 8, "second", 6);
	ck_assert(g_file_set_contents(file, (const char *)value, sizeof(value),
				      NULL));
	leads_to_12(host, "/d/last");
	refused(host, "/d/second", RAWMAP_ERROR_NOT_FOUND, "no 'second'");
	hostimg_edit(host, "ea_set -f %s /d system.data\n", file);
	leads_to_12(host, "/d/last");
	leads_to_12(host, "/d/second");
	hostimg_free(host);
}
END_TEST

/* ---- links ---- */

/* A hole at its begin; a block that was never written. */
static const char *const holes[] = { "block[3] 1", "block[4] 0x8001" };

/* @_i: of holes */
START_TEST(a_link_without_its_first_block_is_an_error)
{
	struct hostimg *host = make(EXTENTS);

	leads_to_12(host, "/long");
	hostimg_edit(host, "sif /long %s\n", holes[_i]);
	refused(host, "/long", RAWMAP_ERROR_CORRUPT,
		"symbolic link cannot be read");
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/dircontent");
	TCase *tc = tcase_create("dircontent");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc,
			    entries_that_do_not_fit_their_block_are_an_error, 0,
			    G_N_ELEMENTS(bends));
	tcase_add_test(tc, a_block_that_was_never_written_has_no_names);
	tcase_add_loop_test(tc, a_directory_ends_where_its_size_does, 0, 2);
	tcase_add_test(tc, names_are_found_in_both_parts_of_an_inode);
	tcase_add_loop_test(tc, a_link_without_its_first_block_is_an_error, 0,
			    G_N_ELEMENTS(holes));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
