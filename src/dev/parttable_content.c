/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in a partition.
 *
 * libblkid says so, of a sketch: the beginning, where nearly all superblocks
 * are, the end, where RAID members have theirs, and the place that an NTFS boot
 * sector names, without which it would not believe it.
 *
 * ext2, ext3 and ext4 are recognised here as well: a superblock whose checksum
 * is wrong, or beside somebody else's, is one that an examiner wants. But what
 * libblkid names otherwise is not ext, whatever was left of it.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <string.h>

/* UDF has the farthest of those who look at the beginning: at 512 KiB. */
#define HEAD (UINT64_C(576) << 10)
#define TAIL (UINT64_C(256) << 10)

#define SUPER_AT       1024
#define EXT_MAGIC      0xef53
#define LOG_BLOCK_MAX  6
#define COMPAT_JOURNAL 0x4
#define JOURNAL_DEV    0x8

/* All that ext3 knows: what goes beyond is ext4. */
#define EXT3_INCOMPAT  (0x2 | 0x4 | 0x10)
#define EXT3_RO_COMPAT (0x1 | 0x2 | 0x4)

struct ext_super {
	le32 inodes, blocks, reserved, free_blocks, free_inodes, first_block;
	le32 log_block, log_cluster;
	le32 per_group[3], times[2];
	le16 mounts[2], magic, state, errors, minor;
	le32 checked, interval, creator, revision;
	le16 owner[2];
	le32 first_inode;
	le16 inode_size, group;
	le32 compat, incompat, ro_compat;
};
G_STATIC_ASSERT(sizeof(struct ext_super) == 104);

struct ntfs_boot {
	uint8_t jump[3];
	char oem[8];
	uint8_t sector[2]; /* bytes, little-endian */
	uint8_t cluster;   /* sectors; above 128: 2 to the power of 256 less */
	uint8_t more[34];
	le64 mft; /* cluster */
	le64 mirror;
	int8_t record; /* clusters; below 0: 2 to the power of its negative */
};
G_STATIC_ASSERT(sizeof(struct ntfs_boot) == 72);

static const char *ext_kind(const struct ext_super *s)
{
	if ((le32_get(s->incompat) & ~(uint32_t)EXT3_INCOMPAT) ||
	    (le32_get(s->ro_compat) & ~(uint32_t)EXT3_RO_COMPAT))
		return "ext4";
	return le32_get(s->compat) & COMPAT_JOURNAL ? "ext3" : "ext2";
}

/* "ext4", ...; NULL: no superblock of a filesystem. */
static const char *look_for_ext(struct blkdev *dev)
{
	struct ext_super s;

	if (blkdev_pread(dev, &s, sizeof(s), dev_off_at(SUPER_AT)) ||
	    le16_get(s.magic) != EXT_MAGIC ||
	    le32_get(s.log_block) > LOG_BLOCK_MAX || !le32_get(s.inodes) ||
	    !le32_get(s.per_group[0]) || (le32_get(s.incompat) & JOURNAL_DEV))
		return NULL;
	return ext_kind(&s);
}

/* 2 to the power of @n, 0 where that makes no sense. */
static uint32_t power(int n)
{
	return n < 31 ? UINT32_C(1) << n : 0;
}

/* The first records of the master file table. */
static void copy_ntfs(struct sketch *s)
{
	struct ntfs_boot b;
	uint64_t cluster, record, pos;

	if (blkdev_pread(s->dev, &b, sizeof(b), dev_off_at(0)) ||
	    memcmp(b.oem, "NTFS    ", sizeof(b.oem)) != 0)
		return;
	cluster = b.cluster <= 128 ? b.cluster : power(256 - b.cluster);
	cluster *= (uint64_t)b.sector[0] | (uint64_t)b.sector[1] << 8;
	record = b.record > 0 ? (uint64_t)b.record * cluster : power(-b.record);
	if (u64_mul(le64_get(b.mft), cluster, &pos))
		sketch_copy(s, pos, u64_min(4 * record, TAIL));
}

static char *ask_blkid(struct blkdev *dev)
{
	uint64_t size = blkdev_geometry(dev)->size;
	char *found = NULL;
	struct sketch s;

	if (!sketch_open(&s, dev, size))
		return NULL;
	sketch_copy(&s, 0, HEAD);
	if (size > HEAD)
		sketch_copy(&s, u64_max(HEAD, size - u64_min(size, TAIL)),
			    TAIL);
	copy_ntfs(&s);
	if (!s.err)
		found = parttable_probe_content(s.fd);
	sketch_close(&s);
	return found;
}

char *parttable_content(struct blkdev *dev, bool *ret_is_ext)
{
	char *found = ask_blkid(dev);
	const char *ext = look_for_ext(dev);

	*ret_is_ext = ext && (!found || g_str_has_prefix(found, "ext"));
	if (ext && !found)
		found = g_strdup(ext);
	return found;
}
