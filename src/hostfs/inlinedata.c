/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Data that lies in its inode (feature inline_data): 60 bytes where the map
 * would be, the rest in the extended attribute "system.data", which is in the
 * inode itself (fs/ext4/inline.c; fs/ext4/xattr.h for the attributes' format).
 *
 *   behind i_extra_isize   le32 magic
 *   an entry               name length, name index, le16 offset of the value,
 *                          le32 inode of the value, le32 size, le32 hash, name
 *   the last               le32 0
 *
 * Offsets of values count from the first entry. Read here and not by libext2fs:
 * that reads all attributes, of them those in inodes of their own, and there
 * whatever map it finds.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <errno.h>
#include <string.h>

#define XATTR_MAGIC  0xea020000u
#define INDEX_SYSTEM 7
#define NAME	     "data"

struct xattr_entry {
	uint8_t name_len, name_index;
	le16 value_offs;
	le32 value_inum, value_size, hash;
};
G_STATIC_ASSERT(sizeof(struct xattr_entry) == 16);

/* The attributes of an inode: @len bytes from the first entry on. */
struct attributes {
	const uint8_t *start;
	size_t len;
};

/* False: there are none. */
static bool find_attributes(const uint8_t *inode, size_t inode_size,
			    struct attributes *ret)
{
	const struct ext2_inode_large *large = (const void *)inode;
	size_t at = EXT2_GOOD_OLD_INODE_SIZE;
	le32 magic;

	if (inode_size < sizeof(*large) || large->i_extra_isize % 4)
		return false;
	at += large->i_extra_isize;
	if (!range_within(at, sizeof(magic), inode_size))
		return false;
	memcpy(&magic, inode + at, sizeof(magic));
	at += sizeof(magic);
	ret->start = inode + at;
	ret->len = inode_size - at;
	return le32_get(magic) == XATTR_MAGIC;
}

static bool is_data(const struct xattr_entry *entry, const uint8_t *name)
{
	return entry->name_index == INDEX_SYSTEM &&
	       entry->name_len == strlen(NAME) &&
	       !memcmp(name, NAME, strlen(NAME));
}

static int append_value(const struct attributes *a,
			const struct xattr_entry *entry, GByteArray *ret)
{
	size_t offset = le16_get(entry->value_offs);
	size_t size = le32_get(entry->value_size);

	if (le32_get(entry->value_inum) || !range_within(offset, size, a->len))
		return -EUCLEAN;
	g_byte_array_append(ret, a->start + offset, (guint)size);
	return 0;
}

/*
 * Names end at a multiple of four; the list ends in zeros, or with the inode.
 * Returns 1, 0 (there is no such attribute), -EUCLEAN.
 */
static int append_rest(const struct attributes *a, GByteArray *ret)
{
	struct xattr_entry entry;
	size_t at = 0;

	while (range_within(at, sizeof(entry), a->len)) {
		const uint8_t *name = a->start + at + sizeof(entry);
		le32 word;

		memcpy(&word, a->start + at, sizeof(word));
		if (!le32_get(word))
			break;
		memcpy(&entry, a->start + at, sizeof(entry));
		at += sizeof(entry);
		if (!range_within(at, entry.name_len, a->len))
			return -EUCLEAN;
		if (is_data(&entry, name)) {
			int err = append_value(a, &entry, ret);

			return err ? err : 1;
		}
		at += align_ceil(entry.name_len, 4);
	}
	return 0;
}

int inlinedata_take(const struct ext2_inode_large *inode, size_t size,
		    GByteArray *ret)
{
	struct attributes a;

	g_byte_array_append(ret, (const uint8_t *)inode->i_block,
			    sizeof(inode->i_block));
	return find_attributes((const uint8_t *)inode, size, &a)
		       ? append_rest(&a, ret)
		       : 0;
}

int inlinedata_read(struct hostfs *fs, ext2_ino_t ino, GByteArray *ret)
{
	size_t size = EXT2_INODE_SIZE(fs->fs->super);
	g_autofree uint8_t *raw =
		g_malloc0(MAX(size, sizeof(struct ext2_inode_large)));
	struct ext2_inode *inode = (void *)raw;
	errcode_t err = ext2fs_read_inode_full(fs->fs, ino, inode, (int)size);
	int found;

	if (err)
		return errcode_to_errno(err);
	found = inlinedata_take((const void *)raw, size, ret);
	return MIN(found, 0);
}
