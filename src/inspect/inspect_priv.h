/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the reports share: one walk over the map, and formats that it hands its
 * extents to.
 *
 *   mapreport_print()   begin -> extent, extent, ... -> end
 *
 * A format that refuses does so in begin, before it prints. Printing errors are
 * the stream's (ferror()); no callback looks at them.
 */
#ifndef INSPECT_PRIV_H
#define INSPECT_PRIV_H

#include <rawmap/inspect/mapreport.h>

#include <rawmap/map/extent.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- the walk ---- */

/* False ends the walk, which counts as done. */
typedef bool (*mapwalk_take)(void *opaque, const struct extent *e);

/*
 * Hand over the map from its first block on, holes included, in order and
 * without a gap; contiguous neighbours of one state come as one extent. It ends
 * with the block that holds the last byte; @beyond: with the last extent, where
 * the map can have any behind that (the hole behind the last comes too).
 * False with a sentence: CORRUPT or IO.
 */
bool mapwalk_run(struct hostfile *hf, bool beyond, mapwalk_take take,
		 void *opaque, GError **error);

/* ---- formats ---- */

struct report {
	const struct mapreport *what;
	FILE *out;
	unsigned bits;	  /* log2 of the block size */
	uint64_t size;	  /* of the image, bytes */
	uint64_t inside;  /* of it, that are in the inode itself */
	uint64_t printed; /* extents so far; the format counts */
	void *state;	  /* the format's own, zeroed, freed for it */
};

struct mapformat {
	const char *name;
	bool beyond_end; /* wants what lies behind the end of the file too */
	size_t state_size;
	bool (*begin)(struct report *r, GError **error); /* may be NULL */
	void (*extent)(struct report *r, const struct extent *e);
	void (*end)(struct report *r);
	/*
	 * Instead of extents, for content that has no blocks: r->inside bytes,
	 * and zeros behind them. NULL: the format cannot say that.
	 */
	void (*inside)(struct report *r);
};

extern const struct mapformat mapformat_table;
extern const struct mapformat mapformat_json;
extern const struct mapformat mapformat_qemu;
extern const struct mapformat mapformat_dfxml;
extern const struct mapformat mapformat_dm;
extern const struct mapformat mapformat_svg;

/*
 * A report on @what that can be asked where things are. @what->hf and the
 * stream must outlive it.
 */
void report_init(struct report *r, const struct mapreport *what);

/* What was printed has left the stream; else false, IO. */
bool report_flush(const struct report *r, GError **error);

/* The bytes of the content that @e covers; false when it covers none. */
bool report_bytes(const struct report *r, const struct extent *e,
		  uint64_t *ret_start, uint64_t *ret_len);

/* Where the block begins: byte of the host, byte of the source. */
uint64_t report_host_byte(const struct report *r, pblk block);
uint64_t report_source_byte(const struct report *r, pblk block);

/* "hole", "mapped", "unwritten". */
const char *report_state_name(enum extent_state state);

/* Is the content zeros there, whatever lies there? With unwritten=raw only of
   holes. */
bool report_reads_zero(const struct report *r, enum extent_state state);

/*
 * Would a device-mapper table be the image? False with UNSUPPORTED and the
 * reason. @info is about the host.
 */
bool dm_allows(const struct report *r, const struct hostfs_info *info,
	       GError **error);

/* ---- XML ---- */

/*
 * @text as the content of an element or an attribute (g_free()). What is not
 * UTF-8, or no character of XML, becomes U+FFFD.
 */
char *xmltext_escape(const char *text);

#endif
