/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log on a journal_bed, transactions for it whose blocks have a known content,
 * and a little reader of the log, made from the format's documentation alone:
 * it knows byte offsets and compares every field.
 */
#ifndef LOG_BED_H
#define LOG_BED_H

#include "journal_bed.h"

#include <rawmap/base/crc32c.h>
#include <rawmap/jbd/jlog.h>

#define BLOCKS 1500u
/* Block numbers need more than 32 bits where the shape has 64BIT. */
#define WIDE (UINT64_C(1) << 40)
/* The largest host that does not. */
#define NARROW (UINT64_C(1) << 32)

struct log_bed {
	struct bed bed;
	struct journal *j;
	struct jlog *log;
	uint64_t fs_blocks;
	uint32_t next; /* for a test that counts sequence numbers */
};

static inline void log_bed_reopen(struct log_bed *lb)
{
	GError *error = NULL;

	jlog_free(lb->log);
	journal_close(lb->j);
	lb->j = bed_open(&lb->bed);
	lb->log = jlog_new(lb->j, lb->fs_blocks, &error);
	ck_assert_msg(lb->log, "%s", error ? error->message : "");
}

static inline void log_bed_init(struct log_bed *lb, int shape, uint32_t blocks,
				struct blkdev *(*filter)(struct blkdev *))
{
	*lb = (struct log_bed){ .fs_blocks = NARROW };
	if (shapes[shape].incompat & INCOMPAT_64BIT)
		lb->fs_blocks = WIDE;
	bed_init(&lb->bed, shape, blocks, filter);
	log_bed_reopen(lb);
}

static inline void log_bed_clear(struct log_bed *lb)
{
	jlog_free(lb->log);
	journal_close(lb->j);
	bed_clear(&lb->bed);
}

/* ---- transactions ---- */

struct sample {
	struct jlog_tx tx;
	size_t block_size;
	uint32_t salt;
	int err; /* of get for block number bad */
	size_t bad;
};

/* The @i-th of a series; above 32 bits where the host is that large. */
static inline pblk sample_block(const struct log_bed *lb, size_t i)
{
	uint64_t n = 1000 + i * 3;

	return pblk_at(lb->fs_blocks == WIDE ? n | (n % 200) << 32 : n);
}

/* Every fifth block looks like a part of the log. */
static inline void sample_fill(uint32_t salt, pblk block, uint8_t *buf,
			       size_t size)
{
	memset(buf, (int)(block.v + salt), size);
	put32(buf + 8, (uint32_t)(block.v >> 32));
	put32(buf + 12, (uint32_t)block.v);
	if (block.v % 5 == 0)
		put32(buf, MAGIC);
}

static inline int sample_get(void *ctx, size_t i, void *buf)
{
	struct sample *s = ctx;

	if (s->err && i == s->bad)
		return s->err;
	sample_fill(s->salt, s->tx.blocks[i], buf, s->block_size);
	return 0;
}

/* @n blocks from number @first of the series on, then @nrevokes revokes. */
static inline struct sample *sample_new(const struct log_bed *lb, size_t first,
					size_t n, size_t nrevokes)
{
	struct sample *s = g_new0(struct sample, 1);
	pblk *list = g_new(pblk, n + nrevokes + 1);

	for (size_t i = 0; i < n + nrevokes; i++)
		list[i] = sample_block(lb, first + i);
	s->block_size = (size_t)1 << lb->bed.shape.bits;
	s->salt = 77;
	s->tx = (struct jlog_tx){ .blocks = list,
				  .n = n,
				  .get = sample_get,
				  .ctx = s,
				  .revokes = list + n,
				  .nrevokes = nrevokes };
	return s;
}

static inline void sample_free(struct sample *s)
{
	g_free((void *)s->tx.blocks);
	g_free(s);
}

static inline int sample_commit(struct log_bed *lb, size_t first, size_t n,
				size_t nrevokes)
{
	struct sample *s = sample_new(lb, first, n, nrevokes);
	int err = jlog_commit(lb->log, &s->tx);

	sample_free(s);
	return err;
}

/* ---- the reader ---- */

struct seen_tag {
	uint64_t block;
	uint32_t flags, at; /* at: log block of the content */
};

struct seen {
	GArray *tags;	 /* struct seen_tag */
	GArray *revokes; /* uint64_t */
	uint32_t end;	 /* behind the commit block */
	uint32_t descriptors;
	uint64_t seconds;
};

static inline void seen_clear(struct seen *seen)
{
	g_array_unref(seen->tags);
	g_array_unref(seen->revokes);
}

static inline uint32_t log_seed(const struct bed *bed)
{
	return slow_crc(~0u, bed_super(bed) + AT_UUID, 16);
}

static inline void check_sum_at(const struct bed *bed, const uint8_t *p,
				size_t at)
{
	size_t size = (size_t)1 << bed->shape.bits;

	if (bed->shape.incompat & CSUM_V2_OR_V3)
		ck_assert_uint_eq(be32_at(p + at),
				  slow_crc_but(log_seed(bed), p, size, at));
}

static inline void check_stored(const struct bed *bed, uint32_t sequence,
				uint32_t at, uint32_t sum)
{
	uint8_t number[4];
	uint32_t want;

	put32(number, sequence);
	want = crc32c(crc32c(log_seed(bed), number, 4), bed_block(bed, at),
		      (size_t)1 << bed->shape.bits);
	if (bed->shape.incompat & INCOMPAT_V3)
		ck_assert_uint_eq(sum, want);
	else if (bed->shape.incompat & INCOMPAT_V2)
		ck_assert_uint_eq(sum, want & 0xffff);
	else
		ck_assert_uint_eq(sum, 0);
}

/* Returns the size of the tag at @p. */
static inline size_t see_tag(const struct bed *bed, const uint8_t *p,
			     struct seen_tag *ret, uint32_t *ret_sum)
{
	bool wide = bed->shape.incompat & INCOMPAT_64BIT;
	size_t size = wide ? 12 : 8;

	ret->block = be32_at(p);
	if (bed->shape.incompat & INCOMPAT_V3) {
		ret->flags = be32_at(p + 4);
		ret->block |= (uint64_t)be32_at(p + 8) << 32;
		*ret_sum = be32_at(p + 12);
		return 16;
	}
	*ret_sum = be32_at(p + 4) >> 16;
	ret->flags = be32_at(p + 4) & 0xffff;
	if (wide)
		ret->block |= (uint64_t)be32_at(p + 8) << 32;
	if (!(bed->shape.incompat & INCOMPAT_V2))
		return size;
	ck_assert(!p[size] && !p[size + 1]);
	return size + 2;
}

static inline uint32_t see_descriptor(const struct bed *bed, uint32_t at,
				      uint32_t sequence, struct seen *seen)
{
	size_t size = (size_t)1 << bed->shape.bits;
	bool sums = bed->shape.incompat & CSUM_V2_OR_V3;
	const uint8_t *start = bed_block(bed, at), *p = start + 12;
	const uint8_t *limit = start + size - (sums ? 4 : 0);
	bool first = true;

	if (sums)
		check_sum_at(bed, start, size - 4);
	for (;;) {
		struct seen_tag tag;
		uint32_t sum;

		p += see_tag(bed, p, &tag, &sum);
		tag.at = ++at;
		ck_assert_int_eq(!(tag.flags & 2), first);
		ck_assert(!(tag.flags & ~11u));
		if (first) {
			ck_assert_mem_eq(p, bed_super(bed) + AT_UUID, 16);
			p += 16;
		}
		ck_assert(p <= limit);
		check_stored(bed, sequence, at, sum);
		g_array_append_val(seen->tags, tag);
		first = false;
		if (tag.flags & 8)
			break;
	}
	while (p < limit)
		ck_assert_uint_eq(*p++, 0);
	seen->descriptors++;
	return at + 1;
}

static inline void see_revokes(const struct bed *bed, const uint8_t *p,
			       struct seen *seen)
{
	size_t size = (size_t)1 << bed->shape.bits;
	bool sums = bed->shape.incompat & CSUM_V2_OR_V3;
	size_t entry = bed->shape.incompat & INCOMPAT_64BIT ? 8 : 4;
	uint32_t count = be32_at(p + 12);

	ck_assert_uint_gt(count, 16);
	ck_assert_uint_le(count, size - (sums ? 4 : 0));
	ck_assert_uint_eq((count - 16) % entry, 0);
	for (uint32_t at = 16; at < count; at += (uint32_t)entry) {
		uint64_t n = entry == 8 ? be64_at(p + at) : be32_at(p + at);

		g_array_append_val(seen->revokes, n);
	}
	if (sums)
		check_sum_at(bed, p, size - 4);
}

static inline void see_commit(const struct bed *bed, const uint8_t *p,
			      struct seen *seen)
{
	size_t size = (size_t)1 << bed->shape.bits;
	bool sums = bed->shape.incompat & CSUM_V2_OR_V3;

	ck_assert_uint_eq(be32_at(p + 12), 0); /* type, size, padding */
	if (sums)
		check_sum_at(bed, p, 16);
	for (size_t at = sums ? 20 : 16; at < size; at++)
		if (at < 48 || at >= 60)
			ck_assert_uint_eq(p[at], 0);
	ck_assert_uint_lt(be32_at(p + 56), 1000000000);
	seen->seconds = be64_at(p + 48);
}

/* One transaction from log block @at on; the caller seen_clear()s. */
static inline void see(const struct bed *bed, uint32_t at, uint32_t sequence,
		       struct seen *ret)
{
	*ret = (struct seen){
		.tags = g_array_new(FALSE, FALSE, sizeof(struct seen_tag)),
		.revokes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
	};
	while (!ret->end) {
		const uint8_t *p = bed_block(bed, at);

		ck_assert_uint_eq(be32_at(p), MAGIC);
		ck_assert_uint_eq(be32_at(p + 8), sequence);
		switch (be32_at(p + 4)) {
		case 1:
			at = see_descriptor(bed, at, sequence, ret);
			break;
		case 2:
			see_commit(bed, p, ret);
			ret->end = at + 1;
			break;
		case 5:
			see_revokes(bed, p, ret);
			at++;
			break;
		default:
			ck_abort_msg("block %u has type %u", at,
				     be32_at(p + 4));
		}
	}
}

#endif
