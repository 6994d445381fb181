/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One place of a map, asked for from either side: where does this byte of the
 * image lie, and what of the image lies in this block of the host?
 *
 * Both walk the map up to the answer; nothing is kept of it.
 */
#ifndef RAWMAP_INSPECT_MAPLOCATE_H
#define RAWMAP_INSPECT_MAPLOCATE_H

#include <rawmap/inspect/mapreport.h>

/*
 * Answer to @what->out, as text (MAPREPORT_TABLE) or one JSON object
 * (MAPREPORT_JSON); what->format is one of these two.
 * False with a sentence: IO or CORRUPT (the metadata cannot be read), IO (the
 * output fails).
 */

/* Image byte @byte. Beyond the end of the image is an answer too. */
bool maplocate_at(const struct mapreport *what, uint64_t byte, GError **error);

/*
 * Block @block of the host, counted from the host's start. That it holds nothing
 * of the image's content is an answer; the blocks of the map itself count as
 * nothing. False with NOT_FOUND when the host has no such block.
 */
bool maplocate_device_block(const struct mapreport *what, uint64_t block,
			    GError **error);

#endif
