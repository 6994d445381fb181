/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C two ways, chosen at each call by what the processor has:
 *
 *   hardware   SSE4.2's crc32 instruction, 8 bytes a step
 *   tables     eight of them, "slicing by 8": one look-up a byte, but eight
 *              that don't wait for each other
 *
 * Entry [k][b] of the tables says what byte b does to the sum when k zero bytes
 * follow it. That is linear: an entry is the exclusive or of the entries of its
 * bits. So 64 numbers define all 2048, and the compiler makes constants of them;
 * nothing is set up at run time.
 */
#include "crc32c_priv.h"

#include <rawmap/base/crc32c.h>
#include <rawmap/base/endian.h>

#include <string.h>

/* clang-format off */
#define BIT(b, i, x) ((b) & (1u << (i)) ? (x) : 0u)
#define SUM(b, p, q, r, s, t, u, v, w)                                  \
	(BIT(b, 0, p) ^ BIT(b, 1, q) ^ BIT(b, 2, r) ^ BIT(b, 3, s) ^    \
	 BIT(b, 4, t) ^ BIT(b, 5, u) ^ BIT(b, 6, v) ^ BIT(b, 7, w))

#define SUM0(b) \
	SUM(b, 0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, \
	    0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78)
#define SUM1(b) \
	SUM(b, 0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, \
	    0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9)
#define SUM2(b) \
	SUM(b, 0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, \
	    0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743)
#define SUM3(b) \
	SUM(b, 0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, \
	    0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f)
#define SUM4(b) \
	SUM(b, 0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, \
	    0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c)
#define SUM5(b) \
	SUM(b, 0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, \
	    0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6)
#define SUM6(b) \
	SUM(b, 0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, \
	    0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4)
#define SUM7(b) \
	SUM(b, 0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, \
	    0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664)

#define X4(f, b)   f(b), f((b) + 1u), f((b) + 2u), f((b) + 3u)
#define X16(f, b)  X4(f, b), X4(f, (b) + 4u), X4(f, (b) + 8u), X4(f, (b) + 12u)
#define X64(f, b)  X16(f, b), X16(f, (b) + 16u), X16(f, (b) + 32u), \
		   X16(f, (b) + 48u)
#define X256(f)    X64(f, 0u), X64(f, 64u), X64(f, 128u), X64(f, 192u)

static const uint32_t table[8][256] = {
	{ X256(SUM0) }, { X256(SUM1) }, { X256(SUM2) }, { X256(SUM3) },
	{ X256(SUM4) }, { X256(SUM5) }, { X256(SUM6) }, { X256(SUM7) },
};
/* clang-format on */

static inline uint32_t step(uint32_t crc, uint8_t byte)
{
	return (crc >> 8) ^ table[0][(crc ^ byte) & 0xff];
}

uint32_t crc32c_tables(uint32_t seed, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint32_t crc = seed;

	for (; len >= 8; len -= 8, p += 8) {
		le32 low;

		memcpy(&low, p, sizeof(low));
		crc ^= le32_get(low);
		crc = table[7][crc & 0xff] ^ table[6][(crc >> 8) & 0xff] ^
		      table[5][(crc >> 16) & 0xff] ^ table[4][crc >> 24] ^
		      table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
		      table[0][p[7]];
	}
	while (len--)
		crc = step(crc, *p++);
	return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

bool crc32c_has_hardware(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t
crc32c_hardware(uint32_t seed, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t crc = seed;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = _mm_crc32_u64(crc, word);
	}
	while (len--)
		crc = _mm_crc32_u8((uint32_t)crc, *p++);
	return (uint32_t)crc;
}
#else
bool crc32c_has_hardware(void)
{
	return false;
}

uint32_t crc32c_hardware(uint32_t seed, const void *buf, size_t len)
{
	return crc32c_tables(seed, buf, len);
}
#endif

uint32_t crc32c(uint32_t seed, const void *buf, size_t len)
{
	return crc32c_has_hardware() ? crc32c_hardware(seed, buf, len)
				     : crc32c_tables(seed, buf, len);
}
