/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as a picture: a bar for the image, one for the part of the device
 * where its blocks are, one for all of the device where that part is small.
 *
 * Two walks: the first counts and finds the range, so that the second knows at
 * once what to keep (svg_priv.h).
 */
#include "svg_priv.h"

#include <rawmap/base/bytes.h>

/* The part is drawn by itself when it is less of the device than this. */
#define ZOOM_PERCENT   60
#define MARGIN_PERCENT 2

struct measuring {
	const struct report *report;
	struct svg_picture *pic;
};

static enum svg_kind kind_of(const struct extent *e)
{
	return e->state == EXTENT_UNWRITTEN ? SVG_UNWRITTEN : SVG_MAPPED;
}

static bool measure(void *opaque, const struct extent *e)
{
	struct measuring *m = opaque;
	struct svg_picture *pic = m->pic;
	uint64_t start, len, place;

	if (!report_bytes(m->report, e, &start, &len))
		return true;
	if (e->state == EXTENT_HOLE) {
		pic->holes += len;
		return true;
	}
	place = report_source_byte(m->report, e->phys);
	if (!pic->extents || place < pic->low)
		pic->low = place;
	pic->high = u64_max(pic->high, place + len);
	pic->total[kind_of(e)] += len;
	pic->extents++;
	return true;
}

/* All of the device, and around the blocks some of their surroundings. */
static void choose_bars(const struct report *r, struct svg_picture *pic)
{
	struct svg_bar *device = &pic->device, *window = &pic->window;
	struct hostfs_info info;
	uint64_t end, margin;

	hostfs_info(hostfile_host(r->what->hf), &info);
	device->from = r->what->source_offset;
	device->len = info.blocks << r->bits;
	hostfs_info_clear(&info);
	window->from = device->from;
	window->len = device->len;
	if (pic->extents &&
	    (pic->high - pic->low) / ZOOM_PERCENT < device->len / 100) {
		pic->zoomed = true;
		margin = (pic->high - pic->low) / 100 * MARGIN_PERCENT;
		margin = u64_min(margin, pic->low - device->from);
		window->from = pic->low - margin;
		end = u64_min(pic->high + margin, device->from + device->len);
		window->len = end - window->from;
	}
	pic->image.len = u64_max(r->size, 1);
	pic->image.columns = SVG_COLUMNS;
	window->columns = SVG_COLUMNS;
	device->columns = pic->zoomed ? SVG_COLUMNS / 2 : SVG_COLUMNS;
}

static bool svg_begin(struct report *r, GError **error)
{
	struct svg_picture *pic = r->state;
	struct measuring m = { r, pic };

	if (!mapwalk_run(r->what->hf, false, measure, &m, error))
		return false;
	pic->exact = pic->extents <= SVG_RUNS;
	choose_bars(r, pic);
	return true;
}

static void svg_extent(struct report *r, const struct extent *e)
{
	struct svg_picture *pic = r->state;
	struct svg_run run = { .kind = kind_of(e) };

	if (e->state == EXTENT_HOLE ||
	    !report_bytes(r, e, &run.start, &run.len))
		return;
	run.place = report_source_byte(r, e->phys);
	if (pic->exact) {
		if (pic->n < SVG_RUNS)
			pic->run[pic->n++] = run;
		return;
	}
	svg_bar_add(&pic->image, run.kind, run.start, run.len);
	svg_bar_add(&pic->window, run.kind, run.place, run.len);
	svg_bar_add(&pic->device, run.kind, run.place, run.len);
}

static void svg_end(struct report *r)
{
	svg_draw(r, r->state);
}

const struct mapformat mapformat_svg = {
	.name = "svg",
	.state_size = sizeof(struct svg_picture),
	.begin = svg_begin,
	.extent = svg_extent,
	.end = svg_end,
};
