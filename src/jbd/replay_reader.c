/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log as a replay reads it: by position, mostly ascending, some ahead.
 *
 * Reading ahead is a wish: where it fails, the one block that was asked for is
 * read alone, so a bad sector in a block that nobody needs does no harm.
 */
#include "replay_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <stdarg.h>

#define AHEAD (UINT32_C(256) << 10)

void replay_reader_init(struct replay_reader *rd, struct journal *j,
			replay_progress progress, void *ctx)
{
	const struct journal_info *info = journal_info(j);
	unsigned bits = journal_block_bits(j);

	*rd = (struct replay_reader){
		.j = j,
		.info = info,
		.block_size = (size_t)1 << bits,
		.start = info->start,
		.max = AHEAD >> bits,
		.buf = journal_buf_new(j, AHEAD >> bits),
		.seed = jbd_csum_seed(info->uuid),
		.pass = 1,
		.progress = progress,
		.ctx = ctx,
	};
}

void replay_reader_clear(struct replay_reader *rd)
{
	bytes_aligned_free(rd->buf);
}

uint32_t replay_log_size(const struct replay_reader *rd)
{
	return rd->info->last - rd->info->first;
}

uint32_t replay_log_block(const struct replay_reader *rd, uint32_t pos)
{
	uint32_t left = rd->info->last - rd->start;

	return pos < left ? rd->start + pos : rd->info->first + (pos - left);
}

static int fill(struct replay_reader *rd, uint32_t at)
{
	uint32_t n = (uint32_t)u64_min(rd->max, rd->info->last - at);
	int err = journal_read(rd->j, at, n, rd->buf);

	if (err && n > 1) {
		n = 1;
		err = journal_read(rd->j, at, n, rd->buf);
	}
	rd->at = at;
	rd->n = err ? 0 : n;
	return err;
}

const uint8_t *replay_reader_get(struct replay_reader *rd, uint32_t pos,
				 GError **error)
{
	uint32_t at = replay_log_block(rd, pos);
	int err = 0;

	if (at < rd->at || at - rd->at >= rd->n)
		err = fill(rd, at);
	if (err) {
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot read block %u of the journal of '%s'",
				at, journal_name(rd->j));
		return NULL;
	}
	return rd->buf + (at - rd->at) * rd->block_size;
}

void replay_reader_tell(const struct replay_reader *rd, uint64_t done,
			uint64_t total)
{
	if (rd->progress)
		rd->progress(rd->ctx, rd->pass, done, total);
}

bool replay_damaged(const struct replay_reader *rd, uint32_t pos,
		    GError **error, const char *fmt, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, fmt);
	what = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "the journal of '%s' is damaged in its block %u: %s; run"
		    " 'e2fsck -f' on it",
		    journal_name(rd->j), replay_log_block(rd, pos), what);
	return false;
}
