/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The overlay: a filter that keeps whole blocks in memory over a lower device.
 *
 * Reads see the kept blocks over the lower device's. Writes never reach the
 * lower device: they are kept. Filled by libext2fs' metadata writes it is the
 * running transaction; filled by journal replay it is the correct view of a
 * dirty host.
 *
 *   entry    meaning                                   goes away by
 *   clean    a copy of what the lower device holds     eviction, drop, clear
 *   dirty    newer than the lower device               drop, or write_out once
 *                                                      it is home
 *
 * A dirty entry carries a caller-defined tag (the transaction uses it to order
 * its write-out). A write identical to what the block holds already is dropped:
 * it makes no entry dirty (libext2fs rewrites much that did not change).
 * Clean entries are a read cache, bounded by the limit of overlay_new(); long
 * reads pass it by.
 *
 * Who puts a block may seal it: leave a number there that is his word about
 * these very bytes, such as that he has checked them. The seal is broken by the
 * first byte that changes, and goes away with the entry; overlay_push() takes
 * it along. What was read from a device that is no overlay never has one, however
 * often it is read.
 *
 * blkdev_flush() on it is 0 and does nothing: what is kept becomes durable
 * where its owner writes it. blkdev_discard() is -EOPNOTSUPP.
 *
 * Locks: one mutex inside; it is held across reads of the lower device (a
 * metadata path, never the data path), not across writes to a target.
 */
#ifndef RAWMAP_DEV_OVERLAY_H
#define RAWMAP_DEV_OVERLAY_H

#include <rawmap/dev/blkdev.h>

struct overlay; /* is-a blkdev: overlay_blkdev() */

/*
 * Takes a reference to @lower. @block_size: a power of two; a tail of the lower
 * device shorter than a block is readable, not writable (-EINVAL).
 * @clean_max: how many clean entries may stay (0: none).
 * The device is writable even over a read-only @lower: nothing goes down.
 */
struct overlay *overlay_new(struct blkdev *lower, uint32_t block_size,
			    size_t clean_max);
/* Borrowed: lives as long as somebody holds a reference to it. */
struct blkdev *overlay_blkdev(struct overlay *ov);
/* Drops the creator's reference; dirty entries are lost. NULL is fine. */
void overlay_unref(struct overlay *ov);

/*
 * blkdev_pwrite() on the overlay keeps blocks under the tag set here (0 at
 * first). An entry that is dirty already keeps its own tag.
 */
void overlay_set_tag(struct overlay *ov, unsigned tag);

/*
 * Read or keep one whole block. Return 0, -EINVAL, or the lower device's errno.
 * put replaces tag and content; identical content leaves a clean entry clean.
 */
int overlay_get_block(struct overlay *ov, pblk block, void *buf);
int overlay_put_block(struct overlay *ov, pblk block, const void *buf,
		      unsigned tag);

/*
 * The same with a seal, any number but 0. get says which one the content has:
 * here, or in the overlay that is the lower device; 0: none. Return the same.
 */
int overlay_get_sealed(struct overlay *ov, pblk block, void *buf,
		       uint64_t *ret_seal);
int overlay_put_sealed(struct overlay *ov, pblk block, const void *buf,
		       unsigned tag, uint64_t seal);

bool overlay_is_dirty(struct overlay *ov, pblk block);
size_t overlay_dirty_count(struct overlay *ov);
/* Number of dirty entries with @tag. */
size_t overlay_dirty_count_tag(struct overlay *ov, unsigned tag);

/*
 * The dirty blocks with @tag, ascending: what a commit puts into the journal.
 * Never NULL; the caller frees with g_free().
 */
pblk *overlay_list_dirty(struct overlay *ov, unsigned tag, size_t *ret_count);

/* Forget the entry, dirty or clean; the lower device shines through again. */
void overlay_drop(struct overlay *ov, pblk block);

/*
 * Hand all dirty blocks down to @below, the overlay that is the lower device of
 * @ov: they are dirty there, with their tags, and clean here. For two stages of
 * a change: what runs above, what is on its way out below. Does no I/O, cannot
 * fail; readers of @ov see the same all the time. Returns the blocks,
 * ascending (never NULL, g_free()); *ret_count of them.
 */
pblk *overlay_push(struct overlay *ov, struct overlay *below,
		   size_t *ret_count);

/*
 * Write all dirty blocks with tag @tag to @target (its blocks at the same
 * positions), ascending, neighbours in one write of at most 1 MiB (of one block
 * where that is larger), and make them clean. Not flushed. Stops at the first
 * error and returns it, else 0; blocks that were not written stay dirty.
 *
 * Clean means "as the lower device": @target is the lower device or writes
 * there. Reads go on meanwhile and see the entries; a block that somebody
 * changes, retags or drops while it is written is not made clean.
 */
int overlay_write_out(struct overlay *ov, struct blkdev *target, unsigned tag);

#endif
