/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block allocator: which blocks are free, reserved, used or released.
 *
 * Owns the search over the groups, the changes of state (the table stands in
 * hostfs_priv.h) and the accounting. Bitmaps are read group by group when a
 * search or a release needs them, never all of them; libext2fs' own bitmaps
 * stay unread.
 *
 * Invariants: alloc.reserved is the sum over the groups, so is pending_blocks
 * plus frozen_blocks;
 * a block is handed out only while its used and its busy bit are clear, so a
 * released one is not before alloc_committed(); no run crosses a group's end;
 * a block of the filesystem itself is never handed out nor taken back,
 * whatever a bitmap says.
 *
 * Runs under hostfs.lock. Never writes but into the overlay.
 */
#include "alloc_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

/* So many groups are searched for the full length before less will do. */
#define LOOK_GROUPS 8

struct alloc *alloc_new(struct hostfs *fs)
{
	struct alloc *a = g_new0(struct alloc, 1);

	a->fs = fs;
	a->groups = g_hash_table_new_full(NULL, NULL, NULL,
					  (GDestroyNotify)group_free);
	g_queue_init(&a->idle);
	a->pending = g_array_new(FALSE, FALSE, sizeof(struct run));
	a->frozen = g_array_new(FALSE, FALSE, sizeof(struct run));
	return a;
}

void alloc_free(struct alloc *a)
{
	if (!a)
		return;
	g_hash_table_destroy(a->groups);
	g_array_unref(a->pending);
	g_array_unref(a->frozen);
	g_free(a);
}

/*
 * The best run of one group for a search that comes in at the taken block
 * @from (0 elsewhere): the first of full length behind it, else before it, else
 * the longest. A run never spans @from.
 */
static struct bits best_of_group(struct group *g, uint32_t from, uint32_t want)
{
	struct bits behind, before;

	want = MIN(want, g->longest);
	behind = group_search(g, from, g->blocks, want);
	if (behind.len >= want)
		return behind;
	before = group_search(g, 0, from, want);
	if (before.len < want)
		g->longest = MAX(behind.len, before.len);
	return before.len > behind.len ? before : behind;
}

/* A run of at most @want blocks that are free; its length is 0 if none is. */
static int search(struct alloc *a, pblk goal, uint32_t want, struct run *ret)
{
	ext2_filsys fs = a->fs->fs;
	struct run at = { goal.v, 1 }, best = { 0, 0 };
	uint32_t looked = 0, first;
	struct bits bit;

	first = alloc_next_part(a, &at, &bit);
	for (uint64_t i = 0; i < fs->group_desc_count; i++) {
		uint32_t index = (uint32_t)((first + i) % fs->group_desc_count);
		struct group *g;
		struct bits found;
		int err;

		if (!group_free_blocks(a, index))
			continue;
		err = group_get(a, index, &g);
		if (err)
			return err;
		if (!i && group_count_free(g, bit.start, 1)) {
			best.start = goal.v;
			best.len = group_search(g, bit.start, g->blocks, 1).len;
			break;
		}
		found = best_of_group(g, i ? 0 : bit.start, want);
		if (found.len > best.len) {
			best.start = ext2fs_group_first_block2(fs, index) +
				     found.start;
			best.len = found.len;
		}
		if (best.len >= want || (++looked >= LOOK_GROUPS && best.len))
			break;
	}
	best.len = u64_min(best.len, want);
	*ret = best;
	return 0;
}

int alloc_take(struct alloc *a, pblk goal, uint32_t want, pblk *ret_start,
	       uint32_t *ret_len)
{
	ext2_filsys fs = a->fs->fs;
	struct run found, rest;
	struct group *g;
	struct bits bits;
	uint32_t index;
	int err;

	g_assert(want > 0);
	if (goal.v < fs->super->s_first_data_block ||
	    goal.v >= ext2fs_blocks_count(fs->super))
		goal.v = fs->super->s_first_data_block;
	err = search(a, goal, want, &found);
	if (err)
		return err;
	if (!found.len)
		return -ENOSPC;

	rest = found;
	index = alloc_next_part(a, &rest, &bits);
	if (hostfs_owns(a->fs, pblk_at(found.start), found.len))
		return alloc_corrupt(a, found.start,
				     "the bitmap shows metadata as free");
	err = group_get(a, index, &g);
	if (err)
		return err;
	group_set_busy(g, bits.start, bits.len, true);
	g->reserved += bits.len;
	a->reserved += bits.len;
	group_settle(a, g);
	*ret_start = pblk_at(found.start);
	*ret_len = bits.len;
	return 0;
}

/* End a reservation; used or free afterwards. */
static void unreserve(struct alloc *a, struct run r, bool used)
{
	while (r.len) {
		struct bits b;
		struct group *g = group_held(a, alloc_next_part(a, &r, &b));

		g_assert(g->busy &&
			 bits_count(g->busy, b.start, b.len) == b.len);
		g_assert(!bits_count(g->used, b.start, b.len));
		group_set_busy(g, b.start, b.len, false);
		g->reserved -= b.len;
		a->reserved -= b.len;
		if (used)
			group_set_used(a, g, b.start, b.len, true, true);
		group_settle(a, g);
	}
}

void alloc_give_back(struct alloc *a, pblk start, uint32_t len)
{
	unreserve(a, (struct run){ start.v, len }, false);
}

void alloc_publish(struct alloc *a, pblk start, uint32_t len)
{
	unreserve(a, (struct run){ start.v, len }, true);
}

static int release_part(struct alloc *a, uint32_t index, struct bits b)
{
	struct group *g;
	int err;

	err = group_get(a, index, &g);
	if (err)
		return err;
	if (bits_count(g->used, b.start, b.len) != b.len ||
	    (g->busy && bits_count(g->busy, b.start, b.len)))
		return alloc_corrupt(
			a,
			ext2fs_group_first_block2(a->fs->fs, index) + b.start,
			"a file's blocks were free already");
	group_set_released(a, g, b, true);
	if (alloc_clears_at_once(a))
		group_set_used(a, g, b.start, b.len, false, true);
	group_settle(a, g);
	return 0;
}

static void remember(struct alloc *a, uint64_t start, uint64_t len)
{
	struct run r = { start, len };
	struct run *last = a->pending->len
				   ? &g_array_index(a->pending, struct run,
						    a->pending->len - 1)
				   : NULL;

	a->pending_blocks += len;
	if (last && last->start + last->len == start)
		last->len += len;
	else if (last && start + len == last->start)
		*last = (struct run){ start, last->len + len };
	else
		g_array_append_val(a->pending, r);
}

int alloc_release(struct alloc *a, pblk start, uint32_t len)
{
	struct run r = { start.v, len }, done = { start.v, 0 };
	struct bits b;
	int err;

	if (hostfs_owns(a->fs, start, len))
		return alloc_corrupt(a, start.v,
				     "a file owns a block of the filesystem");
	while (r.len) {
		uint32_t index = alloc_next_part(a, &r, &b);

		err = release_part(a, index, b);
		if (err)
			goto undo;
		done.len += b.len;
	}
	remember(a, start.v, len);
	return 0;

undo: /* What has a busy bit is still in memory. */
	while (done.len) {
		struct group *g = group_held(a, alloc_next_part(a, &done, &b));

		group_set_released(a, g, b, false);
		if (alloc_clears_at_once(a))
			group_set_used(a, g, b.start, b.len, true, true);
		group_settle(a, g);
	}
	return err;
}

static uint64_t available(const struct alloc *a, uint64_t keep)
{
	uint64_t count = ext2fs_free_blocks_count(a->fs->fs->super);
	uint64_t taken;

	if (!u64_add(a->reserved, a->promised, &taken) ||
	    !u64_add(taken, keep, &taken))
		return 0;
	/* Their bits are clear, and yet nobody may have them. */
	if (alloc_clears_at_once(a) &&
	    !u64_add(taken, alloc_pending(a) + alloc_draining(a), &taken))
		return 0;
	return count > taken ? count - taken : 0;
}

uint64_t alloc_available(const struct alloc *a)
{
	return available(a, a->fs->use_reserved
				    ? 0
				    : ext2fs_r_blocks_count(a->fs->fs->super));
}

uint64_t alloc_available_meta(const struct alloc *a)
{
	return available(a, 0);
}

void alloc_promise(struct alloc *a, uint64_t blocks)
{
	a->promised += blocks;
}

void alloc_unpromise(struct alloc *a, uint64_t blocks)
{
	g_assert(blocks <= a->promised);
	a->promised -= blocks;
}

uint64_t alloc_pending(const struct alloc *a)
{
	return a->pending_blocks;
}

size_t alloc_pending_runs(const struct alloc *a)
{
	return a->pending->len;
}

uint64_t alloc_draining(const struct alloc *a)
{
	return a->frozen_blocks;
}

bool alloc_clears_at_once(const struct alloc *a)
{
	return a->fs->jlog;
}

bool alloc_dirty(const struct alloc *a)
{
	return a->dirty_groups > 0;
}

bool alloc_urgent(const struct alloc *a)
{
	return a->urgent_groups > 0;
}

uint64_t alloc_held(const struct alloc *a)
{
	return (uint64_t)a->dirty_groups + a->released_groups;
}
