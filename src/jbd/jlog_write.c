/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One transaction on its way into the log:
 *
 *   revoke block*, (descriptor, data block*)*,
 *   zeros where the commit block will be        gathered, at most 1 MiB a write
 *   flush
 *   commit block
 *   flush
 *
 * The zeros make a torn commit block harmless: what it holds lies in its first
 * sector, and the rest of the block is zero before and after. Over whatever an
 * older lap left there, its checksum would be wrong, and that is damage.
 *
 * A descriptor and its data blocks are in memory together, since the descriptor
 * holds the sums of blocks that come behind it; so a group is never larger than
 * the buffer. Everything goes out in the order of the log.
 *
 * A block that starts with the journal's magic would look like a part of the log
 * to whoever reads it; its first four bytes are stored as zeros and the tag
 * says so (ESCAPE). Sums are those of the stored bytes.
 */
#include "jlog_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/blkdev.h>

#include <string.h>
#include <time.h>

/* Whole blocks in jlog.buf that go to @start. */
struct batch {
	struct jlog *log;
	uint32_t start;
	size_t n;
};

static size_t batch_left(const struct batch *b)
{
	return b->log->buf_blocks - b->n;
}

static uint8_t *batch_add(struct batch *b)
{
	g_assert(batch_left(b));
	return b->log->buf + b->n++ * b->log->block_size;
}

static int batch_write(struct batch *b)
{
	uint32_t n = (uint32_t)b->n;
	int err;

	g_assert(b->start + n <= b->log->end);
	err = journal_write(b->log->j, b->start, n, b->log->buf);
	b->start += n;
	b->n = 0;
	return err;
}

/* Zeroed but for its header. */
static void start_block(const struct jlog *log, uint8_t *block,
			enum jbd_blocktype type)
{
	const struct jbd_header header = {
		.magic = be32_of(JBD_MAGIC),
		.blocktype = be32_of(type),
		.sequence = be32_of(log->sequence),
	};

	memset(block, 0, log->block_size);
	memcpy(block, &header, sizeof(header));
}

static void finish_block(const struct jlog *log, uint8_t *block)
{
	if (jbd_has_csum(log->csum))
		jbd_tail_set(log->seed, block, log->block_size);
}

/* ---- descriptors ---- */

static bool escape(uint8_t *block)
{
	const be32 magic = be32_of(JBD_MAGIC);

	if (memcmp(block, &magic, sizeof(magic)))
		return false;
	memset(block, 0, sizeof(magic));
	return true;
}

/* Returns the tag's size; @at has room for it. */
static size_t put_tag(const struct jlog *log, uint8_t *at, pblk block,
		      uint32_t flags, uint32_t sum)
{
	uint32_t high = log->is_64bit ? (uint32_t)(block.v >> 32) : 0;
	const struct jbd_tag3 tag3 = {
		.block = be32_of((uint32_t)block.v),
		.flags = be32_of(flags),
		.block_high = be32_of(high),
		.csum = be32_of(sum),
	};
	const struct jbd_tag tag = {
		.block = be32_of((uint32_t)block.v),
		.csum = be16_of((uint16_t)sum),
		.flags = be16_of((uint16_t)flags),
		.block_high = be32_of(high),
	};
	size_t size = jbd_tag_size(log->csum, log->is_64bit);

	if (log->csum == JOURNAL_CSUM_V3)
		memcpy(at, &tag3, sizeof(tag3));
	else
		memcpy(at, &tag, MIN(size, sizeof(tag)));
	return size;
}

static uint32_t tag_sum(const struct jlog *log, const uint8_t *data)
{
	if (!jbd_has_csum(log->csum))
		return 0;
	return jbd_data_csum(log->seed, log->sequence, data, log->block_size);
}

/* A descriptor for blocks [i, i + n) of the transaction, and they themselves. */
static int add_group(struct batch *b, const struct jlog_tx *tx, size_t i,
		     size_t n)
{
	struct jlog *log = b->log;
	uint8_t *desc = batch_add(b);
	uint8_t *at = desc + sizeof(struct jbd_header);

	start_block(log, desc, JBD_DESCRIPTOR);
	for (size_t k = 0; k < n; k++) {
		uint8_t *data = batch_add(b);
		uint32_t flags = k ? JBD_FLAG_SAME_UUID : 0;
		int err = tx->get(tx->ctx, i + k, data);

		if (err)
			return err;
		if (escape(data)) {
			flags |= JBD_FLAG_ESCAPE;
			log->stats.escapes++;
		}
		if (k + 1 == n)
			flags |= JBD_FLAG_LAST_TAG;
		at += put_tag(log, at, tx->blocks[i + k], flags,
			      tag_sum(log, data));
		if (k)
			continue;
		memcpy(at, journal_info(log->j)->uuid, JBD_UUID_SIZE);
		at += JBD_UUID_SIZE;
	}
	finish_block(log, desc);
	return 0;
}

static int add_blocks(struct batch *b, const struct jlog_tx *tx)
{
	for (size_t i = 0, n; i < tx->n; i += n) {
		int err;

		n = MIN(tx->n - i, b->log->tags);
		err = batch_left(b) < n + 1 ? batch_write(b) : 0;
		if (!err)
			err = add_group(b, tx, i, n);
		if (err)
			return err;
	}
	return 0;
}

/* ---- revokes ---- */

static void put_revokes(const struct jlog *log, uint8_t *block,
			const pblk *list, size_t n)
{
	size_t size = jbd_revoke_size(log->is_64bit);
	uint8_t *at = block + sizeof(struct jbd_revoke_header);
	be32 count;

	start_block(log, block, JBD_REVOKE);
	for (size_t i = 0; i < n; i++, at += size) {
		be64 wide = be64_of(list[i].v);
		be32 narrow = be32_of((uint32_t)list[i].v);

		if (log->is_64bit)
			memcpy(at, &wide, sizeof(wide));
		else
			memcpy(at, &narrow, sizeof(narrow));
	}
	count = be32_of((uint32_t)(at - block));
	memcpy(block + offsetof(struct jbd_revoke_header, count), &count,
	       sizeof(count));
	finish_block(log, block);
}

static int add_revokes(struct batch *b, const struct jlog_tx *tx)
{
	for (size_t i = 0, n; i < tx->nrevokes; i += n) {
		int err = batch_left(b) ? 0 : batch_write(b);

		if (err)
			return err;
		n = MIN(tx->nrevokes - i, b->log->revokes);
		put_revokes(b->log, batch_add(b), tx->revokes + i, n);
	}
	return 0;
}

/* ---- the whole ---- */

static int add_zeros(struct batch *b)
{
	int err = batch_left(b) ? 0 : batch_write(b);

	if (!err)
		memset(batch_add(b), 0, b->log->block_size);
	return err;
}

/* The time is real time: recovery compares it to tell old blocks from new. */
static void add_commit(struct batch *b)
{
	struct jlog *log = b->log;
	uint8_t *block = batch_add(b);
	struct jbd_commit *commit = (void *)block;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	start_block(log, block, JBD_COMMIT);
	commit->seconds = be64_of((uint64_t)now.tv_sec);
	commit->nanoseconds = be32_of((uint32_t)now.tv_nsec);
	if (jbd_has_csum(log->csum))
		jbd_commit_set(log->seed, block, log->block_size);
}

void jlog_measure(struct jlog *log)
{
	size_t tail = jbd_tail_size(log->csum);
	size_t tags = log->block_size - sizeof(struct jbd_header) -
		      JBD_UUID_SIZE - tail;
	size_t revokes =
		log->block_size - sizeof(struct jbd_revoke_header) - tail;

	tags /= jbd_tag_size(log->csum, log->is_64bit);
	log->tags = MIN(tags, log->buf_blocks - 1);
	log->revokes = revokes / jbd_revoke_size(log->is_64bit);
}

int jlog_write(struct jlog *log, const struct jlog_tx *tx)
{
	struct batch b = { .log = log, .start = log->head };
	int err = add_revokes(&b, tx);

	if (!err)
		err = add_blocks(&b, tx);
	if (!err)
		err = add_zeros(&b);
	if (!err)
		err = batch_write(&b);
	if (!err)
		err = blkdev_flush(journal_dev(log->j));
	if (err)
		return err;
	b.start--;
	add_commit(&b);
	err = batch_write(&b);
	if (!err)
		err = blkdev_flush(journal_dev(log->j));
	return err;
}
