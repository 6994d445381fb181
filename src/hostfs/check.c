/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cache against the disk, for tests and debug builds. What the cache does
 * not know cannot be wrong; what it knows must be exactly what the leaf says.
 */
#include "hostfs_priv.h"

#include <inttypes.h>

static const char *state_name(enum extent_state state)
{
	static const char *const names[] = { "hole", "mapped", "unwritten" };

	return names[state];
}

static bool same(const struct extent *disk, const struct extent *cached)
{
	if (disk->state != cached->state)
		return false;
	return disk->state == EXTENT_HOLE ||
	       disk->phys.v + (cached->start.v - disk->start.v) ==
		       cached->phys.v;
}

/*
 * A lookup that fails does not say how far; what follows is sampled then, more
 * closely towards its end.
 */
static char *compare_piece(struct hostfile *hf, const struct extent *disk)
{
	uint64_t at = disk->start.v, end = extent_end(disk);
	struct extent cached;

	while (at < end) {
		if (!extmap_lookup(hf->map, lblk_at(at), end - at, &cached)) {
			at += (end - at) / 16 + 1;
			continue;
		}
		if (!same(disk, &cached))
			return g_strdup_printf(
				"block %" PRIu64
				": the cache says %s at %" PRIu64
				", the disk says %s at %" PRIu64,
				at, state_name(cached.state), cached.phys.v,
				state_name(disk->state),
				disk->phys.v + (at - disk->start.v));
		at = extent_end(&cached);
	}
	return NULL;
}

static char *compare_hole(struct hostfile *hf, uint64_t start, uint64_t end)
{
	struct extent hole = {
		.start = lblk_at(start),
		.len = end - start,
		.state = EXTENT_HOLE,
	};

	return start < end ? compare_piece(hf, &hole) : NULL;
}

static char *compare_leaf(struct hostfile *hf, const struct leaf *leaf)
{
	uint64_t at = leaf->start.v;
	char *wrong = NULL;

	for (guint i = 0; !wrong && i < leaf->extents->len; i++) {
		const struct extent *e =
			&g_array_index(leaf->extents, struct extent, i);

		if (e->start.v < at)
			return g_strdup_printf("extent at %" PRIu64
					       " out of order",
					       e->start.v);
		wrong = compare_hole(hf, at, e->start.v);
		if (!wrong)
			wrong = compare_piece(hf, e);
		at = extent_end(e);
	}
	if (!wrong)
		wrong = compare_hole(hf, at, leaf->start.v + leaf->len);
	return wrong;
}

static char *check_leaf(struct hostfile *hf, uint64_t at, uint64_t *ret_end)
{
	struct leaf leaf = {
		.extents = g_array_new(FALSE, FALSE, sizeof(struct extent)),
	};
	char *wrong;
	int err;

	err = hostfile_load_leaf(hf, lblk_at(at), &leaf);
	if (err)
		wrong = g_strdup_printf("the leaf of block %" PRIu64 ": %s", at,
					g_strerror(-err));
	else if (leaf.start.v > at || leaf.start.v + leaf.len <= at)
		wrong = g_strdup_printf(
			"the leaf of block %" PRIu64 " is another's", at);
	else
		wrong = compare_leaf(hf, &leaf);
	*ret_end = leaf.start.v + leaf.len;
	g_array_unref(leaf.extents);
	return wrong;
}

char *hostfile_check(struct hostfile *hf)
{
	char *wrong;

	mutex_lock(&hf->fs->lock);
	wrong = extmap_check(hf->map);
	if (!wrong && !hf->deleted &&
	    hostfile_size(hf) != EXT2_I_SIZE(hf->inode))
		wrong = g_strdup("the size is not the inode's");
	if (!wrong && hf->extent_mapped)
		wrong = exttree_check(hf);
	for (uint64_t at = 0; !wrong && at < LBLK_END;)
		wrong = check_leaf(hf, at, &at);
	mutex_unlock(&hf->fs->lock);
	return wrong;
}
