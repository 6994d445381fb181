/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pass 2 and 3: which copies count, and whether they are what was written.
 *
 * A revoke by transaction T keeps every copy of the block from replay that
 * belongs to T or to an older transaction. So, with the copies sorted by block
 * and then by age, those that are revoked stand first in each group: one mark on
 * the youngest of them is enough, and what a log full of revokes costs is time,
 * not memory.
 *
 * A copy that is revoked, but no other, may have a wrong checksum: its place in
 * the log is what it was, but nobody is going to look at it.
 */
#include "replay_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct index {
	struct replay_reader *rd;
	const struct replay_log *log;
	struct replay_copy *copies;
	size_t n;
	GError **error;
};

static int by_block(const void *a, const void *b)
{
	const struct replay_copy *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (x->pos > y->pos) - (x->pos < y->pos);
}

static int by_pos(const void *a, const void *b)
{
	const struct replay_copy *x = a, *y = b;

	return (x->pos > y->pos) - (x->pos < y->pos);
}

static void sort(struct index *ix, int (*compare)(const void *, const void *))
{
	if (ix->n)
		qsort(ix->copies, ix->n, sizeof(*ix->copies), compare);
}

/* ---- where copies may belong ---- */

static int by_phys(gconstpointer a, gconstpointer b)
{
	const struct journal_run *x = a, *y = b;

	return (x->phys.v > y->phys.v) - (x->phys.v < y->phys.v);
}

GArray *replay_own_runs(const struct replay_reader *rd, GError **error)
{
	GArray *runs = g_array_new(false, false, sizeof(struct journal_run));
	const struct journal_run *run;

	/* No longer than its device, either; and no home of anything. */
	if (rd->j->own_device)
		return runs;
	for (uint64_t i = 0; i < rd->info->maxlen;) {
		uint32_t more;
		struct journal_run next;

		next.phys = journal_block_at(rd->j, (uint32_t)i, &more);
		next.len = (uint64_t)more + 1;
		g_array_append_val(runs, next);
		i += next.len;
	}
	g_array_sort(runs, by_phys);
	run = (const void *)runs->data;
	for (guint i = 1; i < runs->len; i++) {
		if (run[i - 1].phys.v + run[i - 1].len <= run[i].phys.v)
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "the journal of '%s' has block %" PRIu64
			    " twice; run 'e2fsck -f' on it",
			    journal_name(rd->j), run[i].phys.v);
		g_array_unref(runs);
		return NULL;
	}
	return runs;
}

static bool is_own(const GArray *own, uint64_t block)
{
	const struct journal_run *run = (const void *)own->data;
	size_t low = 0, high = own->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (run[mid].phys.v <= block)
			low = mid + 1;
		else
			high = mid;
	}
	return low && block - run[low - 1].phys.v < run[low - 1].len;
}

static bool check_homes(const struct index *ix, const GArray *own,
			uint64_t fs_blocks)
{
	/* A byte beyond 2^64 is no place, whatever the caller thinks. */
	uint64_t limit = UINT64_MAX >> journal_block_bits(ix->rd->j);

	limit = u64_min(limit, fs_blocks);
	for (size_t i = 0; i < ix->n; i++) {
		const struct replay_copy *c = &ix->copies[i];

		if (c->block >= limit)
			return replay_damaged(ix->rd, c->pos, ix->error,
					      "it belongs to block %" PRIu64
					      " of a filesystem that has"
					      " %" PRIu64,
					      c->block, fs_blocks);
		if (is_own(own, c->block))
			return replay_damaged(ix->rd, c->pos, ix->error,
					      "it belongs to block %" PRIu64
					      ", the journal's own",
					      c->block);
	}
	return true;
}

/* ---- revokes ---- */

/* Mark the youngest copy of @block that transaction @tx revokes. */
static void mark_revoked(struct index *ix, uint64_t block, uint32_t tx)
{
	size_t low = 0, high = ix->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct replay_copy *c = &ix->copies[mid];

		if (c->block < block || (c->block == block && c->tx <= tx))
			low = mid + 1;
		else
			high = mid;
	}
	if (low && ix->copies[low - 1].block == block)
		ix->copies[low - 1].revoked = true;
}

static uint64_t revoke_at(const uint8_t *p, bool is_64bit)
{
	be64 wide;
	be32 narrow;

	if (is_64bit) {
		memcpy(&wide, p, sizeof(wide));
		return be64_get(wide);
	}
	memcpy(&narrow, p, sizeof(narrow));
	return be32_get(narrow);
}

static bool read_revokes(struct index *ix, const struct replay_revoke *r,
			 uint64_t *ret_n)
{
	const struct journal_info *info = ix->rd->info;
	size_t end = ix->rd->block_size - jbd_tail_size(info->csum);
	size_t size = jbd_revoke_size(info->is_64bit);
	const uint8_t *block = replay_reader_get(ix->rd, r->pos, ix->error);
	struct jbd_revoke_header header;
	size_t used;

	if (!block)
		return false;
	memcpy(&header, block, sizeof(header));
	used = be32_get(header.count);
	if (used > end)
		return replay_damaged(ix->rd, r->pos, ix->error,
				      "a list of revoked blocks has %zu bytes",
				      used);
	/* Too few bytes for one more mean nothing, to the kernel either. */
	for (size_t off = sizeof(header); off + size <= used; off += size) {
		mark_revoked(ix, revoke_at(block + off, info->is_64bit), r->tx);
		++*ret_n;
	}
	return true;
}

/* From the youngest copy that is marked to all older ones of its block. */
static uint64_t spread_revokes(struct index *ix)
{
	uint64_t revoked = 0;

	for (size_t i = ix->n; i-- > 0;) {
		struct replay_copy *c = &ix->copies[i];

		if (i + 1 < ix->n && c[1].block == c->block && c[1].revoked)
			c->revoked = true;
		revoked += c->revoked;
	}
	return revoked;
}

static bool pass_revoke(struct index *ix, struct replay_report *report)
{
	const GArray *list = ix->log->revokes;

	ix->rd->pass = 2;
	for (guint i = 0; i < list->len; i++) {
		const struct replay_revoke *r =
			&g_array_index(list, struct replay_revoke, i);

		if (!read_revokes(ix, r, &report->revokes))
			return false;
		replay_reader_tell(ix->rd, i + 1, list->len);
	}
	report->revoked = spread_revokes(ix);
	return true;
}

/* ---- the index ---- */

/* The last of each block's copies, unless that is revoked: then they all are. */
static void make_index(const struct index *ix, struct replay *r)
{
	GArray *out = g_array_new(false, false, sizeof(struct replay_entry));

	for (size_t i = 0; i < ix->n; i++) {
		const struct replay_copy *c = &ix->copies[i];
		struct replay_entry e = {
			.block = c->block,
			.at = replay_log_block(ix->rd, c->pos),
			.escaped = c->escaped,
		};

		if (i + 1 < ix->n && c[1].block == c->block)
			continue;
		if (!c->revoked)
			g_array_append_val(out, e);
	}
	r->n = out->len;
	r->entries = g_realloc_n(g_array_free(out, false), r->n,
				 sizeof(struct replay_entry));
}

static bool verify(const struct index *ix, const struct replay_copy *c)
{
	const struct journal_info *info = ix->rd->info;
	uint32_t sequence = info->sequence + c->tx, sum;
	const uint8_t *data = replay_reader_get(ix->rd, c->pos, ix->error);

	if (!data)
		return false;
	sum = jbd_data_csum(ix->rd->seed, sequence, data, ix->rd->block_size);
	if (info->csum == JOURNAL_CSUM_V2)
		sum &= UINT16_MAX;
	if (sum == c->csum)
		return true;
	return replay_damaged(ix->rd, c->pos, ix->error,
			      "transaction %u was committed, but its copy of"
			      " block %" PRIu64 " has a wrong checksum",
			      sequence, c->block);
}

static bool pass_verify(struct index *ix)
{
	ix->rd->pass = 3;
	if (!jbd_has_csum(ix->rd->info->csum))
		return true;
	sort(ix, by_pos);
	for (size_t i = 0; i < ix->n; i++) {
		if (!ix->copies[i].revoked && !verify(ix, &ix->copies[i]))
			return false;
		replay_reader_tell(ix->rd, i + 1, ix->n);
	}
	return true;
}

bool replay_index_log(struct replay_reader *rd, struct replay_log *log,
		      const GArray *own, uint64_t fs_blocks, struct replay *r,
		      GError **error)
{
	struct index ix = {
		.rd = rd,
		.log = log,
		.copies = (void *)log->copies->data,
		.n = log->copies->len,
		.error = error,
	};

	sort(&ix, by_block);
	if (!check_homes(&ix, own, fs_blocks) || !pass_revoke(&ix, &r->report))
		return false;
	make_index(&ix, r);
	return pass_verify(&ix);
}
