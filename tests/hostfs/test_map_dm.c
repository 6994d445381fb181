/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as a device-mapper table: what a device of it would read as, and when
 * there is none. tests/mount/test_maps_device.sh has the kernel's word.
 */
#include "map_bed.h"

#include "../../src/inspect/inspect_priv.h"

#include <rawmap/base/error.h>

#include <support/memdev.h>

/* What a device of this table reads as; each target follows the one before. */
static GByteArray *read_through(struct looked_at *l, const char *table)
{
	GByteArray *bytes = g_byte_array_new();
	g_auto(GStrv) lines = g_strsplit(table, "\n", -1);

	for (char **line = lines; *line && **line; line++) {
		char kind[16] = "", source[64] = "";
		uint64_t start, len, from = 0;
		int n = sscanf(*line,
			       "%" SCNu64 " %" SCNu64 " %15s %63s %" SCNu64,
			       &start, &len, kind, source, &from);
		guint at = bytes->len;

		ck_assert_uint_eq(start * 512, at);
		ck_assert_uint_gt(len, 0);
		g_byte_array_set_size(bytes, at + (guint)len * 512);
		if (strcmp(kind, "zero") == 0) {
			ck_assert_int_eq(n, 3);
			memset(bytes->data + at, 0, len * 512);
			continue;
		}
		ck_assert_str_eq(kind, "linear");
		ck_assert_int_eq(n, 5);
		ck_assert_str_eq(source, l->ask.source);
		from = from * 512 - l->ask.source_offset;
		ck_assert_int_eq(blkdev_pread(l->dev, bytes->data + at,
					      len * 512, dev_off_at(from)),
				 0);
	}
	return bytes;
}

static void assert_reads_as_file(struct looked_at *l, const char *table)
{
	g_autoptr(GByteArray) read = read_through(l, table);
	size_t len;
	g_autofree uint8_t *wanted = hostimg_cat(l->img, "/f", &len);

	ck_assert_uint_eq(read->len, len);
	ck_assert_mem_eq(read->data, wanted, len);
}

static const uint64_t offsets[] = { 0, OFFSET };

START_TEST(dm_table_reads_as_the_file)
{
	struct looked_at l;
	char *table;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	l.ask.source_offset = offsets[_i];
	table = report(&l, MAPREPORT_DM);
	assert_reads_as_file(&l, table);
	free(table);
	look_away(&l);
}
END_TEST

/* Their blocks hold what was there before; the file does not read as that. */
START_TEST(dm_table_hides_what_unwritten_blocks_hold)
{
	struct hostimg *img = make_host("-t ext4 -b 4096 -O ^has_journal");
	const struct hostimg_piece piece = { 0, 65536 };
	struct looked_at l;
	char *table;

	hostimg_put(img, "old", 9, 65536, &piece, 1);
	hostimg_edit(img, "rm /old");
	hostimg_put(img, "f", 1, 65536, NULL, 0);
	hostimg_edit(img, "fallocate /f 0 15");
	look_at(&l, img, "/f", 1 << 20);
	table = report(&l, MAPREPORT_DM);
	ck_assert_str_eq(table, "0 128 zero\n");
	assert_reads_as_file(&l, table);
	free(table);
	look_away(&l);
}
END_TEST

/* But for who asked to see it. */
START_TEST(dm_table_has_unwritten_blocks_where_they_are_shown)
{
	const struct hostfs_options raw = { .raw_unwritten = true };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) extents = NULL;
	g_autofree char *wanted = NULL;
	struct looked_at l;
	char *table;

	hostimg_put(img, "f", 1, 8192, NULL, 0);
	hostimg_edit(img, "fallocate /f 0 1");
	extents = hostimg_extents(img, "/f");
	look_with(&l, img, "/f", 1 << 20, raw);
	table = report(&l, MAPREPORT_DM);
	wanted = g_strdup_printf("0 16 linear /dev/source %" PRIu64 "\n",
				 extent_at(extents, 0).phys.v * 8);
	ck_assert_str_eq(table, wanted);
	free(table);
	look_away(&l);
}
END_TEST

START_TEST(dm_table_of_many_extents_reads_as_the_file)
{
	struct hostimg *img = make_host("-t ext2 -b 1024");
	struct looked_at l;
	char *table;

	hostimg_put_comb(img, "f", 2, 1024, 700);
	look_at(&l, img, "/f", 0);
	table = report(&l, MAPREPORT_DM);
	ck_assert_uint_eq(count_lines_with(table, "linear"), 700);
	ck_assert_uint_eq(count_lines_with(table, "zero"), 700);
	assert_reads_as_file(&l, table);
	free(table);
	look_away(&l);
}
END_TEST

/* Refused with a sentence that has @word, and nothing printed. */
static void assert_no_table(struct looked_at *l, const char *word)
{
	g_autoptr(GError) error = NULL;
	char *text;
	size_t len;

	l->ask.format = MAPREPORT_DM;
	l->ask.out = open_memstream(&text, &len);
	ck_assert(!mapreport_print(&l->ask, &error));
	ck_assert(
		g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED));
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
	fclose(l->ask.out);
	ck_assert_uint_eq(len, 0);
	free(text);
}

static void look_at_file_of(struct looked_at *l, uint64_t size)
{
	struct hostimg *img = make_host("-t ext4 -b 1024");

	hostimg_put(img, "f", 1, size, NULL, 0);
	look_at(l, img, "/f", 1 << 20);
}

START_TEST(dm_refuses_a_source_that_is_a_file)
{
	struct looked_at l;

	look_at_file_of(&l, 4096);
	l.ask.source_is_block = false;
	assert_no_table(&l, "losetup");
	look_away(&l);
}
END_TEST

START_TEST(dm_refuses_parts_of_sectors)
{
	struct looked_at l;

	look_at_file_of(&l, 4096 + 511);
	assert_no_table(&l, "whole sectors");
	look_away(&l);
}
END_TEST

START_TEST(dm_refuses_an_empty_file)
{
	struct looked_at l;

	look_at_file_of(&l, 0);
	assert_no_table(&l, "empty");
	look_away(&l);
}
END_TEST

START_TEST(dm_refuses_a_host_between_sectors)
{
	struct looked_at l;

	look_at_file_of(&l, 4096);
	l.ask.source_offset = 1024 + 256;
	assert_no_table(&l, "begin where sectors");
	look_away(&l);
}
END_TEST

START_TEST(dm_refuses_blocks_smaller_than_sectors)
{
	struct hostfs_options opt = { .readonly = true };
	struct hostimg *img = make_host("-t ext4 -b 1024");
	struct looked_at l = { .img = img };
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	hostimg_put(img, "f", 1, 4096, NULL, 0);
	bytes = hostimg_bytes(img, &len);
	l.dev = memdev_new_readonly(bytes, len, 4096);
	l.fs = hostfs_open(l.dev, &opt, NULL);
	ck_assert_ptr_nonnull(l.fs);
	l.hf = hostfile_open(l.fs, "/f", 1 << 20, NULL);
	ck_assert_ptr_nonnull(l.hf);
	l.ask = (struct mapreport){ .hf = l.hf,
				    .source = "/dev/source",
				    .source_is_block = true };
	assert_no_table(&l, "begin where sectors");
	look_away(&l);
}
END_TEST

static const char *const bad_paths[] = { "/dev/my disk", "/dev/a#b",
					 "/dev/a\\b", "/dev/a\nb" };

START_TEST(dm_refuses_paths_that_a_table_cannot_hold)
{
	struct looked_at l;

	look_at_file_of(&l, 4096);
	l.ask.source = bad_paths[_i];
	assert_no_table(&l, "cannot hold the path");
	look_away(&l);
}
END_TEST

/* What the host says of itself: @info as it is, but for what was changed. */
static void assert_not_allowed(struct looked_at *l,
			       const struct hostfs_info *info, const char *word)
{
	g_autoptr(GError) error = NULL;
	struct report r;

	report_init(&r, &l->ask);
	ck_assert(!dm_allows(&r, info, &error));
	ck_assert(
		g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED));
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
}

START_TEST(dm_refuses_hosts_that_do_not_say_it_all)
{
	struct hostfs_info info;
	struct looked_at l;
	struct report r;

	look_at_file_of(&l, 4096);
	hostfs_info(l.fs, &info);
	report_init(&r, &l.ask);
	ck_assert(dm_allows(&r, &info, NULL));
	info.needs_recovery = true;
	assert_not_allowed(&l, &info, "journal");
	info.needs_recovery = false;
	g_free(info.features);
	info.features = g_strdup("extent shared_blocks 64bit");
	assert_not_allowed(&l, &info, "share blocks");
	hostfs_info_clear(&info);
	look_away(&l);
}
END_TEST

/* What a copy of the superblock says of the log is old, and nobody looked. */
START_TEST(dm_refuses_a_log_that_nobody_looked_at)
{
	const struct hostfs_options opt = { .norecovery = true,
					    .super_block = 1 };
	struct hostimg *img = make_host("-t ext4 -b 1024");
	struct looked_at l;

	hostimg_put(img, "f", 1, 4096, NULL, 0);
	look_with(&l, img, "/f", 1 << 20, opt);
	assert_no_table(&l, "norecovery");
	look_away(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("map_dm");
	TCase *tc = tcase_create("map_dm");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, dm_table_reads_as_the_file, 0,
			    (int)G_N_ELEMENTS(offsets));
	tcase_add_test(tc, dm_table_hides_what_unwritten_blocks_hold);
	tcase_add_test(tc, dm_table_has_unwritten_blocks_where_they_are_shown);
	tcase_add_test(tc, dm_table_of_many_extents_reads_as_the_file);
	tcase_add_test(tc, dm_refuses_a_source_that_is_a_file);
	tcase_add_test(tc, dm_refuses_parts_of_sectors);
	tcase_add_test(tc, dm_refuses_an_empty_file);
	tcase_add_test(tc, dm_refuses_a_host_between_sectors);
	tcase_add_test(tc, dm_refuses_blocks_smaller_than_sectors);
	tcase_add_loop_test(tc, dm_refuses_paths_that_a_table_cannot_hold, 0,
			    (int)G_N_ELEMENTS(bad_paths));
	tcase_add_test(tc, dm_refuses_hosts_that_do_not_say_it_all);
	tcase_add_test(tc, dm_refuses_a_log_that_nobody_looked_at);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
