/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and closing one file of the host. One inode is open at most once: two
 * caches of one map would not know of each other's changes.
 */
#include "hostfs_priv.h"

#include <rawmap/base/error.h>

#include <errno.h>

/* Blocks that a tree of indirect blocks can map. */
static uint64_t indirect_reach(unsigned bits)
{
	uint64_t per = UINT64_C(1) << (bits - 2);

	return MIN(EXT2_NDIR_BLOCKS + per + per * per + per * per * per,
		   LBLK_END);
}

/*
 * Indirect blocks to set aside for a file of @n blocks: those of a full tree;
 * from 32 KiB blocks on such a tree reaches so far beyond @n that nothing would
 * be left, there those that @n blocks can need.
 */
static uint64_t indirect_blocks(uint64_t n, uint64_t per)
{
	uint64_t full = 3 + 2 * per + per * per;

	return full < n ? full : 6 + n / per + n / per / per;
}

/*
 * As the kernel has it (fs/ext4/super.c, ext4_max_size and
 * ext4_max_bitmap_size): what the map can name, and without huge_file what
 * i_blocks can count, a full tree included.
 */
static uint64_t compute_max_size(struct hostfile *hf)
{
	struct hostfs *fs = hf->fs;
	uint64_t blocks, limit, per = UINT64_C(1) << (fs->bits - 2);

	blocks = hf->extent_mapped ? LBLK_END : indirect_reach(fs->bits);
	if (!ext2fs_has_feature_huge_file(fs->fs->super)) {
		limit = UINT64_C(0xffffffff) >> (fs->bits - 9);
		if (!hf->extent_mapped)
			limit -= indirect_blocks(limit, per);
		blocks = MIN(blocks, limit);
	}
	return blocks << fs->bits;
}

static bool check_size(struct hostfile *hf, GError **error)
{
	uint64_t size = EXT2_I_SIZE(hf->inode), reach;
	size_t inode_size = EXT2_INODE_SIZE(hf->fs->fs->super);

	reach = hf->extent_mapped ? LBLK_END : indirect_reach(hf->fs->bits);
	if (size > reach << hf->fs->bits) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s': its size is impossible; run 'e2fsck -f'",
			    hf->path);
		return false;
	}
	if (inode_size > EXT2_GOOD_OLD_INODE_SIZE &&
	    hf->inode->i_extra_isize > inode_size - EXT2_GOOD_OLD_INODE_SIZE) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s': its inode is damaged; run 'e2fsck -f'",
			    hf->path);
		return false;
	}
	hf->max_size = MAX(compute_max_size(hf), size);
	hf->size = size;
	return true;
}

static bool read_inode(struct hostfile *hf, GError **error)
{
	ext2_filsys ext = hf->fs->fs;
	int size = EXT2_INODE_SIZE(ext->super);
	errcode_t err;

	hf->inode = g_malloc0(MAX((size_t)size, sizeof(*hf->inode)));
	err = ext2fs_read_inode_full(ext, hf->ino, hostfile_inode(hf), size);
	if (err) {
		g_set_error(error, RAWMAP_ERROR,
			    errcode_to_errno(err) == -EIO
				    ? RAWMAP_ERROR_IO
				    : RAWMAP_ERROR_CORRUPT,
			    "'%s': cannot read inode %u: %s", hf->path, hf->ino,
			    errcode_text(err));
		return false;
	}
	if (!gate_check_inode(hf->fs, hf->ino, hostfile_inode(hf), hf->path,
			      error))
		return false;
	hf->deleted = !hf->inode->i_links_count;
	if (hf->inode->i_flags & EXT4_INLINE_DATA_FL)
		return check_size(hf, error) && inline_read(hf, error);
	hf->extent_mapped = hf->inode->i_flags & EXT4_EXTENTS_FL;
	return check_size(hf, error) &&
	       (!hf->deleted || deleted_open(hf, error));
}

static bool check_not_open(struct hostfile *hf, GError **error)
{
	for (guint i = 0; i < hf->fs->files->len; i++) {
		struct hostfile *other = g_ptr_array_index(hf->fs->files, i);

		if (other->ino != hf->ino)
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is open already, as '%s'; name it once",
			    hf->path, other->path);
		return false;
	}
	return true;
}

static void file_free(struct hostfile *hf)
{
	extmap_free(hf->map);
	g_free(hf->inline_bytes);
	g_free(hf->inode);
	g_free(hf->path);
	g_free(hf->name);
	g_free(hf);
}

struct hostfile *hostfile_open(struct hostfs *fs, const char *path,
			       uint64_t cache_budget, GError **error)
{
	struct hostfile *hf = g_new0(struct hostfile, 1);
	bool ok;

	hf->fs = fs;
	hf->path = g_strdup(path);
	hf->lookahead = 1;
	mutex_lock(&fs->lock);
	ok = lookup_inode(fs, path, &hf->ino, error) &&
	     check_not_open(hf, error) && read_inode(hf, error);
	if (ok) {
		hf->name = path[0] == '<' ? g_strdup_printf("inode-%u", hf->ino)
					  : g_path_get_basename(path);
		hf->map = extmap_new(cache_budget);
		g_ptr_array_add(fs->files, hf);
	}
	mutex_unlock(&fs->lock);
	if (ok)
		return hf;
	file_free(hf);
	return NULL;
}

/* What is not committed yet stays pending, in the overlay. */
void hostfile_close(struct hostfile *hf)
{
	struct hostfs *fs;
	int err;

	if (!hf)
		return;
	fs = hf->fs;
	mutex_lock(&fs->lock);
	if (!tx_may_change(fs)) {
		err = inode_store(hf);
		if (err)
			tx_fail(fs, err, "storing an inode");
	}
	g_ptr_array_remove_fast(fs->files, hf);
	mutex_unlock(&fs->lock);
	file_free(hf);
}

uint64_t hostfile_size(const struct hostfile *hf)
{
	return __atomic_load_n(&hf->size, __ATOMIC_ACQUIRE);
}

uint64_t hostfile_max_size(const struct hostfile *hf)
{
	return hf->max_size;
}

bool hostfile_extent_mapped(const struct hostfile *hf)
{
	return hf->extent_mapped;
}

const void *hostfile_inline(const struct hostfile *hf, size_t *ret_len)
{
	*ret_len = hf->inline_len;
	return hf->inline_bytes;
}

const char *hostfile_path(const struct hostfile *hf)
{
	return hf->path;
}

const char *hostfile_name(const struct hostfile *hf)
{
	return hf->name;
}

struct hostfs *hostfile_host(struct hostfile *hf)
{
	return hf->fs;
}

struct extmap *hostfile_map(struct hostfile *hf)
{
	return hf->map;
}
