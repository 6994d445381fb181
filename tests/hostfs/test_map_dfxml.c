/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as DFXML, read by a parser of XML. What debugfs says of the file is the
 * truth here.
 */
#include "map_bed.h"

#include "../../src/inspect/inspect_priv.h"

#include <time.h>

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
/* Neither the name nor the inode of a deleted file is allocated. */
START_TEST(dfxml_of_a_deleted_file_is_not_allocated)
{
	const struct hostfs_options deleted = { .deleted = true };
	struct hostimg *img = make_host("-t ext2 -b 1024");
	const struct hostimg_piece piece = { 0, 5000 };
	struct looked_at l;
	struct document *d;

	hostimg_put(img, "f", 1, 5000, &piece, 1);
	hostimg_edit(img, "rm f");
	look_with(&l, img, "<12>", 1 << 20, deleted);
	d = parse(&l);
	ck_assert_str_eq(text_in(d, "alloc"), "0");
	ck_assert_str_eq(text_in(d, "nlink"), "0");
	document_free(d);
	look_away(&l);
}
END_TEST

START_TEST(dfxml_fills_nothing_where_unwritten_blocks_are_shown)
{
	const struct hostfs_options raw = { .raw_unwritten = true };
	struct document *d;
	struct looked_at l;
	guint unwritten = 0;

	look_with(&l, mixed_host(), "/f", 1 << 20, raw);
	d = parse(&l);
	for (guint i = 0; i < d->runs->len; i++) {
		struct byte_run *run =
			&g_array_index(d->runs, struct byte_run, i);

		ck_assert_int_eq(run->placed, run->fill == NULL);
		unwritten += run->type && !strcmp(run->type, "unwritten");
	}
	ck_assert_uint_eq(unwritten, 1);
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
	Suite *suite = suite_create("map_dfxml");
	TCase *tc = tcase_create("map_dfxml");
	SRunner *runner;
	int failed;

	tcase_add_test(tc,
		       dfxml_runs_cover_the_file_and_are_where_debugfs_says);
	tcase_add_test(tc, dfxml_tells_about_file_and_volume);
	tcase_add_loop_test(tc, dfxml_times_are_utc, 0,
			    (int)G_N_ELEMENTS(times));
	tcase_add_test(tc, dfxml_of_an_inode_has_no_filename);
	tcase_add_test(tc, dfxml_of_a_deleted_file_is_not_allocated);
	tcase_add_test(tc,
		       dfxml_fills_nothing_where_unwritten_blocks_are_shown);
	tcase_add_loop_test(tc, xml_has_any_name, 0,
			    (int)G_N_ELEMENTS(escapes));
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
