/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The running transaction and its commit.
 *
 *   what is pending                          commit
 *   published fills, punches, sizes, super   FIRST, flush, SECOND, flush
 *   the same, nothing in SECOND              FIRST, flush
 *   times, bits of blocks released earlier   FIRST, SECOND; no flush: a crash
 *                                            loses times or leaks blocks
 *   nothing                                  nothing, not even a flush
 *
 * Before the first of them, and durable before anything else is written, the
 * source's superblock says "not clean"; tx_finish() takes that back. The first
 * error ends it all: nothing of a later epoch is written, the host is broken
 * and stays so, the superblock gets its error flag if the source still can.
 *
 * Runs under hostfs.lock.
 */
#include "alloc_priv.h"
#include "tx_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <string.h>

/* What a transaction may keep in memory before it is committed unasked. */
#define MAX_BLOCKS 4096
#define MAX_BYTES  (UINT64_C(16) << 20)

static bool has_dirty_inode(const struct hostfs *fs, bool times)
{
	for (guint i = 0; i < fs->files->len; i++) {
		const struct hostfile *hf = fs->files->pdata[i];

		if (times ? hf->times_dirty : hf->inode_dirty)
			return true;
	}
	return false;
}

bool tx_pending(struct hostfs *fs)
{
	if (fs->readonly)
		return false;
	return fs->super_dirty || overlay_dirty_count(fs->meta) ||
	       alloc_urgent(fs->alloc) || alloc_pending(fs->alloc) ||
	       has_dirty_inode(fs, false);
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

static int mark_not_clean(struct hostfs *fs)
{
	int err;

	if (fs->marked)
		return 0;
	err = super_change_state(fs, 0, EXT2_VALID_FS);
	if (err)
		return err;
	fs->marked = true;
	/* A copy that waits in the overlay still says "clean". */
	fs->super_dirty = true;
	return 0;
}

/* One epoch: the blocks with @tag; @durable: with all that came before. */
static int write_epoch(struct hostfs *fs, unsigned tag, bool durable)
{
	size_t blocks = overlay_dirty_count_tag(fs->meta, tag);
	int err;

	err = overlay_write_out(fs->meta, fs->dev, tag);
	if (err)
		return err;
	fs->stats.commit_blocks += blocks;
	return durable ? blkdev_flush(fs->dev) : 0;
}

static int write_all(struct hostfs *fs, bool durable)
{
	int err;

	err = write_epoch(fs, TX_FIRST, durable);
	if (!err && overlay_dirty_count_tag(fs->meta, TX_SECOND))
		err = write_epoch(fs, TX_SECOND, durable);
	return err;
}

static void count_commit(struct hostfs *fs, uint64_t ns)
{
	fs->stats.commits++;
	fs->stats.commit_ns_total += ns;
	fs->stats.commit_ns_max = u64_max(fs->stats.commit_ns_max, ns);
}

int tx_commit(struct hostfs *fs)
{
	uint64_t start = monotonic_now_ns();
	bool durable = tx_pending(fs);
	int err;

	if (fs->readonly)
		return 0;
	if (g_atomic_int_get(&fs->failed))
		return -EROFS;
	if (!durable && !alloc_dirty(fs->alloc) && !has_dirty_inode(fs, true))
		return 0;

	err = mark_not_clean(fs);
	if (!err)
		err = store_all(fs);
	if (!err)
		err = write_all(fs, durable);
	if (err) {
		tx_fail(fs, err, "a commit of metadata");
		return err;
	}
	if (durable)
		alloc_committed(fs->alloc);
	g_hash_table_remove_all(fs->new_blocks);
	count_commit(fs, monotonic_now_ns() - start);
	return 0;
}

static int complete_guard(struct hostfs *fs)
{
	struct syszone *zone;
	int err;

	if (g_atomic_pointer_get(&fs->journal_zone))
		return 0;
	err = syszone_new_journal(fs->fs, &zone);
	if (!err)
		g_atomic_pointer_set(&fs->journal_zone, zone);
	else if (err == -EUCLEAN)
		tx_fail(fs, err, "reading where the journal lies");
	return err;
}

int tx_may_change(struct hostfs *fs)
{
	if (fs->readonly || g_atomic_int_get(&fs->failed))
		return -EROFS;
	return complete_guard(fs);
}

int tx_relieve(struct hostfs *fs)
{
	uint64_t bound = u64_min(MAX_BLOCKS, MAX_BYTES >> fs->bits);

	if (overlay_dirty_count(fs->meta) + alloc_held(fs->alloc) < bound)
		return 0;
	return tx_commit(fs);
}

void tx_fail(struct hostfs *fs, int err, const char *what)
{
	g_assert(err < 0);
	if (!g_atomic_int_compare_and_exchange(&fs->failed, 0, -err))
		return;
	fs->stats.failed = -err;
	log_error("'%s' is now read-only: %s failed: %s; unmount it and run"
		  " 'e2fsck -f'",
		  fs->name, what, g_strerror(-err));
	fs->fs->super->s_state |= EXT2_ERROR_FS;
	super_change_state(fs, EXT2_ERROR_FS, EXT2_VALID_FS);
}

/* The opposite of the mark; everything else is durable. */
static int mark_clean(struct hostfs *fs)
{
	int err;

	fs->marked = false;
	err = tx_store_super(fs);
	if (!err)
		err = write_epoch(fs, TX_FIRST, true);
	return err;
}

int tx_finish(struct hostfs *fs)
{
	int err;

	if (fs->readonly)
		return 0;
	if (g_atomic_int_get(&fs->failed))
		return -g_atomic_int_get(&fs->failed);
	/* The first may leave released blocks behind, which are free now. */
	err = tx_commit(fs);
	if (!err)
		err = tx_commit(fs);
	if (err)
		return err;

	err = blkdev_flush(fs->dev);
	if (!err && fs->marked)
		err = mark_clean(fs);
	if (err)
		tx_fail(fs, err, "marking it clean");
	return err;
}
