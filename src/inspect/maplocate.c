/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One place of the map. The walk goes up to the extent that answers, so that the
 * answer can name the whole of it.
 *
 * Both questions have the same answer, a place, of which some is unknown:
 *
 *                          image   extent   device
 *   mapped, unwritten      yes     yes      yes
 *   hole                   yes     yes      no
 *   beyond the end         yes     no       no
 *   a block of others      no      no       yes
 *
 * The parts of an extent beyond the end of the file have all three, as a file's
 * preallocated blocks do.
 */
#include <rawmap/inspect/maplocate.h>

#include "inspect_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <inttypes.h>

struct place {
	struct report report;
	bool in_image, in_extent, on_device;
	uint64_t byte;	      /* of the image */
	struct extent extent; /* holes end with the content */
	pblk block;	      /* of the host */
	uint64_t within;      /* byte of that block */
};

static uint64_t block_size(const struct place *p)
{
	return UINT64_C(1) << p->report.bits;
}

/* Content in the inode itself: no block, whatever the walk says. */
static bool inside(const struct place *p)
{
	return p->in_image && p->byte < p->report.inside;
}

static bool beyond_end(const struct place *p)
{
	return p->in_image && p->byte >= p->report.size;
}

/* ---- the walks ---- */

static bool take_byte(void *opaque, const struct extent *e)
{
	struct place *p = opaque;
	lblk at = lblk_of_img_floor(img_off_at(p->byte), p->report.bits);

	if (at.v >= extent_end(e))
		return true;
	p->extent = *e;
	if (e->state == EXTENT_HOLE) {
		img_off size = img_off_at(p->report.size);
		lblk end = lblk_of_img_ceil(size, p->report.bits);

		/* The hole behind the end is nothing that is there. */
		p->in_extent = at.v < end.v;
		if (p->in_extent)
			p->extent.len = u64_min(e->len, end.v - e->start.v);
		return false;
	}
	p->in_extent = true;
	p->on_device = true;
	p->block = pblk_add(e->phys, at.v - e->start.v);
	return false;
}

static bool take_block(void *opaque, const struct extent *e)
{
	struct place *p = opaque;
	lblk at;

	if (e->state == EXTENT_HOLE || p->block.v < e->phys.v ||
	    p->block.v - e->phys.v >= e->len)
		return true;
	at = lblk_add(e->start, p->block.v - e->phys.v);
	p->extent = *e;
	p->in_image = true;
	p->in_extent = true;
	p->byte = img_of_lblk(at, p->report.bits).v;
	return false;
}

/* ---- text ---- */

static const char *state_text(const struct place *p)
{
	if (!p->in_extent)
		return "nothing";
	if (inside(p))
		return "in the inode itself";
	switch (p->extent.state) {
	case EXTENT_HOLE:
		return "hole, reads as zeros";
	case EXTENT_UNWRITTEN:
		return report_reads_zero(&p->report, p->extent.state)
			       ? "unwritten, reads as zeros"
			       : "unwritten, reads as what lies there";
	default:
		return "mapped";
	}
}

static void print_image(const struct place *p)
{
	uint64_t bs = block_size(p);

	fprintf(p->report.out,
		"image byte:   %" PRIu64 "\n"
		"image block:  %" PRIu64 ", byte %" PRIu64 " of it\n"
		"state:        %s%s\n",
		p->byte, p->byte >> p->report.bits, p->byte & (bs - 1),
		state_text(p), beyond_end(p) ? ", beyond the end" : "");
}

static void print_extent(const struct place *p)
{
	const struct extent *e = &p->extent;

	fprintf(p->report.out,
		"extent:       blocks %" PRIu64 "..%" PRIu64 " of the image",
		e->start.v, extent_end(e) - 1);
	if (e->state != EXTENT_HOLE)
		fprintf(p->report.out,
			", %" PRIu64 "..%" PRIu64 " of the device", e->phys.v,
			e->phys.v + e->len - 1);
	fputc('\n', p->report.out);
}

static void print_device(const struct place *p)
{
	fprintf(p->report.out,
		"device block: %" PRIu64 ", byte %" PRIu64 " of it\n"
		"device byte:  %" PRIu64 "\n",
		p->block.v, p->within,
		report_source_byte(&p->report, p->block) + p->within);
}

static void print_text(const struct place *p)
{
	if (!p->in_image) {
		fprintf(p->report.out,
			"device block %" PRIu64 " holds no block of '%s'\n",
			p->block.v, hostfile_path(p->report.what->hf));
		return;
	}
	print_image(p);
	if (p->in_extent)
		print_extent(p);
	if (p->on_device)
		print_device(p);
}

/* ---- JSON ---- */

static void json_image(const struct place *p)
{
	fprintf(p->report.out,
		"\"byte\": %" PRIu64 ", \"block\": %" PRIu64
		", \"beyond_end\": %s",
		p->byte, p->byte >> p->report.bits,
		beyond_end(p) ? "true" : "false");
}

static void json_extent(const struct place *p)
{
	const struct extent *e = &p->extent;

	fprintf(p->report.out,
		", \"state\": \"%s\", \"extent\": { \"start\": %" PRIu64
		", \"length\": %" PRIu64,
		inside(p) ? "inline" : report_state_name(e->state),
		e->start.v << p->report.bits, e->len << p->report.bits);
	if (e->state != EXTENT_HOLE)
		fprintf(p->report.out, ", \"physical\": %" PRIu64,
			report_source_byte(&p->report, e->phys));
	fputs(" }", p->report.out);
}

static void print_json(const struct place *p)
{
	fputs("{ ", p->report.out);
	if (p->in_image)
		json_image(p);
	if (p->in_extent)
		json_extent(p);
	if (p->on_device)
		fprintf(p->report.out,
			"%s\"device_block\": %" PRIu64
			", \"device_byte\": %" PRIu64,
			p->in_image ? ", " : "", p->block.v,
			report_source_byte(&p->report, p->block) + p->within);
	fputs(" }\n", p->report.out);
}

static bool answer(const struct place *p, GError **error)
{
	if (p->report.what->format == MAPREPORT_JSON)
		print_json(p);
	else
		print_text(p);
	return report_flush(&p->report, error);
}

bool maplocate_at(const struct mapreport *what, uint64_t byte, GError **error)
{
	struct place p = { .in_image = true, .byte = byte };

	report_init(&p.report, what);
	p.within = byte & (block_size(&p) - 1);
	return mapwalk_run(what->hf, true, take_byte, &p, error) &&
	       answer(&p, error);
}

bool maplocate_device_block(const struct mapreport *what, uint64_t block,
			    GError **error)
{
	struct place p = { .on_device = true, .block = pblk_at(block) };
	struct hostfs_info info;

	hostfs_info(hostfile_host(what->hf), &info);
	hostfs_info_clear(&info);
	if (block >= info.blocks) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "there is no block %" PRIu64
			    ": the filesystem on '%s' has %" PRIu64 " blocks",
			    block, what->source, info.blocks);
		return false;
	}
	report_init(&p.report, what);
	return mapwalk_run(what->hf, true, take_block, &p, error) &&
	       answer(&p, error);
}
