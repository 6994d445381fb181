/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A journal on a memory device, made by hand: fields at the byte offsets of the
 * format's documentation and a checksum computed a bit at a time, so that
 * nothing here is taken from what is under test.
 *
 * The journal lies in pieces: runs of RUN blocks with a gap behind each, the
 * later half of them before the earlier one.
 */
#ifndef JOURNAL_BED_H
#define JOURNAL_BED_H

#include <rawmap/base/error.h>
#include <rawmap/base/units.h>
#include <rawmap/jbd/journal.h>

#include <support/faultdev.h>
#include <support/memdev.h>
#include <support/recdev.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define RUN	   100u /* blocks */
#define GAP	   3u
#define MAGIC	   0xc03b3998u
#define STALE	   0x5a
#define DEV_BLOCKS 4096u

/* Byte offsets in the superblock. */
enum {
	AT_TYPE = 4,
	AT_BLOCKSIZE = 12,
	AT_MAXLEN = 16,
	AT_FIRST = 20,
	AT_SEQUENCE = 24,
	AT_START = 28,
	AT_ERROR = 32,
	AT_COMPAT = 36,
	AT_INCOMPAT = 40,
	AT_RO_COMPAT = 44,
	AT_UUID = 48,
	AT_CSUM_TYPE = 0x50,
	AT_NUM_FC = 0x54,
	AT_CSUM = 0xfc,
};

struct shape {
	unsigned bits;
	uint32_t compat, incompat;
};

#define INCOMPAT_REVOKE 0x1u
#define INCOMPAT_64BIT	0x2u
#define INCOMPAT_ASYNC	0x4u
#define INCOMPAT_V2	0x8u
#define INCOMPAT_V3	0x10u
#define INCOMPAT_FC	0x20u
#define CSUM_V2_OR_V3	(INCOMPAT_V2 | INCOMPAT_V3)

#define FORMATS(bits)                                                          \
	{ bits, 0, 0 }, { bits, 0, INCOMPAT_64BIT }, { bits, 0, INCOMPAT_V2 }, \
		{ bits, 0, INCOMPAT_V2 | INCOMPAT_64BIT },                     \
		{ bits, 0, INCOMPAT_V3 },                                      \
	{                                                                      \
		bits, 0, INCOMPAT_V3 | INCOMPAT_64BIT                          \
	}

/* Every format with every block size that is in use. */
static const struct shape shapes[] = { FORMATS(10), FORMATS(11), FORMATS(12) };

#define N_SHAPES ((int)(sizeof(shapes) / sizeof(shapes[0])))
#define PLAIN	 12 /* no checksums, 4 KiB */
#define FULL	 17 /* csum v3, 64 bits, 4 KiB */

struct bed {
	struct shape shape;
	uint32_t blocks;	  /* of the journal */
	struct blkdev *mem, *dev; /* dev: the filter, or mem itself */
	struct journal_run *runs;
	size_t n;
};

static inline uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t be64_at(const uint8_t *p)
{
	return (uint64_t)be32_at(p) << 32 | be32_at(p + 4);
}

static inline void put32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

static inline uint32_t slow_crc(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* Of @len bytes with the four at @field taken as zero. */
static inline uint32_t slow_crc_but(uint32_t seed, const uint8_t *p, size_t len,
				    size_t field)
{
	const uint8_t zero[4] = { 0 };

	seed = slow_crc(seed, p, field);
	seed = slow_crc(seed, zero, 4);
	return slow_crc(seed, p + field + 4, len - field - 4);
}

/* Where block @block of the journal lies in the device's memory. */
static inline uint8_t *bed_block(const struct bed *bed, uint32_t block)
{
	uint64_t at = bed->runs[block / RUN].phys.v + block % RUN;

	return memdev_bytes(bed->mem) + (at << bed->shape.bits);
}

static inline uint8_t *bed_super(const struct bed *bed)
{
	return bed_block(bed, 0);
}

static inline uint32_t bed_field(const struct bed *bed, size_t at)
{
	return be32_at(bed_super(bed) + at);
}

static inline void bed_sum(const struct bed *bed)
{
	uint8_t *super = bed_super(bed);

	put32(super + AT_CSUM, slow_crc_but(~0u, super, 1024, AT_CSUM));
}

/* Set a field, and the sum where there is one. */
static inline void bed_set(const struct bed *bed, size_t at, uint32_t value)
{
	put32(bed_super(bed) + at, value);
	if (bed_field(bed, AT_INCOMPAT) & CSUM_V2_OR_V3)
		bed_sum(bed);
}

static inline bool bed_sum_is_right(const struct bed *bed)
{
	const uint8_t *super = bed_super(bed);

	return be32_at(super + AT_CSUM) ==
	       slow_crc_but(~0u, super, 1024, AT_CSUM);
}

static inline void bed_place(struct bed *bed)
{
	uint64_t half;

	bed->n = (bed->blocks + RUN - 1) / RUN;
	bed->runs = g_new0(struct journal_run, bed->n);
	half = bed->n / 2;
	for (size_t i = 0; i < bed->n; i++) {
		uint64_t slot = i < half ? i + bed->n - half : i - half;

		bed->runs[i].phys = pblk_at(7 + slot * (RUN + GAP));
		bed->runs[i].len = MIN(RUN, bed->blocks - i * RUN);
	}
}

static inline void bed_format(struct bed *bed)
{
	uint8_t *super = bed_super(bed);
	size_t size = (size_t)1 << bed->shape.bits;

	/* Bytes that nobody knows the meaning of, and that must stay. */
	memset(super + 0x58, 0xa7, size - 0x58);
	memset(super, 0, 0x58);
	put32(super, MAGIC);
	put32(super + AT_TYPE, 4);
	put32(super + AT_BLOCKSIZE, (uint32_t)size);
	put32(super + AT_MAXLEN, bed->blocks);
	put32(super + AT_FIRST, 1);
	put32(super + AT_SEQUENCE, 41);
	put32(super + AT_COMPAT, bed->shape.compat);
	put32(super + AT_INCOMPAT, bed->shape.incompat);
	for (size_t i = 0; i < 16; i++)
		super[AT_UUID + i] = (uint8_t)(0x30 + i);
	if (bed->shape.incompat & CSUM_V2_OR_V3) {
		super[AT_CSUM_TYPE] = 4;
		bed_sum(bed);
	}
}

static inline void bed_init_shape(struct bed *bed, struct shape shape,
				  uint32_t blocks,
				  struct blkdev *(*filter)(struct blkdev *))
{
	uint64_t all = MAX(DEV_BLOCKS, (uint64_t)blocks + blocks / 16 + 64);
	uint64_t size = all << shape.bits;

	*bed = (struct bed){ .shape = shape, .blocks = blocks };
	bed->mem = memdev_new(size, 512);
	memset(memdev_bytes(bed->mem), STALE, size);
	bed->dev = filter ? filter(bed->mem) : blkdev_ref(bed->mem);
	bed_place(bed);
	bed_format(bed);
}

static inline void bed_init(struct bed *bed, int shape, uint32_t blocks,
			    struct blkdev *(*filter)(struct blkdev *))
{
	bed_init_shape(bed, shapes[shape], blocks, filter);
}

static inline void bed_clear(struct bed *bed)
{
	blkdev_unref(bed->dev);
	blkdev_unref(bed->mem);
	g_free(bed->runs);
}

static inline struct journal *bed_try(struct bed *bed, GError **error)
{
	return journal_open(bed->dev, bed->runs, bed->n, bed->shape.bits,
			    "host", error);
}

static inline struct journal *bed_open(struct bed *bed)
{
	GError *error = NULL;
	struct journal *j = bed_try(bed, &error);

	ck_assert_msg(j, "%s", error ? error->message : "");
	return j;
}

#endif
