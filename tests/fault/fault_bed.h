/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host that fails, and what it may hold then.
 *
 * The host is made once and lives in memory; each life of it starts from the same
 * snapshot. Its free blocks are full of STALE bytes. The image on it is
 * changed by numbered operations; a byte that operation n writes tells n and
 * its place. For each granule of bytes two sets of operations are kept:
 *
 *   set     what may be read                           after
 *   live    now, through the open image                a success: that one
 *                                                      a failure: that one, too
 *   disk    after a crash now                          either: that one, too
 *                                                      a flush: what is live
 *
 * Operation 0 writes zeros. Sizes have the same two sets, of ranges.
 */
#ifndef TESTS_FAULT_FAULT_BED_H
#define TESTS_FAULT_FAULT_BED_H

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/blkdev.h>

#include <support/crashlab.h>
#include <support/faultdev.h>
#include <support/imagehost.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB	  UINT64_C(1024)
#define GRANULE	  64
#define IMAGE_MAX (512 * KIB)
#define GRANULES  (IMAGE_MAX / GRANULE)
#define SIZES_MAX 32

struct sizes {
	struct {
		uint64_t lo, hi;
	} at[SIZES_MAX];
	unsigned n;
};

struct state {
	uint64_t ops[GRANULES]; /* bit n: operation n */
	struct sizes sizes;
};

struct kind {
	const char *mkfs;
	uint64_t host_size;
	bool journal, extents;
};

/* With checksums: two groups, so that there is a backup superblock. */
static const struct kind kinds[] = {
	{ "-t ext2 -b 1024", 4096 * KIB, false, false },
	{ "-t ext3 -b 1024", 4096 * KIB, true, false },
	{ "-t ext4 -b 1024", 9216 * KIB, true, true },
	{ "-t ext4 -b 4096 -O ^metadata_csum,^64bit", 10240 * KIB, true, true },
	{ "-t ext4 -b 1024 -O ^has_journal", 9216 * KIB, false, true },
};

struct bed {
	const struct kind *kind;
	struct imagehost h; /* its fs and img while it is open */
	GBytes *snapshot;
	struct state first, live, disk; /* first: of the snapshot */
	unsigned op;
	bool torn;	      /* the fault may tear a superblock */
	bool must_have_error; /* so the source must say */
	int log_fd, stderr_fd;
};

/* ---- what may be where ---- */

static inline uint8_t stamp(unsigned op, uint64_t pos)
{
	uint32_t x = (uint32_t)(pos / 4) * 2654435761U ^ op * 0x9e3779b1U;

	x = (x ^ x >> 15) * 0x85ebca6bU;
	return op ? (uint8_t)(0x80 | x >> 24) : 0;
}

static inline bool sizes_have(const struct sizes *s, uint64_t size)
{
	for (unsigned i = 0; i < s->n; i++)
		if (size >= s->at[i].lo && size <= s->at[i].hi)
			return true;
	return false;
}

static inline void sizes_add(struct sizes *s, uint64_t lo, uint64_t hi)
{
	ck_assert_uint_lt(s->n, SIZES_MAX);
	s->at[s->n].lo = lo;
	s->at[s->n++].hi = hi;
}

static inline uint64_t bed_size(const struct bed *bed)
{
	return image_size(bed->h.img);
}

/* Operation @op wrote [pos, +done) of [pos, +len), and maybe more of it. */
static inline void bed_wrote(struct bed *bed, unsigned op, uint64_t pos,
			     uint64_t len, uint64_t done)
{
	ck_assert(pos % GRANULE == 0 && len % GRANULE == 0);
	ck_assert_uint_le(pos + len, IMAGE_MAX);
	for (uint64_t at = pos; at < pos + len; at += GRANULE) {
		uint64_t bit = UINT64_C(1) << op;
		uint64_t *live = &bed->live.ops[at / GRANULE];
		uint64_t *disk = &bed->disk.ops[at / GRANULE];

		if (at + GRANULE <= pos + done || done == len)
			*live = bit;
		else
			*live |= bit;
		*disk |= bit;
	}
}

/* The size became @size, or (@err) stayed or is anything on the way there. */
static inline void bed_sized(struct bed *bed, uint64_t before, uint64_t size,
			     int err)
{
	struct sizes *live = &bed->live.sizes;

	sizes_add(&bed->disk.sizes, MIN(before, size), MAX(before, size));
	if (!err)
		live->n = 0;
	sizes_add(live, err ? MIN(before, size) : size,
		  err ? MAX(before, size) : size);
}

static inline void bed_flushed(struct bed *bed)
{
	bed->disk = bed->live;
}

static inline bool byte_allowed(uint64_t ops, uint64_t pos, uint8_t byte)
{
	for (unsigned op = 0; ops; op++, ops >>= 1)
		if ((ops & 1) && stamp(op, pos) == byte)
			return true;
	return false;
}

static inline void judge_bytes(const struct state *s, const uint8_t *bytes,
			       uint64_t len, const char *when)
{
	static const uint8_t zeros[GRANULE];

	for (uint64_t i = 0; i < len; i++) {
		uint64_t ops = s->ops[i / GRANULE];

		if (i % GRANULE == 0 && (ops & 1) && len - i >= GRANULE &&
		    !memcmp(bytes + i, zeros, GRANULE))
			i += GRANULE - 1;
		else if (!byte_allowed(ops, i, bytes[i]))
			/* An assertion that holds costs a write. */
			ck_abort_msg("%s: byte %lu is %#x; operations %#lx",
				     when, (unsigned long)i, bytes[i],
				     (unsigned long)ops);
	}
}

static inline void judge_image(const struct state *s, struct image *img,
			       const char *when)
{
	uint64_t size = image_size(img);
	g_autofree uint8_t *buf = g_malloc0(size);
	ssize_t got;

	ck_assert_msg(sizes_have(&s->sizes, size), "%s: the size is %lu", when,
		      (unsigned long)size);
	got = image_pread(img, buf, size, img_off_at(0));
	ck_assert_msg(got == (ssize_t)size, "%s: a read gave %zd", when, got);
	judge_bytes(s, buf, size, when);
}

/* ---- what is said ---- */

static inline void bed_listen(struct bed *bed)
{
	bed->log_fd = memfd_create("log", MFD_CLOEXEC);
	bed->stderr_fd = dup(STDERR_FILENO);
	ck_assert_int_ge(bed->log_fd, 0);
	ck_assert_int_ge(dup2(bed->log_fd, STDERR_FILENO), 0);
}

/* Ends it; how often did @what stand there? */
static inline unsigned bed_heard(struct bed *bed, const char *what)
{
	off_t len = lseek(bed->log_fd, 0, SEEK_END);
	g_autofree char *text = g_malloc0((size_t)len + 1);
	unsigned n = 0;

	ck_assert_int_ge(dup2(bed->stderr_fd, STDERR_FILENO), 0);
	close(bed->stderr_fd);
	ck_assert_int_eq(pread(bed->log_fd, text, (size_t)len, 0), len);
	close(bed->log_fd);
	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* ---- life ---- */

static inline const uint8_t *bed_bytes(struct bed *bed)
{
	return memdev_bytes(bed->h.mem);
}

static inline void bed_open_on(struct bed *bed, struct blkdev *dev,
			       bool readonly, GError **error)
{
	const struct hostfs_options opt = {
		.readonly = readonly,
		.use_reserved = true,
		.discard = true,
	};
	struct hostfile *hf;

	bed->h.fs = hostfs_open(dev, &opt, error);
	if (!bed->h.fs)
		return;
	hf = hostfile_open(bed->h.fs, "/disk.img", 256, error);
	if (hf) {
		bed->h.img = image_new(hf, readonly);
		return;
	}
	hostfs_abandon(bed->h.fs);
	bed->h.fs = NULL;
}

/* False with an error: then nothing is open. */
static inline bool bed_open(struct bed *bed, GError **error)
{
	bed_open_on(bed, bed->h.dev, false, error);
	return bed->h.fs != NULL;
}

/* The next life. */
static inline void bed_reset(struct bed *bed)
{
	memdev_restore(bed->h.mem, bed->snapshot);
	orderdev_look(bed->h.order);
	bed->live = bed->disk = bed->first;
	bed->op = 1;
}

/* As it is now, it is what each life starts from. */
static inline void bed_take_snapshot(struct bed *bed)
{
	if (bed->snapshot)
		g_bytes_unref(bed->snapshot);
	bed->snapshot = memdev_snapshot(bed->h.mem);
	bed->first = bed->disk;
}

/* An image of 256 KiB, of which 40 are operation 1's. */
static inline struct bed *bed_new(const struct kind *kind)
{
	const struct imagehost_spec spec = {
		kind->mkfs, kind->host_size, 256 * KIB, NULL, 0, 256,
	};
	struct bed *bed = g_new0(struct bed, 1);
	g_autofree uint8_t *buf = g_malloc(40 * KIB);
	GError *error = NULL;

	log_set_level(LOG_LEVEL_ERROR);
	bed->kind = kind;
	imagehost_init(&bed->h, &spec);
	ck_assert(bed_open(bed, &error));
	for (uint64_t i = 0; i < 40 * KIB; i++)
		buf[i] = stamp(1, 8 * KIB + i);
	ck_assert_int_eq(image_pwrite(bed->h.img, buf, 40 * KIB,
				      img_off_at(8 * KIB)),
			 40 * KIB);
	for (uint64_t i = 0; i < GRANULES; i++)
		bed->live.ops[i] = 1;
	sizes_add(&bed->live.sizes, 256 * KIB, 256 * KIB);
	bed_flushed(bed);
	bed_wrote(bed, 1, 8 * KIB, 40 * KIB, 40 * KIB);
	bed_flushed(bed);
	ck_assert_int_eq(imagehost_close(&bed->h), 0);
	bed_take_snapshot(bed);
	return bed;
}

static inline void bed_free(struct bed *bed)
{
	imagehost_clear(&bed->h);
	g_bytes_unref(bed->snapshot);
	g_free(bed);
}

/* ---- operations: all are told to the sets ---- */

static inline int bed_write(struct bed *bed, uint64_t pos, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);
	uint64_t before = bed_size(bed);
	unsigned op = ++bed->op;
	ssize_t got;
	int err;

	ck_assert_uint_lt(op, 64);
	for (uint64_t i = 0; i < len; i++)
		buf[i] = stamp(op, pos + i);
	got = image_pwrite(bed->h.img, buf, len, img_off_at(pos));
	err = got < 0 ? (int)got : got < (ssize_t)len ? -EAGAIN : 0;
	bed_wrote(bed, op, pos, len, got < 0 ? 0 : (uint64_t)got);
	if (pos + len > before)
		bed_sized(bed, before, pos + len, err);
	return err;
}

static inline int bed_zeroed(struct bed *bed, uint64_t pos, uint64_t len,
			     int err)
{
	bed_wrote(bed, 0, pos, len, err ? 0 : len);
	return err;
}

static inline int bed_punch(struct bed *bed, uint64_t pos, uint64_t len)
{
	return bed_zeroed(bed, pos, len,
			  image_punch(bed->h.img, img_off_at(pos), len));
}

static inline int bed_zero(struct bed *bed, uint64_t pos, uint64_t len)
{
	return bed_zeroed(bed, pos, len,
			  image_zero(bed->h.img, img_off_at(pos), len, true));
}

static inline int bed_truncate(struct bed *bed, uint64_t size)
{
	uint64_t before = bed_size(bed);
	int err = image_truncate(bed->h.img, size);

	if (size < before)
		bed_zeroed(bed, size, before - size, err);
	bed_sized(bed, before, size, err);
	return err;
}

static inline int bed_flush(struct bed *bed)
{
	int err = image_flush(bed->h.img);

	if (!err)
		bed_flushed(bed);
	return err;
}

#endif
