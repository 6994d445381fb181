/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports about the map of an image, for people and for other tools.
 *
 *   table   the extents in blocks, as filefrag -v has them
 *   json    the content in bytes: mapped, unwritten, hole
 *   qemu    what qemu-img map --output=json prints, the data being on the source
 *   dfxml   Digital Forensics XML 1.2.0: byte runs with file and source offsets
 *   dm      a device-mapper table over the source, to be used read-only
 *   svg     a picture
 *
 * Each report reads the map leaf by leaf; memory is bounded whatever the map's
 * size.
 */
#ifndef RAWMAP_INSPECT_MAPREPORT_H
#define RAWMAP_INSPECT_MAPREPORT_H

#include <rawmap/hostfs/hostfile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum mapreport_format {
	MAPREPORT_TABLE,
	MAPREPORT_JSON,
	MAPREPORT_QEMU,
	MAPREPORT_DFXML,
	MAPREPORT_DM,
	MAPREPORT_SVG,
};

/* One of the names above; else false with RAWMAP_ERROR_USAGE. */
bool mapreport_parse_format(const char *name, enum mapreport_format *ret,
			    GError **error);

/* What is asked for; everything is borrowed. */
struct mapreport {
	struct hostfile *hf;
	enum mapreport_format format;
	FILE *out;
	const char *source;	/* its path; dm: what the kernel will open */
	uint64_t source_offset; /* byte of the source where the host starts */
	bool source_is_block;	/* the host's bytes are those of the block
					   device @source, from @source_offset on,
					   with nothing in between */
};

/*
 * Print the map. Physically contiguous neighbours of one state are one extent.
 * Sizes are blocks in the table and bytes elsewhere (dm: 512-byte sectors).
 * Places are blocks of the host in the table, and bytes of the source elsewhere.
 *
 * False with a sentence: IO or CORRUPT (the metadata cannot be read; a part has
 * been printed), IO (the output fails), UNSUPPORTED (dm: a table would not be
 * the image, see mapreport_dm.c; nothing has been printed).
 */
bool mapreport_print(const struct mapreport *what, GError **error);

#endif
