/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of the superblock: the host read by one of them, or one found for a
 * sentence when the primary is no good.
 *
 * A copy lies at the start of its group, and says which group that is. So the
 * superblock of a filesystem inside an image file, or of one that was here
 * before, is not taken for it. Behind it lie the group's copies of the
 * descriptors; who opens by a copy gets those too.
 *
 * mke2fs keeps copies up to date; the kernel does not. Layout and features are
 * right in all of them, state and counts are those of the day it was made. That
 * the log is in use only the journal itself can say then.
 */
#include "hostfs_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/jbd/journal.h>

#include <inttypes.h>
#include <limits.h>

#define LOG_MIN	     EXT2_MIN_BLOCK_LOG_SIZE
#define LOG_MAX	     EXT2_MAX_BLOCK_LOG_SIZE
#define GROUP_MAX    65528  /* clusters: what 16 bits count, in whole bytes */
#define CLUSTER_LOG  4	    /* bigalloc, if nobody says otherwise */
#define GROUP_NR_MAX 0xffff /* and all beyond */

/* 0 or -errno; -EINVAL outside the device. */
static int read_at(struct blkdev *dev, uint64_t block, unsigned bits,
		   struct ext2_super_block *ret)
{
	uint64_t pos;

	if (!u64_mul(block, UINT64_C(1) << bits, &pos) ||
	    !range_within(pos, sizeof(*ret), blkdev_geometry(dev)->size))
		return -EINVAL;
	return blkdev_pread(dev, ret, sizeof(*ret), dev_off_at(pos));
}

static bool is_super(const struct ext2_super_block *super, unsigned bits)
{
	return super->s_magic == EXT2_SUPER_MAGIC &&
	       super->s_log_block_size == bits - LOG_MIN;
}

/* Does it say itself that it belongs there? */
static bool is_copy_at(const struct ext2_super_block *super, uint64_t block,
		       unsigned bits)
{
	uint64_t per_group = super->s_blocks_per_group;
	uint64_t first = super->s_first_data_block;

	if (!is_super(super, bits) || !per_group || block < first ||
	    (block - first) % per_group)
		return false;
	return MIN((block - first) / per_group, GROUP_NR_MAX) ==
	       super->s_block_group_nr;
}

/* ---- the one that was asked for ---- */

static bool fail_none(const char *name, uint64_t block, uint32_t size,
		      GError **error)
{
	g_autofree char *where =
		size ? g_strdup_printf(" of %" PRIu32 " bytes", size) : NULL;

	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
		    "'%s' has no superblock of ext2, ext3 or ext4 in block"
		    " %" PRIu64 "%s",
		    name, block, where ? where : ", whatever the block size");
	return false;
}

static bool fail_read(const char *name, uint64_t block, int err, GError **error)
{
	error_set_errno(error, RAWMAP_ERROR_IO, -err,
			"'%s': cannot read the superblock in block %" PRIu64,
			name, block);
	return false;
}

static bool read_guessed(struct blkdev *dev, const char *name, uint64_t block,
			 struct ext2_super_block *ret, GError **error)
{
	int failed = 0;

	for (unsigned bits = LOG_MIN; bits <= LOG_MAX; bits++) {
		struct ext2_super_block super;
		int err = read_at(dev, block, bits, &super);

		if (!err && is_copy_at(&super, block, bits)) {
			*ret = super;
			return true;
		}
		if (err && err != -EINVAL)
			failed = err;
	}
	return failed ? fail_read(name, block, failed, error)
		      : fail_none(name, block, 0, error);
}

static bool read_sized(struct blkdev *dev, const char *name, uint64_t block,
		       uint32_t size, struct ext2_super_block *ret,
		       GError **error)
{
	unsigned bits = (unsigned)__builtin_ctz(size);
	struct ext2_super_block super;
	int err = read_at(dev, block, bits, &super);

	if (err && err != -EINVAL)
		return fail_read(name, block, err, error);
	if (err || !is_super(&super, bits))
		return fail_none(name, block, size, error);
	*ret = super;
	return true;
}

bool backup_read(struct blkdev *dev, const char *name, uint64_t block,
		 uint32_t size, struct ext2_super_block *ret, GError **error)
{
	if (size && (!is_power_of_two(size) || size < UINT32_C(1) << LOG_MIN ||
		     size > UINT32_C(1) << LOG_MAX)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%" PRIu32 " is no block size; those of ext are"
			    " the powers of two from %u to %u",
			    size, 1u << LOG_MIN, 1u << LOG_MAX);
		return false;
	}
	/* What ext2fs_open2() can be told. */
	if (block > INT_MAX) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "block %" PRIu64 " is too far for a superblock to"
			    " be read there; name a copy before block %d",
			    block, INT_MAX);
		return false;
	}
	return size ? read_sized(dev, name, block, size, ret, error)
		    : read_guessed(dev, name, block, ret, error);
}

/* ---- one that may help ---- */

static bool is_sound_at(struct blkdev *dev, const char *name, uint64_t block,
			unsigned bits)
{
	struct ext2_super_block super;

	return block <= INT_MAX && !read_at(dev, block, bits, &super) &&
	       is_copy_at(&super, block, bits) &&
	       gate_is_sound(&super, blkdev_geometry(dev)->size, name);
}

/*
 * Groups that have a copy on every kind of host come first. For each block size
 * the place that mke2fs gives the group by itself, without bigalloc and with it.
 */
static bool find(struct blkdev *dev, const char *name, uint64_t *ret)
{
	static const unsigned groups[] = { 1, 3, 5, 7, 9, 25, 27, 49 };

	for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
		for (unsigned bits = LOG_MIN; bits <= LOG_MAX; bits++) {
			uint64_t per = MIN(UINT64_C(8) << bits, GROUP_MAX);
			uint64_t small = groups[i] * per + (bits == LOG_MIN);
			uint64_t large = groups[i] * per << CLUSTER_LOG;

			*ret = small;
			if (is_sound_at(dev, name, small, bits))
				return true;
			*ret = large;
			if (is_sound_at(dev, name, large, bits))
				return true;
		}
	}
	return false;
}

void backup_suggest(struct blkdev *dev, const char *name, GError **error)
{
	uint64_t block;
	char *text;

	if (!error ||
	    !g_error_matches(*error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT) ||
	    !find(dev, name, &block))
		return;
	text = g_strdup_printf("%s; there is a copy of the superblock, which"
			       " '-o ro,sb=%" PRIu64 "' reads by",
			       (*error)->message, block);
	g_free((*error)->message);
	(*error)->message = text;
}
