/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Units as types.
 *
 * Most storage bugs are unit bugs: a byte offset taken for a block number, an
 * offset in the image taken for one on the device. Each of the four positions
 * is a one-member struct, so a mix does not compile, and every conversion
 * stands here with its rounding in its name. Counts and lengths stay plain
 * integers; their names say whether they count bytes or blocks.
 *
 * Ranges are half-open, kept as start + length.
 */
#ifndef RAWMAP_BASE_UNITS_H
#define RAWMAP_BASE_UNITS_H

#include <stdint.h>

/* clang-format off */
typedef struct { uint64_t v; } img_off;	/* byte in the image */
typedef struct { uint64_t v; } dev_off;	/* byte on the device */
typedef struct { uint64_t v; } lblk;	/* block of the image */
typedef struct { uint64_t v; } pblk;	/* block of the device */
/* clang-format on */

/* ext4 numbers logical blocks with 32 bits; 2^32 - 1 itself is not usable. */
#define LBLK_END UINT64_C(0xffffffff)

/* clang-format off */
static inline img_off img_off_at(uint64_t byte) { return (img_off){ byte }; }
static inline dev_off dev_off_at(uint64_t byte) { return (dev_off){ byte }; }
static inline lblk lblk_at(uint64_t block) { return (lblk){ block }; }
static inline pblk pblk_at(uint64_t block) { return (pblk){ block }; }
/* clang-format on */

static inline img_off img_off_add(img_off a, uint64_t bytes)
{
	return (img_off){ a.v + bytes };
}

static inline dev_off dev_off_add(dev_off a, uint64_t bytes)
{
	return (dev_off){ a.v + bytes };
}

static inline lblk lblk_add(lblk a, uint64_t blocks)
{
	return (lblk){ a.v + blocks };
}

static inline pblk pblk_add(pblk a, uint64_t blocks)
{
	return (pblk){ a.v + blocks };
}

/* @bits is log2 of the block size everywhere below. */

static inline lblk lblk_of_img_floor(img_off pos, unsigned bits)
{
	return (lblk){ pos.v >> bits };
}

static inline lblk lblk_of_img_ceil(img_off pos, unsigned bits)
{
	uint64_t low = (UINT64_C(1) << bits) - 1;

	return (lblk){ (pos.v >> bits) + ((pos.v & low) != 0) };
}

static inline img_off img_of_lblk(lblk block, unsigned bits)
{
	return (img_off){ block.v << bits };
}

static inline pblk pblk_of_dev_floor(dev_off pos, unsigned bits)
{
	return (pblk){ pos.v >> bits };
}

static inline dev_off dev_of_pblk(pblk block, unsigned bits)
{
	return (dev_off){ block.v << bits };
}

#endif
