/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is there something to recover, and may it be done?
 *
 *   needs_recovery   journal              answer
 *   clear            none, empty          nothing to do
 *   clear            in use, or an error  refused: who is right, e2fsck asks
 *   set              none                 refused: e2fsck
 *   set              empty                only the superblock is changed
 *   set              in use               replayed: recover_apply.c
 *
 * Everything that can be a reason to refuse is found here, before a byte is
 * written.
 *
 * State and orphans are judged by the superblock as it will be, seen through a
 * view of the replayed device.
 *
 * libext2fs is asked where the journal lies and what the descriptors count, and
 * is gone before anything is written.
 */
#include "gate_priv.h"
#include "jfind_priv.h"
#include "recover_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/dev/baddev.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/journal.h>
#include <rawmap/jbd/replay.h>

#define ORPHANS_ADVICE \
	"; run 'e2fsck -p' on it, or mount it once with the kernel"

static bool refuse(const struct recovery *r, GError **error,
		   enum rawmap_error code, const char *what)
{
	g_set_error(error, RAWMAP_ERROR, (gint)code, "'%s' %s", r->name, what);
	return false;
}

static bool failed(const struct recovery *r, GError **error, int err,
		   const char *what)
{
	error_set_errno(error, RAWMAP_ERROR_IO, -err, "'%s': %s", r->name,
			what);
	return false;
}

/* ---- what is there ---- */

static bool read_super(const struct recovery *r, struct blkdev *dev,
		       struct ext2_super_block *ret, GError **error)
{
	return source_read_super(dev, r->name, ret, error) &&
	       gate_check_recover(ret, blkdev_geometry(dev)->size, r->name,
				  r->opt->dry_run, error);
}

static bool open_journal(struct recovery *r, GError **error)
{
	const struct jfind where = {
		.dev = r->dev,
		.name = r->name,
		.super = &r->super,
	};

	r->journal = jfind_open(&where, error);
	return r->journal != NULL;
}

/*
 * The superblock doesn't say that the log is in use: the kernel ignores the log
 * then, e2fsck asks. Who is right, a person has to say.
 */
static bool check_unused(const struct recovery *r, GError **error)
{
	const struct journal_info *info = journal_info(r->journal);

	if (info->start)
		return refuse(r, error, RAWMAP_ERROR_DIRTY,
			      "has a journal that holds changes though the"
			      " filesystem does not say so; run 'e2fsck -f' on"
			      " it");
	if (info->error)
		return refuse(r, error, RAWMAP_ERROR_DIRTY,
			      "has a journal that recorded an error though the"
			      " filesystem does not say so; run 'e2fsck -f' on"
			      " it");
	return true;
}

static bool check_orphan_file(struct recovery *r, ext2_filsys fs,
			      GError **error)
{
	bool any = false;
	int err;

	if (!(fs->super->s_feature_ro_compat &
	      EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT))
		return true;
	err = orphanfile_look(fs, &any);
	if (err)
		return source_failed(r->name, err,
				     "has an orphan file that cannot be read",
				     error);
	r->orphans = any;
	return !any || r->opt->keep_orphans ||
	       refuse(r, error, RAWMAP_ERROR_DIRTY,
		      "has orphaned inodes in its orphan file" ORPHANS_ADVICE);
}

/* What the superblock alone does not tell. */
static bool check_view(struct recovery *r, struct blkdev *view, GError **error)
{
	ext2_filsys fs;
	int err = errcode_to_errno(source_open_ext2fs(view, 0, &fs));
	bool ok;

	if (err)
		return source_failed(r->name, err,
				     "has a journal that leaves no filesystem",
				     error);
	ok = check_orphan_file(r, fs, error);
	/* Impossible counts are left to e2fsck. */
	if (ok)
		r->counted =
			source_count_free(fs, &r->free_blocks, &r->free_inodes);
	ext2fs_free(fs);
	return ok;
}

/* The host as it will be: @view shows it. */
static bool check_outcome(struct recovery *r, struct blkdev *view,
			  GError **error)
{
	const struct jfind where = { .name = r->name, .super = &r->super };
	struct ext2_super_block super;

	if (!read_super(r, view, &super, error) ||
	    !jfind_same_blocks(&where, &super, error))
		return false;
	if (super.s_last_orphan && !r->opt->keep_orphans)
		return refuse(r, error, RAWMAP_ERROR_DIRTY,
			      "has orphaned inodes to be cleaned up after its"
			      " journal" ORPHANS_ADVICE);
	return check_view(r, view, error);
}

/*
 * A filesystem that was being enlarged has copies for blocks behind the end
 * that the old superblock knows; the end of the device is the limit.
 */
static bool scan(struct recovery *r, GError **error)
{
	struct blkdev *view;
	bool ok;

	r->replay = replay_scan(r->journal,
				blkdev_geometry(r->dev)->size >> r->bits,
				r->opt->progress, r->opt->ctx, error);
	if (!r->replay)
		return false;
	view = replay_view_new(r->replay, r->dev);
	ok = check_outcome(r, view, error);
	blkdev_unref(view);
	return ok;
}

/* ---- all of it ---- */

static void report(const struct recovery *r, struct recover_report *ret)
{
	const struct replay_report *log = replay_report(r->replay);

	*ret = (struct recover_report){
		.needed = true,
		.had_error = recovery_has_error(r),
		.transactions = log->transactions,
		.log_blocks = log->log_blocks,
		.blocks = log->blocks,
		.revoked = log->revoked,
	};
}

/*
 * needs_recovery is set. Zeros for what cannot be read would end the log, or go
 * home out of it.
 */
static bool recover(struct recovery *r, struct recover_report *ret,
		    GError **error)
{
	struct recover_report found;
	int err;

	if (!r->journal)
		return refuse(r, error, RAWMAP_ERROR_CORRUPT,
			      "says that its journal must be replayed, but has"
			      " none; 'e2fsck -f' may repair it");
	baddev_set_strict(r->opt->bad, true);
	if (!scan(r, error))
		return false;
	report(r, &found); /* before the journal is changed */
	err = r->opt->dry_run ? 0 : recovery_apply(r);
	if (err)
		return failed(r, error, err,
			      "cannot write what its journal has; run 'rawmap"
			      " recover' again when the device works");
	*ret = found;
	return true;
}

static bool look_and_recover(struct recovery *r, struct recover_report *ret,
			     GError **error)
{
	if (!source_check_unmounted(r->opt->source ? r->opt->source
						   : r->opt->name,
				    r->opt->dry_run, error) ||
	    !read_super(r, r->dev, &r->super, error))
		return false;
	r->bits = r->super.s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	if ((r->super.s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL) &&
	    !open_journal(r, error))
		return false;
	if (r->super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
		return recover(r, ret, error);
	if (r->journal && !check_unused(r, error))
		return false;
	*ret = (struct recover_report){ .needed = false };
	return true;
}

bool hostfs_recover(struct blkdev *dev, const struct recover_options *opt,
		    struct recover_report *ret, GError **error)
{
	struct recovery r = {
		.dev = dev,
		.opt = opt,
		.name = opt->name ? opt->name : "the source",
	};
	bool done = look_and_recover(&r, ret, error);

	baddev_set_strict(opt->bad, false);
	replay_free(r.replay);
	journal_close(r.journal);
	return done;
}
