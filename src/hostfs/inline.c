/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Content that is in the inode itself (the feature inline_data).
 *
 *   i_block                       the first 60 bytes
 *   system.data, an extended      the rest: its value lies behind the fields of
 *   attribute in the inode        the inode, never in a block of its own
 *
 * What the size says beyond both reads as zeros: a file that was made longer
 * and not written there. The attributes are read here, from the bytes of the
 * inode in memory: nothing else on the disk has a say, so damage to other
 * attributes is no reason not to read.
 *
 * When such a file is deleted, the kernel takes its size and leaves the bytes.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <string.h>

#define OWN_BYTES    60 /* i_block */
#define INDEX_SYSTEM 7	/* e_name_index of "system." */

struct attribute {
	struct ext2_ext_attr_entry entry;
	const uint8_t *name;
};

/* The attribute at @at of the inode's @size bytes; false behind the last. */
static bool read_attribute(const uint8_t *raw, size_t size, size_t at,
			   struct attribute *ret)
{
	static const uint8_t end[4];

	if (!range_within(at, sizeof(ret->entry), size) ||
	    !memcmp(raw + at, end, sizeof(end)))
		return false;
	memcpy(&ret->entry, raw + at, sizeof(ret->entry));
	ret->name = raw + at + sizeof(ret->entry);
	return range_within(at + sizeof(ret->entry), ret->entry.e_name_len,
			    size);
}

static bool is_data(const struct attribute *a)
{
	return a->entry.e_name_index == INDEX_SYSTEM &&
	       a->entry.e_name_len == 4 && !memcmp(a->name, "data", 4) &&
	       !a->entry.e_value_inum;
}

/* The value of system.data; NULL without. */
static const uint8_t *find_rest(const struct hostfile *hf, size_t *ret_len)
{
	const uint8_t *raw = (const uint8_t *)hf->inode;
	size_t size = EXT2_INODE_SIZE(hf->fs->fs->super);
	const uint32_t magic = EXT2_EXT_ATTR_MAGIC;
	struct attribute a;
	size_t at, base;

	if (size <= EXT2_GOOD_OLD_INODE_SIZE)
		return NULL;
	at = (size_t)EXT2_GOOD_OLD_INODE_SIZE + hf->inode->i_extra_isize;
	if (!range_within(at, sizeof(magic), size) ||
	    memcmp(raw + at, &magic, sizeof(magic)) != 0)
		return NULL;
	base = at + sizeof(magic);
	for (at = base; read_attribute(raw, size, at, &a);
	     at += EXT2_EXT_ATTR_LEN(a.entry.e_name_len)) {
		if (!is_data(&a))
			continue;
		if (!range_within(base + a.entry.e_value_offs,
				  a.entry.e_value_size, size))
			return NULL;
		*ret_len = a.entry.e_value_size;
		return raw + base + a.entry.e_value_offs;
	}
	return NULL;
}

static bool fail(struct hostfile *hf, enum rawmap_error code, const char *what,
		 GError **error)
{
	g_set_error(error, RAWMAP_ERROR, (gint)code, "'%s': %s", hf->path,
		    what);
	return false;
}

bool inline_read(struct hostfile *hf, GError **error)
{
	bool whole = hf->deleted && !hf->size;
	size_t rest_len = 0, own = OWN_BYTES;
	const uint8_t *rest = NULL;

	if (whole || hf->size > OWN_BYTES)
		rest = find_rest(hf, &rest_len);
	if (!whole && hf->size > OWN_BYTES && !rest)
		return fail(hf, RAWMAP_ERROR_CORRUPT,
			    "the inode, which should hold its content, lacks a"
			    " part of it; run 'e2fsck -f'",
			    error);
	if (!whole) {
		own = MIN(hf->size, OWN_BYTES);
		rest_len = MIN(rest_len, hf->size - own);
	}
	hf->inline_len = own + rest_len;
	hf->inline_bytes = g_malloc0(OWN_BYTES + rest_len);
	memcpy(hf->inline_bytes, hf->inode->i_block, own);
	if (rest_len)
		memcpy(hf->inline_bytes + own, rest, rest_len);
	if (!whole)
		return true;
	hf->size = hf->inline_len;
	if (!bytes_are_zero(hf->inline_bytes, hf->inline_len))
		return true;
	return fail(hf, RAWMAP_ERROR_NOT_FOUND,
		    "it is deleted, and nothing is left of its content", error);
}
