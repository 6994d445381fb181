/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log as a whole: its state, its room, its tail. What a transaction looks
 * like is jlog_write.c's.
 *
 *             superblock says       sequence of the next transaction
 *   closed    start 0, S            S + 1 (once it is open)
 *   begin     start first, S + 1    S + 1
 *   commit    the same              one more
 *   restart   start first, N        N, the next one
 *   end       start 0, N            N is used by nobody: the next begin takes
 *                                   N + 1, and so does everybody else
 *
 * Blocks of old laps and sessions stay in the log. They are harmless as long as
 * no number returns: recovery reads on only where the number it expects stands.
 * Numbers wrap at 2^32, and so does every comparison of them.
 *
 * A lap starts at the first block and ends before the last one: nothing ever
 * lies across the end of the log, about which recoveries differ when there is a
 * fast-commit area.
 */
#include "jlog_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>

#include <errno.h>

/* Nobody makes a shorter one. */
#define LAP_MIN 64
/* Bounds jlog.logged, and how long a recovery takes. */
#define LAP_MAX 65536
/* Bytes in one write. */
#define BATCH_MAX ((size_t)1 << 20)

static bool refuse(const struct journal *j, enum rawmap_error code,
		   GError **error, const char *what)
{
	g_set_error(error, RAWMAP_ERROR, (gint)code, "the journal of '%s' %s",
		    journal_name(j), what);
	return false;
}

static bool may_write(const struct journal *j, GError **error)
{
	const struct journal_info *info = journal_info(j);

	if (info->start)
		return refuse(j, RAWMAP_ERROR_DIRTY, error,
			      "holds changes though the filesystem does not"
			      " say so; run 'e2fsck -f' on it");
	if (info->error)
		return refuse(j, RAWMAP_ERROR_DIRTY, error,
			      "has an error recorded; run 'e2fsck -f' on it");
	if (info->version == 1)
		return refuse(j, RAWMAP_ERROR_READONLY, error,
			      "is of an old version that rawmap does not"
			      " write to; open it read-only (-r)");
	if (info->fast_commit)
		return refuse(j, RAWMAP_ERROR_READONLY, error,
			      "has a fast-commit area, and rawmap does not"
			      " write to such a journal; open it read-only"
			      " (-r)");
	if (info->last - info->first < LAP_MIN)
		return refuse(j, RAWMAP_ERROR_READONLY, error,
			      "is too short to be written to; open it"
			      " read-only (-r)");
	return true;
}

/* Set the tail, durably; everything else follows only if that worked. */
static int move_tail(struct jlog *log, uint32_t start, uint32_t sequence)
{
	const struct journal_info *info = journal_info(log->j);
	const struct journal_change change = {
		.sequence = sequence,
		.start = start,
		.error = info->error,
		.need_64bit = log->is_64bit && !info->start,
		.need_revoke = !info->start,
		.plain_commits = true,
	};
	int err = journal_update(log->j, &change);

	if (!err)
		err = blkdev_flush(journal_dev(log->j));
	if (err) {
		log->state = JLOG_FAILED;
		return err;
	}
	log->state = start ? JLOG_OPEN : JLOG_CLOSED;
	log->head = log->first;
	log->sequence = start ? sequence : sequence + 1;
	g_hash_table_remove_all(log->logged);
	return 0;
}

/* A revoke ends what earlier transactions logged; blocks are logged anew. */
static void note(struct jlog *log, const struct jlog_tx *tx)
{
	for (size_t i = 0; i < tx->nrevokes; i++)
		g_hash_table_remove(log->logged, &tx->revokes[i].v);
	for (size_t i = 0; i < tx->n; i++)
		g_hash_table_add(log->logged,
				 g_memdup2(&tx->blocks[i].v, sizeof(uint64_t)));
}

/* Only what the caller must not do: its lists are in memory, not on a disk. */
static void check_tx(const struct jlog *log, const struct jlog_tx *tx)
{
	g_assert(tx->n || tx->nrevokes);
	for (size_t i = 0; i < tx->n; i++)
		g_assert(tx->blocks[i].v < log->fs_blocks);
	for (size_t i = 0; i < tx->nrevokes; i++)
		g_assert(tx->revokes[i].v < log->fs_blocks);
}

struct jlog *jlog_new(struct journal *j, uint64_t fs_blocks, GError **error)
{
	const struct journal_info *info = journal_info(j);
	struct jlog *log;

	if (!may_write(j, error))
		return NULL;
	log = g_new0(struct jlog, 1);
	log->j = j;
	log->state = JLOG_CLOSED;
	log->fs_blocks = fs_blocks;
	log->block_size = (size_t)1 << journal_block_bits(j);
	/* v1's feature is cleared at the beginning: no sums then. */
	log->csum = jbd_has_csum(info->csum) ? info->csum : JOURNAL_CSUM_NONE;
	log->is_64bit = info->is_64bit || fs_blocks > UINT64_C(1) << 32;
	log->seed = jbd_csum_seed(info->uuid);
	log->first = info->first;
	log->end = info->first + MIN(info->last - info->first, LAP_MAX);
	log->head = log->first;
	log->sequence = info->sequence + 1;
	log->logged = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
					    NULL);
	log->buf_blocks = BATCH_MAX / log->block_size;
	log->buf = journal_buf_new(j, log->buf_blocks);
	jlog_measure(log);
	return log;
}

void jlog_free(struct jlog *log)
{
	if (!log)
		return;
	g_hash_table_unref(log->logged);
	bytes_aligned_free(log->buf);
	g_free(log);
}

/* ---- room ---- */

static uint64_t div_ceil(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

uint64_t jlog_need(const struct jlog *log, uint64_t blocks, uint64_t revokes)
{
	/* More than any log has; the sum below would not fit. */
	if (blocks > UINT64_MAX / 4 || revokes > UINT64_MAX / 4)
		return UINT64_MAX;
	return blocks + div_ceil(blocks, log->tags) +
	       div_ceil(revokes, log->revokes) + 1;
}

uint64_t jlog_capacity(const struct jlog *log)
{
	return log->end - log->first;
}

uint64_t jlog_room(const struct jlog *log)
{
	return log->end - log->head;
}

/* ---- the log ---- */

int jlog_begin(struct jlog *log)
{
	if (log->state == JLOG_FAILED)
		return -EROFS;
	g_assert(log->state == JLOG_CLOSED);
	return move_tail(log, log->first, journal_info(log->j)->sequence + 1);
}

bool jlog_is_open(const struct jlog *log)
{
	return log->state == JLOG_OPEN;
}

bool jlog_is_closed(const struct jlog *log)
{
	return log->state == JLOG_CLOSED;
}

int jlog_commit(struct jlog *log, const struct jlog_tx *tx)
{
	uint64_t need = jlog_need(log, tx->n, tx->nrevokes);
	int err;

	if (log->state == JLOG_FAILED)
		return -EROFS;
	g_assert(log->state == JLOG_OPEN);
	if (need > jlog_room(log))
		return -ENOSPC;
	check_tx(log, tx);
	err = jlog_write(log, tx);
	if (err) {
		log->state = JLOG_FAILED;
		/* -ENOSPC says that nothing happened. */
		return err == -ENOSPC ? -EIO : err;
	}
	note(log, tx);
	log->head += (uint32_t)need;
	log->sequence++;
	log->stats.transactions++;
	log->stats.blocks += tx->n;
	log->stats.revokes += tx->nrevokes;
	return 0;
}

bool jlog_has(const struct jlog *log, pblk block)
{
	return g_hash_table_contains(log->logged, &block.v);
}

int jlog_restart(struct jlog *log)
{
	int err;

	if (log->state == JLOG_FAILED)
		return -EROFS;
	g_assert(log->state == JLOG_OPEN);
	err = move_tail(log, log->first, log->sequence);
	if (!err)
		log->stats.restarts++;
	return err;
}

int jlog_end(struct jlog *log)
{
	if (log->state == JLOG_FAILED)
		return -EROFS;
	g_assert(log->state == JLOG_OPEN);
	return move_tail(log, 0, log->sequence);
}

int jlog_mark_error(struct jlog *log, int err)
{
	int ret;

	g_assert(err > 0);
	/* The kernel stores its errors negative, and expects that. */
	ret = journal_store_error(log->j, -err);
	return ret ? ret : blkdev_flush(journal_dev(log->j));
}

void jlog_stats(const struct jlog *log, struct jlog_stats *ret)
{
	*ret = log->stats;
	ret->sequence = log->sequence;
}
