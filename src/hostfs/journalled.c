/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits of a host with a journal: one JBD2 transaction each, in ordered mode.
 *
 *   a block's newest content is   where                    goes on by
 *   running                       meta, dirty              a freeze
 *   committed, or on its way      stable, dirty; the log   a checkpoint
 *   home                          the source
 *
 * Checkpoints are lazy: when memory asks for it, when a lap of the log is full,
 * when nobody had anything to commit for a while, and at the end. Between two
 * of them a block that changes with every commit is written to the log only.
 * Stable never holds anything but committed content while a checkpoint runs:
 * both are the leader's, one after the other.
 *
 * The tail of the log moves by starting over, after everything is home and
 * flushed. Order at the ends:
 *
 *   begin   superblock needs_recovery; flush; log open; flush
 *   end     checkpoint; flush; log closed; flush; needs_recovery clear; flush
 */
#include "tx_priv.h"

#include <rawmap/base/error.h>

#include <errno.h>
#include <inttypes.h>

/* Committed blocks kept from home, at most, before a checkpoint is due. */
#define HEAVY_BLOCKS 2048
#define HEAVY_BYTES  (UINT64_C(8) << 20)

/* What one fill or punch changes at worst fits four times. mke2fs makes 1024. */
#define LOG_BLOCKS_MIN 255

static bool open_journal(struct hostfs *fs, const GArray *runs, GError **error)
{
	fs->journal = journal_open(
		fs->dev, (const struct journal_run *)(void *)runs->data,
		runs->len, fs->bits, fs->name, error);
	if (!fs->journal)
		return false;
	fs->jlog = jlog_new(fs->journal, ext2fs_blocks_count(fs->fs->super),
			    error);
	if (!fs->jlog)
		return false;
	if (jlog_capacity(fs->jlog) >= LOG_BLOCKS_MIN)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_READONLY,
		    "'%s' has a log of %" PRIu64 " blocks in its journal, which"
		    " is too short for rawmap to write to; open it read-only"
		    " (-r)",
		    fs->name, jlog_capacity(fs->jlog));
	return false;
}

bool journalled_open(struct hostfs *fs, GError **error)
{
	g_autoptr(GArray)
		runs = g_array_new(FALSE, FALSE, sizeof(struct journal_run));
	int err = jmap_read(fs->fs, fs->fs->super->s_journal_inum, runs, NULL);

	if (!err)
		return open_journal(fs, runs, error);
	error_set_errno(
		error, err == -EUCLEAN ? RAWMAP_ERROR_CORRUPT : RAWMAP_ERROR_IO,
		-err,
		"'%s': cannot read where the journal lies;"
		" 'e2fsck -f' may repair it, -r reads without",
		fs->name);
	return false;
}

void journalled_close(struct hostfs *fs)
{
	jlog_free(fs->jlog);
	journal_close(fs->journal);
}

int journalled_mark(struct hostfs *fs)
{
	const struct super_change change = { .recovery_on = true };
	int err = super_apply(fs, &change);

	return err ? err : jlog_begin(fs->jlog);
}

static int get_block(void *ctx, size_t i, void *buf)
{
	const struct batch *b = ((void **)ctx)[0];
	struct hostfs *fs = ((void **)ctx)[1];

	return overlay_get_block(fs->stable, b->blocks[i], buf);
}

int journalled_write(struct hostfs *fs, const struct batch *b)
{
	const void *ctx[] = { b, fs };
	const struct jlog_tx tx = {
		.blocks = b->blocks,
		.n = b->n,
		.get = get_block,
		.ctx = ctx,
		.revokes = (const pblk *)(void *)b->revokes->data,
		.nrevokes = b->revokes->len,
	};

	/* Changes that took each other back. */
	if (!tx.n && !tx.nrevokes)
		return blkdev_flush(fs->dev);
	return jlog_commit(fs->jlog, &tx);
}

bool journalled_has_room(struct hostfs *fs)
{
	return jlog_need(fs->jlog, tx_size(fs), fs->dropped->len) <=
	       jlog_room(fs->jlog);
}

int journalled_checkpoint(struct hostfs *fs, bool restart)
{
	int err = overlay_write_out(fs->stable, fs->dev, TX_FIRST);

	if (!err)
		err = overlay_write_out(fs->stable, fs->dev, TX_SECOND);
	if (!err && restart)
		err = blkdev_flush(fs->dev);
	if (!err && restart)
		err = jlog_restart(fs->jlog);
	return err;
}

bool journalled_is_heavy(struct hostfs *fs)
{
	return overlay_dirty_count(fs->stable) >=
	       MIN(HEAVY_BLOCKS, HEAVY_BYTES >> fs->bits);
}

int journalled_finish(struct hostfs *fs)
{
	const struct super_change change = { .recovery_off = true };
	int err = journalled_checkpoint(fs, false);

	if (!err)
		err = blkdev_flush(fs->dev);
	if (err || !fs->marked)
		return err;
	err = jlog_end(fs->jlog);
	if (!err)
		err = super_apply(fs, &change);
	if (!err)
		fs->marked = false;
	return err;
}
