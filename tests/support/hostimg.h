/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts for tests: made by mke2fs, filled and bent by debugfs, judged by
 * e2fsck. No root needed. Everything lies in one temporary folder per image,
 * gone with hostimg_free(). What cannot go wrong in a healthy environment
 * aborts the test with a sentence; so callers check nothing.
 *
 * The image is a file; work on it either through a device over the file
 * (hostimg_dev()) or on a copy of its bytes (hostimg_bytes(), and back with
 * hostimg_store() before asking a tool about it).
 */
#ifndef TESTS_SUPPORT_HOSTIMG_H
#define TESTS_SUPPORT_HOSTIMG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct blkdev;
struct hostimg;

struct hostimg_spec {
	const char *mkfs; /* "-t ext3 -b 1024 -O ^dir_index": split at
				   blanks; NULL: "-t ext4" */
	uint64_t size;	  /* bytes; 0: 8 MiB */
};

struct hostimg *hostimg_make(const struct hostimg_spec *spec);
void hostimg_free(struct hostimg *img); /* NULL is fine */

const char *hostimg_path(const struct hostimg *img); /* the image file */
const char *hostimg_dir(const struct hostimg *img);  /* for scratch files */

/* A buffered device over the image file, one reference, no lock taken. */
struct blkdev *hostimg_dev(struct hostimg *img, bool readonly);

/* All bytes of the image (g_free()); and replace them (may change the size). */
uint8_t *hostimg_bytes(struct hostimg *img, size_t *ret_len);
void hostimg_store(struct hostimg *img, const void *bytes, size_t len);

/* Run debugfs -w with these lines (from printf format). Its errors abort. */
void hostimg_edit(struct hostimg *img, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);
/* What debugfs answers to one command, read-only (g_free()). */
char *hostimg_ask(struct hostimg *img, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);

/* Data in a file: bytes [start, start + len) hold hostimg_pattern(). */
struct hostimg_piece {
	uint64_t start, len;
};

/* The byte at @pos of a file of @seed; never 0. */
uint8_t hostimg_pattern(uint32_t seed, uint64_t pos);

/*
 * Put a file of @size bytes into the root folder ("name"), holes wherever no
 * piece touches a block. hostimg_put_comb() gives data to every other block of
 * @bs bytes, @n times: as many extents as blocks.
 */
void hostimg_put(struct hostimg *img, const char *name, uint32_t seed,
		 uint64_t size, const struct hostimg_piece *pieces, size_t n);
void hostimg_put_comb(struct hostimg *img, const char *name, uint32_t seed,
		      uint32_t bs, uint32_t n);

/* The content of a file ("/name" or "<N>") as debugfs reads it (g_free()). */
uint8_t *hostimg_cat(struct hostimg *img, const char *file, size_t *ret_len);

/*
 * The map of a file ("/name" or "<N>") as debugfs reads it: struct extent,
 * ascending, neighbours merged; or its tree blocks only, phys and len. The
 * caller unrefs.
 */
GArray *hostimg_extents(struct hostimg *img, const char *file);
GArray *hostimg_tree_blocks(struct hostimg *img, const char *file);

/*
 * e2fsck -fn (changes nothing): its exit status, 0 is clean. @ret_out (may be
 * NULL) gets what it said (g_free()). hostimg_preen() is e2fsck -p.
 */
int hostimg_fsck(struct hostimg *img, char **ret_out);
int hostimg_preen(struct hostimg *img, char **ret_out);

/* e2fsck -fyD: directories of more than one block get their index. */
void hostimg_index_dirs(struct hostimg *img);

/* tune2fs with these arguments, split at blanks. */
void hostimg_tune(struct hostimg *img, const char *args);

/* resize2fs: the filesystem fills the image file. */
void hostimg_grow(struct hostimg *img);

#endif
