/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling a hostfile's cache from its map on disk, a leaf at a time.
 *
 * Misses that follow each other look ahead: each loads twice as many leaves as
 * the one before, up to AHEAD_MAX; any other miss starts over with one. Looking
 * ahead stops at the end of the file, at what is known already and at an error,
 * which is left for whoever really needs that leaf. With a small budget it may
 * push out the very leaf that was asked for; that one is then loaded again.
 *
 * Whoever loads is answered from the leaf, not from the cache: that may forget
 * at any time, since a drop does not take the host's lock.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <inttypes.h>

#define AHEAD_MAX 16u
/* Leaves that are loaded without letting anybody else in between. */
#define POPULATE 256u

static bool is_known(struct hostfile *hf, uint64_t at)
{
	struct extent e;

	return extmap_lookup(hf->map, lblk_at(at), 1, &e);
}

int hostfile_load_leaf(struct hostfile *hf, lblk at, struct leaf *ret)
{
	if (hf->inline_bytes) {
		ret->start = lblk_at(0);
		ret->len = LBLK_END;
		return 0;
	}
	return hf->extent_mapped ? exttree_load(hf, at, ret)
				 : indtree_load(hf, at, ret);
}

/* What the leaf says of @at, at most @max blocks; as extmap_load() reads it. */
static void look_in_leaf(const struct leaf *leaf, uint64_t at, uint64_t max,
			 struct extent *ret)
{
	uint64_t end = u64_min(leaf->start.v + leaf->len, LBLK_END);

	*ret = (struct extent){ .start = lblk_at(at), .state = EXTENT_HOLE };
	for (guint i = 0; i < leaf->extents->len; i++) {
		const struct extent *e =
			&g_array_index(leaf->extents, struct extent, i);

		if (extent_end(e) <= at)
			continue;
		if (e->start.v > at) {
			end = u64_min(end, e->start.v);
			break;
		}
		ret->phys = pblk_add(e->phys, at - e->start.v);
		ret->state = e->state;
		end = u64_min(end, extent_end(e));
		break;
	}
	ret->len = u64_min(end - at, max);
}

/*
 * One leaf into the cache; *ret_end is the first block behind it, *ret (NULL is
 * fine) what it says of @at.
 */
static int load_leaf(struct hostfile *hf, uint64_t at, uint64_t *ret_end,
		     uint64_t max, struct extent *ret)
{
	struct leaf leaf = {
		.extents = g_array_new(FALSE, FALSE, sizeof(struct extent)),
	};
	int err;

	err = hostfile_load_leaf(hf, lblk_at(at), &leaf);
	if (!err) {
		extmap_load(hf->map, leaf.start, leaf.len,
			    (struct extent *)(void *)leaf.extents->data,
			    leaf.extents->len);
		*ret_end = leaf.start.v + leaf.len;
		if (ret)
			look_in_leaf(&leaf, at, max, ret);
	}
	g_array_unref(leaf.extents);
	return err;
}

int hostfile_look(struct hostfile *hf, lblk at, uint64_t max,
		  struct extent *ret)
{
	uint64_t end;

	if (extmap_lookup(hf->map, at, max, ret))
		return 0;
	return load_leaf(hf, at.v, &end, max, ret);
}

static int load_some(struct hostfile *hf, uint64_t at, uint64_t max,
		     struct extent *ret)
{
	uint64_t next, end;
	unsigned n;
	int err;

	err = load_leaf(hf, at, &next, max, ret);
	if (err)
		return err;
	end = lblk_of_img_ceil(img_off_at(hostfile_size(hf)), hf->fs->bits).v;
	for (n = 1; n < hf->lookahead; n++)
		if (next >= end || is_known(hf, next) ||
		    load_leaf(hf, next, &next, 0, NULL))
			break;
	hf->next_miss = next;
	if (n > 1 && !is_known(hf, at))
		err = load_leaf(hf, at, &next, max, ret);
	return err;
}

static int load_locked(struct hostfile *hf, uint64_t at, uint64_t max,
		       struct extent *ret)
{
	int err;

	if (extmap_lookup(hf->map, lblk_at(at), max, ret))
		return 0;
	hf->lookahead = at == hf->next_miss ? MIN(2 * hf->lookahead, AHEAD_MAX)
					    : 1;
	hf->ahead.want = hf->lookahead;
	err = load_some(hf, at, max, ret);
	exttree_load_end(hf);
	return err;
}

int hostfile_map_at(struct hostfile *hf, lblk at, uint64_t max,
		    struct extent *ret)
{
	int err;

	g_assert(at.v < LBLK_END && max);
	if (extmap_lookup(hf->map, at, max, ret))
		return 0;
	mutex_lock(&hf->fs->lock);
	err = load_locked(hf, at.v, max, ret);
	mutex_unlock(&hf->fs->lock);
	return err;
}

/* Leaves from *at on; *at moves behind them, @end at most. */
static int populate_some(struct hostfile *hf, uint64_t *at, uint64_t end)
{
	int err = 0;

	hf->ahead.want = POPULATE;
	for (unsigned n = 0; n < POPULATE && *at < end && !err; n++) {
		struct extent e;

		if (extmap_lookup(hf->map, lblk_at(*at), end - *at, &e))
			*at += e.len;
		else
			err = load_leaf(hf, *at, at, 0, NULL);
	}
	exttree_load_end(hf);
	return err;
}

int hostfile_populate(struct hostfile *hf, lblk start, uint64_t len)
{
	uint64_t at = start.v, end;
	int err = 0;

	end = lblk_of_img_ceil(img_off_at(hostfile_size(hf)), hf->fs->bits).v;
	if (at >= end)
		return 0;
	end = at + MIN(len, end - at);
	while (at < end && !err) {
		mutex_lock(&hf->fs->lock);
		err = populate_some(hf, &at, end);
		mutex_unlock(&hf->fs->lock);
	}
	return err;
}

static const char *advice(const struct hostfile *hf)
{
	return hf->deleted ? "it is deleted, and others may have its blocks by"
			     " now"
			   : "run 'e2fsck -f' on it";
}

int hostfile_corrupt(struct hostfile *hf, pblk block, const char *what)
{
	if (!hf->corrupt_said) {
		hf->corrupt_said = true;
		if (block.v)
			log_error("'%s': %s, in block %" PRIu64 " of '%s'; %s",
				  hf->path, what, block.v, hf->fs->name,
				  advice(hf));
		else
			log_error("'%s': %s, in inode %u of '%s'; %s", hf->path,
				  what, hf->ino, hf->fs->name, advice(hf));
	}
	return -EUCLEAN;
}
