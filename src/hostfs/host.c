/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An open host: what it says about itself, and the public doors to the
 * transaction and the guard.
 */
#include "tx_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

/* What tune2fs and blkid call it: by features that only ext4 or ext3 has. */
static const char *kind_of(const struct ext2_super_block *super)
{
	const uint32_t ext3_ro = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER |
				 EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
				 0x4; /* btree_dir, never used */
	const uint32_t ext3_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE |
				       EXT3_FEATURE_INCOMPAT_RECOVER |
				       EXT2_FEATURE_INCOMPAT_META_BG;

	if ((super->s_feature_ro_compat & ~ext3_ro) ||
	    (super->s_feature_incompat & ~ext3_incompat))
		return "ext4";
	if (super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL)
		return "ext3";
	return "ext2";
}

void super_uuid_text(const uint8_t *uuid, char *ret)
{
	char *p = ret;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = "0123456789abcdef"[uuid[i] >> 4];
		*p++ = "0123456789abcdef"[uuid[i] & 15];
	}
	*p = '\0';
}

/* Labels come from anybody's disk: nothing in them may move a terminal. */
static void label_text(const uint8_t *label, char *ret)
{
	unsigned i;

	for (i = 0; i < EXT2_LABEL_LEN && label[i]; i++)
		ret[i] = label[i] < 0x20 || label[i] == 0x7f ? '?'
							     : (char)label[i];
	ret[i] = '\0';
}

void hostfs_info(struct hostfs *fs, struct hostfs_info *ret)
{
	struct ext2_super_block *super;

	memset(ret, 0, sizeof(*ret));
	mutex_lock(&fs->lock);
	super = fs->fs->super;
	ret->block_size = fs->block_size;
	ret->blocks = ext2fs_blocks_count(super);
	ret->free_blocks = ext2fs_free_blocks_count(super);
	ret->reserved_blocks = ext2fs_r_blocks_count(super);
	ret->groups = fs->fs->group_desc_count;
	ret->blocks_per_group = super->s_blocks_per_group;
	ret->inode_size = EXT2_INODE_SIZE(super);
	ret->kind = kind_of(super);
	super_uuid_text(super->s_uuid, ret->uuid);
	label_text(super->s_volume_name, ret->label);
	ret->has_journal = ext2fs_has_feature_journal(super);
	ret->needs_recovery =
		ext2fs_has_feature_journal_needs_recovery(super) ||
		fs->log.view;
	ret->clean = super->s_state & EXT2_VALID_FS;
	ret->has_error = super->s_state & EXT2_ERROR_FS;
	ret->super_block = fs->super_block;
	ret->features = gate_features(super);
	replayed_info(&fs->log, ret);
	mutex_unlock(&fs->lock);
}

void hostfs_info_clear(struct hostfs_info *info)
{
	g_clear_pointer(&info->features, g_free);
}

unsigned hostfs_block_bits(const struct hostfs *fs)
{
	return fs->bits;
}

bool hostfs_readonly(const struct hostfs *fs)
{
	return fs->readonly;
}

bool hostfs_raw_unwritten(const struct hostfs *fs)
{
	return fs->raw_unwritten;
}

struct blkdev *hostfs_data_dev(struct hostfs *fs)
{
	return fs->dev;
}

bool hostfs_broken(const struct hostfs *fs)
{
	return __atomic_load_n(&fs->failed, __ATOMIC_RELAXED) != 0;
}

uint64_t hostfs_available(struct hostfs *fs)
{
	uint64_t blocks = 0;

	mutex_lock(&fs->lock);
	if (fs->alloc)
		blocks = alloc_available(fs->alloc);
	mutex_unlock(&fs->lock);
	return blocks;
}

int hostfs_sync(struct hostfs *fs)
{
	int err;

	if (fs->readonly)
		return blkdev_flush(fs->dev);
	mutex_lock(&fs->lock);
	err = tx_sync(fs);
	mutex_unlock(&fs->lock);
	return err;
}

bool hostfs_flush_begin(struct hostfs *fs)
{
	bool begun;

	if (fs->readonly)
		return true;
	if (!mutex_trylock(&fs->lock))
		return false;
	begun = tx_flush_begin(fs);
	mutex_unlock(&fs->lock);
	return begun;
}

int hostfs_flush_end(struct hostfs *fs, int err)
{
	if (fs->readonly)
		return err;
	mutex_lock(&fs->lock);
	err = tx_flush_end(fs, err);
	mutex_unlock(&fs->lock);
	return err;
}

bool hostfs_flush_try_end(struct hostfs *fs)
{
	bool ended;

	if (fs->readonly)
		return true;
	if (!mutex_trylock(&fs->lock))
		return false;
	/* A broken host is marked at the end of a cycle: that is I/O. */
	ended = !hostfs_broken(fs);
	if (ended)
		(void)tx_flush_end(fs, 0);
	mutex_unlock(&fs->lock);
	return ended;
}

int hostfs_commit(struct hostfs *fs)
{
	int err;

	if (fs->readonly)
		return 0;
	mutex_lock(&fs->lock);
	err = tx_commit(fs);
	mutex_unlock(&fs->lock);
	return err;
}

int hostfs_tick(struct hostfs *fs)
{
	int err;

	if (fs->readonly)
		return 0;
	mutex_lock(&fs->lock);
	err = tx_dirty(fs) ? tx_commit(fs) : tx_idle(fs);
	mutex_unlock(&fs->lock);
	return err;
}

/* A new writer keeps the host from rest: that is his to bring about then. */
#define SETTLE_COMMITS 3

int hostfs_settle(struct hostfs *fs)
{
	int err;

	mutex_lock(&fs->lock);
	err = tx_finish(fs, SETTLE_COMMITS);
	mutex_unlock(&fs->lock);
	return err;
}

bool hostfs_pending(struct hostfs *fs)
{
	bool pending;

	mutex_lock(&fs->lock);
	pending = !fs->readonly && tx_pending(fs);
	mutex_unlock(&fs->lock);
	return pending;
}

bool hostfs_owns(const struct hostfs *fs, pblk start, uint64_t len)
{
	const struct syszone *journal =
		__atomic_load_n(&fs->journal_zone, __ATOMIC_ACQUIRE);

	return syszone_touches(fs->zone, start, len) ||
	       (journal && syszone_touches(journal, start, len));
}

/* 0 when the zones are complete; a read-only host needs no more than it has. */
static int guard_ready(struct hostfs *fs)
{
	int err;

	if (fs->readonly || g_atomic_pointer_get(&fs->journal_zone))
		return 0;
	mutex_lock(&fs->lock);
	err = tx_may_change(fs);
	mutex_unlock(&fs->lock);
	return err;
}

int hostfs_guard(struct hostfs *fs, dev_off pos, uint64_t len)
{
	pblk first = pblk_of_dev_floor(pos, fs->bits);
	uint64_t end;
	int err = guard_ready(fs);

	if (err)
		return err;
	if (!u64_add(pos.v, len, &end))
		return -EUCLEAN;
	if (!len)
		return 0;
	end = ((end - 1) >> fs->bits) + 1;
	return hostfs_owns(fs, first, end - first.v) ? -EUCLEAN : 0;
}

void hostfs_stats(struct hostfs *fs, struct hostfs_stats *ret)
{
	mutex_lock(&fs->lock);
	*ret = fs->stats;
	ret->pending_blocks = overlay_dirty_count(fs->meta);
	if (fs->alloc)
		ret->pending_free =
			alloc_pending(fs->alloc) + alloc_draining(fs->alloc);
	ret->commit_ns_p99 = u64_min(histogram_percentile(&fs->commit_ns, 99),
				     ret->commit_ns_max);
	ret->failed = g_atomic_int_get(&fs->failed);
	mutex_unlock(&fs->lock);
}
