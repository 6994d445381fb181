/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libblkid, asked for one phrase. Opens the source by itself, read-only, and
 * closes it again: nothing here outlives the call.
 */
#include <rawmap/dev/probe.h>

#include <rawmap_config.h>

#include <glib.h>

#ifdef HAVE_BLKID

#include <blkid.h>

static char *phrase(blkid_probe probe)
{
	const char *type, *usage = NULL;

	if (!blkid_probe_lookup_value(probe, "TYPE", &type, NULL)) {
		blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
		return g_strdup_printf("a %s of type '%s'",
				       g_strcmp0(usage, "filesystem")
					       ? "signature"
					       : "filesystem",
				       type);
	}
	if (!blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL))
		return g_strdup_printf("a partition table ('%s')", type);
	return NULL;
}

char *probe_describe(const char *path)
{
	blkid_probe probe = blkid_new_probe_from_filename(path);
	char *found = NULL;

	if (!probe)
		return NULL;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE |
							 BLKID_SUBLKS_USAGE);
	blkid_probe_enable_partitions(probe, 1);
	if (blkid_do_safeprobe(probe) == 0)
		found = phrase(probe);
	blkid_free_probe(probe);
	return found;
}

#else

char *probe_describe(const char *path)
{
	(void)path;
	return NULL;
}

#endif
