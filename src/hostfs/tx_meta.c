/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tree blocks within the running transaction.
 *
 * Owns the set of blocks that are new in it: nothing on the source points to
 * them yet, so they may go out in the first epoch and be changed in place.
 * Whatever else is written waits for the second. With a journal a commit is
 * atomic, and every block may be changed in place.
 *
 * A block that is freed leaves the overlay at once. What an older commit has of
 * it, in memory or in the log, is dealt with when this one is frozen.
 *
 * Runs under hostfs.lock. Never writes over the filesystem's own blocks.
 */
#include "hostfs_priv.h"

#include <errno.h>

int meta_read(struct hostfs *fs, pblk block, void *buf)
{
	return overlay_get_block(fs->meta, block, buf);
}

int meta_read_node(struct hostfs *fs, ext2_ino_t ino, pblk block, void *buf,
		   bool *ret_made)
{
	uint64_t seal;
	int err = overlay_get_sealed(fs->meta, block, buf, &seal);

	if (!err)
		*ret_made = seal == ino;
	return err;
}

static enum tx_tag tag_of(struct hostfs *fs, pblk block)
{
	return meta_is_new(fs, block) ? TX_FIRST : TX_SECOND;
}

int meta_write(struct hostfs *fs, pblk block, const void *buf)
{
	if (hostfs_owns(fs, block, 1))
		return -EUCLEAN;
	return overlay_put_block(fs->meta, block, buf, tag_of(fs, block));
}

int meta_write_node(struct hostfs *fs, ext2_ino_t ino, pblk block,
		    const void *buf)
{
	if (hostfs_owns(fs, block, 1))
		return -EUCLEAN;
	return overlay_put_sealed(fs->meta, block, buf, tag_of(fs, block), ino);
}

int meta_alloc(struct hostfs *fs, pblk goal, pblk *ret)
{
	gint64 *key;
	pblk block;
	uint32_t len;
	int err;

	/* What others were promised is not to be had. */
	if (!alloc_available_meta(fs->alloc))
		return -ENOSPC;
	err = alloc_take(fs->alloc, goal, 1, &block, &len);
	if (err)
		return err;
	alloc_publish(fs->alloc, block, len);
	key = g_new(gint64, 1);
	*key = (gint64)block.v;
	g_hash_table_add(fs->new_blocks, key);
	*ret = block;
	return 0;
}

int meta_free(struct hostfs *fs, pblk block)
{
	gint64 key = (gint64)block.v;
	int err;

	err = alloc_release(fs->alloc, block, 1);
	if (err)
		return err;
	overlay_drop(fs->meta, block);
	if (fs->jlog && !g_hash_table_contains(fs->new_blocks, &key))
		g_array_append_val(fs->dropped, block);
	g_hash_table_remove(fs->new_blocks, &key);
	return 0;
}

bool meta_in_place(struct hostfs *fs, pblk block)
{
	return fs->jlog || meta_is_new(fs, block);
}

bool meta_is_new(struct hostfs *fs, pblk block)
{
	gint64 key = (gint64)block.v;

	return g_hash_table_contains(fs->new_blocks, &key);
}
