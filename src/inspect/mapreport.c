/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reports: which there are, and how one comes about. What a format prints
 * stands in a file of its own, mapreport_<name>.c.
 */
#include "inspect_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <errno.h>
#include <string.h>

static const struct mapformat *const formats[] = {
	[MAPREPORT_TABLE] = &mapformat_table,
	[MAPREPORT_JSON] = &mapformat_json,
	[MAPREPORT_QEMU] = &mapformat_qemu,
	[MAPREPORT_DFXML] = &mapformat_dfxml,
	[MAPREPORT_DM] = &mapformat_dm,
	[MAPREPORT_SVG] = &mapformat_svg,
};

static const char *const state_names[] = {
	[EXTENT_HOLE] = "hole",
	[EXTENT_MAPPED] = "mapped",
	[EXTENT_UNWRITTEN] = "unwritten",
};

bool mapreport_parse_format(const char *name, enum mapreport_format *ret,
			    GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (strcmp(name, formats[i]->name) == 0) {
			*ret = (enum mapreport_format)i;
			return true;
		}
		g_string_append_printf(names, "%s%s", i ? ", " : "",
				       formats[i]->name);
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "there is no format '%s'; there are: %s", name, names->str);
	return false;
}

void report_init(struct report *r, const struct mapreport *what)
{
	size_t inside;

	(void)hostfile_inline(what->hf, &inside);
	*r = (struct report){
		.what = what,
		.inside = inside,
		.out = what->out,
		.bits = hostfs_block_bits(hostfile_host(what->hf)),
		.size = hostfile_size(what->hf),
	};
}

bool report_flush(const struct report *r, GError **error)
{
	errno = 0;
	if (fflush(r->out) == 0 && !ferror(r->out))
		return true;
	error_set_errno(error, RAWMAP_ERROR_IO, errno ? errno : EIO,
			"cannot write the map of '%s'",
			hostfile_path(r->what->hf));
	return false;
}

bool report_bytes(const struct report *r, const struct extent *e,
		  uint64_t *ret_start, uint64_t *ret_len)
{
	uint64_t start = e->start.v << r->bits;

	if (start >= r->size)
		return false;
	*ret_start = start;
	*ret_len = u64_min(e->len << r->bits, r->size - start);
	return true;
}

uint64_t report_host_byte(const struct report *r, pblk block)
{
	return dev_of_pblk(block, r->bits).v;
}

uint64_t report_source_byte(const struct report *r, pblk block)
{
	return report_host_byte(r, block) + r->what->source_offset;
}

const char *report_state_name(enum extent_state state)
{
	return state_names[state];
}

bool report_reads_zero(const struct report *r, enum extent_state state)
{
	return state == EXTENT_HOLE ||
	       (state == EXTENT_UNWRITTEN &&
		!hostfs_raw_unwritten(hostfile_host(r->what->hf)));
}

struct printing {
	struct report report;
	const struct mapformat *format;
};

static bool print_extent(void *opaque, const struct extent *e)
{
	struct printing *p = opaque;

	p->format->extent(&p->report, e);
	return !ferror(p->report.out);
}

/* The walk, or what there is instead of one. */
static bool print_map(struct printing *p, GError **error)
{
	const struct mapreport *what = p->report.what;

	if (!p->report.inside)
		return mapwalk_run(what->hf, p->format->beyond_end,
				   print_extent, p, error);
	p->format->inside(&p->report);
	return true;
}

bool mapreport_print(const struct mapreport *what, GError **error)
{
	struct printing p = { .format = formats[what->format] };
	g_autofree void *state = g_malloc0(p.format->state_size);

	report_init(&p.report, what);
	p.report.state = state;
	if (p.report.inside && !p.format->inside) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' lies inside its inode and has no blocks that "
			    "the format %s could show",
			    hostfile_path(what->hf), p.format->name);
		return false;
	}
	if (p.format->begin && !p.format->begin(&p.report, error))
		return false;
	if (!print_map(&p, error))
		return false;
	p.format->end(&p.report);
	return report_flush(&p.report, error);
}
