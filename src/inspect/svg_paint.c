/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the picture of a map is painted with: SVG 1.1 without scripts, style
 * sheets, fonts or anything from elsewhere, so that browsers and converters
 * agree about it.
 *
 * Nothing gets too thin to be seen: a block on a large device is still a line,
 * a little of a column still a pixel.
 */
#include "svg_priv.h"

#include <rawmap/base/bytes.h>

#include <inttypes.h>

#define THINNEST 120L
#define LOWEST	 SVG_PX(1)
#define SEAM	 60L

static const char *const fills[SVG_KINDS] = {
	[SVG_MAPPED] = "#2f6fb0",
	[SVG_UNWRITTEN] = "url(#rawmap-unwritten)",
};

static const char *const colours[SVG_KINDS] = {
	[SVG_MAPPED] = "#2f6fb0",
	[SVG_UNWRITTEN] = "#d98e1f",
};

static const char *const kind_names[SVG_KINDS] = {
	[SVG_MAPPED] = "mapped",
	[SVG_UNWRITTEN] = "unwritten",
};

const char *svg_fill(enum svg_kind kind)
{
	return fills[kind];
}

/* ---- shapes ---- */

static void number(FILE *out, long hundredths)
{
	if (hundredths % 100)
		fprintf(out, "%ld.%02ld", hundredths / 100, hundredths % 100);
	else
		fprintf(out, "%ld", hundredths / 100);
}

static void attribute(FILE *out, const char *name, long hundredths)
{
	fprintf(out, " %s=\"", name);
	number(out, hundredths);
	fputc('"', out);
}

static void rect_open(FILE *out, long x, long y, long width, long height,
		      const char *attributes)
{
	fputs("<rect", out);
	attribute(out, "x", x);
	attribute(out, "y", y);
	attribute(out, "width", width);
	attribute(out, "height", height);
	fprintf(out, " %s", attributes);
}

void svg_rect(FILE *out, long x, long y, long width, long height,
	      const char *attributes)
{
	rect_open(out, x, y, width, height, attributes);
	fputs("/>\n", out);
}

void svg_text(FILE *out, long x, long y, const char *attributes,
	      const char *words)
{
	g_autofree char *escaped = xmltext_escape(words);

	fputs("<text", out);
	attribute(out, "x", x);
	attribute(out, "y", y);
	fprintf(out, " %s>%s</text>\n", attributes, escaped);
}

void svg_points(FILE *out, char letter, const long *points, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fputc(i ? ' ' : letter, out);
		number(out, points[2 * i]);
		fputc(',', out);
		number(out, points[2 * i + 1]);
	}
}

/* ---- positions ---- */

long svg_x(const struct svg_bar *bar, uint64_t pos)
{
	double share = (double)(pos - bar->from) / (double)bar->len;

	return SVG_LEFT + (long)(share * (double)SVG_SPAN + 0.5);
}

static void x_of_range(const struct svg_bar *bar, uint64_t pos, uint64_t len,
		       long *ret_x, long *ret_width)
{
	long x = svg_x(bar, pos), width = svg_x(bar, pos + len) - x;

	width = MAX(width, THINNEST);
	*ret_x = MIN(x, SVG_RIGHT - width);
	*ret_width = width;
}

/* ---- an axis ---- */

static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
				     "TiB", "PiB", "EiB" };

/* All marks of an axis have one unit, in which they are whole numbers. */
static unsigned unit_of(uint64_t step, uint64_t *ret_size)
{
	unsigned unit = 0;

	for (*ret_size = 1; !(step % 1024); step /= 1024) {
		*ret_size *= 1024;
		unit++;
	}
	return unit;
}

/* A label at an end of the bar stays on the page. */
static const char *anchor_at(long x)
{
	if (x < SVG_LEFT + SVG_PX(12))
		return "text-anchor=\"start\"";
	if (x > SVG_RIGHT - SVG_PX(12))
		return "text-anchor=\"end\"";
	return "text-anchor=\"middle\"";
}

void svg_axis(FILE *out, const struct svg_bar *bar, long y, bool above)
{
	uint64_t step = svg_tick_step(bar), end = bar->from + bar->len;
	uint64_t tick = (bar->from + step - 1) / step * step, size;
	unsigned unit = unit_of(step, &size);

	for (; tick <= end; tick += step) {
		g_autofree char *label = g_strdup_printf(
			"%" PRIu64 " %s", tick / size, units[unit]);
		long x = svg_x(bar, tick);

		fputs("<path d=\"", out);
		svg_points(out, 'M', (const long[]){ x, y }, 1);
		fprintf(out, "v%d\" stroke=\"" SVG_LINES "\"/>\n",
			above ? -6 : 6);
		svg_text(out, x, above ? y - SVG_PX(10) : y + SVG_PX(20),
			 anchor_at(x), label);
	}
}

/* ---- runs ---- */

/* In blocks, as the table has them. */
static void tooltip(const struct svg_page *page, const struct svg_run *run)
{
	unsigned bits = page->r->bits;
	uint64_t first = run->start >> bits, last = (run->len - 1) >> bits;
	uint64_t place = (run->place - page->r->what->source_offset) >> bits;

	fprintf(page->out,
		"<title>%s: blocks %" PRIu64 "..%" PRIu64
		" of the image, %" PRIu64 "..%" PRIu64 " of the device</title>",
		kind_names[run->kind], first, first + last, place,
		place + last);
}

static void paint_run(const struct svg_page *page, const struct svg_bar *bar,
		      const struct svg_run *run, uint64_t pos, long y,
		      long height, bool tooltips)
{
	g_autofree char *fill = NULL;
	bool wide;
	long x, width;

	x_of_range(bar, pos, run->len, &x, &width);
	wide = width > SVG_PX(3);
	if (wide) /* neighbours are told apart */
		width -= SEAM;
	/* A pattern needs room. */
	fill = g_strdup_printf("fill=\"%s\"",
			       wide ? fills[run->kind] : colours[run->kind]);
	if (!tooltips) {
		svg_rect(page->out, x, y, width, height, fill);
		return;
	}
	rect_open(page->out, x, y, width, height, fill);
	fputc('>', page->out);
	tooltip(page, run);
	fputs("</rect>\n", page->out);
}

void svg_paint_band(const struct svg_page *page, const struct svg_run *run,
		    long top, long bottom)
{
	long middle = (top + bottom) / 2, ax, aw, bx, bw;

	x_of_range(&page->pic->image, run->start, run->len, &ax, &aw);
	x_of_range(&page->pic->window, run->place, run->len, &bx, &bw);
	fprintf(page->out, "<path fill=\"%s\" d=\"", colours[run->kind]);
	svg_points(page->out, 'M', (const long[]){ ax, top }, 1);
	svg_points(page->out, 'C',
		   (const long[]){ ax, middle, bx, middle, bx, bottom }, 3);
	svg_points(page->out, 'L', (const long[]){ bx + bw, bottom }, 1);
	svg_points(page->out, 'C',
		   (const long[]){ bx + bw, middle, ax + aw, middle, ax + aw,
				   top },
		   3);
	fputs("z\"/>\n", page->out);
}

/* ---- columns ---- */

/* How high the parts of column @i are; they stand on each other. */
static void column_heights(const struct svg_bar *bar, unsigned i, long height,
			   long ret[SVG_KINDS])
{
	uint64_t start = svg_column_start(bar, i);
	uint64_t len = svg_column_start(bar, i + 1) - start;
	long left = height;

	for (int kind = SVG_KINDS - 1; kind >= 0; kind--) {
		uint64_t bytes = bar->bytes[kind][i];
		double share = len ? (double)bytes / (double)len : 0;

		ret[kind] = 0;
		if (!bytes)
			continue;
		ret[kind] = (long)(share * (double)height + 0.5);
		ret[kind] = MIN(MAX(ret[kind], LOWEST), left);
		left -= ret[kind];
	}
}

static bool same_heights(const long *a, const long *b)
{
	return a[SVG_MAPPED] == b[SVG_MAPPED] &&
	       a[SVG_UNWRITTEN] == b[SVG_UNWRITTEN];
}

/* One path a kind; columns next to each other that are alike are one box. */
static void paint_columns(const struct svg_page *page,
			  const struct svg_bar *bar, enum svg_kind kind, long y,
			  long height)
{
	long width = SVG_SPAN / (long)bar->columns;
	long high[SVG_KINDS], next[SVG_KINDS];

	if (!page->pic->total[kind])
		return;
	fprintf(page->out, "<path fill=\"%s\" d=\"", fills[kind]);
	for (unsigned i = 0, n; i < bar->columns; i += n) {
		long x = SVG_LEFT + (long)i * width, bottom = y + height;

		column_heights(bar, i, height, high);
		for (n = 1; i + n < bar->columns; n++) {
			column_heights(bar, i + n, height, next);
			if (!same_heights(high, next))
				break;
		}
		if (!high[kind])
			continue;
		if (kind == SVG_UNWRITTEN)
			bottom -= high[SVG_MAPPED];
		svg_points(page->out, 'M', (const long[]){ x, bottom }, 1);
		fputc('h', page->out);
		number(page->out, (long)n * width);
		fputs("v-", page->out);
		number(page->out, high[kind]);
		fputs("h-", page->out);
		number(page->out, (long)n * width);
		fputs("z\n", page->out);
	}
	fputs("\"/>\n", page->out);
}

void svg_paint_bar(const struct svg_page *page, const struct svg_bar *bar,
		   enum svg_side side, long y, long height, bool tooltips)
{
	const struct svg_picture *pic = page->pic;

	svg_rect(page->out, SVG_LEFT, y, SVG_SPAN, height,
		 side == SVG_IMAGE ? "fill=\"" SVG_PAPER "\""
				   : "fill=\"" SVG_REST "\"");
	/* Columns meet without a seam; between runs a seam is wanted. */
	fputs(pic->exact ? "<g>\n" : "<g shape-rendering=\"crispEdges\">\n",
	      page->out);
	for (unsigned i = 0; i < pic->n; i++) {
		const struct svg_run *run = &pic->run[i];

		paint_run(page, bar, run,
			  side == SVG_IMAGE ? run->start : run->place, y,
			  height, tooltips);
	}
	if (!pic->exact) {
		paint_columns(page, bar, SVG_MAPPED, y, height);
		paint_columns(page, bar, SVG_UNWRITTEN, y, height);
	}
	fputs("</g>\n", page->out);
	svg_rect(page->out, SVG_LEFT, y, SVG_SPAN, height,
		 "fill=\"none\" stroke=\"" SVG_LINES "\"");
}
