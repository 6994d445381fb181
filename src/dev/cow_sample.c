/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * By what a source is known again: checksums of some of its blocks.
 *
 *   sampled                       seen by it
 *   the first MiB, the last       another source; mkfs, a partitioning program
 *   64 blocks spread between      another source; what copies over much of it
 *
 * The first MiB has the host's superblock, to which the kernel writes the time
 * whenever it mounts for writing or replays a journal, e2fsck when it repairs,
 * and rawmap as well: so hardly anybody changes a host in the usual way unseen.
 * Not seen is who goes behind the filesystem's back and writes elsewhere: only
 * reading everything would show that, and disks are too large to do so at every
 * mount. It is a check against mistakes, not against malice.
 *
 * Each block has its own checksum, so that the sentence can say where the
 * source differs, and a block that cannot be read (this is a tool for disks
 * that fail) is left out of the comparison instead of shutting out the user
 * from his work.
 */
#include "cow_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/crc32c.h>
#include <rawmap/base/progress.h>

#include <string.h>

#define ENDS   256 /* blocks at either end: 1 MiB */
#define SPREAD (COW_SAMPLES - 2 * ENDS)
#define RUN    16 /* blocks of one read */

static uint64_t blocks_of(uint64_t size)
{
	return size / COW_SAMPLE_BYTES + (size % COW_SAMPLE_BYTES != 0);
}

/* Ascending in @i. A small source is sampled as a whole. */
static uint64_t sampled_block(uint64_t blocks, unsigned i)
{
	if (blocks <= COW_SAMPLES || i < ENDS)
		return i;
	if (i >= ENDS + SPREAD)
		return blocks - (COW_SAMPLES - i);
	return ENDS + (blocks - 2 * ENDS) * (i - ENDS + 1) / (SPREAD + 1);
}

/* How many samples from @i on, at most RUN, are neighbours on the disk. */
static unsigned neighbours(uint64_t blocks, unsigned i, unsigned n)
{
	uint64_t start = sampled_block(blocks, i);
	unsigned run = 1;

	while (run < RUN && i + run < n &&
	       sampled_block(blocks, i + run) == start + run)
		run++;
	return run;
}

/* @run neighbours with one read. False: there is an error among them. */
static bool take_run(struct blkdev *dev, uint8_t *buf, unsigned i, unsigned run,
		     struct cow_sample *ret)
{
	uint64_t size = blkdev_geometry(dev)->size;
	uint64_t pos = sampled_block(blocks_of(size), i) * COW_SAMPLE_BYTES;
	size_t len = u64_min((uint64_t)run * COW_SAMPLE_BYTES, size - pos);

	if (blkdev_pread(dev, buf, len, dev_off_at(pos)))
		return false;
	for (size_t done = 0; done < len; done += COW_SAMPLE_BYTES)
		ret->crc[i++] = crc32c(~0u, buf + done,
				       u64_min(COW_SAMPLE_BYTES, len - done));
	return true;
}

void cow_sample_take(struct blkdev *dev, struct cow_sample *ret)
{
	uint64_t blocks = blocks_of(blkdev_geometry(dev)->size);
	uint8_t *buf = bytes_aligned_new((size_t)RUN * COW_SAMPLE_BYTES,
					 COW_SAMPLE_BYTES);
	struct progress progress;

	/* A sample is a seek; a bad one costs a disk seconds. */
	progress_begin(&progress, "looking at the source", PROGRESS_SHARE);
	memset(ret, 0, sizeof(*ret));
	ret->n = (unsigned)u64_min(blocks, COW_SAMPLES);
	for (unsigned i = 0, run; i < ret->n; i += run) {
		progress_step(&progress, i, ret->n);
		run = neighbours(blocks, i, ret->n);
		if (take_run(dev, buf, i, run, ret))
			continue;
		for (unsigned k = i; k < i + run; k++)
			if (!take_run(dev, buf, k, 1, ret))
				ret->unread[k / 8] |= (uint8_t)(1u << k % 8);
	}
	progress_end(&progress);
	bytes_aligned_free(buf);
}

static bool is_unread(const struct cow_sample *s, unsigned i)
{
	return s->unread[i / 8] >> i % 8 & 1;
}

void cow_sample_compare(const struct cow_sample *a, const struct cow_sample *b,
			uint64_t size, struct cow_difference *ret)
{
	uint64_t blocks = blocks_of(size);

	*ret = (struct cow_difference){ 0 };
	for (unsigned i = 0; i < a->n && i < b->n; i++) {
		if (is_unread(a, i) || is_unread(b, i))
			continue;
		ret->compared++;
		if (a->crc[i] == b->crc[i])
			continue;
		if (!ret->differ++)
			ret->first =
				sampled_block(blocks, i) * COW_SAMPLE_BYTES;
	}
}
