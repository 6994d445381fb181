/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture of a map: well-formed, bounded, and with things where they
 * belong. What it looks like, a person has to say.
 */
#include "map_bed.h"

#include "../../src/inspect/svg_priv.h"

#include <rawmap/base/error.h>

#define SHAPES_MAX 2000

/* ---- the arithmetic of bars ---- */

static const struct {
	uint64_t from, len;
	unsigned columns;
} ranges[] = {
	{ 0, 1, SVG_COLUMNS },
	{ 0, 359, SVG_COLUMNS },
	{ 7, 361, SVG_COLUMNS },
	{ 4096, 65536, SVG_COLUMNS / 2 },
	{ 0, 129599, SVG_COLUMNS },
	{ UINT64_C(1) << 40, (UINT64_C(1) << 44) + 12345, SVG_COLUMNS },
	{ UINT64_C(1) << 61, UINT64_C(1) << 60, SVG_COLUMNS },
};

static struct svg_bar *bar_new(int i)
{
	struct svg_bar *bar = g_new0(struct svg_bar, 1);

	bar->from = ranges[i].from;
	bar->len = ranges[i].len;
	bar->columns = ranges[i].columns;
	return bar;
}

START_TEST(columns_cover_the_range)
{
	g_autofree struct svg_bar *bar = bar_new(_i);
	uint64_t each = bar->len / bar->columns;

	ck_assert_uint_eq(svg_column_start(bar, 0), bar->from);
	ck_assert_uint_eq(svg_column_start(bar, bar->columns),
			  bar->from + bar->len);
	for (unsigned i = 0; i < bar->columns; i++) {
		uint64_t len =
			svg_column_start(bar, i + 1) - svg_column_start(bar, i);

		ck_assert(len == each || len == each + 1);
	}
}
END_TEST

START_TEST(bytes_are_counted_in_the_column_they_are_in)
{
	g_autofree struct svg_bar *bar = bar_new(_i);
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (unsigned n = 0; n < 500; n++) {
		double where = g_rand_double(rand);
		uint64_t pos =
			bar->from + (uint64_t)(where * (double)(bar->len - 1));

		memset(bar->bytes, 0, sizeof(bar->bytes));
		svg_bar_add(bar, SVG_MAPPED, pos, 1);
		for (unsigned i = 0; i < bar->columns; i++) {
			bool in = svg_column_start(bar, i) <= pos &&
				  pos < svg_column_start(bar, i + 1);

			ck_assert_uint_eq(bar->bytes[SVG_MAPPED][i], in);
		}
	}
}
END_TEST

/* All of it, in three pieces: each column is full, none is too full. */
START_TEST(long_runs_fill_columns)
{
	g_autofree struct svg_bar *bar = bar_new(_i);
	uint64_t a = bar->len / 3, b = bar->len / 2;

	if (a)
		svg_bar_add(bar, SVG_UNWRITTEN, bar->from, a);
	if (b > a)
		svg_bar_add(bar, SVG_UNWRITTEN, bar->from + a, b - a);
	svg_bar_add(bar, SVG_UNWRITTEN, bar->from + b, bar->len - b);
	for (unsigned i = 0; i < bar->columns; i++)
		ck_assert_uint_eq(bar->bytes[SVG_UNWRITTEN][i],
				  svg_column_start(bar, i + 1) -
					  svg_column_start(bar, i));
}
END_TEST

START_TEST(axis_has_few_marks_and_not_too_few)
{
	g_autofree struct svg_bar *bar = bar_new(_i);
	uint64_t step = svg_tick_step(bar);

	ck_assert_uint_gt(step, 0);
	ck_assert_uint_eq(step & (step - 1), 0);
	ck_assert_uint_le(bar->len / step, 6);
	ck_assert(step == 1 || bar->len / step >= 3);
}
END_TEST

/* ---- pictures ---- */

/* What a picture is made of. */
struct shapes {
	guint rects, paths, boxes, texts, titles, patterns;
	GPtrArray *rect; /* "x y width height fill" of each */
	GString *words;	 /* of all text */
};

static const char *value_of(const char **names, const char **values,
			    const char *name)
{
	for (unsigned i = 0; names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return values[i];
	return "";
}

static void on_start(GMarkupParseContext *context, const char *element,
		     const char **names, const char **values, void *opaque,
		     GError **error)
{
	struct shapes *s = opaque;

	(void)context;
	(void)error;
	s->rects += strcmp(element, "rect") == 0;
	s->texts += strcmp(element, "text") == 0;
	s->titles += strcmp(element, "title") == 0;
	s->patterns += strcmp(element, "pattern") == 0;
	if (strcmp(element, "path") == 0) {
		s->paths++;
		for (const char *d = value_of(names, values, "d"); *d; d++)
			s->boxes += *d == 'M';
	}
	if (strcmp(element, "rect") == 0)
		g_ptr_array_add(s->rect,
				g_strjoin(" ", value_of(names, values, "x"),
					  value_of(names, values, "y"),
					  value_of(names, values, "width"),
					  value_of(names, values, "height"),
					  value_of(names, values, "fill"),
					  NULL));
}

static void on_text(GMarkupParseContext *context, const char *text, gsize len,
		    void *opaque, GError **error)
{
	struct shapes *s = opaque;

	(void)context;
	(void)error;
	g_string_append_len(s->words, text, (gssize)len);
	g_string_append_c(s->words, '\n');
}

static struct shapes *shapes_of(const char *text)
{
	const GMarkupParser parser = { .start_element = on_start,
				       .text = on_text };
	struct shapes *s = g_new0(struct shapes, 1);
	GMarkupParseContext *context;
	g_autoptr(GError) error = NULL;

	s->rect = g_ptr_array_new_with_free_func(g_free);
	s->words = g_string_new(NULL);
	context = g_markup_parse_context_new(&parser, 0, s, NULL);
	ck_assert_msg(g_markup_parse_context_parse(context, text, -1, &error) &&
			      g_markup_parse_context_end_parse(context, &error),
		      "%s", error ? error->message : "?");
	g_markup_parse_context_free(context);
	ck_assert_uint_le(s->rects + s->boxes + s->texts, SHAPES_MAX);
	ck_assert_uint_ge(s->titles, 1);
	return s;
}

static struct shapes *draw(struct looked_at *l)
{
	char *text = report(l, MAPREPORT_SVG);
	struct shapes *s = shapes_of(text);

	free(text);
	return s;
}

static void shapes_free(struct shapes *s)
{
	g_ptr_array_unref(s->rect);
	g_string_free(s->words, TRUE);
	g_free(s);
}

static void assert_words(struct shapes *s, const char *words)
{
	ck_assert_msg(strstr(s->words->str, words) != NULL, "no '%s' in\n%s",
		      words, s->words->str);
}

static guint count_rects(struct shapes *s, const char *start, const char *end)
{
	guint n = 0;

	for (guint i = 0; i < s->rect->len; i++) {
		const char *rect = g_ptr_array_index(s->rect, i);

		n += g_str_has_prefix(rect, start) &&
		     g_str_has_suffix(rect, end);
	}
	return n;
}

/* A quarter from a quarter on: the bar goes from 50 to 950. */
START_TEST(extent_is_drawn_where_it_is_in_the_image)
{
	const struct hostimg_piece piece = { 262144, 262144 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	struct looked_at l;
	struct shapes *s;

	hostimg_put(img, "f", 1, 1048576, &piece, 1);
	look_at(&l, img, "/f", 1 << 20);
	s = draw(&l);
	ck_assert_uint_eq(count_rects(s, "275 154 224.40 ", "#2f6fb0"), 1);
	shapes_free(s);
	look_away(&l);
}
END_TEST

START_TEST(extent_is_drawn_where_it_is_on_the_device)
{
	const struct hostimg_piece piece = { 0, 65536 };
	struct hostimg *img = make_host("-t ext4 -b 4096");
	g_autoptr(GArray) extents = NULL;
	g_autofree char *start = NULL;
	struct looked_at l;
	struct shapes *s;
	double share;

	hostimg_put(img, "f", 1, 65536, &piece, 1);
	extents = hostimg_extents(img, "/f");
	ck_assert_uint_eq(extents->len, 1);
	look_at(&l, img, "/f", 1 << 20);
	l.ask.source_offset = 1 << 20;
	s = draw(&l);
	/* The device has 2048 blocks. */
	share = (double)g_array_index(extents, struct extent, 0).phys.v / 2048;
	start = g_strdup_printf("%d", (int)(50 + 900 * share));
	ck_assert_uint_eq(count_rects(s, start, " 20 #2f6fb0"), 1);
	shapes_free(s);
	look_away(&l);
}
END_TEST

START_TEST(every_extent_has_a_rectangle_in_each_bar_and_a_band)
{
	struct looked_at l;
	struct shapes *s;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	s = draw(&l);
	/* Three bars; four extents, one of them not written. */
	ck_assert_uint_eq(count_rects(s, "", "#2f6fb0"), 3 * 3 + 1);
	ck_assert_uint_eq(count_rects(s, "", "url(#rawmap-unwritten)"), 3 + 1);
	ck_assert_uint_eq(s->titles, 1 + 4 + 4);
	ck_assert_uint_eq(s->patterns, 1);
	assert_words(s, "unwritten: blocks 40..47 of the image");
	assert_words(s, "mapped: blocks 0..15 of the image");
	shapes_free(s);
	look_away(&l);
}
END_TEST

START_TEST(numbers_are_those_of_the_content)
{
	struct looked_at l;
	struct shapes *s;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	s = draw(&l);
	assert_words(s, "Map of /f");
	assert_words(s, "4 extents: 72.5 KiB mapped, 32 KiB unwritten;"
			" 196 KiB in holes");
	assert_words(s, "300.5 KiB in a filesystem (ext4) of 8 MiB on"
			" /dev/source");
	shapes_free(s);
	look_away(&l);
}
END_TEST

/* The most that is drawn one by one, one more, and many. */
static const uint32_t combs[] = { SVG_RUNS, SVG_RUNS + 1, 1500 };

START_TEST(picture_of_many_extents_is_bounded)
{
	struct hostimg *img = make_host("-t ext4 -b 1024 -g 1024");
	struct looked_at l;
	struct shapes *s;

	hostimg_put_comb(img, "f", 1, 1024, combs[_i]);
	look_at(&l, img, "/f", 0);
	s = draw(&l); /* SHAPES_MAX is looked at for any picture */
	if (combs[_i] <= SVG_RUNS) {
		ck_assert_uint_gt(s->titles, combs[_i]);
	} else {
		ck_assert_uint_eq(s->titles, 1);
		assert_words(s, "A column is ");
	}
	shapes_free(s);
	look_away(&l);
}
END_TEST

/* Every other block: each of the columns, 72 high, is half full. */
START_TEST(columns_are_as_high_as_they_are_full)
{
	struct hostimg *img = make_host("-t ext4 -b 1024");
	struct looked_at l;
	char *text;

	hostimg_put_comb(img, "f", 1, 1024, 4 * SVG_COLUMNS);
	look_at(&l, img, "/f", 0);
	text = report(&l, MAPREPORT_SVG);
	ck_assert_msg(strstr(text, "d=\"M50,226h900v-36h-900z\n\"") != NULL,
		      "%s", text);
	free(text);
	look_away(&l);
}
END_TEST

START_TEST(picture_of_nothing_is_a_picture)
{
	struct hostimg *img = make_host("-t ext2 -b 1024");
	struct looked_at l;
	struct shapes *s;

	hostimg_put(img, "f", 1, _i ? UINT64_C(3) << 30 : 0, NULL, 0);
	look_at(&l, img, "/f", 1 << 16);
	s = draw(&l);
	assert_words(s, "0 extents: 0 B mapped");
	ck_assert_uint_eq(count_rects(s, "", "#2f6fb0"), 1); /* the legend */
	shapes_free(s);
	look_away(&l);
}
END_TEST

static const char *const odd_names[] = { "a<b>&'c'", "\xff\xfe", "a\x01z",
					 "\xc3\xa4\xe2\x82\xac" };

START_TEST(any_name_is_drawn)
{
	struct hostimg *img = make_host(NULL);
	g_autofree char *path = g_strconcat("/", odd_names[_i], NULL);
	struct looked_at l;

	hostimg_put(img, odd_names[_i], 1, 4096, NULL, 0);
	look_at(&l, img, path, 1 << 20);
	l.ask.source = path;
	shapes_free(draw(&l));
	look_away(&l);
}
END_TEST

START_TEST(long_name_is_cut_in_the_heading_only)
{
	g_autofree char *name = g_strnfill(300, 'x');
	struct looked_at l;
	struct shapes *s;

	look_at(&l, mixed_host(), "/f", 1 << 20);
	l.ask.source = name;
	s = draw(&l);
	assert_words(s, "xxx\xe2\x80\xa6xxx");
	ck_assert_ptr_null(strstr(s->words->str, name));
	shapes_free(s);
	look_away(&l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mappicture");
	TCase *tc = tcase_create("mappicture");
	const int n = (int)G_N_ELEMENTS(ranges);
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, columns_cover_the_range, 0, n);
	tcase_add_loop_test(tc, bytes_are_counted_in_the_column_they_are_in, 0,
			    n);
	tcase_add_loop_test(tc, long_runs_fill_columns, 0, n);
	tcase_add_loop_test(tc, axis_has_few_marks_and_not_too_few, 0, n);
	tcase_add_test(tc, extent_is_drawn_where_it_is_in_the_image);
	tcase_add_test(tc, extent_is_drawn_where_it_is_on_the_device);
	tcase_add_test(tc, every_extent_has_a_rectangle_in_each_bar_and_a_band);
	tcase_add_test(tc, numbers_are_those_of_the_content);
	tcase_add_loop_test(tc, picture_of_many_extents_is_bounded, 0,
			    (int)G_N_ELEMENTS(combs));
	tcase_add_test(tc, columns_are_as_high_as_they_are_full);
	tcase_add_loop_test(tc, picture_of_nothing_is_a_picture, 0, 2);
	tcase_add_loop_test(tc, any_name_is_drawn, 0,
			    (int)G_N_ELEMENTS(odd_names));
	tcase_add_test(tc, long_name_is_cut_in_the_heading_only);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
