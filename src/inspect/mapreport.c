/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map of an image as a table or as JSON.
 *
 * One walk for all formats: ask the cache, load what it does not know, join
 * what lies together, hand each finished run to the printer. Nothing but the
 * current run is kept; the cache evicts what was walked.
 *
 * The table counts blocks and goes as far as there are extents, so it shows
 * blocks beyond the end of the file too (preallocated ones). JSON counts bytes
 * and describes the content: its entries cover [0, size) without a gap.
 */
#include <rawmap/inspect/mapreport.h>

#include <rawmap/base/error.h>
#include <rawmap/base/bytes.h>
#include <rawmap/map/extmap.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct report {
	struct hostfile *hf;
	enum mapreport_format format;
	FILE *out;
	unsigned bits;	  /* log2 of the block size */
	uint64_t size;	  /* of the image, bytes */
	uint64_t printed; /* extents (table) or entries (json) */
	/* A table line waits until it is known whether it is the last. */
	struct extent held; /* len 0: none */
};

static const char *const state_names[] = {
	[EXTENT_HOLE] = "hole",
	[EXTENT_MAPPED] = "mapped",
	[EXTENT_UNWRITTEN] = "unwritten",
};

/* ---- table ---- */

static void table_start(struct report *r)
{
	uint64_t bs = UINT64_C(1) << r->bits;

	fprintf(r->out,
		"%s: %" PRIu64 " bytes, %" PRIu64 " blocks of %" PRIu64
		" bytes\n",
		hostfile_path(r->hf), r->size,
		(r->size >> r->bits) + ((r->size & (bs - 1)) != 0), bs);
	fputs(" ext:     logical_offset:        physical_offset:     length: "
	      "flags:\n",
	      r->out);
}

static void table_line(struct report *r, const struct extent *e, bool last)
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
	if (e->state == EXTENT_HOLE)
		return;
	if (r->held.len)
		table_line(r, &r->held, false);
	r->held = *e;
}

static void table_end(struct report *r)
{
	if (r->held.len)
		table_line(r, &r->held, true);
	fprintf(r->out, "%s: %" PRIu64 " extent%s\n", hostfile_path(r->hf),
		r->printed, r->printed == 1 ? "" : "s");
}

/* ---- json ---- */

static void json_extent(struct report *r, const struct extent *e)
{
	uint64_t start = e->start.v << r->bits;
	uint64_t len = e->len << r->bits;

	if (start >= r->size)
		return;
	len = u64_min(len, r->size - start);
	fprintf(r->out,
		"%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
		", \"state\": \"%s\"",
		r->printed ? ",\n" : "[\n", start, len, state_names[e->state]);
	if (e->state != EXTENT_HOLE)
		fprintf(r->out, ", \"physical\": %" PRIu64,
			e->phys.v << r->bits);
	fputs(" }", r->out);
	r->printed++;
}

static void json_end(struct report *r)
{
	fputs(r->printed ? "\n]\n" : "[]\n", r->out);
}

/* ---- the walk ---- */

static void emit(struct report *r, const struct extent *e)
{
	if (!e->len)
		return;
	if (r->format == MAPREPORT_TABLE)
		table_extent(r, e);
	else
		json_extent(r, e);
}

static bool joins(const struct extent *a, const struct extent *b)
{
	return a->len && a->state == b->state &&
	       (a->state == EXTENT_HOLE || a->phys.v + a->len == b->phys.v);
}

static bool lookup(struct report *r, uint64_t at, uint64_t max,
		   struct extent *ret, GError **error)
{
	struct extmap *map = hostfile_map(r->hf);
	int err;

	if (extmap_lookup(map, lblk_at(at), max, ret))
		return true;
	err = hostfile_load(r->hf, lblk_at(at));
	if (!err && extmap_lookup(map, lblk_at(at), max, ret))
		return true;
	if (!err)
		err = -EUCLEAN;
	error_set_errno(
		error, err == -EUCLEAN ? RAWMAP_ERROR_CORRUPT : RAWMAP_ERROR_IO,
		-err, "cannot read the map of '%s' at block %" PRIu64,
		hostfile_path(r->hf), at);
	return false;
}

/*
 * Where the walk ends, exclusive. Only extents can lie beyond the end of the
 * file, and one lookup passes the hole behind the last of them; a walk over all
 * the indirect blocks that are not there would take for ever.
 */
static uint64_t walk_end(const struct report *r)
{
	img_off end = img_off_at(r->size);

	if (r->format == MAPREPORT_TABLE && hostfile_extent_mapped(r->hf))
		return LBLK_END;
	return u64_min(lblk_of_img_ceil(end, r->bits).v, LBLK_END);
}

static bool walk(struct report *r, GError **error)
{
	struct extent run = { .len = 0 }, next;
	uint64_t end = walk_end(r);

	for (uint64_t at = 0; at < end; at += next.len) {
		if (!lookup(r, at, end - at, &next, error))
			return false;
		if (ferror(r->out))
			break;
		if (joins(&run, &next)) {
			run.len += next.len;
		} else {
			emit(r, &run);
			run = next;
		}
	}
	emit(r, &run);
	return true;
}

bool mapreport_parse_format(const char *name, enum mapreport_format *ret,
			    GError **error)
{
	if (strcmp(name, "table") == 0) {
		*ret = MAPREPORT_TABLE;
		return true;
	}
	if (strcmp(name, "json") == 0) {
		*ret = MAPREPORT_JSON;
		return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "there is no format '%s'; there are: table, json", name);
	return false;
}

bool mapreport_print(struct hostfile *hf, enum mapreport_format format,
		     FILE *out, GError **error)
{
	struct report r = {
		.hf = hf,
		.format = format,
		.out = out,
		.bits = hostfs_block_bits(hostfile_host(hf)),
		.size = hostfile_size(hf),
	};

	if (format == MAPREPORT_TABLE)
		table_start(&r);
	if (!walk(&r, error))
		return false;
	if (format == MAPREPORT_TABLE)
		table_end(&r);
	else
		json_end(&r);

	errno = 0;
	if (fflush(out) != 0 || ferror(out)) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno ? errno : EIO,
				"cannot write the map of '%s'",
				hostfile_path(hf));
		return false;
	}
	return true;
}
