/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cycle of commits: who leads it, who waits for it.
 *
 *   step      what happens                                       hostfs.lock
 *   prepare   the source is marked; the log has room             held, but for
 *                                                                a checkpoint
 *   freeze    all changes into meta, meta down into stable;      held
 *             the next transaction is open
 *   write     ordered.c or journalled.c                          not held
 *   settle    freed blocks become free, who waits may go         held
 *   after     discards, a checkpoint where memory asks for it    not held
 *
 * One thread at a time leads (hostfs.busy); nobody else touches stable or the
 * log meanwhile, everybody may change metadata.
 *
 * A sync asks for a cycle that starts after it was called: only then do the
 * cycle's flushes cover its data. Cycles are numbered; callers that come while
 * one is under way share the next one, which the first of them leads.
 * A cycle with nothing to commit is one device flush.
 *
 *   started   number of the last cycle that began
 *   done      number of the last one that ended durable
 *
 * Functions that let go of the lock for a while and take it again are beyond
 * the analysis of locks (NO_TSA).
 *
 * Freed blocks are discarded on the source, if that is wanted, while they are
 * still busy: behind the commit and before anybody can have them.
 */
#include "alloc_priv.h"
#include "tx_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

static int wait_idle(struct hostfs *fs) NO_TSA
{
	while (fs->busy)
		cond_wait(&fs->cycle, &fs->lock);
	return hostfs_broken(fs) ? -EROFS : 0;
}

/* ---- the steps ---- */

static int prepare(struct hostfs *fs) NO_TSA
{
	int err = 0;

	if (!fs->marked) {
		err = fs->jlog ? journalled_mark(fs) : ordered_mark(fs);
		if (err)
			return err;
		fs->marked = true;
		/* A copy that waits in the overlay still says "clean". */
		fs->super_dirty = true;
	}
	if (fs->jlog && !journalled_has_room(fs)) {
		mutex_unlock(&fs->lock);
		err = journalled_checkpoint(fs, true);
		mutex_lock(&fs->lock);
		/* Who failed meanwhile may have left half a change. */
		if (!err && hostfs_broken(fs))
			err = -EROFS;
	}
	return err;
}

/* Everything that changed goes into the overlay. */
static int store_all(struct hostfs *fs)
{
	int err;

	err = inode_store_all(fs);
	if (!err)
		err = alloc_store(fs->alloc);
	if (!err && fs->super_dirty)
		err = tx_store_super(fs);
	return err;
}

/*
 * Tree blocks that are free now: no checkpoint may write them any more, and no
 * replay either.
 */
static void forget_dropped(struct hostfs *fs, GArray *revokes)
{
	for (guint i = 0; i < fs->dropped->len; i++) {
		pblk block = g_array_index(fs->dropped, pblk, i);

		overlay_drop(fs->stable, block);
		if (jlog_has(fs->jlog, block))
			g_array_append_val(revokes, block);
	}
	g_array_set_size(fs->dropped, 0);
}

static int freeze(struct hostfs *fs, struct batch *b)
{
	int err;

	err = store_all(fs);
	if (err)
		return err;
	b->blocks = overlay_push(fs->meta, fs->stable, &b->n);
	b->revokes = g_array_new(FALSE, FALSE, sizeof(pblk));
	forget_dropped(fs, b->revokes);
	alloc_freeze(fs->alloc);
	g_hash_table_remove_all(fs->new_blocks);
	return 0;
}

static void batch_clear(struct batch *b)
{
	g_free(b->blocks);
	if (b->revokes)
		g_array_unref(b->revokes);
}

/* Advice to the source: nothing depends on what becomes of it. */
static void discard_freed(struct hostfs *fs) NO_TSA
{
	const struct run *runs;
	size_t n;

	if (!fs->discard)
		return;
	runs = alloc_frozen(fs->alloc, &n);
	mutex_unlock(&fs->lock);
	for (size_t i = 0; i < n; i++)
		(void)blkdev_discard(fs->dev, runs[i].len << fs->bits,
				     dev_of_pblk(pblk_at(runs[i].start),
						 fs->bits));
	mutex_lock(&fs->lock);
}

static int after(struct hostfs *fs) NO_TSA
{
	int err = 0;

	if (fs->jlog && journalled_is_heavy(fs) && !hostfs_broken(fs)) {
		mutex_unlock(&fs->lock);
		err = journalled_checkpoint(fs, false);
		mutex_lock(&fs->lock);
	}
	return err;
}

static void count_commit(struct hostfs *fs, const struct batch *b, uint64_t ns)
{
	fs->stats.commits++;
	fs->stats.commit_blocks += b->n;
	fs->stats.commit_ns_total += ns;
	fs->stats.commit_ns_max = u64_max(fs->stats.commit_ns_max, ns);
	histogram_add(&fs->commit_ns, ns);
}

/* *ret_what: what was being done when an error came. */
static int commit_steps(struct hostfs *fs, uint64_t number,
			const char **ret_what) NO_TSA
{
	uint64_t start = monotonic_now_ns();
	struct batch b = { 0 };
	int err;

	*ret_what = "a commit of metadata";
	b.durable = tx_pending(fs); /* before the mark makes it so */
	err = prepare(fs);
	if (!err)
		err = freeze(fs, &b);
	if (!err) {
		mutex_unlock(&fs->lock);
		err = fs->jlog ? journalled_write(fs, &b)
			       : ordered_write(fs, &b);
		mutex_lock(&fs->lock);
	}
	if (!err) {
		count_commit(fs, &b, monotonic_now_ns() - start);
		if (b.durable || fs->jlog) {
			fs->done = number;
			cond_broadcast(&fs->cycle);
			discard_freed(fs);
			alloc_committed(fs->alloc);
		}
		*ret_what = "writing committed metadata home";
		err = after(fs);
	}
	batch_clear(&b);
	return err;
}

/* ---- leading ---- */

static uint64_t cycle_begin(struct hostfs *fs)
{
	g_assert(!fs->busy);
	fs->busy = true;
	return ++fs->started;
}

static int cycle_end(struct hostfs *fs, int err, const char *what)
{
	if (err)
		tx_fail(fs, err, what);
	/* Others may have failed meanwhile, and left the mark to us. */
	if (hostfs_broken(fs))
		tx_mark_error(fs);
	fs->busy = false;
	cond_broadcast(&fs->cycle);
	return err;
}

static int lead_commit(struct hostfs *fs)
{
	const char *what;
	uint64_t number = cycle_begin(fs);
	int err = commit_steps(fs, number, &what);

	return cycle_end(fs, err, what);
}

bool tx_flush_begin(struct hostfs *fs)
{
	if (fs->busy || hostfs_broken(fs) || tx_pending(fs))
		return false;
	fs->stats.syncs++;
	cycle_begin(fs);
	return true;
}

int tx_flush_end(struct hostfs *fs, int err)
{
	/* Nobody else has begun a cycle meanwhile. */
	if (!err)
		fs->done = fs->started;
	return cycle_end(fs, err, "flush");
}

static int lead_flush(struct hostfs *fs) NO_TSA
{
	int err;

	cycle_begin(fs);
	mutex_unlock(&fs->lock);
	err = blkdev_flush(fs->dev);
	mutex_lock(&fs->lock);
	return tx_flush_end(fs, err);
}

int tx_commit(struct hostfs *fs)
{
	int err;

	if (fs->readonly)
		return 0;
	err = wait_idle(fs);
	if (err || !tx_dirty(fs))
		return err;
	return lead_commit(fs);
}

int tx_sync(struct hostfs *fs) NO_TSA
{
	uint64_t want = fs->started + 1;
	int err = 0;

	fs->stats.syncs++;
	while (!err && fs->done < want) {
		if (hostfs_broken(fs))
			return -EROFS;
		if (fs->busy)
			cond_wait(&fs->cycle, &fs->lock);
		else if (tx_pending(fs))
			err = lead_commit(fs);
		else
			err = lead_flush(fs);
	}
	return err;
}

int tx_idle(struct hostfs *fs) NO_TSA
{
	int err = wait_idle(fs);

	if (err || !fs->jlog || !jlog_is_open(fs->jlog) ||
	    jlog_room(fs->jlog) == jlog_capacity(fs->jlog))
		return err;
	cycle_begin(fs);
	mutex_unlock(&fs->lock);
	err = journalled_checkpoint(fs, true);
	mutex_lock(&fs->lock);
	return cycle_end(fs, err, "writing committed metadata home");
}

int tx_finish(struct hostfs *fs, unsigned most)
{
	int err;

	if (fs->readonly)
		return 0;
	/* Without a journal, bits of freed blocks come in a second one. */
	for (err = wait_idle(fs); !err && tx_dirty(fs); err = wait_idle(fs)) {
		if (!most--)
			return 0;
		lead_commit(fs);
	}
	if (err)
		return -g_atomic_int_get(&fs->failed);

	/* Idle and clean, and the lock is not let go of any more. */
	err = fs->jlog ? journalled_finish(fs) : ordered_finish(fs);
	if (err)
		tx_fail(fs, err, "marking it clean");
	return err;
}
