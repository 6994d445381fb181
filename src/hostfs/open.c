/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and closing the host.
 *
 * Order of opening: is it mounted, superblock (read raw, before libext2fs sees
 * it), gate, overlay, libext2fs, own zones, allocator. Everything that could
 * make libext2fs ask for much memory is bounded by the gate before.
 *
 * libext2fs' handle is opened read-write for a read-write host, but all that it
 * writes stays in the overlay. ext2fs_flush() and ext2fs_close() are never
 * called: they write what no commit ordered.
 */
#include "tx_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <et/com_err.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rawmap reads ext structures in place: little-endian machines only"
#endif

#define CLEAN_BLOCKS 1024u
#define CLEAN_BYTES  (8u << 20)

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

/* Does the kernel have it mounted in a way that forbids opening it? */
static bool check_mounted(const struct hostfs_options *opt, GError **error)
{
	char where[PATH_MAX] = "";
	int flags = 0;
	errcode_t err;

	if (!opt->name)
		return true;
	err = ext2fs_check_mount_point(opt->name, &flags, where, sizeof(where));
	if (err) {
		log_debug("'%s': cannot tell whether it is mounted: %s",
			  opt->name, errcode_text(err));
		return true;
	}
	if (flags & EXT2_MF_SWAP) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is in use as swap; run swapoff first",
			    opt->name);
		return false;
	}
	if (!(flags & EXT2_MF_MOUNTED) ||
	    (opt->readonly && (flags & EXT2_MF_READONLY)))
		return true;
	if (!where[0])
		g_strlcpy(where, "another place", sizeof(where));
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
		    "'%s' is mounted on '%s'; unmount it first, or use a"
		    " read-only snapshot",
		    opt->name, where);
	return false;
}

static bool read_super(struct blkdev *dev, const char *name,
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

static bool open_ext2fs(struct hostfs *fs, GError **error)
{
	int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP;
	errcode_t err;
	int rc;

	if (!fs->readonly)
		flags |= EXT2_FLAG_RW;
	iomgr_set_device(fs->meta_dev);
	err = ext2fs_open2("rawmap", NULL, flags, 0, 0, iomgr_get(), &fs->fs);
	iomgr_set_device(NULL);
	if (!err) {
		fs->fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
		return true;
	}
	fs->fs = NULL;
	rc = errcode_to_errno(err);
	g_set_error(error, RAWMAP_ERROR,
		    rc == -EUCLEAN || rc == -EINVAL ? RAWMAP_ERROR_CORRUPT
						    : RAWMAP_ERROR_IO,
		    "'%s': cannot open the filesystem: %s; 'e2fsck -f' may"
		    " repair it",
		    fs->name, errcode_text(err));
	return false;
}

/*
 * needs_recovery is clear, or the gate had refused. A log that is in use all
 * the same would be replayed by a later e2fsck, over what is written now;
 * opening it for writing refuses that.
 */
static bool open_journal(struct hostfs *fs, GError **error)
{
	struct ext2_super_block *super = fs->fs->super;

	if (fs->readonly || !super->s_journal_inum ||
	    !ext2fs_has_feature_journal(super))
		return true;
	return journalled_open(fs, error);
}

static bool open_parts(struct hostfs *fs, GError **error)
{
	int err;

	if (!open_ext2fs(fs, error))
		return false;
	fs->has_csum = ext2fs_has_feature_metadata_csum(fs->fs->super);
	err = syszone_new(fs->fs, &fs->zone);
	if (err == -EUCLEAN) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s': the group descriptors are damaged; 'e2fsck"
			    " -f' may repair them",
			    fs->name);
		return false;
	}
	if (err) {
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"'%s': cannot read the filesystem's layout",
				fs->name);
		return false;
	}
	if (!open_journal(fs, error))
		return false;
	if (!fs->readonly)
		fs->alloc = alloc_new(fs);
	return true;
}

struct hostfs *hostfs_open(struct blkdev *dev, const struct hostfs_options *opt,
			   GError **error)
{
	const char *name = opt->name ? opt->name : "the source";
	struct ext2_super_block super;
	size_t clean;
	struct hostfs *fs;

	setup_com_err();
	if (!check_mounted(opt, error) ||
	    !read_super(dev, name, &super, error) ||
	    !gate_check(&super, blkdev_geometry(dev)->size, name, opt->readonly,
			error))
		return NULL;

	fs = g_new0(struct hostfs, 1);
	mutex_init(&fs->lock);
	cond_init(&fs->cycle);
	fs->dev = blkdev_ref(dev);
	fs->name = g_strdup(name);
	fs->bits = super.s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	fs->block_size = UINT32_C(1) << fs->bits;
	fs->readonly = opt->readonly;
	fs->use_reserved = opt->use_reserved;
	clean = MIN(CLEAN_BLOCKS, CLEAN_BYTES >> fs->bits);
	fs->discard = opt->discard;
	fs->stable = overlay_new(dev, fs->block_size, 0);
	fs->meta =
		overlay_new(overlay_blkdev(fs->stable), fs->block_size, clean);
	fs->meta_dev = overlay_blkdev(fs->meta);
	fs->files = g_ptr_array_new();
	fs->dropped = g_array_new(FALSE, FALSE, sizeof(pblk));
	fs->new_blocks = g_hash_table_new_full(g_int64_hash, g_int64_equal,
					       g_free, NULL);
	if (open_parts(fs, error))
		return fs;
	hostfs_abandon(fs);
	return NULL;
}

int hostfs_close(struct hostfs *fs)
{
	int err = 0;

	if (!fs)
		return 0;
	if (!fs->readonly) {
		mutex_lock(&fs->lock);
		err = tx_finish(fs, UINT_MAX);
		mutex_unlock(&fs->lock);
	}
	hostfs_abandon(fs);
	return err;
}

void hostfs_abandon(struct hostfs *fs)
{
	if (!fs)
		return;
	g_assert(!fs->files->len);
	alloc_free(fs->alloc);
	syszone_free(fs->zone);
	syszone_free(fs->journal_zone);
	/* ext2fs_free() writes nothing, whatever is marked dirty. */
	if (fs->fs)
		ext2fs_free(fs->fs);
	journalled_close(fs);
	g_hash_table_unref(fs->new_blocks);
	g_array_unref(fs->dropped);
	g_ptr_array_unref(fs->files);
	overlay_unref(fs->meta);
	overlay_unref(fs->stable);
	blkdev_unref(fs->dev);
	cond_clear(&fs->cycle);
	mutex_clear(&fs->lock);
	g_free(fs->name);
	g_free(fs);
}
