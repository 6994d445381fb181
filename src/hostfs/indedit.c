/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing an indirect tree: one range within one array of pointers, which is
 * the twelve in the inode or one indirect block.
 *
 *   change                      writes
 *   pointers of an array        that block, in place (or the inode)
 *   array missing               new blocks down to it, then the one pointer
 *                               above them
 *   array becomes all zero      one pointer above it (above its parent, if that
 *                               becomes zero too); the blocks are released and
 *                               not written
 *
 * So a change is always one write to something that exists, after writes to
 * what nothing points to: it is done or not done, here and on the disk.
 *
 * Pointers are 32 bits. Those in the inode are in the processor's order
 * (libext2fs swaps them), those in blocks are little-endian.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 3

/*
 * The way to an array. Level 0 is the inode, level k the block that level
 * k - 1 points to with slot[k - 1]; the array is level depth, from slot[depth].
 */
struct way {
	struct hostfile *hf;
	unsigned depth;
	unsigned slot[DEPTH_MAX + 1];
	unsigned have;		   /* levels that exist: 0..have */
	pblk block[DEPTH_MAX + 1]; /* of level 1.. */
	le32 *ptrs[DEPTH_MAX + 1]; /* content of level 1..have; owned */
	uint64_t at;		   /* the range's start, counted from the
					   first block below slot[0] */
	uint64_t span;		   /* from there to the array's end */
};

static uint64_t per_block(const struct hostfile *hf)
{
	return hf->fs->block_size / sizeof(le32);
}

static void way_clear(struct way *w)
{
	for (unsigned l = 0; l <= DEPTH_MAX; l++)
		g_free(w->ptrs[l]);
}

static uint32_t get_ptr(const struct way *w, unsigned level, unsigned slot)
{
	if (!level)
		return hostfile_inode(w->hf)->i_block[slot];
	return le32_get(w->ptrs[level][slot]);
}

static void set_ptr(struct way *w, unsigned level, unsigned slot, uint32_t to)
{
	if (!level) {
		hostfile_inode(w->hf)->i_block[slot] = to;
		w->hf->inode_dirty = true;
	} else {
		w->ptrs[level][slot] = le32_of(to);
	}
}

/* Fill in depth, slots, at and span for block @at; false: beyond the tree. */
static bool find_slots(struct way *w, uint64_t at)
{
	uint64_t n = per_block(w->hf), covers = 1;

	if (at < EXT2_NDIR_BLOCKS) {
		w->slot[0] = (unsigned)at;
		w->span = EXT2_NDIR_BLOCKS - at;
		return true;
	}
	at -= EXT2_NDIR_BLOCKS;
	for (w->depth = 1; w->depth <= DEPTH_MAX; w->depth++) {
		covers *= n;
		if (at < covers)
			break;
		at -= covers;
	}
	if (w->depth > DEPTH_MAX)
		return false;
	w->slot[0] = EXT2_IND_BLOCK + w->depth - 1;
	w->span = n - at % n;
	w->at = at;
	for (unsigned l = w->depth; l; l--) {
		w->slot[l] = (unsigned)(at % n);
		at /= n;
	}
	return true;
}

/* Read the levels that exist. */
static int descend(struct way *w)
{
	struct hostfs *fs = w->hf->fs;

	for (unsigned l = 1; l <= w->depth; l++) {
		uint32_t ptr = get_ptr(w, l - 1, w->slot[l - 1]);
		int err;

		if (!ptr)
			return 0;
		w->block[l] = pblk_at(ptr);
		if (hostfs_owns(fs, w->block[l], 1))
			return hostfile_corrupt(
				w->hf, w->block[l],
				"an indirect block that "
				"lies in the filesystem's own blocks");
		w->ptrs[l] = g_malloc(fs->block_size);
		err = meta_read(fs, w->block[l], w->ptrs[l]);
		if (err)
			return err;
		w->have = l;
	}
	return 0;
}

/* What the @n pointers hold; -EUCLEAN when one cannot be the file's. */
static int collect(struct way *w, unsigned n, GArray *freed)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t ptr = get_ptr(w, w->depth, w->slot[w->depth] + i);
		struct extent *last = NULL, e = {
			.start = lblk_at(i),
			.len = 1,
			.phys = pblk_at(ptr),
			.state = EXTENT_MAPPED,
		};

		if (!ptr)
			continue;
		if (hostfs_owns(w->hf->fs, e.phys, 1))
			return hostfile_corrupt(w->hf, w->block[w->depth],
						"a pointer into the "
						"filesystem's own blocks");
		if (freed->len)
			last = &g_array_index(freed, struct extent,
					      freed->len - 1);
		if (last && extent_end(last) == i &&
		    last->phys.v + last->len == ptr)
			last->len++;
		else
			g_array_append_val(freed, e);
	}
	return 0;
}

static void put_pointers(struct way *w, unsigned n, const struct extent *e)
{
	for (unsigned i = 0; i < n; i++)
		set_ptr(w, w->depth, w->slot[w->depth] + i,
			e->state == EXTENT_HOLE ? 0
						: (uint32_t)(e->phys.v + i));
}

/* Take the missing blocks; on an error none is taken. */
static int take_missing(struct way *w, pblk goal)
{
	struct hostfs *fs = w->hf->fs;
	int err = 0;
	unsigned l;

	for (l = w->have + 1; l <= w->depth; l++) {
		err = meta_alloc(fs, goal, &w->block[l]);
		if (!err && w->block[l].v > UINT32_MAX) {
			l++;
			err = -ENOSPC;
		}
		if (err)
			break;
		w->ptrs[l] = g_malloc0(fs->block_size);
		goal = w->block[l];
	}
	while (err && --l > w->have) {
		if (meta_free(fs, w->block[l]))
			tx_fail(fs, err, "an indirect block");
	}
	return err;
}

/*
 * Release the blocks of levels @from to @to. If the first cannot be, nothing
 * happened; if a later one cannot, the host is broken.
 */
static int release(struct way *w, unsigned from, unsigned to)
{
	for (unsigned l = from; l <= to; l++) {
		int err = meta_free(w->hf->fs, w->block[l]);

		if (err && l > from)
			tx_fail(w->hf->fs, err, "releasing an indirect block");
		if (err)
			return err;
	}
	return 0;
}

/* New blocks that nothing points to. */
static void drop_new(struct way *w, unsigned from)
{
	if (from <= w->depth && release(w, from, w->depth))
		tx_fail(w->hf->fs, -EUCLEAN, "releasing an indirect block");
}

/* Enter @n blocks of @e, with new blocks wherever the way ends too early. */
static int enter(struct way *w, unsigned n, const struct extent *e)
{
	struct hostfs *fs = w->hf->fs;
	unsigned have = w->have;
	int64_t fresh = w->depth - have;
	int err = take_missing(w, hostfile_tree_goal(w->hf, e->phys));

	if (err)
		return err;
	if (fresh)
		err = inode_add_blocks(w->hf, fresh);
	if (err) {
		drop_new(w, have + 1);
		return err;
	}
	if (w->depth == have) { /* the array is there */
		put_pointers(w, n, e);
		return have ? meta_write(fs, w->block[have], w->ptrs[have]) : 0;
	}
	put_pointers(w, n, e);
	for (unsigned l = w->depth; l > have && !err; l--) {
		if (l < w->depth)
			set_ptr(w, l, w->slot[l], (uint32_t)w->block[l + 1].v);
		err = meta_write(fs, w->block[l], w->ptrs[l]);
	}
	if (!err && have) {
		set_ptr(w, have, w->slot[have], (uint32_t)w->block[have + 1].v);
		err = meta_write(fs, w->block[have], w->ptrs[have]);
	}
	if (err) {
		if (inode_add_blocks(w->hf, -fresh))
			tx_fail(fs, err, "an inode's block count");
		drop_new(w, have + 1);
		return err;
	}
	if (!have)
		set_ptr(w, 0, w->slot[0], (uint32_t)w->block[1].v);
	return 0;
}

/* Clear @n pointers; blocks without any pointer left are released. */
static int clear(struct way *w, unsigned n, const struct extent *e)
{
	struct hostfs *fs = w->hf->fs;
	unsigned keep = w->depth;
	int err = 0;

	put_pointers(w, n, e);
	while (keep && bytes_are_zero(w->ptrs[keep], fs->block_size)) {
		keep--;
		if (keep)
			set_ptr(w, keep, w->slot[keep], 0);
	}
	if (keep < w->depth)
		err = inode_add_blocks(w->hf, (int64_t)keep - w->depth);
	if (err)
		return err;
	err = release(w, keep + 1, w->depth);
	if (err) {
		if (inode_add_blocks(w->hf, w->depth - (int64_t)keep))
			tx_fail(fs, err, "an inode's block count");
		return err;
	}
	if (!keep && w->depth)
		set_ptr(w, 0, w->slot[0], 0);
	if (keep)
		err = meta_write(fs, w->block[keep], w->ptrs[keep]);
	if (err && keep < w->depth) /* what was released stays so */
		tx_fail(fs, err, "clearing a pointer to an indirect block");
	return err;
}

/* From the range's start to the end of what the missing block would cover. */
static uint64_t missing_span(const struct way *w)
{
	uint64_t covers = 1;

	for (unsigned l = w->have; l < w->depth; l++)
		covers *= per_block(w->hf);
	return covers - w->at % covers;
}

static int change(struct way *w, const struct extent *e, GArray *freed,
		  uint64_t *ret_done)
{
	g_autoptr(GArray)
		cut = g_array_new(FALSE, FALSE, sizeof(struct extent));
	unsigned n = (unsigned)MIN(e->len, w->span);
	bool there = w->have == w->depth;
	int err = 0;

	if (!there && e->state == EXTENT_HOLE) {
		*ret_done = MIN(e->len, missing_span(w));
		return 0;
	}
	if (there)
		err = collect(w, n, cut);
	if (err)
		return err;
	if (e->state != EXTENT_HOLE)
		err = enter(w, n, e);
	else if (cut->len)
		err = clear(w, n, e);
	if (err)
		return err;
	for (unsigned i = 0; freed && i < cut->len; i++) {
		struct extent *c = &g_array_index(cut, struct extent, i);

		c->start = lblk_add(e->start, c->start.v);
		g_array_append_val(freed, *c);
	}
	*ret_done = n;
	return 0;
}

int indtree_set(struct hostfile *hf, const struct extent *e, GArray *freed,
		uint64_t *ret_done)
{
	struct way w = { .hf = hf };
	int err;

	g_assert(e->len && e->state != EXTENT_UNWRITTEN);
	g_assert(e->state == EXTENT_HOLE ||
		 e->phys.v + e->len - 1 <= UINT32_MAX);
	if (!find_slots(&w, e->start.v)) {
		if (e->state != EXTENT_HOLE)
			return -ENOSPC;
		*ret_done = e->len;
		return 0;
	}
	err = descend(&w);
	if (!err)
		err = change(&w, e, freed, ret_done);
	way_clear(&w);
	return err;
}

/* Everything between two ends that lie unluckily; 1 is the triple indirect. */
uint64_t indtree_worst(struct hostfile *hf, uint64_t len)
{
	uint64_t n = per_block(hf);
	uint64_t arrays = (len + n - 2) / n + 1;

	return arrays + (arrays + n - 2) / n + 1 + 1;
}
