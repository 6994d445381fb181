/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the journal of a host is, and whether it is the host's.
 *
 *   the superblock names   the journal is
 *   an inode               that file, on the host's device
 *   none                   outside: a device of its own, found by its UUID
 *
 * The place inside is read from the disk as it lies, as the kernel and e2fsck
 * do, never through the log.
 *
 * A device that is a journal (mke2fs -O journal_dev) has an ext superblock at the
 * usual place, with that feature, and the journal's superblock in the next block
 * (fs/ext4/super.c of the kernel, lib/ext2fs/mkjournal.c of e2fsprogs). What must
 * agree before a block of it is believed:
 *
 *   UUID of the device          the one that the host calls its journal's
 *   size of blocks              the host's
 *   users in the journal        exactly one: the host
 */
#include "jfind_priv.h"
#include "gate_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>

#include <errno.h>
#include <string.h>

static unsigned bits_of(const struct ext2_super_block *super)
{
	return super->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
}

static bool refuse(GError **error, enum rawmap_error code, const char *fmt, ...)
	G_GNUC_PRINTF(3, 4);

static bool refuse(GError **error, enum rawmap_error code, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error_literal(error, RAWMAP_ERROR, (gint)code, text);
	return false;
}

/* ---- inside ---- */

static int read_runs(const struct jfind *jf, ext2_filsys fs, GArray *runs)
{
	uint64_t super = SUPERBLOCK_OFFSET >> bits_of(jf->super);
	int err = jmap_read(fs, jf->super->s_journal_inum, runs, NULL);

	for (guint i = 0; !err && i < runs->len; i++) {
		const struct journal_run *run =
			&g_array_index(runs, struct journal_run, i);

		if (range_overlaps(run->phys.v, run->len, super, 1))
			err = -EUCLEAN;
	}
	return err;
}

/* 0, or a -errno: -EUCLEAN, -EINVAL for all that makes no sense. */
static int find_runs(const struct jfind *jf, GArray *runs)
{
	ext2_filsys fs;
	int err;

	err = errcode_to_errno(source_open_by(jf->dev, 0, jf->super_block,
					      1u << bits_of(jf->super), &fs));
	if (err)
		return err;
	err = read_runs(jf, fs, runs);
	ext2fs_free(fs);
	return err;
}

static struct journal *open_inside(const struct jfind *jf, GError **error)
{
	g_autoptr(GArray)
		runs = g_array_new(FALSE, FALSE, sizeof(struct journal_run));
	int err = find_runs(jf, runs);

	if (err) {
		source_failed(jf->name, err,
			      "has a journal that cannot be found", error);
		return NULL;
	}
	return journal_open(jf->dev,
			    (const struct journal_run *)(void *)runs->data,
			    runs->len, bits_of(jf->super), jf->name, error);
}

/* ---- outside ---- */

static bool read_super(const struct jfind *jf, struct ext2_super_block *ret,
		       GError **error)
{
	struct blkdev *dev = jf->journal_dev;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (!range_within(SUPERBLOCK_OFFSET, sizeof(*ret),
			  blkdev_geometry(dev)->size))
		return true;
	err = blkdev_pread(dev, ret, sizeof(*ret),
			   dev_off_at(SUPERBLOCK_OFFSET));
	if (err)
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot read the journal's device of '%s'",
				jf->name);
	return !err;
}

static bool check_uuid(const struct jfind *jf,
		       const struct ext2_super_block *outside, GError **error)
{
	char wanted[37], found[37];

	if (!memcmp(outside->s_uuid, jf->super->s_journal_uuid,
		    sizeof(outside->s_uuid)))
		return true;
	super_uuid_text(jf->super->s_journal_uuid, wanted);
	super_uuid_text(outside->s_uuid, found);
	return refuse(error, RAWMAP_ERROR_NOT_FOUND,
		      "the device that -o journal= names is not the journal of"
		      " '%s': it has the UUID %s, the journal %s",
		      jf->name, found, wanted);
}

static bool check_super(const struct jfind *jf,
			const struct ext2_super_block *outside, GError **error)
{
	if (outside->s_magic != EXT2_SUPER_MAGIC ||
	    !(outside->s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV))
		return refuse(error, RAWMAP_ERROR_CORRUPT,
			      "the device that -o journal= names for '%s' holds"
			      " no journal",
			      jf->name);
	if (!gate_csum_ok(outside))
		return refuse(error, RAWMAP_ERROR_CORRUPT,
			      "the journal's device of '%s' has a damaged"
			      " superblock (wrong checksum)",
			      jf->name);
	if (!check_uuid(jf, outside, error))
		return false;
	if (outside->s_log_block_size != jf->super->s_log_block_size)
		return refuse(
			error, RAWMAP_ERROR_CORRUPT,
			"the journal's device of '%s' has blocks of another"
			" size",
			jf->name);
	return true;
}

static bool check_users(const struct jfind *jf, const struct journal_info *info,
			GError **error)
{
	if (info->users != 1)
		return refuse(
			error, RAWMAP_ERROR_UNSUPPORTED,
			"the journal of '%s' does not belong to exactly one"
			" filesystem, which the kernel does not support"
			" either",
			jf->name);
	if (memcmp(info->user, jf->super->s_uuid, sizeof(info->user)))
		return refuse(error, RAWMAP_ERROR_NOT_FOUND,
			      "the device that -o journal= names is the journal"
			      " of another filesystem than '%s'",
			      jf->name);
	return true;
}

static struct journal *open_outside(const struct jfind *jf, GError **error)
{
	unsigned bits = bits_of(jf->super);
	int start = ext2fs_journal_sb_start(1 << bits);
	struct ext2_super_block outside;
	struct journal *j;

	if (!read_super(jf, &outside, error) ||
	    !check_super(jf, &outside, error))
		return NULL;
	j = journal_open_device(jf->journal_dev, pblk_at((uint64_t)start),
				ext2fs_blocks_count(&outside), bits, jf->name,
				error);
	if (j && check_users(jf, journal_info(j), error))
		return j;
	journal_close(j);
	return NULL;
}

/* ---- both ---- */

struct journal *jfind_open(const struct jfind *jf, GError **error)
{
	const struct ext2_super_block *super = jf->super;

	if (super->s_journal_inum && !jf->journal_dev)
		return open_inside(jf, error);
	if (!super->s_journal_inum && jf->journal_dev)
		return open_outside(jf, error);
	if (jf->journal_dev)
		refuse(error, RAWMAP_ERROR_USAGE,
		       "-o journal= is for a host with its journal on another"
		       " device; '%s' has it inside",
		       jf->name);
	else if (!(super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER))
		refuse(error, RAWMAP_ERROR_DIRTY,
		       "'%s' has its journal on another device, and only that"
		       " says whether it has to be replayed: a copy of the"
		       " superblock does not; name it with -o journal=DEVICE",
		       jf->name);
	else
		refuse(error, RAWMAP_ERROR_DIRTY,
		       "'%s' was not unmounted cleanly, and the journal that"
		       " has to be replayed is on another device; name it with"
		       " -o journal=DEVICE",
		       jf->name);
	return NULL;
}

bool jfind_same_blocks(const struct jfind *jf,
		       const struct ext2_super_block *now, GError **error)
{
	if (now->s_log_block_size == jf->super->s_log_block_size)
		return true;
	return refuse(error, RAWMAP_ERROR_CORRUPT,
		      "'%s' has another block size in its journal; 'e2fsck -f'"
		      " may repair it",
		      jf->name);
}
