/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostfile's inode: asked, changed in memory, stored.
 *
 * The whole on-disk inode is kept as it was read, so that storing it keeps what
 * this code does not know. libext2fs puts it into its table block and sums it
 * up; the block goes into the overlay as TX_SECOND, behind everything that the
 * inode points to. Nobody else writes inode-table blocks, so libext2fs' inode
 * cache is never stale.
 *
 *   inode_dirty    map, size or times by request: a commit is due
 *   times_dirty    only mtime and ctime of writes: go out with the next commit
 */
#include "hostfs_priv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define NSEC_END 1000000000u

/* ---- times ---- */

/*
 * An inode of 256 bytes has for each time a second word: 2 bits more of the
 * seconds, 30 bits of nanoseconds (fs/ext4/ext4.h, "extra"); i_extra_isize
 * says whether this one has it.
 */
static bool has_extra(const struct hostfile *hf)
{
	const size_t end = offsetof(struct ext2_inode_large, i_atime_extra) +
			   sizeof(hf->inode->i_atime_extra);
	size_t size = EXT2_INODE_SIZE(hf->fs->fs->super);

	return size > EXT2_GOOD_OLD_INODE_SIZE &&
	       (size_t)EXT2_GOOD_OLD_INODE_SIZE + hf->inode->i_extra_isize >=
		       end;
}

static struct timespec time_get(uint32_t low, uint32_t extra, bool extended)
{
	struct timespec t = { .tv_sec = (int32_t)low };

	if (extended) {
		t.tv_sec += (time_t)((uint64_t)(extra & 3) << 32);
		t.tv_nsec = MIN(extra >> 2, NSEC_END - 1);
	}
	return t;
}

static void time_set(__u32 *low, __u32 *extra, bool extended,
		     const struct timespec *t)
{
	int64_t max = extended ? INT64_C(0x37fffffff) : INT32_MAX;
	int64_t sec = CLAMP((int64_t)t->tv_sec, INT32_MIN, max);

	*low = (uint32_t)sec;
	if (extended)
		*extra = ((uint32_t)((sec - (int32_t)sec) >> 32) & 3) |
			 (uint32_t)t->tv_nsec << 2;
}

static void set_mtime(struct hostfile *hf, const struct timespec *t)
{
	time_set(&hf->inode->i_mtime, &hf->inode->i_mtime_extra, has_extra(hf),
		 t);
}

static void set_ctime_now(struct hostfile *hf, struct timespec *ret_now)
{
	clock_gettime(CLOCK_REALTIME, ret_now);
	time_set(&hf->inode->i_ctime, &hf->inode->i_ctime_extra, has_extra(hf),
		 ret_now);
}

/* ---- storing ---- */

int inode_store(struct hostfile *hf)
{
	ext2_filsys ext = hf->fs->fs;
	errcode_t err;

	if (!hf->inode_dirty && !hf->times_dirty)
		return 0;
	overlay_set_tag(hf->fs->meta, TX_SECOND);
	err = ext2fs_write_inode_full(ext, hf->ino, hostfile_inode(hf),
				      EXT2_INODE_SIZE(ext->super));
	overlay_set_tag(hf->fs->meta, TX_FIRST);
	if (err)
		return errcode_to_errno(err);
	hf->inode_dirty = false;
	hf->times_dirty = false;
	return 0;
}

int inode_store_all(struct hostfs *fs)
{
	int err = 0;

	for (guint i = 0; !err && i < fs->files->len; i++)
		err = inode_store(g_ptr_array_index(fs->files, i));
	return err;
}

/* ---- changing ---- */

void inode_changed(struct hostfile *hf)
{
	struct timespec now;

	set_ctime_now(hf, &now);
	set_mtime(hf, &now);
	hf->inode_dirty = true;
}

int inode_set_size(struct hostfile *hf, uint64_t size)
{
	struct ext2_super_block *super = hf->fs->fs->super;
	bool large = ext2fs_has_feature_large_file(super);
	errcode_t err;

	if (size > hf->max_size)
		return -EFBIG;
	err = ext2fs_inode_size_set(hf->fs->fs, hostfile_inode(hf),
				    (ext2_off64_t)size);
	if (err)
		return errcode_to_errno(err);
	if (!large && ext2fs_has_feature_large_file(super))
		hf->fs->super_dirty = true;
	hf->inode_dirty = true;
	__atomic_store_n(&hf->size, size, __ATOMIC_RELEASE);
	return 0;
}

int inode_add_blocks(struct hostfile *hf, int64_t blocks)
{
	struct ext2_inode *inode = hostfile_inode(hf);
	errcode_t err;

	if (blocks >= 0) {
		err = ext2fs_iblk_add_blocks(hf->fs->fs, inode,
					     (blk64_t)blocks);
		if (err)
			return -EFBIG;
	} else {
		err = ext2fs_iblk_sub_blocks(hf->fs->fs, inode,
					     (blk64_t)-blocks);
		if (err)
			return -EUCLEAN;
	}
	hf->inode_dirty = true;
	return 0;
}

int hostfile_set_size(struct hostfile *hf, uint64_t size)
{
	int err;

	mutex_lock(&hf->fs->lock);
	err = tx_may_change(hf->fs);
	if (!err)
		err = inode_set_size(hf, size);
	if (!err)
		inode_changed(hf);
	mutex_unlock(&hf->fs->lock);
	return err;
}

int hostfile_set_times(struct hostfile *hf, const struct timespec *atime,
		       const struct timespec *mtime)
{
	struct timespec now;
	int err;

	mutex_lock(&hf->fs->lock);
	err = tx_may_change(hf->fs);
	if (!err) {
		set_ctime_now(hf, &now);
		if (atime)
			time_set(&hf->inode->i_atime, &hf->inode->i_atime_extra,
				 has_extra(hf), atime);
		if (mtime)
			set_mtime(hf, mtime);
		hf->inode_dirty = true;
	}
	mutex_unlock(&hf->fs->lock);
	return err;
}

/* As the kernel has it: programs take a file of no blocks for one of no data. */
static uint64_t count_sectors(struct hostfile *hf)
{
	uint64_t n = ext2fs_get_stat_i_blocks(hf->fs->fs, hostfile_inode(hf));

	if (hf->inline_bytes)
		n += hf->inline_len / 512 + (hf->inline_len % 512 != 0);
	return n;
}

static void attr_locked(struct hostfile *hf, struct hostfile_attr *ret)
{
	const struct ext2_inode_large *inode = hf->inode;
	bool extended = has_extra(hf);

	*ret = (struct hostfile_attr){
		.ino = hf->ino,
		.size = hostfile_size(hf),
		.blocks = count_sectors(hf),
		.flags = inode->i_flags,
		.mode = inode->i_mode,
		.uid = inode_uid(*inode),
		.gid = inode_gid(*inode),
		.links = inode->i_links_count,
		.atime = time_get(inode->i_atime, inode->i_atime_extra,
				  extended),
		.mtime = time_get(inode->i_mtime, inode->i_mtime_extra,
				  extended),
		.ctime = time_get(inode->i_ctime, inode->i_ctime_extra,
				  extended),
		.extent_mapped = hf->extent_mapped,
		.inline_data = hf->inline_bytes,
		.deleted = hf->deleted,
	};
	if (hf->deleted)
		ret->dtime.tv_sec = deleted_time(hf);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec
				      : a->tv_nsec > b->tv_nsec;
}

void hostfile_touch(struct hostfile *hf, const struct timespec *written)
{
	struct hostfile_attr now;

	mutex_lock(&hf->fs->lock);
	attr_locked(hf, &now);
	if (!tx_may_change(hf->fs) && is_later(written, &now.mtime)) {
		set_mtime(hf, written);
		hf->times_dirty = true;
		if (is_later(written, &now.ctime))
			time_set(&hf->inode->i_ctime, &hf->inode->i_ctime_extra,
				 has_extra(hf), written);
	}
	mutex_unlock(&hf->fs->lock);
}

void hostfile_attr(struct hostfile *hf, struct hostfile_attr *ret)
{
	mutex_lock(&hf->fs->lock);
	attr_locked(hf, ret);
	mutex_unlock(&hf->fs->lock);
}
