/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The running transaction: what is pending in it, how large it may get, and
 * what becomes of the host when something fails.
 *
 * Who changes metadata starts with tx_start(): it waits, or commits, until the
 * transaction has room for one more operation. So a transaction never outgrows
 * the bound on memory, nor, on a host with a journal, what one lap of the log
 * can take; and an operation that found room never has to stop half way.
 *
 * The first error ends it all: the host is broken and stays so, nothing of a
 * later epoch or of the log goes home any more, the source gets an error mark
 * if it still can. While somebody does commit I/O it is he who sets the mark,
 * at the end of his cycle: the log has one user at a time.
 *
 * Runs under hostfs.lock. tx_start() may let go of it.
 */
#include "alloc_priv.h"
#include "tx_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>

#include <errno.h>

/* What a transaction may keep in memory before it is committed unasked. */
#define MAX_BLOCKS 4096
#define MAX_BYTES  (UINT64_C(16) << 20)
#define MAX_RUNS   65536 /* of freed blocks */

/* Blocks that one operation may change, where the log does not say less. */
#define OP_BLOCKS 1024u

/* How many inodes a commit would write; @times: if only for their times. */
static unsigned dirty_inodes(const struct hostfs *fs, bool times)
{
	unsigned n = 0;

	for (guint i = 0; i < fs->files->len; i++) {
		const struct hostfile *hf = fs->files->pdata[i];

		n += hf->inode_dirty || (times && hf->times_dirty);
	}
	return n;
}

bool tx_pending(struct hostfs *fs)
{
	if (fs->readonly)
		return false;
	return fs->super_dirty || overlay_dirty_count(fs->meta) ||
	       alloc_urgent(fs->alloc) || alloc_pending(fs->alloc) ||
	       dirty_inodes(fs, false);
}

bool tx_dirty(struct hostfs *fs)
{
	return tx_pending(fs) || alloc_dirty(fs->alloc) ||
	       dirty_inodes(fs, true);
}

uint64_t tx_size(struct hostfs *fs)
{
	/* A bitmap and its descriptors; an inode a file; the superblock. */
	return overlay_dirty_count(fs->meta) + 2 * alloc_held(fs->alloc) +
	       dirty_inodes(fs, true) + 1;
}

unsigned tx_op_blocks(struct hostfs *fs)
{
	if (!fs->jlog)
		return OP_BLOCKS;
	return (unsigned)u64_min(jlog_capacity(fs->jlog) / 4, OP_BLOCKS);
}

static bool has_room(struct hostfs *fs)
{
	uint64_t op = tx_op_blocks(fs), size = tx_size(fs);

	if (size >= u64_min(MAX_BLOCKS, MAX_BYTES >> fs->bits) ||
	    alloc_pending_runs(fs->alloc) >= MAX_RUNS)
		return false;
	return !fs->jlog ||
	       jlog_need(fs->jlog, size + op, fs->dropped->len + op) <=
		       jlog_capacity(fs->jlog);
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
	if (fs->readonly || hostfs_broken(fs))
		return -EROFS;
	return complete_guard(fs);
}

int tx_start(struct hostfs *fs)
{
	int err = tx_may_change(fs);

	while (!err && !has_room(fs) && tx_dirty(fs)) {
		err = tx_commit(fs);
		if (!err)
			err = tx_may_change(fs);
	}
	return err;
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
	if (!fs->busy)
		tx_mark_error(fs);
}

void tx_mark_error(struct hostfs *fs)
{
	const struct super_change change = {
		.state_on = EXT2_ERROR_FS,
		.state_off = fs->jlog ? 0 : EXT2_VALID_FS,
	};

	if (fs->error_marked)
		return;
	fs->error_marked = true;
	fs->fs->super->s_state |= EXT2_ERROR_FS;
	/* Replay brings an older superblock back, so the journal knows, too. */
	if (fs->jlog && !jlog_is_closed(fs->jlog))
		jlog_mark_error(fs->jlog, g_atomic_int_get(&fs->failed));
	super_apply(fs, &change);
}
