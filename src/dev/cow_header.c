/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FILE of copy on write, as it lies on the disk. Version 1; all numbers are
 * little-endian.
 *
 *   at         bytes  header, one block of 4096
 *   0          16     "rawmap-cow\r\n\x1a\n\0\0"
 *   16         4      version: 1
 *   20         4      flags: what a reader has to understand; none so far
 *   24         4      bytes of a cluster: a power of two, 4 KiB to 1 MiB
 *   28         4      number of samples: the source's blocks of 4 KiB, at most
 *                     576 (cow_sample.c says which)
 *   32         8      bytes of the source
 *   40         8      data: where cluster 0 lies in FILE
 *   48         8      when FILE was made, seconds since 1970
 *   56         4      CRC-32C of the header (seed ~0), with zeros here
 *   60         4      zero
 *   64         448    name of the source then, for people; behind it zeros
 *   512        2304   CRC-32C (seed ~0) of each sampled block, then zeros
 *   2816       72     bit i (LSB first): sample i could not be read
 *   2888       1208   zero
 *
 *   4096              bitmap. Bit c (LSB first) of it: FILE has cluster c.
 *                     Whole pages of 4096; behind the last cluster zeros
 *   data              cluster c at data + c * cluster, whatever of it lies on
 *                     the source. Without its bit nothing there means anything
 *
 * data is the first MiB boundary behind the bitmap. The size of FILE is exactly
 * data + clusters * cluster.
 *
 * Making one: FILE gets its size, the header is written but for its first
 * sector, that is made durable, then the whole header is. So FILE with anything
 * but zeros in its first sector is complete, and one with zeros there holds
 * nothing yet, whatever crash was in between: the first sector is what disks
 * write as a whole, and the others are the same the second time.
 *
 * The header never changes after that. The bitmap has no checksum: a page of it
 * only gains bits, so one that was torn between its sectors is as good as an
 * old one, and a checksum would not survive that.
 */
#include "cow_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/crc32c.h>
#include <rawmap/base/endian.h>
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <inttypes.h>
#include <string.h>

#define VERSION 1

static const char magic[16] = "rawmap-cow\r\n\x1a\n\0";

struct header {
	char magic[16];
	le32 version;
	le32 flags;
	le32 cluster;
	le32 samples;
	le64 size;
	le64 data;
	le64 created;
	le32 checksum;
	le32 zero;
	char source[448];
	le32 crc[COW_SAMPLES];
	uint8_t unread[COW_SAMPLES / 8];
	uint8_t zeros[1208];
};
G_STATIC_ASSERT(sizeof(struct header) == COW_HEADER);
G_STATIC_ASSERT(offsetof(struct header, crc) == COW_SECTOR);
G_STATIC_ASSERT(offsetof(struct header, checksum) == 56);
G_STATIC_ASSERT(offsetof(struct header, unread) == 2816);

static uint32_t checksum_of(const struct header *h)
{
	static const uint8_t hole[sizeof(h->checksum)];
	const uint8_t *bytes = (const uint8_t *)h;
	size_t at = offsetof(struct header, checksum);
	uint32_t sum = crc32c(~0u, bytes, at);

	sum = crc32c(sum, hole, sizeof(hole));
	at += sizeof(hole);
	return crc32c(sum, bytes + at, sizeof(*h) - at);
}

/* ---- writing ---- */

static void fill(struct header *h, const struct cow_layout *at,
		 const struct cow_sample *sample, const struct cow_names *names)
{
	uint64_t now = (uint64_t)(g_get_real_time() / G_USEC_PER_SEC);

	memcpy(h->magic, magic, sizeof(magic));
	h->version = le32_of(VERSION);
	h->cluster = le32_of(at->cluster);
	h->samples = le32_of(sample->n);
	h->size = le64_of(at->size);
	h->data = le64_of(at->data);
	h->created = le64_of(now);
	g_strlcpy(h->source, names->source, sizeof(h->source));
	for (unsigned i = 0; i < sample->n; i++)
		h->crc[i] = le32_of(sample->crc[i]);
	memcpy(h->unread, sample->unread, sizeof(h->unread));
	h->checksum = le32_of(checksum_of(h));
}

static int write_durably(struct blkdev *store, const struct header *h)
{
	int err = blkdev_pwrite(store, h, sizeof(*h), dev_off_at(0));

	return err ? err : blkdev_flush(store);
}

bool cow_header_write(struct blkdev *store, const struct cow_layout *at,
		      const struct cow_sample *sample,
		      const struct cow_names *names, GError **error)
{
	struct header *h = bytes_aligned_new(sizeof(*h), COW_PAGE);
	char first[COW_SECTOR];
	int err;

	fill(h, at, sample, names);
	memcpy(first, h, sizeof(first));
	memset(h, 0, sizeof(first));
	err = write_durably(store, h);
	memcpy(h, first, sizeof(first));
	if (!err)
		err = write_durably(store, h);
	bytes_aligned_free(h);
	if (err)
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot write the header of '%s'", names->file);
	return !err;
}

/* ---- reading ---- */

static bool is_ours(const struct header *h, const struct cow_names *names,
		    GError **error)
{
	uint32_t is = checksum_of(h), says = le32_get(h->checksum);

	if (memcmp(h->magic, magic, sizeof(magic))) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s' is not a copy-on-write file of rawmap; name "
			    "a file that does not exist yet",
			    names->file);
		return false;
	}
	if (le32_get(h->version) != VERSION || le32_get(h->flags)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is a copy-on-write file of version %" PRIu32
			    ", flags %#" PRIx32 ", and this rawmap knows "
			    "version %d, flags 0; use a later rawmap",
			    names->file, le32_get(h->version),
			    le32_get(h->flags), VERSION);
		return false;
	}
	if (is == says)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "the header of '%s' is damaged (checksum %08" PRIx32
		    ", not %08" PRIx32 "); take a copy of it from before",
		    names->file, is, says);
	return false;
}

static bool read_layout(const struct header *h, struct blkdev *store,
			const struct cow_names *names, struct cow_layout *ret,
			GError **error)
{
	uint64_t size = blkdev_geometry(store)->size;

	if (!cow_layout_with(le64_get(h->size), le32_get(h->cluster), ret) ||
	    ret->data != le64_get(h->data)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "the header of '%s' makes no sense: clusters of "
			    "%" PRIu32 " bytes, from byte %" PRIu64 " on",
			    names->file, le32_get(h->cluster),
			    le64_get(h->data));
		return false;
	}
	if (size == ret->store)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "'%s' has %" PRIu64 " bytes instead of %" PRIu64
		    ": it was %s; take a copy of it from before",
		    names->file, size, ret->store,
		    size < ret->store ? "cut off" : "made longer");
	return false;
}

/* "'/dev/sdx' as it was on 2024-05-06 07:08", from what FILE says. */
static char *describe(const struct header *h)
{
	g_autofree char *raw = g_strndup(h->source, sizeof(h->source));
	g_autofree char *name = g_strescape(raw, NULL);
	uint64_t created = le64_get(h->created);
	g_autoptr(GDateTime) when = NULL;
	g_autofree char *text = NULL;

	if (created <= INT64_MAX)
		when = g_date_time_new_from_unix_local((gint64)created);
	if (when)
		text = g_date_time_format(when, "%F %R");
	return g_strdup_printf("'%s' as it was on %s", name,
			       text ? text : "an unknown day");
}

static void read_sample(const struct header *h, struct cow_sample *ret)
{
	ret->n = le32_get(h->samples);
	for (unsigned i = 0; i < COW_SAMPLES; i++)
		ret->crc[i] = le32_get(h->crc[i]);
	memcpy(ret->unread, h->unread, sizeof(ret->unread));
}

static bool is_this_size(const struct header *h, uint64_t size,
			 const struct cow_names *names, GError **error)
{
	g_autofree char *whose = NULL;

	if (le64_get(h->size) == size)
		return true;
	whose = describe(h);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' holds changes of %s, which had %" PRIu64
		    " bytes, and '%s' has %" PRIu64
		    "; name the file that belongs to it, or a new one",
		    names->file, whose, le64_get(h->size), names->source, size);
	return false;
}

static bool is_this_state(const struct header *h,
			  const struct cow_sample *sample,
			  const struct cow_names *names, GError **error)
{
	g_autofree char *whose = describe(h);
	struct cow_difference d;
	struct cow_sample then;

	read_sample(h, &then);
	if (then.n != sample->n) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "the header of '%s' makes no sense: %u samples "
			    "instead of %u",
			    names->file, then.n, sample->n);
		return false;
	}
	cow_sample_compare(&then, sample, le64_get(h->size), &d);
	if (d.differ) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "'%s' holds changes of %s, and '%s' differs from "
			    "that in %u of %u sampled blocks, first at byte "
			    "%" PRIu64 ": it is another source or somebody "
			    "wrote to it; name a new file",
			    names->file, whose, names->source, d.differ,
			    d.compared, d.first);
		return false;
	}
	if (!d.compared && sample->n) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_IO,
			    "cannot see whether '%s' belongs to '%s': none of "
			    "%u sampled blocks can be read",
			    names->file, names->source, sample->n);
		return false;
	}
	if (d.compared < sample->n)
		log_warning("%u of %u sampled blocks of '%s' cannot be read; "
			    "'%s' fits it in all others",
			    sample->n - d.compared, sample->n, names->source,
			    names->file);
	return true;
}

static int read_header(struct blkdev *store, struct header *h)
{
	if (blkdev_geometry(store)->size < sizeof(*h))
		return 0; /* zeros are no header */
	return blkdev_pread(store, h, sizeof(*h), dev_off_at(0));
}

bool cow_header_read(struct blkdev *store, uint64_t size,
		     const struct cow_sample *sample,
		     const struct cow_names *names, struct cow_layout *ret,
		     uint64_t *ret_created, GError **error)
{
	struct header *h = bytes_aligned_new(sizeof(*h), COW_PAGE);
	int err = read_header(store, h);
	bool ok = false;

	if (err)
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot read the header of '%s'", names->file);
	else
		ok = is_ours(h, names, error) &&
		     read_layout(h, store, names, ret, error) &&
		     is_this_size(h, size, names, error) &&
		     is_this_state(h, sample, names, error);
	if (ok)
		*ret_created = le64_get(h->created);
	bytes_aligned_free(h);
	return ok;
}
