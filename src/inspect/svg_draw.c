/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page of a picture of a map, from top to bottom:
 *
 *   title, two lines of numbers
 *   axis and bar of the image      mapped, unwritten; holes stay white
 *   bands                          from each extent to its place; exact only
 *   bar and axis of the window     the same colours; the rest is grey
 *   bar and axis of the device     with the window's place in it; zoomed only
 *   legend                         in columns also what a column stands for
 */
#include "svg_priv.h"

#include <rawmap/base/text.h>

#include <inttypes.h>

#define PX	   SVG_PX
#define PAGE_WIDTH PX(1000)
#define TITLE_MAX  78 /* characters that fit */
#define SOURCE_MAX 60

#define FONT                                                        \
	"font-family=\"'DejaVu Sans', Verdana, Arial, sans-serif\"" \
	" font-size=\"13\" fill=\"" SVG_INK "\""
#define HEADING "font-weight=\"bold\""
#define NOTE	"fill=\"" SVG_FAINT "\""

/* Where the bars and the legend begin, and how high they are. */
struct layout {
	long image, window, high;
	long device, device_high;
	long legend, bottom;
};

static void lay_out(const struct svg_picture *pic, struct layout *at)
{
	at->high = pic->exact ? PX(36) : PX(72);
	at->image = PX(154);
	at->window = at->image + at->high + (pic->exact ? PX(120) : PX(28));
	at->device = at->window + at->high + PX(84);
	at->device_high = PX(20);
	at->legend = pic->zoomed ? at->device + at->device_high
				 : at->window + at->high;
	at->legend += PX(72);
	at->bottom = at->legend + (pic->exact ? PX(34) : PX(56));
}

/* ---- words ---- */

/* The middle of what is too long for the page is left out. */
static char *shortened(const char *words, glong max)
{
	g_autofree char *valid = g_utf8_make_valid(words, -1);
	glong n = g_utf8_strlen(valid, -1), half = max / 2;
	g_autofree char *head = NULL;

	if (n <= max)
		return g_steal_pointer(&valid);
	head = g_utf8_substring(valid, 0, half - 1);
	return g_strdup_printf("%s\xe2\x80\xa6%s", head,
			       g_utf8_offset_to_pointer(valid, n - half));
}

static char *where_text(const struct svg_page *page)
{
	struct hostfs_info info;
	g_autofree char *size = text_format_size(page->r->size);
	g_autofree char *device = text_format_size(page->pic->device.len);
	g_autofree char *source = shortened(page->r->what->source, SOURCE_MAX);
	char *words;

	hostfs_info(hostfile_host(page->r->what->hf), &info);
	words = g_strdup_printf("%s in a filesystem (%s) of %s on %s", size,
				info.kind, device, source);
	hostfs_info_clear(&info);
	return words;
}

static char *numbers_text(const struct svg_page *page)
{
	const struct svg_picture *pic = page->pic;
	g_autofree char *mapped = text_format_size(pic->total[SVG_MAPPED]);
	g_autofree char *unwritten =
		text_format_size(pic->total[SVG_UNWRITTEN]);
	g_autofree char *holes = text_format_size(pic->holes);

	return g_strdup_printf("%" PRIu64 " extent%s: %s mapped, %s unwritten;"
			       " %s in holes",
			       pic->extents, pic->extents == 1 ? "" : "s",
			       mapped, unwritten, holes);
}

static void draw_head(const struct svg_page *page, const struct layout *at)
{
	const char *path = hostfile_path(page->r->what->hf);
	g_autofree char *title = xmltext_escape(path);
	g_autofree char *heading = shortened(path, TITLE_MAX);
	g_autofree char *where = where_text(page);
	g_autofree char *where_xml = xmltext_escape(where);
	g_autofree char *numbers = numbers_text(page);
	FILE *out = page->out;

	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%ld\""
		" height=\"%ld\" viewBox=\"0 0 %ld %ld\" role=\"img\""
		" aria-labelledby=\"rawmap-title rawmap-desc\" " FONT ">\n",
		PAGE_WIDTH / 100, at->bottom / 100, PAGE_WIDTH / 100,
		at->bottom / 100);
	fprintf(out,
		"<title id=\"rawmap-title\">Map of %s</title>\n"
		"<desc id=\"rawmap-desc\">%s. %s. The upper bar is the image,"
		" below it is the device.</desc>\n",
		title, where_xml, numbers);
	fputs("<defs><pattern id=\"rawmap-unwritten\" width=\"6\" height=\"6\""
	      " patternUnits=\"userSpaceOnUse\">"
	      "<rect width=\"6\" height=\"6\" fill=\"#f2b134\"/>"
	      "<path d=\"M-1,1L1,-1M0,6L6,0M5,7L7,5\" stroke=\"#9a5b00\""
	      " stroke-width=\"1.4\"/></pattern></defs>\n",
	      out);
	svg_rect(out, 0, 0, PAGE_WIDTH, at->bottom, "fill=\"" SVG_PAPER "\"");
	svg_text(out, SVG_LEFT, PX(42), HEADING " font-size=\"20\"", heading);
	svg_text(out, SVG_LEFT, PX(66), NOTE, where);
	svg_text(out, SVG_LEFT, PX(86), NOTE, numbers);
}

/* ---- bars ---- */

static void draw_bands(const struct svg_page *page, const struct layout *at)
{
	if (!page->pic->n)
		return;
	fputs("<g fill-opacity=\"0.24\">\n", page->out);
	for (unsigned i = 0; i < page->pic->n; i++)
		svg_paint_band(page, &page->pic->run[i], at->image + at->high,
			       at->window);
	fputs("</g>\n", page->out);
}

/* From the whole window to its place on the device. */
static void draw_funnel(const struct svg_page *page, const struct layout *at)
{
	const struct svg_picture *pic = page->pic;
	uint64_t end = pic->window.from + pic->window.len;
	long top = at->window + at->high;
	long left = svg_x(&pic->device, pic->window.from);
	long right = MAX(svg_x(&pic->device, end), left + 100);
	const long corners[] = { SVG_LEFT, top,	       SVG_RIGHT, top,
				 right,	   at->device, left,	  at->device };

	fputs("<path fill=\"#f0f3f7\" d=\"", page->out);
	svg_points(page->out, 'M', corners, 4);
	fputs("z\"/>\n", page->out);
}

static void draw_device(const struct svg_page *page, const struct layout *at)
{
	long below = at->device + at->device_high;

	svg_paint_bar(page, &page->pic->device, SVG_SOURCE, at->device,
		      at->device_high, false);
	svg_axis(page->out, &page->pic->device, below, false);
	svg_text(page->out, SVG_LEFT, below + PX(42), HEADING,
		 "Device: all of the filesystem");
}

static void draw_bars(const struct svg_page *page, const struct layout *at)
{
	const struct svg_picture *pic = page->pic;
	long below = at->window + at->high;

	svg_text(page->out, SVG_LEFT, at->image - PX(32), HEADING,
		 "Image: position in the file");
	svg_axis(page->out, &pic->image, at->image, true);
	draw_bands(page, at);
	if (pic->zoomed)
		draw_funnel(page, at);
	svg_paint_bar(page, &pic->image, SVG_IMAGE, at->image, at->high, true);
	svg_paint_bar(page, &pic->window, SVG_SOURCE, at->window, at->high,
		      true);
	svg_axis(page->out, &pic->window, below, false);
	svg_text(page->out, SVG_LEFT, below + PX(42), HEADING,
		 pic->zoomed ? "Device: the part where the image lies"
			     : "Device: position on the source");
	if (pic->zoomed)
		draw_device(page, at);
}

/* ---- legend ---- */

static void draw_columns_note(const struct svg_page *page, long y)
{
	const struct svg_bar *image = &page->pic->image;
	const struct svg_bar *window = &page->pic->window;
	g_autofree char *of_image =
		text_format_size(image->len / image->columns);
	g_autofree char *of_device =
		text_format_size(window->len / window->columns);
	g_autofree char *words = g_strdup_printf(
		"A column is %s of the image or %s of the device; its height is"
		" how much of that is mapped or unwritten.",
		of_image, of_device);

	svg_text(page->out, SVG_LEFT, y, NOTE, words);
}

static void draw_legend(const struct svg_page *page, const struct layout *at)
{
	const struct {
		const char *words, *fill;
		long x;
	} entries[] = {
		{ "mapped", svg_fill(SVG_MAPPED), PX(50) },
		{ "unwritten: allocated, reads as zeros",
		  svg_fill(SVG_UNWRITTEN), PX(150) },
		{ "hole", SVG_PAPER, PX(450) },
		{ "not of this image", SVG_REST, PX(530) },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
		g_autofree char *look =
			g_strdup_printf("fill=\"%s\" stroke=\"" SVG_LINES "\"",
					entries[i].fill);

		svg_rect(page->out, entries[i].x, at->legend - PX(11), PX(20),
			 PX(13), look);
		svg_text(page->out, entries[i].x + PX(28), at->legend, NOTE,
			 entries[i].words);
	}
	if (!page->pic->exact)
		draw_columns_note(page, at->legend + PX(26));
}

void svg_draw(const struct report *r, const struct svg_picture *pic)
{
	const struct svg_page page = { r, pic, r->out };
	struct layout at;

	lay_out(pic, &at);
	draw_head(&page, &at);
	draw_bars(&page, &at);
	draw_legend(&page, &at);
	fputs("</svg>\n", r->out);
}
