/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log that was read: the index and what can be asked of it.
 *
 * The index is sorted by block and never changes, so any thread may ask at any
 * time; content is read from the log each time. What the passes needed is gone
 * when replay_scan() returns.
 */
#include "replay_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <string.h>

/* ---- the fast-commit area ---- */

/* A tag as ext4 starts a fast commit with (fs/ext4/fast_commit.h). */
#define FC_TAG_HEAD 9

struct fc_head {
	le16 tag, len;
	le32 features, tid;
};
static_assert(sizeof(struct fc_head) == 12, "on-disk layout");

#define FC_HEAD_LEN (sizeof(struct fc_head) - 2 * sizeof(le16))

static bool fc_head_in_use(const struct fc_head *head, uint32_t tid)
{
	if (le16_get(head->tag) != FC_TAG_HEAD)
		return false;
	/* Of an older commit; but a layout that is not known says nothing. */
	return le32_get(head->tid) == tid ||
	       le16_get(head->len) != FC_HEAD_LEN || le32_get(head->features);
}

/*
 * Fast commits build on the last full one, so they bear the number of the
 * transaction that never came. The area is there for nothing else than what
 * would be lost: when in doubt it is in use. Kernels start it one block behind
 * the log's end; a look at that block, too, costs nothing.
 */
static bool check_fast_commit(const struct replay_reader *rd, uint32_t tid,
			      GError **error)
{
	const struct journal_info *info = rd->info;
	uint32_t end =
		(uint32_t)u64_min(info->maxlen, (uint64_t)info->last + 2);

	if (!info->fast_commit)
		return true;
	for (uint32_t at = info->last; at < end; at++) {
		int err = journal_read(rd->j, at, 1, rd->buf);

		if (err) {
			error_set_errno(error, RAWMAP_ERROR_IO, -err,
					"cannot read block %u of the journal"
					" of '%s'",
					at, journal_name(rd->j));
			return false;
		}
		if (!fc_head_in_use((const void *)rd->buf, tid))
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "the journal of '%s' has fast commits, which rawmap"
			    " cannot apply; mount it with the kernel once, or"
			    " run 'e2fsck -p' on it",
			    journal_name(rd->j));
		return false;
	}
	return true;
}

/* ---- reading the log ---- */

static void fill_report(struct replay *r, const struct journal_info *info,
			const struct replay_log *log)
{
	r->report.first_sequence = info->sequence;
	/* What follows the end may have left blocks with that number. */
	r->report.next_sequence = info->sequence + log->seen + 1;
	r->report.transactions = log->ntx;
	r->report.log_blocks = log->blocks;
	r->report.blocks = r->n;
}

static bool read_log(struct replay *r, struct replay_reader *rd,
		     struct replay_log *log, uint64_t fs_blocks, GError **error)
{
	GArray *own;
	bool ok;

	if (!rd->info->start)
		return true;
	own = replay_own_runs(rd, error);
	if (!own)
		return false;
	ok = replay_scan_log(rd, log, error) &&
	     check_fast_commit(rd, rd->info->sequence + log->ntx, error);
	/* The reader's buffer was borrowed for that. */
	rd->n = 0;
	ok = ok && replay_index_log(rd, log, own, fs_blocks, r, error);
	g_array_unref(own);
	return ok;
}

void replay_show_begin(struct progress *p)
{
	progress_begin(p, "replaying the journal", PROGRESS_SHARE);
}

void replay_show(void *ctx, unsigned pass, uint64_t done, uint64_t total)
{
	double part = total ? (double)u64_min(done, total) / (double)total : 1;

	progress_step(ctx, (uint64_t)((pass - 1 + part) * 1000),
		      1000 * REPLAY_PASSES);
}

struct replay *replay_scan(struct journal *j, uint64_t fs_blocks,
			   replay_progress progress, void *ctx, GError **error)
{
	struct replay *r = g_new0(struct replay, 1);
	struct replay_reader rd;
	struct replay_log log;
	bool ok;

	r->j = j;
	r->bits = journal_block_bits(j);
	replay_reader_init(&rd, j, progress, ctx);
	replay_log_init(&log);
	ok = read_log(r, &rd, &log, fs_blocks, error);
	fill_report(r, rd.info, &log);
	replay_log_clear(&log);
	replay_reader_clear(&rd);
	if (ok)
		return r;
	replay_free(r);
	return NULL;
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	g_free(r->entries);
	g_free(r);
}

const struct replay_report *replay_report(const struct replay *r)
{
	return &r->report;
}

/* ---- the index ---- */

size_t replay_find(const struct replay *r, uint64_t block)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->entries[mid].block < block)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t replay_home_run(const struct replay *r, size_t i, size_t max)
{
	size_t n = 1;

	while (n < max && i + n < r->n &&
	       r->entries[i + n].block == r->entries[i].block + n)
		n++;
	return n;
}

static size_t log_run(const struct replay *r, size_t i, size_t max)
{
	size_t n = 1;

	while (n < max && r->entries[i + n].at == r->entries[i].at + n)
		n++;
	return n;
}

static void unescape(const struct replay_entry *e, uint8_t *block)
{
	be32 magic = be32_of(JBD_MAGIC);

	if (e->escaped)
		memcpy(block, &magic, sizeof(magic));
}

int replay_read_run(const struct replay *r, size_t i, size_t n, uint8_t *buf)
{
	while (n) {
		size_t now = log_run(r, i, n);
		int err = journal_read(r->j, r->entries[i].at, (uint32_t)now,
				       buf);

		if (err)
			return err;
		for (size_t k = 0; k < now; k++)
			unescape(&r->entries[i + k], buf + (k << r->bits));
		i += now;
		n -= now;
		buf += now << r->bits;
	}
	return 0;
}

int replay_get(struct replay *r, pblk block, void *buf)
{
	size_t i = replay_find(r, block.v);
	int err;

	if (i == r->n || r->entries[i].block != block.v)
		return 0;
	if (!buf)
		return 1;
	err = replay_read_run(r, i, 1, buf);
	return err ? err : 1;
}
