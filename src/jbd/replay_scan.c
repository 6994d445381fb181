/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pass 1: where the log ends, and what it announces.
 *
 * One step takes one control block, and a descriptor's data blocks with it.
 * What a transaction announces counts from its commit block on; until then
 * it may be cut off again (keep, drop). fs/jbd2/recovery.c of the kernel decides:
 *
 *   found                                        is
 *   no magic, another sequence, unknown type     the end
 *   one lap without a commit block               the end
 *   wrong checksum, no commit block follows      the end
 *   the same, one follows, its time is older     the end: left by an older log
 *   the same, its time is not older              damage
 *   commit block with a wrong checksum           as above
 *   the same, but right as far as its fields go  whole: the power failed while
 *   and zeros behind them                        it was written
 *   the same with ASYNC_COMMIT                   the end; with checksums of
 *                                                version 1 damage if another
 *                                                commit block follows
 *
 * With ASYNC_COMMIT and two that are wrong the kernel ends at the second one, so
 * that it replays the first. Nobody can mean that: here it is damage.
 *
 * Never goes further than one lap, whatever stands in the log.
 */
#include "replay_priv.h"

#include <string.h>

/* h_chksum_type and h_chksum_size of a checksum of version 1. */
#define CRC32_TYPE 1
#define CRC32_SIZE 4

enum step {
	STEP_ON,
	STEP_END,
	STEP_ERROR,
};

struct scan {
	struct replay_reader *rd;
	struct replay_log *log;
	GError **error;
	uint32_t size; /* of one lap */
	uint32_t pos;  /* of the next block */
	uint32_t tx;   /* which transaction it must belong to */
	/* In this transaction a checksum was wrong, at this position. */
	bool doubt;
	uint32_t doubt_pos;
	/* ASYNC_COMMIT: a commit block was wrong; nothing counts from there. */
	bool failed;
	uint32_t failed_pos, failed_tx;
	uint64_t last_time; /* of the commit before, seconds */
	uint32_t crc32;	    /* version 1: of the transaction so far */
	/* What the committed transactions have announced. */
	guint copies, revokes;
};

struct tag {
	uint64_t block;
	uint32_t csum, flags;
};

/* ---- CRC-32, most significant bit first, as checksums of version 1 use it */

static uint32_t crc32_nibble(uint32_t crc, unsigned nibble)
{
	static const uint32_t table[16] = {
		0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9,
		0x130476dc, 0x17c56b6b, 0x1a864db2, 0x1e475005,
		0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61,
		0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd,
	};

	return crc << 4 ^ table[(crc >> 28 ^ nibble) & 15];
}

static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len; len--, p++) {
		crc = crc32_nibble(crc, *p >> 4);
		crc = crc32_nibble(crc, *p & 15);
	}
	return crc;
}

/* ---- descriptor blocks ---- */

static struct tag read_tag(const struct journal_info *info, const uint8_t *p)
{
	struct tag tag;
	be32 high = be32_of(0);

	if (info->csum == JOURNAL_CSUM_V3) {
		struct jbd_tag3 t;

		memcpy(&t, p, sizeof(t));
		tag.block = be32_get(t.block);
		tag.csum = be32_get(t.csum);
		tag.flags = be32_get(t.flags);
		high = t.block_high;
	} else {
		struct jbd_tag t = { .block_high = high };

		/* Without 64BIT the tag ends before it. */
		memcpy(&t, p,
		       info->is_64bit ? sizeof(t)
				      : offsetof(struct jbd_tag, block_high));
		tag.block = be32_get(t.block);
		tag.csum = be16_get(t.csum);
		tag.flags = be16_get(t.flags);
		high = t.block_high;
	}
	if (info->is_64bit)
		tag.block |= (uint64_t)be32_get(high) << 32;
	return tag;
}

static void announce(struct scan *s, uint32_t pos, const struct tag *tag)
{
	struct replay_copy copy = {
		.block = tag->block,
		.pos = pos,
		.tx = s->tx,
		.csum = tag->csum,
		.escaped = tag->flags & JBD_FLAG_ESCAPE,
	};

	g_array_append_val(s->log->copies, copy);
}

/*
 * Take the tags of @block, a descriptor, as copies at s->pos and behind. Returns
 * how many there are; it may be more than the lap has blocks.
 */
static uint32_t take_tags(struct scan *s, const uint8_t *block)
{
	const struct journal_info *info = s->rd->info;
	size_t tag_size = jbd_tag_size(info->csum, info->is_64bit);
	size_t end = s->rd->block_size - jbd_tail_size(info->csum);
	size_t off = sizeof(struct jbd_header);
	uint32_t n = 0;

	while (off + tag_size <= end) {
		struct tag tag = read_tag(info, block + off);

		announce(s, s->pos + n++, &tag);
		off += tag_size;
		if (!(tag.flags & JBD_FLAG_SAME_UUID))
			off += JBD_UUID_SIZE;
		if (tag.flags & JBD_FLAG_LAST_TAG)
			break;
	}
	return n;
}

static bool sum_data(struct scan *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *data =
			replay_reader_get(s->rd, s->pos + i, s->error);

		if (!data)
			return false;
		s->crc32 = crc32(s->crc32, data, s->rd->block_size);
	}
	return true;
}

static void check_tail(struct scan *s, const uint8_t *block)
{
	if (!jbd_has_csum(s->rd->info->csum) || s->doubt ||
	    jbd_tail_ok(s->rd->seed, block, s->rd->block_size))
		return;
	s->doubt = true;
	s->doubt_pos = s->pos - 1;
}

static enum step take_descriptor(struct scan *s, const uint8_t *block)
{
	bool v1 = s->rd->info->csum == JOURNAL_CSUM_V1;
	uint32_t n;

	check_tail(s, block);
	if (v1)
		s->crc32 = crc32(s->crc32, block, s->rd->block_size);
	n = take_tags(s, block);
	/* No commit block can follow in this lap. */
	if (n > s->size - s->pos)
		return STEP_END;
	if (v1 && !sum_data(s, n))
		return STEP_ERROR;
	s->pos += n;
	return STEP_ON;
}

static enum step take_revoke(struct scan *s, const uint8_t *block)
{
	struct replay_revoke revoke = { .pos = s->pos - 1, .tx = s->tx };

	check_tail(s, block);
	g_array_append_val(s->log->revokes, revoke);
	return STEP_ON;
}

/* ---- commit blocks ---- */

static void keep(struct scan *s)
{
	s->copies = s->log->copies->len;
	s->revokes = s->log->revokes->len;
	s->log->ntx = s->tx;
	s->log->blocks = s->pos;
}

static void drop(struct scan *s)
{
	g_array_set_size(s->log->copies, s->copies);
	g_array_set_size(s->log->revokes, s->revokes);
}

static bool commit_ok(const struct scan *s, const uint8_t *block)
{
	const struct jbd_commit *commit = (const void *)block;
	uint32_t sum = be32_get(commit->csum[0]), seed = s->rd->seed;
	size_t size = s->rd->block_size;

	if (jbd_has_csum(s->rd->info->csum))
		return jbd_commit_ok(seed, block, size) ||
		       jbd_commit_torn_ok(seed, block, size);
	if (s->rd->info->csum != JOURNAL_CSUM_V1)
		return true;
	if (!commit->csum_type && !commit->csum_size && !sum)
		return true;
	return commit->csum_type == CRC32_TYPE &&
	       commit->csum_size == CRC32_SIZE && sum == s->crc32;
}

static enum step damaged(struct scan *s, uint32_t pos, uint32_t tx,
			 const char *what)
{
	replay_damaged(s->rd, pos, s->error,
		       "transaction %u was committed, but %s has a wrong"
		       " checksum",
		       s->rd->info->sequence + tx, what);
	return STEP_ERROR;
}

/* A commit block that is wrong, but not because it is old. */
static enum step commit_failed(struct scan *s, uint32_t pos)
{
	if (!s->rd->info->async_commit || s->failed)
		return damaged(s, pos, s->tx, "its commit block");
	s->failed = true;
	s->failed_pos = pos;
	s->failed_tx = s->tx;
	return STEP_ON;
}

static enum step take_commit(struct scan *s, const uint8_t *block)
{
	const struct jbd_commit *commit = (const void *)block;
	uint64_t seconds = be64_get(commit->seconds);
	bool older = seconds < s->last_time;
	enum step next = STEP_ON;

	if (s->doubt)
		return older ? STEP_END
			     : damaged(s, s->doubt_pos, s->tx, "this block");
	if (s->failed && s->rd->info->csum == JOURNAL_CSUM_V1)
		return damaged(s, s->failed_pos, s->failed_tx,
			       "its commit block");
	if (!commit_ok(s, block))
		next = older ? STEP_END : commit_failed(s, s->pos - 1);
	if (next != STEP_ON)
		return next;
	s->last_time = seconds;
	s->crc32 = UINT32_MAX;
	s->tx++;
	if (!s->failed)
		keep(s);
	return STEP_ON;
}

/* ---- the walk ---- */

static enum step step(struct scan *s)
{
	const uint8_t *block = replay_reader_get(s->rd, s->pos, s->error);
	struct jbd_header header;

	if (!block)
		return STEP_ERROR;
	s->pos++;
	memcpy(&header, block, sizeof(header));
	if (be32_get(header.magic) != JBD_MAGIC ||
	    be32_get(header.sequence) != s->rd->info->sequence + s->tx)
		return STEP_END;
	switch (be32_get(header.blocktype)) {
	case JBD_DESCRIPTOR:
		return take_descriptor(s, block);
	case JBD_REVOKE:
		return take_revoke(s, block);
	case JBD_COMMIT:
		return take_commit(s, block);
	default:
		return STEP_END;
	}
}

void replay_log_init(struct replay_log *log)
{
	*log = (struct replay_log){
		.copies = g_array_new(false, false, sizeof(struct replay_copy)),
		.revokes =
			g_array_new(false, false, sizeof(struct replay_revoke)),
	};
}

void replay_log_clear(struct replay_log *log)
{
	g_array_unref(log->copies);
	g_array_unref(log->revokes);
}

bool replay_scan_log(struct replay_reader *rd, struct replay_log *log,
		     GError **error)
{
	struct scan s = {
		.rd = rd,
		.log = log,
		.error = error,
		.size = replay_log_size(rd),
		.crc32 = UINT32_MAX,
	};
	enum step last = STEP_ON;

	while (last == STEP_ON && s.pos < s.size) {
		last = step(&s);
		replay_reader_tell(rd, s.pos, s.size);
	}
	if (last == STEP_ERROR)
		return false;
	drop(&s);
	log->seen = s.tx;
	replay_reader_tell(rd, s.size, s.size);
	return true;
}
