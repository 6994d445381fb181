/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture of a map: what is known of it before it is drawn, bounded
 * whatever the map's size.
 *
 *   extents of the content   kept as                drawn as
 *   up to SVG_RUNS           runs                   rectangles and bands
 *   more                     bytes of each column   columns, the higher the fuller
 *
 * Positions are bytes: of the image, or of the source.
 */
#ifndef SVG_PRIV_H
#define SVG_PRIV_H

#include "inspect_priv.h"

#define SVG_RUNS    250
#define SVG_COLUMNS 300 /* of a bar, at most; they divide its length */

enum svg_kind { SVG_MAPPED, SVG_UNWRITTEN, SVG_KINDS };

/* One bar of the picture: a range, and what lies in each part of it. */
struct svg_bar {
	uint64_t from, len; /* len > 0 */
	unsigned columns;
	uint64_t bytes[SVG_KINDS][SVG_COLUMNS];
};

struct svg_run {
	uint64_t start, len; /* of the image */
	uint64_t place;	     /* on the source */
	enum svg_kind kind;
};

struct svg_picture {
	/* What a first walk counted. */
	uint64_t extents; /* without holes */
	uint64_t total[SVG_KINDS], holes;
	uint64_t low, high; /* of the source: all extents lie in [low, high) */

	bool exact;  /* runs are kept, not columns */
	bool zoomed; /* window is a part of device, too small to be seen there */
	unsigned n;
	struct svg_run run[SVG_RUNS];
	struct svg_bar image, window, device;
};

/* Where column @i of @columns begins; that of i == columns is the end. */
uint64_t svg_column_start(const struct svg_bar *bar, unsigned i);

/* Count [pos, pos + len), which lies in the bar, in its columns. */
void svg_bar_add(struct svg_bar *bar, enum svg_kind kind, uint64_t pos,
		 uint64_t len);

/* A step between the marks of an axis: some three to six of them. */
uint64_t svg_tick_step(const struct svg_bar *bar);

/* The whole document, to r->out. */
void svg_draw(const struct report *r, const struct svg_picture *pic);

/*
 * What it is painted with. Lengths are hundredths of a pixel, whole numbers,
 * whatever the locale; @attributes are printed as they stand.
 */
#define SVG_PX(n) ((n)*100L)
#define SVG_LEFT  SVG_PX(50) /* of the bars, and how long they are */
#define SVG_SPAN  SVG_PX(900)
#define SVG_RIGHT (SVG_LEFT + SVG_SPAN)

#define SVG_INK	  "#1f2933"
#define SVG_FAINT "#52606d"
#define SVG_LINES "#7b8794"
#define SVG_REST  "#e4e7eb" /* of the device */
#define SVG_PAPER "#ffffff"

struct svg_page {
	const struct report *r;
	const struct svg_picture *pic;
	FILE *out;
};

const char *svg_fill(enum svg_kind kind);

/* Where byte @pos of the bar's range is. */
long svg_x(const struct svg_bar *bar, uint64_t pos);

void svg_rect(FILE *out, long x, long y, long width, long height,
	      const char *attributes);
void svg_text(FILE *out, long x, long y, const char *attributes,
	      const char *words);
/* "M1,2 3,4": the letter and @n points, an x and a y each. */
void svg_points(FILE *out, char letter, const long *points, unsigned n);

/* The marks point away from the bar, whose edge is at @y. */
void svg_axis(FILE *out, const struct svg_bar *bar, long y, bool above);

enum svg_side { SVG_IMAGE, SVG_SOURCE }; /* whose positions a bar has */

void svg_paint_bar(const struct svg_page *page, const struct svg_bar *bar,
		   enum svg_side side, long y, long height, bool tooltips);
/* From the run's place in the image's bar, at @top, to that in the window's. */
void svg_paint_band(const struct svg_page *page, const struct svg_run *run,
		    long top, long bottom);

#endif
