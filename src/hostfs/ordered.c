/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits of a host without a journal: two epochs.
 *
 *   what is pending                          commit
 *   published fills, punches, sizes, super   FIRST, flush, SECOND, flush
 *   the same, nothing in SECOND              FIRST, flush
 *   times, bits of blocks released earlier   FIRST, SECOND; no flush: a crash
 *                                            loses times or leaks blocks
 *
 * Before the first of them the superblock on the source says "not clean".
 */
#include "tx_priv.h"

int ordered_mark(struct hostfs *fs)
{
	const struct super_change change = { .state_off = EXT2_VALID_FS };

	return super_apply(fs, &change);
}

/* One epoch: the blocks with @tag; @durable: with all that came before. */
static int write_epoch(struct hostfs *fs, unsigned tag, bool durable)
{
	int err = overlay_write_out(fs->stable, fs->dev, tag);

	if (err || !durable)
		return err;
	return blkdev_flush(fs->dev);
}

int ordered_write(struct hostfs *fs, const struct batch *b)
{
	int err = write_epoch(fs, TX_FIRST, b->durable);

	if (!err && overlay_dirty_count_tag(fs->stable, TX_SECOND))
		err = write_epoch(fs, TX_SECOND, b->durable);
	return err;
}

int ordered_finish(struct hostfs *fs)
{
	g_autofree pblk *blocks = NULL;
	size_t n;
	int err = blkdev_flush(fs->dev);

	if (err || !fs->marked)
		return err;
	/* The opposite of the mark; everything else is durable. */
	fs->marked = false;
	err = tx_store_super(fs);
	if (err)
		return err;
	blocks = overlay_push(fs->meta, fs->stable, &n);
	return write_epoch(fs, TX_FIRST, true);
}
