/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and closing the host.
 *
 * Order of opening: is it mounted, superblock (read raw, before libext2fs sees
 * it), gate, log, overlay, libext2fs, own zones, allocator. Everything that could
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
#include <limits.h>

#define CLEAN_BLOCKS 1024u
#define CLEAN_BYTES  (8u << 20)

static void suggest_backup(struct hostfs *fs, GError **error)
{
	if (!fs->super_block)
		backup_suggest(fs->dev, fs->name, error);
}

static bool open_ext2fs(struct hostfs *fs, GError **error)
{
	errcode_t err =
		source_open_by(fs->meta_dev, fs->readonly ? 0 : EXT2_FLAG_RW,
			       fs->super_block, fs->block_size, &fs->fs);
	int rc;

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
	suggest_backup(fs, error);
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
	if (!open_ext2fs(fs, error))
		return false;
	replayed_finish(fs);
	fs->has_csum = ext2fs_has_feature_metadata_csum(fs->fs->super);
	if (syszone_new(fs->fs, &fs->zone)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s': the group descriptors are damaged; 'e2fsck"
			    " -f' may repair them",
			    fs->name);
		suggest_backup(fs, error);
		return false;
	}
	if (!open_journal(fs, error))
		return false;
	if (!fs->readonly)
		fs->alloc = alloc_new(fs);
	return true;
}

static bool read_super(struct blkdev *dev, const struct hostfs_options *opt,
		       const char *name, struct ext2_super_block *ret,
		       GError **error)
{
	if (!opt->super_block)
		return source_read_super(dev, name, ret, error);
	return backup_read(dev, name, opt->super_block, opt->super_block_size,
			   ret, error);
}

struct hostfs *hostfs_open(struct blkdev *dev, const struct hostfs_options *opt,
			   GError **error)
{
	const char *name = opt->name ? opt->name : "the source";
	struct ext2_super_block super;
	struct replayed log;
	size_t clean;
	struct hostfs *fs;

	g_assert(opt->readonly ||
		 (!opt->deleted && !opt->raw_unwritten && !opt->super_block));
	if (!source_check_unmounted(opt->source ? opt->source : opt->name,
				    opt->readonly, error) ||
	    !read_super(dev, opt, name, &super, error) ||
	    !gate_check(&super, blkdev_geometry(dev)->size, name, opt->readonly,
			error)) {
		if (!opt->super_block)
			backup_suggest(dev, name, error);
		return NULL;
	}
	if (!opt->readonly && !opt->keep_orphans &&
	    !gate_check_orphans(&super, name, error))
		return NULL;
	if (!replayed_open(&log, dev, opt, name, &super, error))
		return NULL;
	/* From here on there is only the host as it is to be seen. */
	if (log.view)
		dev = log.view;

	fs = g_new0(struct hostfs, 1);
	mutex_init(&fs->lock);
	cond_init(&fs->cycle);
	fs->log = log;
	fs->dev = blkdev_ref(dev);
	fs->name = g_strdup(name);
	fs->bits = super.s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	fs->block_size = UINT32_C(1) << fs->bits;
	fs->readonly = opt->readonly;
	fs->deleted = opt->deleted;
	fs->raw_unwritten = opt->raw_unwritten;
	fs->super_block = opt->super_block;
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
	if (open_parts(fs, error)) {
		hostfs_explain(fs);
		return fs;
	}
	if (fs->log.view)
		replayed_advise(error);
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
	replayed_close(&fs->log);
	cond_clear(&fs->cycle);
	mutex_clear(&fs->lock);
	g_free(fs->name);
	g_free(fs);
}
