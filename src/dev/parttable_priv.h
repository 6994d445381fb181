/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of parttable share: the sketch that libblkid gets to see
 * (sketch.c), libblkid itself (parttable_blkid.c), master boot records
 * (parttable_dos.c), GPT headers (parttable_gpt.c), what is in a partition
 * (parttable_content.c), names of types (parttable_type.c).
 */
#ifndef RAWMAP_DEV_PARTTABLE_PRIV_H
#define RAWMAP_DEV_PARTTABLE_PRIV_H

#include <rawmap/dev/parttable.h>

/* ---- a copy in memory of parts of a device, the rest is zeros ---- */

struct sketch {
	struct blkdev *dev; /* borrowed */
	int fd;		    /* a file without a name */
	int err;	    /* the first errno of making and writing it; 0 */
};

/* Of @size bytes, which may be more than @dev has. False: there is none. */
bool sketch_open(struct sketch *s, struct blkdev *dev, uint64_t size);
void sketch_close(struct sketch *s);
/* What of the range is on the device; what cannot be read stays zeros. */
void sketch_copy(struct sketch *s, uint64_t pos, uint64_t len);
/* Other bytes than the device has. */
void sketch_put(struct sketch *s, const void *buf, size_t len, uint64_t pos);

/* ---- a table that is being built ---- */

/*
 * Adds a partition by what the table says, in bytes. NULL, and it is noted as
 * damage, for a number out of range. The table owns it.
 */
struct partition *parttable_add(struct parttable *pt, unsigned number,
				uint64_t start, uint64_t size);
/* A sentence's end; the first one stays. */
void parttable_set_damage(struct parttable *pt, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);
/* Printable UTF-8 of whatever it is; NULL stays NULL. */
char *parttable_printable(const char *text);

/* ---- libblkid ---- */

/*
 * Which table, and the partitions of all kinds but "dos". False: UNSUPPORTED,
 * there is no libblkid; or FAILED.
 */
bool parttable_probe(struct parttable *pt, int fd, uint32_t sector,
		     GError **error);
/* What the file @fd is as a filesystem; NULL: nothing, or more than one. */
char *parttable_probe_content(int fd);

/* ---- master boot record ---- */

#define DOS_RECORD_SIZE 512

/* Does it say that there is a GPT? */
bool parttable_dos_is_protective(const uint8_t *record);
/* Nothing in it leads elsewhere any more. It stays what it is. */
void parttable_dos_tame(uint8_t *record);
/* All partitions, logical ones too, in sectors of pt->sector bytes. */
void parttable_dos_list(struct parttable *pt, struct blkdev *dev,
			const uint8_t *record);

/* ---- GPT ---- */

/*
 * A header at @lba: give libblkid the entries that it names; or hide it, when
 * they cannot be what it says.
 */
void parttable_gpt_prepare(struct sketch *s, uint32_t sector, uint64_t lba);
/* Bytes of the disk that the first header was made for; 0: there is none. */
uint64_t parttable_gpt_claim(struct blkdev *dev, uint32_t sector);

/* ---- contents and types ---- */

char *parttable_content(struct blkdev *dev, bool *ret_is_ext);
char *parttable_type_gpt(const char *guid);
char *parttable_type_dos(uint8_t type);

#endif
