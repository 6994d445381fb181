/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Content that is in the inode itself (the feature inline_data).
 *
 *   i_block                       the first 60 bytes
 *   system.data, an extended      the rest: its value lies behind the fields of
 *   attribute in the inode        the inode, never in a block of its own
 *
 * What the size says beyond both reads as zeros: a file that was made longer
 * and not written there. inlinedata.c takes the inode apart.
 *
 * When such a file is deleted, the kernel takes its size and leaves the bytes.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <string.h>

#define OWN_BYTES 60 /* i_block */

static bool fail(struct hostfile *hf, enum rawmap_error code, const char *what,
		 GError **error)
{
	g_set_error(error, RAWMAP_ERROR, (gint)code, "'%s': %s", hf->path,
		    what);
	return false;
}

bool inline_read(struct hostfile *hf, GError **error)
{
	g_autoptr(GByteArray) all = g_byte_array_new();
	bool whole = hf->deleted && !hf->size;
	int found = inlinedata_take(hf->inode,
				    EXT2_INODE_SIZE(hf->fs->fs->super), all);

	if (!whole && hf->size > OWN_BYTES && found <= 0)
		return fail(hf, RAWMAP_ERROR_CORRUPT,
			    "the inode, which should hold its content, lacks a"
			    " part of it; run 'e2fsck -f'",
			    error);
	if (!whole)
		g_byte_array_set_size(all, (guint)MIN(hf->size, all->len));
	hf->inline_len = all->len;
	hf->inline_bytes = g_byte_array_free(g_steal_pointer(&all), FALSE);
	if (!whole)
		return true;
	hf->size = hf->inline_len;
	if (!bytes_are_zero(hf->inline_bytes, hf->inline_len))
		return true;
	return fail(hf, RAWMAP_ERROR_NOT_FOUND,
		    "it is deleted, and nothing is left of its content", error);
}
