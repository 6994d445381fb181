/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports about the map of an image: walks it once, leaf by leaf. */
#ifndef RAWMAP_INSPECT_MAPREPORT_H
#define RAWMAP_INSPECT_MAPREPORT_H

#include <rawmap/hostfs/hostfile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

enum mapreport_format { MAPREPORT_TABLE, MAPREPORT_JSON };

/* "table" or "json"; else false with RAWMAP_ERROR_USAGE. */
bool mapreport_parse_format(const char *name, enum mapreport_format *ret,
			    GError **error);

/*
 * Print the map of @hf to @out: extents (physically contiguous neighbours of
 * one state merged), holes as gaps in the table and as entries in json, sizes
 * in blocks (table) and bytes (json). Memory is bounded whatever the map's size.
 * False with a sentence when the metadata cannot be read or the output fails.
 */
bool mapreport_print(struct hostfile *hf, enum mapreport_format format,
		     FILE *out, GError **error);

#endif
