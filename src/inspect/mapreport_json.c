/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as an array of JSON objects. It counts bytes and describes the
 * content: its entries cover [0, size) without a gap, and say where on the
 * source what is not a hole lies.
 */
#include "inspect_priv.h"

#include <inttypes.h>

static void json_extent(struct report *r, const struct extent *e)
{
	uint64_t start, len;

	if (!report_bytes(r, e, &start, &len))
		return;
	fprintf(r->out,
		"%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
		", \"state\": \"%s\"",
		r->printed ? ",\n" : "[\n", start, len,
		report_state_name(e->state));
	if (e->state != EXTENT_HOLE)
		fprintf(r->out, ", \"physical\": %" PRIu64,
			report_source_byte(r, e->phys));
	fputs(" }", r->out);
	r->printed++;
}

static void json_end(struct report *r)
{
	fputs(r->printed ? "\n]\n" : "[]\n", r->out);
}

static void json_inside(struct report *r)
{
	uint64_t rest = r->size - r->inside;

	fprintf(r->out,
		"[\n{ \"start\": 0, \"length\": %" PRIu64
		", \"state\": \"inline\" }",
		r->inside);
	if (rest)
		fprintf(r->out,
			",\n{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
			", \"state\": \"hole\" }",
			r->inside, rest);
	r->printed++;
}

const struct mapformat mapformat_json = {
	.name = "json",
	.extent = json_extent,
	.end = json_end,
	.inside = json_inside,
};
