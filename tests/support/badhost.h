/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sound hosts to be damaged, each with a list of where its structures lie. Small,
 * of several kinds, and the same every time they are made.
 *
 *   /disk.img      inode 12: BADHOST_COMB blocks of data, a hole behind each, so
 *                  that its map is a tree
 *   /vm/link       a short symbolic link to it
 *   /vm/long       the same, with so long a target that it needs a block where
 *                  inodes have no room
 */
#ifndef RAWMAP_TESTS_BADHOST_H
#define RAWMAP_TESTS_BADHOST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blkdev;

#define BADHOST_COMB 120
#define BADHOST_DISK 12 /* inode */

enum badhost_what {
	BADHOST_SUPER,
	BADHOST_DESC, /* one group's descriptor */
	BADHOST_BITMAP,
	BADHOST_INODE,
	BADHOST_DIR,  /* a block of a directory, a link, the orphan file */
	BADHOST_TREE, /* a block of the map of /disk.img */
	BADHOST_JSUPER,
	BADHOST_LOG,
	BADHOST_WHATS
};

struct badhost_area {
	enum badhost_what what;
	uint32_t number; /* group or inode */
	uint64_t pos;	 /* bytes */
	uint32_t len;
};

struct badhost_kind {
	const char *name, *mkfs;
	uint64_t size;
	bool extents, journal;
	bool csum;     /* metadata_csum */
	bool writable; /* may be opened read-write */
	bool dirty;    /* has a journal to be replayed */
};

extern const struct badhost_kind badhost_kinds[];
extern const unsigned badhost_n;

struct badhost {
	const struct badhost_kind *kind;
	GBytes *bytes;
	GArray *areas; /* struct badhost_area */
	unsigned bits; /* log2 of the block size */
	uint8_t *disk; /* content of /disk.img */
	size_t disk_len;
	GArray *extents; /* struct extent: the map of /disk.img */
	GArray *journal; /* the same of the journal; may be empty */
};

/* @kind below badhost_n. Aborts when it cannot be made. */
struct badhost *badhost_new(unsigned kind);
void badhost_free(struct badhost *b);

/* Where inode @ino lies. */
uint64_t badhost_inode_pos(const struct badhost *b, uint32_t ino);

/*
 * On @dev, which holds the host with damage: right checksums again for
 * superblock, descriptors and the inodes in the list, where the kind has them.
 */
void badhost_seal(const struct badhost *b, struct blkdev *dev);
/* What a checksum of something that belongs to inode @ino starts with. */
uint32_t badhost_inode_seed(const struct badhost *b, struct blkdev *dev,
			    uint32_t ino);

#endif
