/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fields of on-disk structures. ext2/3/4 is little-endian, JBD2 big-endian;
 * both exist as types of their own so that neither is read without a swap.
 */
#ifndef RAWMAP_BASE_ENDIAN_H
#define RAWMAP_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>

/* clang-format off */
typedef struct { uint16_t raw; } le16;
typedef struct { uint32_t raw; } le32;
typedef struct { uint64_t raw; } le64;
typedef struct { uint16_t raw; } be16;
typedef struct { uint32_t raw; } be32;
typedef struct { uint64_t raw; } be64;

static inline uint16_t le16_get(le16 f) { return le16toh(f.raw); }
static inline uint32_t le32_get(le32 f) { return le32toh(f.raw); }
static inline uint64_t le64_get(le64 f) { return le64toh(f.raw); }
static inline uint16_t be16_get(be16 f) { return be16toh(f.raw); }
static inline uint32_t be32_get(be32 f) { return be32toh(f.raw); }
static inline uint64_t be64_get(be64 f) { return be64toh(f.raw); }

static inline le16 le16_of(uint16_t n) { return (le16){ htole16(n) }; }
static inline le32 le32_of(uint32_t n) { return (le32){ htole32(n) }; }
static inline le64 le64_of(uint64_t n) { return (le64){ htole64(n) }; }
static inline be16 be16_of(uint16_t n) { return (be16){ htobe16(n) }; }
static inline be32 be32_of(uint32_t n) { return (be32){ htobe32(n) }; }
static inline be64 be64_of(uint64_t n) { return (be64){ htobe64(n) }; }
/* clang-format on */

#endif
