/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two questions to libblkid. It sees sketches only, never a source.
 *
 * Of the tables that it knows those are asked for that a Linux disk has had.
 * The others are rare and weakly signed, and some of their chains have no end.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <rawmap_config.h>

#include <string.h>

#ifdef HAVE_BLKID

#include <blkid.h>

/* What libblkid counts in, whatever the disk's sectors are. */
#define UNIT 512

static blkid_probe probe_new(int fd)
{
	blkid_probe probe = blkid_new_probe();

	if (probe && blkid_probe_set_device(probe, fd, 0, 0)) {
		blkid_free_probe(probe);
		probe = NULL;
	}
	return probe;
}

/* More than there can be stays more than there can be. */
static uint64_t bytes_of(blkid_loff_t units)
{
	uint64_t bytes = UINT64_MAX;

	u64_mul((uint64_t)units, UNIT, &bytes);
	return bytes;
}

static char *type_of(blkid_partition part)
{
	const char *text = blkid_partition_get_type_string(part);

	if (text)
		return parttable_type_gpt(text);
	return g_strdup_printf("0x%02x",
			       (unsigned)blkid_partition_get_type(part));
}

static void list_parts(struct parttable *pt, blkid_partlist list)
{
	int n = blkid_partlist_numof_partitions(list);

	for (int i = 0; i < n; i++) {
		blkid_partition part = blkid_partlist_get_partition(list, i);
		g_autofree char *type = type_of(part);
		struct partition *p = parttable_add(
			pt, (unsigned)blkid_partition_get_partno(part),
			bytes_of(blkid_partition_get_start(part)),
			bytes_of(blkid_partition_get_size(part)));

		if (!p)
			continue;
		p->type_name = parttable_printable(type);
		p->name = parttable_printable(blkid_partition_get_name(part));
		p->uuid = g_strdup(blkid_partition_get_uuid(part));
	}
}

static void take_table(struct parttable *pt, blkid_partlist list,
		       blkid_parttable table, uint32_t sector)
{
	pt->type = g_strdup(blkid_parttable_get_type(table));
	pt->sector = sector;
	if (!strcmp(pt->type, "gpt") &&
	    blkid_parttable_get_offset(table) != (blkid_loff_t)sector)
		parttable_set_damage(pt, "the GPT at the beginning is damaged; "
					 "this is the backup at the end");
	if (strcmp(pt->type, "dos") != 0)
		list_parts(pt, list);
}

bool parttable_probe(struct parttable *pt, int fd, uint32_t sector,
		     GError **error)
{
	char *kinds[] = { "gpt", "dos", "mac", "sun", "sgi", "bsd", NULL };
	blkid_probe probe = probe_new(fd);
	blkid_partlist list;
	blkid_parttable table;

	if (!probe || blkid_probe_set_sectorsize(probe, sector) ||
	    blkid_probe_filter_partitions_type(probe, BLKID_FLTR_ONLYIN,
					       kinds)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "'%s': libblkid cannot look for partitions; say "
			    "where the filesystem begins, offset=",
			    pt->source);
		blkid_free_probe(probe);
		return false;
	}
	list = blkid_probe_get_partitions(probe);
	table = list ? blkid_partlist_get_table(list) : NULL;
	if (table)
		take_table(pt, list, table, sector);
	blkid_free_probe(probe);
	return true;
}

char *parttable_probe_content(int fd)
{
	blkid_probe probe = probe_new(fd);
	const char *type;
	char *found = NULL;

	if (!probe)
		return NULL;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE |
							 BLKID_SUBLKS_BADCSUM);
	if (blkid_do_safeprobe(probe) == 0 &&
	    !blkid_probe_lookup_value(probe, "TYPE", &type, NULL))
		found = parttable_printable(type);
	blkid_free_probe(probe);
	return found;
}

#else

bool parttable_probe(struct parttable *pt, int fd, uint32_t sector,
		     GError **error)
{
	(void)pt;
	(void)fd;
	(void)sector;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "this rawmap was built without libblkid and cannot read "
		    "partition tables; say where the filesystem begins, "
		    "offset=");
	return false;
}

char *parttable_probe_content(int fd)
{
	(void)fd;
	return NULL;
}

#endif
