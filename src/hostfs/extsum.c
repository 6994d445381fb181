/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checksum of a node that is a block (fs/ext4/extents.c,
 * ext4_extent_block_csum()): a crc32c over all that the header says there is room
 * for, entries or not, and it stands right behind that. Its seed is made of the
 * host's, the inode's number and the inode's generation, so a node of another
 * file, or of one that had the number before, is told from the right one.
 *
 * Whoever asks has parsed the header: the sum lies inside the block.
 */
#include "ext_priv.h"

#include <rawmap/base/crc32c.h>

#include <ext2fs/ext3_extents.h>

#include <string.h>

static uint32_t node_sum(const struct hostfile *hf, const void *raw, size_t len)
{
	uint32_t ino = ext2fs_cpu_to_le32(hf->ino);
	uint32_t generation = ext2fs_cpu_to_le32(hf->inode->i_generation);
	uint32_t seed = crc32c(hf->fs->fs->csum_seed, &ino, sizeof(ino));

	seed = crc32c(seed, &generation, sizeof(generation));
	return crc32c(seed, raw, len);
}

/* Where the checksum lies: behind the last entry that there is room for. */
static size_t sum_at(const void *raw)
{
	const struct ext3_extent_header *eh = raw;
	size_t max = ext2fs_le16_to_cpu(eh->eh_max);

	return sizeof(*eh) + max * sizeof(struct ext3_extent);
}

void extnode_sum_set(const struct hostfile *hf, void *raw)
{
	size_t at = sum_at(raw);
	uint32_t sum;

	if (!hf->fs->has_csum)
		return;
	sum = ext2fs_cpu_to_le32(node_sum(hf, raw, at));
	memcpy((uint8_t *)raw + at, &sum, sizeof(sum));
}

bool extnode_sum_is_right(const struct hostfile *hf, const void *raw)
{
	size_t at = sum_at(raw);
	uint32_t sum;

	if (!hf->fs->has_csum)
		return true;
	memcpy(&sum, (const uint8_t *)raw + at, sizeof(sum));
	return ext2fs_le32_to_cpu(sum) == node_sum(hf, raw, at);
}
