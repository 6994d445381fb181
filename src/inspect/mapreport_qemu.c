/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as qemu-img map --output=json prints that of a raw file, so that what
 * reads the one reads the other.
 *
 *   state       present  zero   data   offset
 *   mapped      true     false  true   byte of the source
 *   unwritten   true     true   false  byte of the source
 *   hole        true     true   false  none
 *
 * With unwritten=raw what is unwritten is data, as it is in the exposed file.
 *
 * With a raw file the offset is the same as the start, for qemu looks no
 * further than the file. Here it means what it means in other formats of qemu:
 * where in the file below, the source, the bytes are. So neighbours are one
 * entry only where they lie together on the source, as qemu has it too.
 *
 * qemu counts whole sectors: what a file lacks of its last one is zeros. And of
 * an empty file it says that it has one entry, of nothing.
 */
#include "inspect_priv.h"

#include <rawmap/base/bytes.h>

#include <inttypes.h>

#define SECTOR 512

/* The last entry waits, for zeros behind a hole belong to it. */
struct qemu {
	uint64_t start, len, offset;
	bool data, has_offset;
	bool any;
};

static const char *truth(bool is)
{
	return is ? "true" : "false";
}

static void print_entry(struct report *r, const struct qemu *e)
{
	fprintf(r->out,
		"%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
		", \"depth\": 0, \"present\": %s, \"zero\": %s,"
		" \"data\": %s",
		r->printed ? ",\n" : "[", e->start, e->len, truth(e->any),
		truth(e->any && !e->data), truth(e->data));
	if (e->has_offset)
		fprintf(r->out, ", \"offset\": %" PRIu64, e->offset);
	fputc('}', r->out);
	r->printed++;
}

static void add(struct report *r, const struct qemu *e)
{
	struct qemu *held = r->state;
	bool holes = !held->has_offset && !e->has_offset &&
		     held->data == e->data;

	if (held->any && holes) {
		held->len += e->len;
		return;
	}
	if (held->any)
		print_entry(r, held);
	*held = *e;
}

static void qemu_extent(struct report *r, const struct extent *e)
{
	struct qemu entry = { .any = true };

	if (!report_bytes(r, e, &entry.start, &entry.len))
		return;
	entry.data = !report_reads_zero(r, e->state);
	entry.has_offset = e->state != EXTENT_HOLE;
	if (entry.has_offset)
		entry.offset = report_source_byte(r, e->phys);
	add(r, &entry);
}

static void qemu_end(struct report *r)
{
	uint64_t rest = align_ceil(r->size, SECTOR) - r->size;
	const struct qemu zeros = { .start = r->size,
				    .len = rest,
				    .any = true };

	if (rest)
		add(r, &zeros);
	print_entry(r, r->state);
	fputs("]\n", r->out);
}

/* Data without a place, as qemu-img has it of compressed data. */
static void qemu_inside(struct report *r)
{
	const struct qemu data = { .len = r->inside,
				   .data = true,
				   .any = true };
	const struct qemu zeros = { .start = r->inside,
				    .len = r->size - r->inside,
				    .any = true };
	struct qemu *held = r->state;

	if (!zeros.len) {
		*held = data;
		return;
	}
	print_entry(r, &data);
	*held = zeros;
}

const struct mapformat mapformat_qemu = {
	.name = "qemu",
	.state_size = sizeof(struct qemu),
	.extent = qemu_extent,
	.end = qemu_end,
	.inside = qemu_inside,
};
