/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GPT headers, looked at before libblkid sees them. It checks their sums and
 * reads their entries; what it needs of the device is said here, and what it
 * could be made to do is bounded: it would take any size of the array that a
 * header names, gigabytes too, into memory.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <stddef.h>
#include <string.h>

/* 64 times what any tool makes. */
#define ARRAY_MAX (UINT32_C(1) << 20)

static const char signature[8] = { 'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T' };

struct gpt_header {
	char signature[8];
	le32 revision, size, crc, reserved;
	le64 here, other; /* sectors */
	le64 first_usable, last_usable;
	uint8_t disk_id[16];
	le64 entries; /* sector */
	le32 entry_count, entry_size, entries_crc;
};
G_STATIC_ASSERT(offsetof(struct gpt_header, entries_crc) == 88);

static bool read_header(struct blkdev *dev, uint32_t sector, uint64_t lba,
			struct gpt_header *ret)
{
	uint64_t pos;

	return u64_mul(lba, sector, &pos) &&
	       !blkdev_pread(dev, ret, sizeof(*ret), dev_off_at(pos)) &&
	       !memcmp(ret->signature, signature, sizeof(signature));
}

void parttable_gpt_prepare(struct sketch *s, uint32_t sector, uint64_t lba)
{
	static const char nothing[sizeof(signature)];
	struct gpt_header h;
	uint64_t len, pos;

	if (!read_header(s->dev, sector, lba, &h))
		return;
	len = (uint64_t)le32_get(h.entry_count) * le32_get(h.entry_size);
	if (len <= ARRAY_MAX && u64_mul(le64_get(h.entries), sector, &pos) &&
	    range_within(pos, len, blkdev_geometry(s->dev)->size))
		sketch_copy(s, pos, len);
	else
		sketch_put(s, nothing, sizeof(nothing), lba * sector);
}

uint64_t parttable_gpt_claim(struct blkdev *dev, uint32_t sector)
{
	struct gpt_header h;
	uint64_t size;

	if (!read_header(dev, sector, 1, &h) || le64_get(h.here) != 1 ||
	    !u64_add(le64_get(h.last_usable), 1, &size) ||
	    !u64_mul(size, sector, &size) || size > INT64_MAX)
		return 0;
	return size;
}
