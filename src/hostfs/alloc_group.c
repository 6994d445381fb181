/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block group's bitmap in memory.
 *
 * Owns loading (with every check that the format offers), the construction of
 * bitmaps that were never written (EXT2_BG_BLOCK_UNINIT), eviction, and the
 * way back into the overlay. The counts in descriptor and superblock change
 * here and nowhere else, together with the used bits.
 *
 * Invariants: a loaded group has as many clear used bits as its descriptor
 * counts free; what lies behind the end of the last group is set; the
 * descriptor's checksum is right unless the group is dirty.
 *
 * Runs under hostfs.lock. A bitmap that makes no sense is refused, and that is
 * said once; nothing of it is used.
 */
#include "alloc_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Idle groups that stay: 1 MiB of memory at most with 4 KiB blocks. */
#define IDLE_MAX 128

int alloc_corrupt(struct alloc *a, uint64_t block, const char *what)
{
	if (!a->corrupt_said)
		log_error("'%s': block %" PRIu64 ": %s; unmount it and run"
			  " 'e2fsck -f'",
			  a->fs->name, block, what);
	a->corrupt_said = true;
	return -EUCLEAN;
}

uint32_t alloc_next_part(struct alloc *a, struct run *r, struct bits *ret)
{
	uint64_t first = a->fs->fs->super->s_first_data_block;
	uint64_t per_group = EXT2_BLOCKS_PER_GROUP(a->fs->fs->super);
	uint64_t bit = (r->start - first) % per_group;
	uint32_t index = (uint32_t)((r->start - first) / per_group);

	ret->start = (uint32_t)bit;
	ret->len = (uint32_t)u64_min(r->len, per_group - bit);
	r->start += ret->len;
	r->len -= ret->len;
	return index;
}

/*
 * The filesystem's own blocks, wherever their group is: with flex_bg they may
 * belong to any other one. Halves the range until its parts are pure; the
 * depth is the logarithm of the group's size.
 */
static void mark_zone(struct alloc *a, struct group *g, uint32_t start,
		      uint32_t len)
{
	uint64_t first = ext2fs_group_first_block2(a->fs->fs, g->index);

	if (!syszone_touches(a->fs->zone, pblk_at(first + start), len))
		return;
	if (len == 1) {
		bits_fill(g->used, start, 1, true);
		return;
	}
	mark_zone(a, g, start, len / 2);
	mark_zone(a, g, start + len / 2, len - len / 2);
}

static int read_bitmap(struct alloc *a, struct group *g, uint64_t block)
{
	ext2_filsys fs = a->fs->fs;
	int size = (int)(EXT2_CLUSTERS_PER_GROUP(fs->super) / 8);
	int err;

	err = overlay_get_block(a->fs->meta, pblk_at(block), g->used);
	if (err)
		return err;
	if (!ext2fs_block_bitmap_csum_verify(fs, g->index, (char *)g->used,
					     size))
		return alloc_corrupt(a, block,
				     "wrong checksum of the block bitmap");
	return 0;
}

static int load(struct alloc *a, struct group *g)
{
	ext2_filsys fs = a->fs->fs;
	uint64_t block = ext2fs_block_bitmap_loc(fs, g->index);
	uint32_t bits = a->fs->block_size * 8;
	bool csum = ext2fs_has_group_desc_csum(fs);
	int err;

	if (csum && !ext2fs_group_desc_csum_verify(fs, g->index))
		return alloc_corrupt(a, block,
				     "wrong checksum of the descriptor");
	if (block <= fs->super->s_first_data_block ||
	    block >= ext2fs_blocks_count(fs->super))
		return alloc_corrupt(a, block, "the block bitmap lies outside");
	if (csum && ext2fs_bg_flags_test(fs, g->index, EXT2_BG_BLOCK_UNINIT)) {
		mark_zone(a, g, 0, g->blocks);
	} else {
		err = read_bitmap(a, g, block);
		if (err)
			return err;
	}
	bits_fill(g->used, g->blocks, bits - g->blocks, true);
	if (group_count_free(g, 0, g->blocks) !=
	    ext2fs_bg_free_blocks_count(fs, g->index))
		return alloc_corrupt(a, block,
				     "bitmap and free count disagree");
	return 0;
}

void group_free(struct group *g)
{
	g_free(g->used);
	g_free(g->busy);
	g_free(g);
}

static struct group *group_new(struct alloc *a, uint32_t index)
{
	struct group *g = g_new0(struct group, 1);

	g->index = index;
	g->blocks = (uint32_t)ext2fs_group_blocks_count(a->fs->fs, index);
	g->longest = g->blocks;
	g->link.data = g;
	g->used = g_malloc0(a->fs->block_size);
	return g;
}

static void evict(struct alloc *a)
{
	while (a->idle.length > IDLE_MAX) {
		struct group *g = a->idle.tail->data;

		g_queue_unlink(&a->idle, &g->link);
		g_hash_table_remove(a->groups, GUINT_TO_POINTER(g->index));
	}
}

int group_get(struct alloc *a, uint32_t index, struct group **ret)
{
	struct group *g;
	int err;

	g = g_hash_table_lookup(a->groups, GUINT_TO_POINTER(index));
	if (!g) {
		g = group_new(a, index);
		err = load(a, g);
		if (err) {
			group_free(g);
			return err;
		}
		g_hash_table_insert(a->groups, GUINT_TO_POINTER(index), g);
	} else if (g->idle) {
		g_queue_unlink(&a->idle, &g->link);
		g->idle = false;
	}
	group_settle(a, g);
	*ret = g;
	return 0;
}

struct group *group_held(struct alloc *a, uint32_t index)
{
	struct group *g;

	g = g_hash_table_lookup(a->groups, GUINT_TO_POINTER(index));
	g_assert(g && !g->idle);
	return g;
}

uint32_t group_free_blocks(struct alloc *a, uint32_t index)
{
	uint32_t count = ext2fs_bg_free_blocks_count(a->fs->fs, index);
	struct group *g;

	if (!count)
		return 0;
	g = g_hash_table_lookup(a->groups, GUINT_TO_POINTER(index));
	if (g && alloc_clears_at_once(a))
		count -= g->released;
	return g ? count - g->reserved : count;
}

void group_settle(struct alloc *a, struct group *g)
{
	bool idle = !g->dirty && !g->reserved && !g->released;

	if (!g->reserved && !g->released)
		g_clear_pointer(&g->busy, g_free);
	if (idle == g->idle)
		return;
	g->idle = idle;
	if (idle) {
		g_queue_push_head_link(&a->idle, &g->link);
		evict(a);
	} else {
		g_queue_unlink(&a->idle, &g->link);
	}
}

void group_set_busy(struct group *g, uint32_t start, uint32_t len, bool on)
{
	if (!g->busy)
		g->busy = g_malloc0(align_ceil(g->blocks, 64) / 8);
	bits_fill(g->busy, start, len, on);
	if (!on)
		g->longest = g->blocks;
}

void group_set_released(struct alloc *a, struct group *g, struct bits b,
			bool on)
{
	bool before = g->released != 0;

	group_set_busy(g, b.start, b.len, on);
	if (on)
		g->released += b.len;
	else
		g->released -= b.len;
	if (!before && g->released)
		a->released_groups++;
	else if (before && !g->released)
		a->released_groups--;
}

void group_set_used(struct alloc *a, struct group *g, uint32_t start,
		    uint32_t len, bool on, bool urgent)
{
	ext2_filsys fs = a->fs->fs;
	uint32_t count = ext2fs_bg_free_blocks_count(fs, g->index);
	uint64_t total = ext2fs_free_blocks_count(fs->super);

	bits_fill(g->used, start, len, on);
	/* The group's count agreed with the bits; the total is believed. */
	if (on) {
		count -= len;
		total -= u64_min(total, len);
	} else {
		count += len;
		total = u64_min(total + len, ext2fs_blocks_count(fs->super));
	}
	ext2fs_bg_free_blocks_count_set(fs, g->index, count);
	ext2fs_free_blocks_count_set(fs->super, total);
	ext2fs_bg_flags_clear(fs, g->index, EXT2_BG_BLOCK_UNINIT);
	a->dirty_groups += !g->dirty;
	g->dirty = true;
	a->urgent_groups += urgent && !g->urgent;
	g->urgent |= urgent;
}

int group_store(struct alloc *a, struct group *g)
{
	ext2_filsys fs = a->fs->fs;
	int size = (int)(EXT2_CLUSTERS_PER_GROUP(fs->super) / 8);
	uint64_t block = ext2fs_block_bitmap_loc(fs, g->index);
	errcode_t code;
	int err;

	code = ext2fs_block_bitmap_csum_set(fs, g->index, (char *)g->used,
					    size);
	if (code)
		return errcode_to_errno(code);
	ext2fs_group_desc_csum_set(fs, g->index);
	err = overlay_put_block(a->fs->meta, pblk_at(block), g->used, TX_FIRST);
	if (err)
		return err;
	a->dirty_groups--;
	a->urgent_groups -= g->urgent;
	g->dirty = g->urgent = false;
	return 0;
}
