/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bucket's number is the value itself below 16, and from there on what the
 * value's leading 4 bits say, 8 buckets to each power of two:
 *
 *   value    8 ... 15   16 17   18 19   ...   30 31   32 ... 35   ...
 *   bucket   8 ... 15    16      17     ...    23        24       ...
 */
#include <rawmap/base/histogram.h>

#include <glib.h>

#define SUBS (1U << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < SUBS)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* Of the last one the end is 2^64, and one less is right again. */
static uint64_t last_of(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * SUBS)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	bucket -= shift << HISTOGRAM_SUB_BITS;
	return (((uint64_t)bucket + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->bucket[bucket_of(value)]++;
	h->n++;
}

uint64_t histogram_percentile(const struct histogram *h, unsigned percent)
{
	uint64_t below = 0;
	unsigned i;

	g_assert(percent >= 1 && percent <= 100);
	if (!h->n)
		return 0;
	for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		below += h->bucket[i];
		/* As floating point numbers: a product may be too large. */
		if ((double)below * 100 >= (double)h->n * percent)
			break;
	}
	return last_of(i);
}
