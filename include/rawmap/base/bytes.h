/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arithmetic that cannot overflow silently, alignment, runs of zeros.
 * Numbers that came from a disk or from a user go through these.
 */
#ifndef RAWMAP_BASE_BYTES_H
#define RAWMAP_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* a + b into *ret; false, *ret untouched, when it does not fit. */
static inline bool u64_add(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

/* a * b into *ret; false, *ret untouched, when it does not fit. */
static inline bool u64_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

/* Does [start, start + len) lie within [0, size)? An empty range at size does. */
static inline bool range_within(uint64_t start, uint64_t len, uint64_t size)
{
	return start <= size && len <= size - start;
}

/* Do [a, a + alen) and [b, b + blen) share something? Ends must not overflow. */
static inline bool range_overlaps(uint64_t a, uint64_t alen, uint64_t b,
				  uint64_t blen)
{
	return a < b + blen && b < a + alen && alen && blen;
}

static inline bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* @align is a power of two. */
static inline bool is_aligned(uint64_t n, uint64_t align)
{
	return !(n & (align - 1));
}

static inline uint64_t align_floor(uint64_t n, uint64_t align)
{
	return n & ~(align - 1);
}

/* The caller knows that n + align - 1 fits. */
static inline uint64_t align_ceil(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Are all @len bytes at @buf zero? */
bool bytes_are_zero(const void *buf, size_t len);

/*
 * @len bytes (a multiple of @align, a power of two) of zeroed memory aligned to
 * @align. Never NULL: aborts when memory is exhausted, as g_malloc() does.
 * Release with free() (or g_autofree does NOT fit: use bytes_aligned_free()).
 */
void *bytes_aligned_new(size_t len, size_t align);
void bytes_aligned_free(void *buf);

#endif
