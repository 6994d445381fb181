/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How often which values came, for percentiles. Buckets grow with the value, 8
 * to each power of two, so what is told is at most an eighth too large. Of a
 * fixed size, all zeros is an empty one; the owner's lock guards it.
 */
#ifndef RAWMAP_BASE_HISTOGRAM_H
#define RAWMAP_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 3
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t n; /* values */
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/*
 * The value that @percent (1 to 100) of all do not exceed, rounded up to the
 * end of its bucket; 0 when there are none.
 */
uint64_t histogram_percentile(const struct histogram *h, unsigned percent);

#endif
