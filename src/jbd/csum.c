/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sizes and checksums of the log's blocks (fs/jbd2/journal.c and commit.c of the
 * kernel decide them). Every sum covers a whole block, or the superblock's 1024
 * bytes, with the field that holds it taken as zero; nothing is changed to
 * compute one.
 */
#include "jbd_priv.h"

#include <rawmap/base/crc32c.h>

#include <string.h>

#define FIRST_SEED UINT32_C(0xffffffff)

bool jbd_has_csum(enum journal_csum csum)
{
	return csum == JOURNAL_CSUM_V2 || csum == JOURNAL_CSUM_V3;
}

size_t jbd_tag_size(enum journal_csum csum, bool is_64bit)
{
	size_t size = sizeof(struct jbd_tag);

	if (csum == JOURNAL_CSUM_V3)
		return sizeof(struct jbd_tag3);
	if (!is_64bit)
		size -= sizeof(be32);
	/* Two bytes that nobody uses: an old mistake, now the format. */
	if (csum == JOURNAL_CSUM_V2)
		size += sizeof(be16);
	return size;
}

size_t jbd_tail_size(enum journal_csum csum)
{
	return jbd_has_csum(csum) ? sizeof(struct jbd_tail) : 0;
}

size_t jbd_revoke_size(bool is_64bit)
{
	return is_64bit ? sizeof(be64) : sizeof(be32);
}

uint32_t jbd_csum_seed(const uint8_t uuid[16])
{
	return crc32c(FIRST_SEED, uuid, 16);
}

uint32_t jbd_data_csum(uint32_t seed, uint32_t sequence, const void *block,
		       size_t len)
{
	be32 number = be32_of(sequence);

	return crc32c(crc32c(seed, &number, sizeof(number)), block, len);
}

/* Of @len bytes at @block with the four at @field taken as zero. */
static uint32_t sum_around(uint32_t seed, const void *block, size_t len,
			   size_t field)
{
	static const be32 zero;
	const uint8_t *p = block;
	size_t behind = field + sizeof(zero);

	seed = crc32c(seed, p, field);
	seed = crc32c(seed, &zero, sizeof(zero));
	return crc32c(seed, p + behind, len - behind);
}

static void set_around(uint32_t seed, void *block, size_t len, size_t field)
{
	be32 sum = be32_of(sum_around(seed, block, len, field));

	memcpy((uint8_t *)block + field, &sum, sizeof(sum));
}

static bool ok_around(uint32_t seed, const void *block, size_t len,
		      size_t field)
{
	be32 stored;

	memcpy(&stored, (const uint8_t *)block + field, sizeof(stored));
	return be32_get(stored) == sum_around(seed, block, len, field);
}

void jbd_tail_set(uint32_t seed, void *block, size_t len)
{
	set_around(seed, block, len, len - sizeof(struct jbd_tail));
}

bool jbd_tail_ok(uint32_t seed, const void *block, size_t len)
{
	return ok_around(seed, block, len, len - sizeof(struct jbd_tail));
}

void jbd_commit_set(uint32_t seed, void *block, size_t len)
{
	set_around(seed, block, len, offsetof(struct jbd_commit, csum));
}

bool jbd_commit_ok(uint32_t seed, const void *block, size_t len)
{
	return ok_around(seed, block, len, offsetof(struct jbd_commit, csum));
}

bool jbd_commit_torn_ok(uint32_t seed, const void *block, size_t len)
{
	static const uint8_t zeros[512];
	const size_t head = sizeof(struct jbd_commit);
	const size_t field = offsetof(struct jbd_commit, csum);
	uint32_t sum = sum_around(seed, block, head, field);
	be32 stored;

	memcpy(&stored, (const uint8_t *)block + field, sizeof(stored));
	for (size_t left = len - head; left;) {
		size_t n = MIN(left, sizeof(zeros));

		sum = crc32c(sum, zeros, n);
		left -= n;
	}
	return be32_get(stored) == sum;
}

void jbd_super_set(struct jbd_super *super)
{
	set_around(FIRST_SEED, super, sizeof(*super),
		   offsetof(struct jbd_super, checksum));
}

bool jbd_super_ok(const struct jbd_super *super)
{
	return ok_around(FIRST_SEED, super, sizeof(*super),
			 offsetof(struct jbd_super, checksum));
}
