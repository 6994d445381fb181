/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walk that all reports are made of: ask the cache, load what it does not
 * know, join what lies together, hand each finished run over. Nothing but the
 * current run is kept; the cache evicts what was walked.
 */
#include "inspect_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/map/extmap.h>

#include <errno.h>
#include <inttypes.h>

static bool joins(const struct extent *a, const struct extent *b)
{
	return a->len && a->state == b->state &&
	       (a->state == EXTENT_HOLE || a->phys.v + a->len == b->phys.v);
}

static bool lookup(struct hostfile *hf, uint64_t at, uint64_t max,
		   struct extent *ret, GError **error)
{
	int err = hostfile_map_at(hf, lblk_at(at), max, ret);

	if (!err)
		return true;
	error_set_errno(
		error, err == -EUCLEAN ? RAWMAP_ERROR_CORRUPT : RAWMAP_ERROR_IO,
		-err, "cannot read the map of '%s' at block %" PRIu64,
		hostfile_path(hf), at);
	return false;
}

/*
 * Where the walk ends, exclusive. Only extents can lie beyond the end of the
 * file, and one lookup passes the hole behind the last of them; a walk over all
 * the indirect blocks that are not there would take for ever.
 */
static uint64_t walk_end(struct hostfile *hf, bool beyond)
{
	unsigned bits = hostfs_block_bits(hostfile_host(hf));
	img_off end = img_off_at(hostfile_size(hf));

	if (beyond && hostfile_extent_mapped(hf))
		return LBLK_END;
	return u64_min(lblk_of_img_ceil(end, bits).v, LBLK_END);
}

bool mapwalk_run(struct hostfile *hf, bool beyond, mapwalk_take take,
		 void *opaque, GError **error)
{
	struct extent run = { .len = 0 }, next;
	uint64_t end = walk_end(hf, beyond);

	for (uint64_t at = 0; at < end; at += next.len) {
		if (!lookup(hf, at, end - at, &next, error))
			return false;
		if (joins(&run, &next)) {
			run.len += next.len;
			continue;
		}
		if (run.len && !take(opaque, &run))
			return true;
		run = next;
	}
	if (run.len)
		take(opaque, &run);
	return true;
}
