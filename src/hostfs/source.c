/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What opening and recovering a host have in common before they differ: is it
 * in use, what is its superblock, and libext2fs on a device of ours.
 */
#include "hostfs_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <et/com_err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rawmap reads ext structures in place: little-endian machines only"
#endif

/* libext2fs prints some complaints by itself; they belong into the log. */
static void log_com_err(const char *whoami, errcode_t code, const char *fmt,
			va_list args) G_GNUC_PRINTF(3, 0);

static void log_com_err(const char *whoami, errcode_t code, const char *fmt,
			va_list args)
{
	g_autofree char *text = g_strdup_vprintf(fmt, args);

	log_debug("libext2fs: %s: %s: %s", whoami ? whoami : "-",
		  code ? errcode_text(code) : "-", text);
}

static void setup_com_err(void)
{
	static gsize done;

	if (g_once_init_enter(&done)) {
		initialize_ext2_error_table();
		set_com_err_hook(log_com_err);
		g_once_init_leave(&done, 1);
	}
}

bool source_check_unmounted(const char *name, bool looks_only, GError **error)
{
	char where[PATH_MAX] = "";
	int flags = 0;
	errcode_t err;

	if (!name)
		return true;
	err = ext2fs_check_mount_point(name, &flags, where, sizeof(where));
	if (err) {
		log_debug("'%s': cannot tell whether it is mounted: %s", name,
			  errcode_text(err));
		return true;
	}
	if (flags & EXT2_MF_SWAP) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is in use as swap; run swapoff first", name);
		return false;
	}
	if (!(flags & EXT2_MF_MOUNTED) ||
	    (looks_only && (flags & EXT2_MF_READONLY)))
		return true;
	if (!where[0])
		g_strlcpy(where, "another place", sizeof(where));
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
		    "'%s' is mounted on '%s'; unmount it first, or use a"
		    " read-only snapshot",
		    name, where);
	return false;
}

bool source_read_super(struct blkdev *dev, const char *name,
		       struct ext2_super_block *ret, GError **error)
{
	uint64_t size = blkdev_geometry(dev)->size;
	int err;

	if (size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s' holds no ext2, ext3 or ext4 filesystem; it is"
			    " only %" PRIu64 " bytes long",
			    name, size);
		return false;
	}
	err = blkdev_pread(dev, ret, sizeof(*ret),
			   dev_off_at(SUPERBLOCK_OFFSET));
	if (err) {
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"'%s': cannot read the superblock", name);
		return false;
	}
	return true;
}

bool source_failed(const char *name, int err, const char *what, GError **error)
{
	if (err == -EUCLEAN || err == -EINVAL)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s' %s; 'e2fsck -f' may repair it", name, what);
	else
		error_set_errno(error, RAWMAP_ERROR_IO, -err, "'%s' %s", name,
				what);
	return false;
}

bool source_count_free(ext2_filsys fs, uint64_t *ret_blocks,
		       uint32_t *ret_inodes)
{
	uint64_t blocks = 0, inodes = 0;

	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		blocks += ext2fs_bg_free_blocks_count(fs, group);
		inodes += ext2fs_bg_free_inodes_count(fs, group);
	}
	blocks = EXT2FS_C2B(fs, blocks);
	if (blocks > ext2fs_blocks_count(fs->super) ||
	    inodes > fs->super->s_inodes_count)
		return false;
	*ret_blocks = blocks;
	*ret_inodes = (uint32_t)inodes;
	return true;
}

errcode_t source_open_by(struct blkdev *dev, int flags, uint64_t block,
			 uint32_t size, ext2_filsys *ret)
{
	errcode_t err;

	setup_com_err();
	iomgr_set_device(dev);
	err = ext2fs_open2("rawmap", NULL,
			   flags | EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP,
			   (int)block, block ? size : 0, iomgr_get(), ret);
	iomgr_set_device(NULL);
	return err;
}

errcode_t source_open_ext2fs(struct blkdev *dev, int flags, ext2_filsys *ret)
{
	return source_open_by(dev, flags, 0, 0, ret);
}
