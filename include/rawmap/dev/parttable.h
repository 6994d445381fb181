/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The partitions of a device, whatever the device is: a file, a disk, evidence
 * in segments.
 *
 * A table is data from a disk like any other: it may be damaged, made to harm,
 * or that of a disk of which the source is only a part. So a partition says how
 * much of it is there:
 *
 *   size   missing   the partition
 *   > 0    0         is there
 *   > 0    > 0       is cut off by the end of the source
 *   0      > 0       begins behind the end of the source
 *   0      0         has no length
 *
 * [start, start + size) lies on the device in the first two, for window_new();
 * parttable_choose() gives no other.
 */
#ifndef RAWMAP_DEV_PARTTABLE_H
#define RAWMAP_DEV_PARTTABLE_H

#include <rawmap/dev/blkdev.h>

/* Numbers go from 1 to this, as far as Linux makes device nodes for. */
#define PARTTABLE_MAX 256

struct partition {
	unsigned number;   /* as Linux counts: logical ones from 5 */
	uint64_t start;	   /* byte on the device */
	uint64_t size;	   /* bytes, what of it is there */
	uint64_t missing;  /* bytes behind the device's end */
	unsigned overlaps; /* number of one that it shares bytes with; or 0 */
	bool container;	   /* an extended partition: room for others */
	bool is_ext;	   /* a superblock of ext2, ext3 or ext4 is there, and
			      nothing says that it is something else */
	char *type_name;   /* "Linux filesystem", "0x83 Linux", a GUID */
	char *name;	   /* the label in the table, printable; or NULL */
	char *uuid;	   /* as udev has it; or NULL */
	char *content;	   /* "ext4", "ntfs", ...; or NULL */
};

struct parttable {
	char *source;	      /* the name, for sentences */
	uint64_t device_size; /* bytes */
	char *type;	      /* "gpt", "dos", ...; NULL: there is no table */
	uint32_t sector;      /* bytes, that the table counts in */
	GPtrArray *parts;     /* of struct partition *, ascending by number */
	char *damage;	      /* what is wrong with the table; or NULL */
};

/*
 * Look for a table on @dev, called @name in sentences, and what is in the
 * partitions. Reads little, writes nothing. No table is no error: type is NULL.
 * NULL with a sentence: CORRUPT (nothing of it can be used), IO, UNSUPPORTED
 * (built without libblkid), FAILED (no memory for a file of it).
 *
 * Tables inside a partition (BSD, Solaris) are not looked for.
 */
struct parttable *parttable_read(struct blkdev *dev, const char *name,
				 GError **error);
void parttable_free(struct parttable *pt); /* NULL is fine */
typedef struct parttable parttable;	   /* for g_autoptr() */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(parttable, parttable_free)

/* Borrowed; NULL: there is no such number. */
const struct partition *parttable_find(const struct parttable *pt,
				       unsigned number);

/*
 * The partition that the user means: @number, or with 0 the only one that holds
 * an ext2, ext3 or ext4 filesystem. Borrowed; some of it lies on the device
 * (when not all, a warning is logged). NULL with a sentence that shows the
 * list: NOT_FOUND, USAGE (0, and there are several), CORRUPT (nothing of it
 * lies on the device).
 */
const struct partition *parttable_choose(const struct parttable *pt,
					 unsigned number, GError **error);

/*
 * The list for people: a heading, a line a partition, what is wrong. Each line
 * ends; no line when there is no table. The caller frees.
 */
char *parttable_format(const struct parttable *pt);

#endif
