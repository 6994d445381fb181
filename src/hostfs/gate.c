/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What may be opened, and what may be written.
 *
 * The host is judged by its superblock alone, before libext2fs sees it. In this
 * order: is it ext at all, is the superblock whole, are its numbers possible on
 * this source, its features, its state. The first that fails gives the
 * sentence; so a damaged superblock is never blamed on a strange feature.
 *
 * The limit on groups bounds the memory for descriptors: 2^22 groups are
 * 512 TiB at 4 KiB blocks.
 */
#include "gate_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/probe.h>

#include <inttypes.h>
#include <stddef.h>
#include <sys/stat.h>

#define GROUPS_MAX	 (UINT64_C(1) << 22)
#define CSUM_TYPE_CRC32C 1

/* One sentence: "'@name' ..." */
static bool refuse(GError **error, enum rawmap_error code, const char *name,
		   const char *fmt, ...) G_GNUC_PRINTF(4, 5);

static bool refuse(GError **error, enum rawmap_error code, const char *name,
		   const char *fmt, ...)
{
	g_autofree char *rest = NULL;
	va_list args;

	va_start(args, fmt);
	rest = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error(error, RAWMAP_ERROR, (gint)code, "'%s' %s", name, rest);
	return false;
}

bool gate_csum_ok(const struct ext2_super_block *super)
{
	if (!(super->s_feature_ro_compat &
	      EXT4_FEATURE_RO_COMPAT_METADATA_CSUM))
		return true;
	return super->s_checksum ==
	       ext2fs_crc32c_le(~UINT32_C(0), (const uint8_t *)super,
				offsetof(struct ext2_super_block, s_checksum));
}

static bool check_whole(const struct ext2_super_block *super, const char *name,
			GError **error)
{
	if (super->s_magic != EXT2_SUPER_MAGIC) {
		g_autofree char *found = probe_describe(name);

		return refuse(error, RAWMAP_ERROR_CORRUPT, name,
			      "holds no ext2, ext3 or ext4 filesystem%s%s",
			      found ? ", but " : "", found ? found : "");
	}
	if (!(super->s_feature_ro_compat &
	      EXT4_FEATURE_RO_COMPAT_METADATA_CSUM))
		return true;
	if (super->s_checksum_type != CSUM_TYPE_CRC32C)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, name,
			      "has checksums of the unknown type %u",
			      super->s_checksum_type);
	if (!gate_csum_ok(super))
		return refuse(error, RAWMAP_ERROR_CORRUPT, name,
			      "has a damaged superblock (wrong checksum);"
			      " 'e2fsck -f' may repair it");
	return true;
}

/*
 * One block of bitmap counts a whole group. libext2fs lets more pass: every
 * bitmap in memory would be too short, and the size of an inode table, reckoned
 * in 32 bits, could come out smaller than what is read and written there.
 */
static bool group_fits_bitmap(const struct ext2_super_block *super)
{
	uint64_t bits = UINT64_C(8)
			<< (super->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE);

	if (super->s_inodes_per_group > bits)
		return false;
	if (super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_BIGALLOC)
		return super->s_clusters_per_group <= bits;
	return super->s_blocks_per_group <= bits;
}

/*
 * With blocks of 1 KiB the superblock is in block 1, and there the first group
 * starts; else libext2fs looks for descriptors in one place and counts them as
 * part of another. Only a host with clusters counts from 0.
 */
static bool first_block_possible(const struct ext2_super_block *super)
{
	if (super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_BIGALLOC)
		return super->s_first_data_block <= 1;
	return super->s_first_data_block == 1 ||
	       (!super->s_first_data_block && super->s_log_block_size);
}

/* As many descriptors as the largest host has of the usual ones. */
static bool descriptors_fit(const struct ext2_super_block *super,
			    uint64_t groups)
{
	uint64_t size = super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT
				? super->s_desc_size
				: EXT2_MIN_DESC_SIZE;

	return groups < GROUPS_MAX &&
	       groups * size < GROUPS_MAX * EXT2_MIN_DESC_SIZE_64BIT;
}

/* Is the layout one that mke2fs could have made? */
static bool numbers_possible(const struct ext2_super_block *super)
{
	uint64_t blocks = ext2fs_blocks_count((struct ext2_super_block *)super);
	uint64_t per_group = super->s_blocks_per_group;

	return super->s_log_block_size <=
		       EXT2_MAX_BLOCK_LOG_SIZE - EXT2_MIN_BLOCK_LOG_SIZE &&
	       first_block_possible(super) &&
	       blocks > super->s_first_data_block && !(blocks >> 48) &&
	       per_group >= 64 && !(per_group % 8) &&
	       group_fits_bitmap(super) &&
	       descriptors_fit(super, blocks / per_group) &&
	       super->s_inodes_per_group;
}

static bool check_numbers(const struct ext2_super_block *super,
			  uint64_t device_size, const char *name,
			  GError **error)
{
	uint64_t blocks, size, bytes = UINT64_MAX;

	/* It has no groups; the features refuse it. */
	if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
		return true;
	if (!numbers_possible(super))
		return refuse(error, RAWMAP_ERROR_CORRUPT, name,
			      "has impossible numbers in its superblock;"
			      " 'e2fsck -f' may repair it");
	blocks = ext2fs_blocks_count((struct ext2_super_block *)super);
	size = UINT64_C(1)
	       << (super->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE);
	if (!u64_mul(blocks, size, &bytes) || bytes > device_size)
		return refuse(error, RAWMAP_ERROR_CORRUPT, name,
			      "is cut short: it has %" PRIu64 " bytes, its"
			      " filesystem needs %" PRIu64 "; copy it again",
			      device_size, bytes);
	return true;
}

static bool check_features(const struct ext2_super_block *super,
			   const char *name, bool readonly, GError **error)
{
	g_autofree char *feature = NULL;
	struct feature f;

	if (!feature_worst(super, &f, &feature))
		return true;
	if (f.policy == FEATURE_REFUSED)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, name,
			      "has the feature '%s', which cannot be read: %s",
			      feature, f.why);
	if (readonly)
		return true;
	return refuse(error, RAWMAP_ERROR_READONLY, name,
		      "has the feature '%s', which cannot be written: %s; or"
		      " open it read-only (-r)",
		      feature, f.why);
}

/* What a writer would make worse. What a reader would not see: replayed.c. */
static bool check_state(const struct ext2_super_block *super, const char *name,
			bool readonly, GError **error)
{
	if (readonly)
		return true;
	if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
		return refuse(error, RAWMAP_ERROR_DIRTY, name,
			      "was not unmounted cleanly, its journal must be"
			      " replayed; run 'e2fsck -p' or 'rawmap recover'"
			      " on it, or open it read-only (-r), which replays"
			      " it in memory");
	if (super->s_state & EXT2_ERROR_FS)
		return refuse(error, RAWMAP_ERROR_DIRTY, name,
			      "has errors recorded; run 'e2fsck -f' on it, or"
			      " open it read-only (-r)");
	if (!(super->s_state & EXT2_VALID_FS))
		return refuse(error, RAWMAP_ERROR_DIRTY, name,
			      "was not unmounted cleanly; run 'e2fsck -p' on"
			      " it, or open it read-only (-r)");
	if ((super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL) &&
	    !super->s_journal_inum)
		return refuse(error, RAWMAP_ERROR_READONLY, name,
			      "has its journal on another device, which cannot"
			      " be written; open it read-only (-r)");
	return true;
}

bool gate_check_orphans(const struct ext2_super_block *super, const char *name,
			GError **error)
{
	if (!super->s_last_orphan && !(super->s_feature_ro_compat &
				       EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT))
		return true;
	return refuse(error, RAWMAP_ERROR_DIRTY, name,
		      "has orphaned inodes to be cleaned up; run 'e2fsck -f' on"
		      " it, or open it read-only (-r)");
}

bool gate_is_sound(const struct ext2_super_block *super, uint64_t device_size,
		   const char *name)
{
	return check_whole(super, name, NULL) &&
	       check_numbers(super, device_size, name, NULL);
}

bool gate_check(const struct ext2_super_block *super, uint64_t device_size,
		const char *name, bool readonly, GError **error)
{
	return check_whole(super, name, error) &&
	       check_numbers(super, device_size, name, error) &&
	       check_features(super, name, readonly, error) &&
	       check_state(super, name, readonly, error);
}

/*
 * Recovery writes what the journal has, whatever it means; so it needs to know
 * less than a writer. The state is not looked at.
 */
static bool check_recoverable(const struct ext2_super_block *super,
			      const char *name, bool dry_run, GError **error)
{
	g_autofree char *feature = NULL;
	struct feature f;

	if (feature_worst(super, &f, &feature) && f.policy == FEATURE_REFUSED)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, name,
			      "has the feature '%s', which cannot be recovered:"
			      " %s",
			      feature, f.why);
	if ((super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL) &&
	    !super->s_journal_inum)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, name,
			      "has its journal on another device, which cannot"
			      " be replayed; run 'e2fsck -p' on it");
	if ((super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_MMP) && !dry_run)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, name,
			      "has the feature 'mmp': another machine may be"
			      " using it; run 'e2fsck -p' on it, which finds"
			      " out");
	return true;
}

bool gate_check_recover(const struct ext2_super_block *super,
			uint64_t device_size, const char *name, bool dry_run,
			GError **error)
{
	return check_whole(super, name, error) &&
	       check_numbers(super, device_size, name, error) &&
	       check_recoverable(super, name, dry_run, error);
}

/* ---- inodes ---- */

static const char *type_name(unsigned mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
	case S_IFBLK:
		return "a device node";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFLNK:
		return "a symbolic link";
	default:
		return "of no known type";
	}
}

/*
 * Files that the filesystem keeps its own books in: the first ones at least,
 * whatever the superblock says.
 */
static bool is_special(const struct ext2_super_block *super, ext2_ino_t ino)
{
	if (ino < MAX(EXT2_FIRST_INO(super), EXT2_GOOD_OLD_FIRST_INO) ||
	    ino == super->s_journal_inum || ino == super->s_usr_quota_inum ||
	    ino == super->s_grp_quota_inum || ino == super->s_prj_quota_inum)
		return true;
	return (super->s_feature_compat & EXT4_FEATURE_COMPAT_ORPHAN_FILE) &&
	       ino == super->s_orphan_file_inum;
}

struct inode_flag {
	uint32_t flag;
	const char *what; /* "'/path' ..." */
};

static const char *first_flag(const struct inode_flag *list, size_t n,
			      uint32_t flags)
{
	for (size_t i = 0; i < n; i++)
		if (flags & list[i].flag)
			return list[i].what;
	return NULL;
}

/* No name leads to such an inode, but where the host is damaged. */
static bool check_deleted(struct hostfs *fs, const struct ext2_inode *inode,
			  const char *path, GError **error)
{
	if (path[0] != '<' || !S_ISREG(inode->i_mode))
		return refuse(error, RAWMAP_ERROR_NOT_FOUND, path,
			      "is not in use (no links)");
	if (fs->deleted)
		return true;
	return refuse(error, RAWMAP_ERROR_NOT_FOUND, path,
		      "is deleted (no links); '-o ro,deleted' shows what is"
		      " left of it");
}

bool gate_check_inode(struct hostfs *fs, ext2_ino_t ino,
		      const struct ext2_inode *inode, const char *path,
		      GError **error)
{
	static const struct inode_flag unreadable[] = {
		{ EXT4_ENCRYPT_FL, "is encrypted" },
		/* EXT2_COMPR_FL alone is a wish ('chattr +c'), not a fact. */
		{ EXT2_COMPRBLK_FL, "is compressed" },
	};
	static const struct inode_flag unwritable[] = {
		{ EXT2_IMMUTABLE_FL, "is immutable ('chattr -i' ends that)" },
		{ EXT2_APPEND_FL, "is append-only ('chattr -a' ends that)" },
		{ EXT4_VERITY_FL, "is sealed by fs-verity" },
		{ EXT3_JOURNAL_DATA_FL,
		  "has its data journalled ('chattr -j' ends that)" },
		{ EXT4_EA_INODE_FL, "holds an extended attribute" },
		{ EXT4_SNAPFILE_FL, "is a snapshot" },
		{ EXT4_INLINE_DATA_FL, "lies inside its inode (inline data)" },
	};
	const char *what;

	if (!inode->i_links_count && !check_deleted(fs, inode, path, error))
		return false;
	if (!S_ISREG(inode->i_mode))
		return refuse(error, RAWMAP_ERROR_NOT_A_FILE, path,
			      "is %s, not a regular file",
			      type_name(inode->i_mode));
	what = first_flag(unreadable, G_N_ELEMENTS(unreadable), inode->i_flags);
	if (what)
		return refuse(error, RAWMAP_ERROR_UNSUPPORTED, path,
			      "%s; its content is not in blocks as it stands",
			      what);
	if (fs->readonly)
		return true;
	what = first_flag(unwritable, G_N_ELEMENTS(unwritable), inode->i_flags);
	if (!what && is_special(fs->fs->super, ino))
		what = "belongs to the filesystem itself";
	if (what)
		return refuse(error, RAWMAP_ERROR_READONLY, path,
			      "%s; it can be opened read-only (-r)", what);
	return true;
}
