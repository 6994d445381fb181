/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fills: blocks for holes, from reserve over publish into the file.
 *
 *   reserve     blocks: free -> reserved      promise: tree blocks put aside
 *   publish     tree, i_blocks, size          blocks: reserved -> used
 *   unreserve   blocks: reserved -> free      promise returned
 *
 * A publish is one step: whatever fails in its middle, what was entered before
 * is taken out again, and only when that fails too is the host broken. The
 * blocks become used only behind that, as this cannot fail. No commit happens
 * between the first and the last run, so none can carry half a fill.
 *
 * A promise keeps enough blocks free that other fills cannot eat up what the
 * tree will need. It is returned when publishing starts: under the host's lock
 * nobody else can take the blocks meanwhile.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

int hostfile_enter(struct hostfile *hf, const struct extent *e,
		   uint64_t *ret_done)
{
	struct extent rest = *e;
	uint64_t done;
	int err;

	for (*ret_done = 0; *ret_done < e->len; *ret_done += done) {
		rest.start = lblk_add(e->start, *ret_done);
		rest.phys = pblk_add(e->phys, *ret_done);
		rest.len = e->len - *ret_done;
		err = hf->extent_mapped ? exttree_set(hf, &rest, NULL, &done)
					: indtree_set(hf, &rest, NULL, &done);
		if (err)
			return err;
	}
	return 0;
}

int hostfile_make_room(struct hostfile *hf)
{
	int err;

	if (!alloc_pending(hf->fs->alloc) && !alloc_draining(hf->fs->alloc))
		return -ENOSPC;
	err = tx_commit(hf->fs);
	/* Others may have begun to fill the next transaction. */
	return err ? err : tx_start(hf->fs);
}

/* ---- reserve ---- */

static bool continues(const struct extent *a, const struct extent *b)
{
	return a->state == b->state && extent_end(a) == b->start.v &&
	       a->phys.v + a->len == b->phys.v;
}

/* Append @run; a continued run stays one, while an extent can hold it. */
static void append_run(struct fill *fill, const struct extent *run,
		       uint64_t promised)
{
	struct extent *last = fill->n ? &fill->runs[fill->n - 1] : NULL;

	fill->promised += promised;
	if (last && continues(last, run) &&
	    last->len + run->len <= FILL_RUN_MAX)
		last->len += run->len;
	else
		fill->runs[fill->n++] = *run;
}

/*
 * The blocks are there already, so a host without a free block is no reason to
 * refuse: most likely the tree needs none, and publishing tells.
 */
static int reserve_unwritten(struct hostfile *hf, const struct extent *e,
			     struct fill *fill)
{
	struct alloc *a = hf->fs->alloc;
	struct extent run = *e;
	uint64_t promise;

	run.len = u64_min(run.len, FILL_RUN_MAX);
	promise = u64_min(hostfile_tree_worst(hf, run.len),
			  alloc_available_meta(a));
	alloc_promise(a, promise);
	append_run(fill, &run, promise);
	return 0;
}

static int reserve_hole(struct hostfile *hf, const struct extent *e,
			struct fill *fill)
{
	uint64_t done = 0;

	while (done < e->len && fill->n < FILL_RUNS) {
		struct extent run;
		uint64_t promised;
		int err = hostfile_take(hf, fill, lblk_add(e->start, done),
					e->len - done, &run, &promised);

		if (err)
			return done ? 0 : err;
		append_run(fill, &run, promised);
		done += run.len;
		/* Runs that continue each other are many bitmaps all the same. */
		if (!hostfile_fits_tx(hf, fill->promised + fill->n))
			break;
	}
	return 0;
}

static int reserve_locked(struct hostfile *hf, const struct extent *e,
			  struct fill *fill)
{
	struct extent now = *e;
	uint64_t end = LBLK_END;
	int err = tx_may_change(hf->fs);

	if (err)
		return err;
	/* Runs are few and small beside the tree blocks they may need. */
	if (fill->n && !hostfile_fits_tx(hf, fill->promised + fill->n))
		return -E2BIG;
	end = u64_min(
		end,
		lblk_of_img_ceil(img_off_at(hf->max_size), hf->fs->bits).v);
	if (now.start.v >= end)
		return -EFBIG;
	now.len = u64_min(now.len, end - now.start.v);
	for (unsigned try = 0;; try++) {
		err = now.state == EXTENT_HOLE
			      ? reserve_hole(hf, &now, fill)
			      : reserve_unwritten(hf, &now, fill);
		if (err != -ENOSPC || try)
			return err;
		err = hostfile_make_room(hf);
		if (err)
			return err;
	}
}

int hostfile_reserve(struct hostfile *hf, const struct extent *e,
		     struct fill *fill)
{
	int err;

	g_assert(e->len && e->state != EXTENT_MAPPED && fill->n < FILL_RUNS);
	mutex_lock(&hf->fs->lock);
	err = reserve_locked(hf, e, fill);
	mutex_unlock(&hf->fs->lock);
	return err;
}

void hostfile_unreserve(struct hostfile *hf, struct fill *fill)
{
	struct hostfs *fs = hf->fs;

	if (!fill->n && !fill->promised)
		return;
	mutex_lock(&fs->lock);
	for (unsigned i = 0; i < fill->n; i++) {
		const struct extent *run = &fill->runs[i];

		if (run->state == EXTENT_MAPPED)
			alloc_give_back(fs->alloc, run->phys,
					(uint32_t)run->len);
	}
	alloc_unpromise(fs->alloc, fill->promised);
	mutex_unlock(&fs->lock);
	memset(fill, 0, sizeof(*fill));
}

/* ---- publish ---- */

/* Take [run->start, +done) out of the tree again: as it was before. */
static void leave(struct hostfile *hf, const struct extent *run, uint64_t done)
{
	struct extent back = *run;
	uint64_t undone;
	int err;

	if (!done)
		return;
	back.len = done;
	if (run->state == EXTENT_MAPPED)
		back.state = EXTENT_HOLE;
	err = hostfile_enter(hf, &back, &undone);
	if (err)
		tx_fail(hf->fs, err, "undoing half a change of a file's map");
}

/* The tree takes every run, or none. */
static int enter_runs(struct hostfile *hf, const struct fill *fill)
{
	for (unsigned i = 0; i < fill->n; i++) {
		struct extent run = fill->runs[i];
		uint64_t done;
		int err;

		run.state = EXTENT_MAPPED;
		err = hostfile_enter(hf, &run, &done);
		if (!err)
			continue;
		leave(hf, &fill->runs[i], done);
		while (i--)
			leave(hf, &fill->runs[i], fill->runs[i].len);
		return err;
	}
	return 0;
}

static void leave_runs(struct hostfile *hf, const struct fill *fill)
{
	for (unsigned i = fill->n; i--;)
		leave(hf, &fill->runs[i], fill->runs[i].len);
}

static uint64_t reserved_blocks(const struct fill *fill)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < fill->n; i++)
		if (fill->runs[i].state == EXTENT_MAPPED)
			n += fill->runs[i].len;
	return n;
}

/* Tree, i_blocks and size: all or nothing. */
static int change_file(struct hostfile *hf, const struct fill *fill,
		       uint64_t new_size)
{
	int64_t blocks = (int64_t)reserved_blocks(fill);
	int err = enter_runs(hf, fill);

	if (err)
		return err;
	if (blocks)
		err = inode_add_blocks(hf, blocks);
	if (err) {
		leave_runs(hf, fill);
		return err;
	}
	if (new_size > hostfile_size(hf))
		err = inode_set_size(hf, new_size);
	if (err) {
		if (blocks && inode_add_blocks(hf, -blocks))
			tx_fail(hf->fs, err, "an inode's block count");
		leave_runs(hf, fill);
	}
	return err;
}

static int publish_locked(struct hostfile *hf, struct fill *fill,
			  uint64_t new_size)
{
	struct alloc *a = hf->fs->alloc;
	int err = tx_start(hf->fs);

	if (err)
		return err;
	alloc_unpromise(a, fill->promised);
	err = change_file(hf, fill, new_size);
	if (err == -ENOSPC && !hostfile_make_room(hf))
		err = change_file(hf, fill, new_size);
	if (err) {
		alloc_promise(a, fill->promised);
		return err;
	}
	for (unsigned i = 0; i < fill->n; i++) {
		struct extent run = fill->runs[i];

		if (run.state == EXTENT_MAPPED)
			alloc_publish(a, run.phys, (uint32_t)run.len);
		run.state = EXTENT_MAPPED;
		extmap_set(hf->map, &run);
	}
	inode_changed(hf);
	memset(fill, 0, sizeof(*fill));
	return 0;
}

int hostfile_publish(struct hostfile *hf, struct fill *fill, uint64_t new_size)
{
	int err;

	mutex_lock(&hf->fs->lock);
	err = publish_locked(hf, fill, new_size);
	mutex_unlock(&hf->fs->lock);
	return err;
}
