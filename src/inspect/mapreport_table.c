/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as a table, as filefrag -v has it. It counts blocks of the host and
 * goes as far as there are extents, so it shows blocks beyond the end of the
 * file too (preallocated ones). Holes are what is missing.
 */
#include "inspect_priv.h"

#include <inttypes.h>
#include <string.h>

/* A line waits until it is known whether it is the last. */
struct table {
	struct extent held; /* len 0: none */
};

static bool table_begin(struct report *r, GError **error)
{
	uint64_t bs = UINT64_C(1) << r->bits;

	(void)error;
	fprintf(r->out,
		"%s: %" PRIu64 " bytes, %" PRIu64 " blocks of %" PRIu64
		" bytes\n",
		hostfile_path(r->what->hf), r->size,
		lblk_of_img_ceil(img_off_at(r->size), r->bits).v, bs);
	fputs(" ext:     logical_offset:        physical_offset:     length: "
	      "flags:\n",
	      r->out);
	return true;
}

static void print_line(struct report *r, const struct extent *e, bool last)
{
	uint64_t end = extent_end(e), phys_end = e->phys.v + e->len - 1;
	bool eof = end << r->bits >= r->size;
	char flags[32] = "";

	if (e->state == EXTENT_UNWRITTEN)
		strcat(flags, "unwritten,");
	if (last)
		strcat(flags, "last,");
	if (eof)
		strcat(flags, "eof,");
	if (*flags)
		flags[strlen(flags) - 1] = '\0';

	fprintf(r->out,
		"%4" PRIu64 ": %8" PRIu64 "..%8" PRIu64 ": %10" PRIu64
		"..%10" PRIu64 ": %10" PRIu64 ":%s%s\n",
		r->printed, e->start.v, end - 1, e->phys.v, phys_end, e->len,
		*flags ? " " : "", flags);
	r->printed++;
}

static void table_extent(struct report *r, const struct extent *e)
{
	struct table *t = r->state;

	if (e->state == EXTENT_HOLE)
		return;
	if (t->held.len)
		print_line(r, &t->held, false);
	t->held = *e;
}

static void table_end(struct report *r)
{
	struct table *t = r->state;

	if (t->held.len)
		print_line(r, &t->held, true);
	fprintf(r->out, "%s: %" PRIu64 " extent%s\n",
		hostfile_path(r->what->hf), r->printed,
		r->printed == 1 ? "" : "s");
}

/* The numbers of a place are left out. */
static void table_inside(struct report *r)
{
	uint64_t n = ((r->inside - 1) >> r->bits) + 1;
	bool eof = r->inside >= r->size;

	fprintf(r->out,
		"%4u: %8u..%8" PRIu64 ": %10s..%10s: %10" PRIu64
		": inline,last%s\n",
		0u, 0u, n - 1, "-", "-", n, eof ? ",eof" : "");
	r->printed++;
}

const struct mapformat mapformat_table = {
	.name = "table",
	.beyond_end = true,
	.state_size = sizeof(struct table),
	.begin = table_begin,
	.extent = table_extent,
	.end = table_end,
	.inside = table_inside,
};
