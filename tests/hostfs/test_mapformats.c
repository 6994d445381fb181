/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reports for other tools: qemu's map, a device-mapper table, DFXML. What
 * debugfs says of the file is the truth here; tests/mount/test_maps.sh has the
 * tools themselves.
 */
#include "map_bed.h"

#include "../../src/inspect/inspect_priv.h"

#include <rawmap/base/error.h>

#include <support/memdev.h>

#include <time.h>

#define OFFSET (UINT64_C(1048576) + 4096) /* of a host that is a partition */

static struct extent extent_at(GArray *extents, guint i)
{
	ck_assert_uint_gt(extents->len, i);
	return g_array_index(extents, struct extent, i);
}

/* ---- qemu ---- */

START_TEST(qemu_map_is_as_qemu_img_prints_it)
{
	const struct hostimg_piece piece = { 0, 8192 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) extents = NULL;
	g_autofree char *wanted = NULL;
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 20480, &piece, 1);
	hostimg_edit(img, "fallocate /f 3 4");
	extents = hostimg_extents(img, "/f");
	ck_assert_uint_eq(extents->len, 2);
	look_at(&l, img, "/f", 1 << 20);
	l.ask.source_offset = OFFSET;
	text = report(&l, MAPREPORT_QEMU);
	wanted = g_strdup_printf(
		"[{ \"start\": 0, \"length\": 8192, \"depth\": 0,"
		" \"present\": true, \"zero\": false, \"data\": true,"
		" \"offset\": %" PRIu64 "},\n"
		"{ \"start\": 8192, \"length\": 4096, \"depth\": 0,"
		" \"present\": true, \"zero\": true, \"data\": false},\n"
		"{ \"start\": 12288, \"length\": 8192, \"depth\": 0,"
		" \"present\": true, \"zero\": true, \"data\": false,"
		" \"offset\": %" PRIu64 "}]\n",
		extent_at(extents, 0).phys.v * 4096 + OFFSET,
		extent_at(extents, 1).phys.v * 4096 + OFFSET);
	ck_assert_str_eq(text, wanted);
	free(text);
	look_away(&l);
}
END_TEST

/* As qemu-img has these, whatever one may think of it. */
static const struct {
	uint64_t size;
	const char *wanted;
} odd_sizes[] = {
	{ 0, "[{ \"start\": 0, \"length\": 0, \"depth\": 0, \"present\": false,"
	     " \"zero\": false, \"data\": false}]\n" },
	{ 513, "[{ \"start\": 0, \"length\": 1024, \"depth\": 0,"
	       " \"present\": true, \"zero\": true, \"data\": false}]\n" },
};

START_TEST(qemu_map_counts_whole_sectors)
{
	struct hostimg *img = make_host(NULL);
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, odd_sizes[_i].size, NULL, 0);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_QEMU);
	ck_assert_str_eq(text, odd_sizes[_i].wanted);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(qemu_map_ends_in_zeros_where_the_last_sector_is_not_whole)
{
	struct hostimg *img = make_host(NULL);
	const struct hostimg_piece piece = { 0, 700 };
	struct looked_at l;
	char *text;

	hostimg_put(img, "f", 1, 700, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	text = report(&l, MAPREPORT_QEMU);
	ck_assert_uint_eq(count_lines_with(text, "\"length\": 700,"), 1);
	ck_assert_ptr_nonnull(strstr(text,
				     ",\n{ \"start\": 700, \"length\": 324,"
				     " \"depth\": 0, \"present\": true,"
				     " \"zero\": true, \"data\": false}]\n"));
	free(text);
	look_away(&l);
}
END_TEST

/* ---- dm ---- */

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

/* ---- DFXML ---- */

struct byte_run {
	uint64_t file_offset, fs_offset, img_offset, len;
	char *fill, *type;
	bool placed;
};

struct document {
	GArray *runs;
	GHashTable *texts; /* element name: text */
};

static uint64_t number_of(const char *text)
{
	return g_ascii_strtoull(text, NULL, 10);
}

static void take_attribute(struct byte_run *run, const char *name,
			   const char *value)
{
	if (strcmp(name, "file_offset") == 0)
		run->file_offset = number_of(value);
	else if (strcmp(name, "fs_offset") == 0)
		run->fs_offset = number_of(value);
	else if (strcmp(name, "img_offset") == 0)
		run->img_offset = number_of(value);
	else if (strcmp(name, "len") == 0)
		run->len = number_of(value);
	else if (strcmp(name, "fill") == 0)
		run->fill = g_strdup(value);
	else if (strcmp(name, "type") == 0)
		run->type = g_strdup(value);
	else
		ck_abort_msg("attribute %s", name);
	run->placed |= strcmp(name, "img_offset") == 0;
}

static void on_start(GMarkupParseContext *context, const char *element,
		     const char **names, const char **values, void *opaque,
		     GError **error)
{
	struct document *d = opaque;
	struct byte_run run = { 0 };

	(void)context;
	(void)error;
	if (strcmp(element, "byte_run") != 0)
		return;
	for (unsigned i = 0; names[i]; i++)
		take_attribute(&run, names[i], values[i]);
	g_array_append_val(d->runs, run);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize len,
		    void *opaque, GError **error)
{
	struct document *d = opaque;

	(void)error;
	g_hash_table_replace(
		d->texts, g_strdup(g_markup_parse_context_get_element(context)),
		g_strndup(text, len));
}

static void clear_run(void *opaque)
{
	struct byte_run *run = opaque;

	g_free(run->fill);
	g_free(run->type);
}

static struct document *parse(struct looked_at *l)
{
	const GMarkupParser parser = { .start_element = on_start,
				       .text = on_text };
	struct document *d = g_new0(struct document, 1);
	char *text = report(l, MAPREPORT_DFXML);
	GMarkupParseContext *context;
	g_autoptr(GError) error = NULL;

	d->runs = g_array_new(FALSE, FALSE, sizeof(struct byte_run));
	g_array_set_clear_func(d->runs, clear_run);
	d->texts =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	context = g_markup_parse_context_new(&parser, 0, d, NULL);
	ck_assert_msg(g_markup_parse_context_parse(context, text, -1, &error) &&
			      g_markup_parse_context_end_parse(context, &error),
		      "%s", error ? error->message : "?");
	g_markup_parse_context_free(context);
	free(text);
	return d;
}

static void document_free(struct document *d)
{
	g_array_unref(d->runs);
	g_hash_table_unref(d->texts);
	g_free(d);
}

static const char *text_in(struct document *d, const char *element)
{
	const char *text = g_hash_table_lookup(d->texts, element);

	ck_assert_msg(text != NULL, "no %s", element);
	return text;
}

/* The runs cover the file; what has a place is where debugfs says it is. */
START_TEST(dfxml_runs_cover_the_file_and_are_where_debugfs_says)
{
	g_autoptr(GArray) extents = NULL;
	struct document *d;
	struct looked_at l;
	uint64_t at = 0;
	guint n = 0;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	l.ask.source_offset = OFFSET;
	extents = hostimg_extents(l.img, "/f");
	d = parse(&l);
	for (guint i = 0; i < d->runs->len; i++) {
		struct byte_run *run =
			&g_array_index(d->runs, struct byte_run, i);
		struct extent e;

		ck_assert_uint_eq(run->file_offset, at);
		at += run->len;
		if (!run->placed) {
			ck_assert_str_eq(run->fill, "0");
			ck_assert_ptr_null(run->type);
			continue;
		}
		e = extent_at(extents, n++);
		ck_assert_uint_eq(run->file_offset, e.start.v * 4096);
		ck_assert_uint_eq(run->fs_offset, e.phys.v * 4096);
		ck_assert_uint_eq(run->img_offset, e.phys.v * 4096 + OFFSET);
		ck_assert_uint_eq(run->len, MIN(e.len * 4096,
						MIXED_SIZE - e.start.v * 4096));
		if (e.state == EXTENT_MAPPED) {
			ck_assert_ptr_null(run->fill);
		} else {
			ck_assert_str_eq(run->fill, "0");
			ck_assert_str_eq(run->type, "unwritten");
		}
	}
	ck_assert_uint_eq(at, MIXED_SIZE);
	/* The blocks behind the end are extents of debugfs, no runs. */
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_ge(extent_at(extents, n).start.v, 80);
	document_free(d);
	look_away(&l);
}
END_TEST

START_TEST(dfxml_tells_about_file_and_volume)
{
	struct hostfile_attr attr;
	g_autofree char *ino = NULL;
	struct document *d;
	struct looked_at l;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	hostfile_attr(l.hf, &attr);
	ino = g_strdup_printf("%" PRIu64, attr.ino);
	l.ask.source = "/evidence/a<b>&c.img";
	l.ask.source_offset = OFFSET;
	d = parse(&l);
	ck_assert_str_eq(text_in(d, "filename"), "f");
	ck_assert_str_eq(text_in(d, "filesize"), "307712");
	ck_assert_str_eq(text_in(d, "alloc"), "1");
	ck_assert_str_eq(text_in(d, "inode"), ino);
	ck_assert_str_eq(text_in(d, "name_type"), "r");
	ck_assert_str_eq(text_in(d, "ftype_str"), "ext4");
	ck_assert_str_eq(text_in(d, "block_size"), "4096");
	ck_assert_str_eq(text_in(d, "partition_offset"), "1052672");
	ck_assert_str_eq(text_in(d, "image_filename"), l.ask.source);
	document_free(d);
	look_away(&l);
}
END_TEST

/* 2038 is not the end, and before 1970 there was time too. */
static const struct {
	const char *set, *wanted;
} times[] = {
	{ "@1700000000", "2023-11-14T22:13:20" },
	{ "@4294967296", "2106-02-07T06:28:16" },
	{ "@-86400", "1969-12-31T00:00:00" },
};

START_TEST(dfxml_times_are_utc)
{
	struct hostimg *img = make_host("-t ext4 -I 256");
	struct document *d;
	struct looked_at l;

	hostimg_put(img, "f", 1, 4096, NULL, 0);
	hostimg_edit(img, "set_inode_field /f mtime %s", times[_i].set);
	/* Elsewhere it is another time. */
	ck_assert(g_setenv("TZ", "XYZ+5", true));
	tzset();
	look_at(&l, img, "/f", 1 << 20);
	d = parse(&l);
	ck_assert(g_str_has_prefix(text_in(d, "mtime"), times[_i].wanted));
	ck_assert(g_str_has_suffix(text_in(d, "mtime"), "Z"));
	document_free(d);
	look_away(&l);
}
END_TEST

/* A number is no name. */
START_TEST(dfxml_of_an_inode_has_no_filename)
{
	struct looked_at l;
	struct document *d;

	look_at(&l, mixed_host(), "<12>", 1 << 20);
	d = parse(&l);
	ck_assert(!g_hash_table_contains(d->texts, "filename"));
	ck_assert_str_eq(text_in(d, "inode"), "12");
	document_free(d);
	look_away(&l);
}
END_TEST

static const struct {
	const char *text, *wanted;
} escapes[] = {
	{ "plain", "plain" },
	{ "a<b>&\"c\"'", "a&lt;b&gt;&amp;&quot;c&quot;&apos;" },
	{ "tab\tline\n", "tab&#9;line&#10;" },
	{ "bell\x07", "bell\xef\xbf\xbd" },
	{ "latin \xe4", "latin \xef\xbf\xbd" },
	{ "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac" },
	{ "\xef\xbf\xbe", "\xef\xbf\xbd" }, /* U+FFFE */
};

START_TEST(xml_has_any_name)
{
	g_autofree char *escaped = xmltext_escape(escapes[_i].text);

	ck_assert_str_eq(escaped, escapes[_i].wanted);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapformats");
	TCase *tc = tcase_create("mapformats");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, qemu_map_is_as_qemu_img_prints_it);
	tcase_add_loop_test(tc, qemu_map_counts_whole_sectors, 0,
			    (int)G_N_ELEMENTS(odd_sizes));
	tcase_add_test(
		tc, qemu_map_ends_in_zeros_where_the_last_sector_is_not_whole);
	tcase_add_loop_test(tc, dm_table_reads_as_the_file, 0,
			    (int)G_N_ELEMENTS(offsets));
	tcase_add_test(tc, dm_table_hides_what_unwritten_blocks_hold);
	tcase_add_test(tc, dm_table_of_many_extents_reads_as_the_file);
	tcase_add_test(tc, dm_refuses_a_source_that_is_a_file);
	tcase_add_test(tc, dm_refuses_parts_of_sectors);
	tcase_add_test(tc, dm_refuses_an_empty_file);
	tcase_add_test(tc, dm_refuses_a_host_between_sectors);
	tcase_add_test(tc, dm_refuses_blocks_smaller_than_sectors);
	tcase_add_loop_test(tc, dm_refuses_paths_that_a_table_cannot_hold, 0,
			    (int)G_N_ELEMENTS(bad_paths));
	tcase_add_test(tc, dm_refuses_hosts_that_do_not_say_it_all);
	tcase_add_test(tc,
		       dfxml_runs_cover_the_file_and_are_where_debugfs_says);
	tcase_add_test(tc, dfxml_tells_about_file_and_volume);
	tcase_add_loop_test(tc, dfxml_times_are_utc, 0,
			    (int)G_N_ELEMENTS(times));
	tcase_add_test(tc, dfxml_of_an_inode_has_no_filename);
	tcase_add_loop_test(tc, xml_has_any_name, 0,
			    (int)G_N_ELEMENTS(escapes));
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
