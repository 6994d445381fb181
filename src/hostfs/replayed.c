/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read-only host as it is once its log is home, with nothing written.
 *
 *   needs_recovery   journal              shown is
 *   clear            any                  the disk; a log that is in use all the
 *                                         same is ignored, as the kernel does
 *   set              none                 the disk, as the kernel does
 *   set              inside, or named     the disk through a view of the log
 *   set              outside, not named   refused
 *   any              norecovery           the disk; the journal is not looked at
 *   of a copy        inside, or named     needs_recovery is that of the day it was
 *                                         written: the log itself says whether it
 *                                         is in use
 *   of a copy        outside, not named   refused: nobody can say
 *
 * The view goes below everything, so data that was journalled is seen as well as
 * metadata. The gate asks twice: of the superblock as it lies there, which says
 * where the journal is, and of the one behind the log. So it does of a copy, too:
 * one that a resize wrote is in the log.
 *
 * A block of zeros ends a log, so what cannot be read of it is an error in any
 * case, also where zeros are given for what cannot be read elsewhere.
 *
 * What the log holds beyond the end of the filesystem is no damage: one that was
 * growing has its new size only there. The end of the device is the limit.
 *
 * Owns journal, index and a reference to the view, until the host is closed.
 */
#include "jfind_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/baddev.h>
#include <rawmap/jbd/format.h>
#include <rawmap/jbd/replay.h>

#include <inttypes.h>

static bool needs_recovery(const struct ext2_super_block *super)
{
	return super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER;
}

static bool has_journal(const struct ext2_super_block *super)
{
	return super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL;
}

/* Does what was asked for make sense, together and on this host? */
static bool check_options(const struct hostfs_options *opt, const char *name,
			  const struct ext2_super_block *super, GError **error)
{
	const char *wrong = NULL;

	if (!opt->readonly && (opt->norecovery || opt->journal_dev))
		wrong = "-o norecovery and -o journal= are for a host that is"
			" only read (-r)";
	else if (opt->norecovery && opt->journal_dev)
		wrong = "-o journal= contradicts -o norecovery";
	else if (opt->journal_dev && !has_journal(super))
		wrong = "-o journal= is for a host that has a journal";
	if (!wrong)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE, "'%s': %s", name,
		    wrong);
	return false;
}

/* The journal is found. */
static bool is_needed(const struct replayed *log, const struct jfind *where)
{
	return needs_recovery(where->super) ||
	       (where->super_block && journal_info(log->journal)->start);
}

static bool find(struct replayed *log, const struct jfind *where,
		 GError **error)
{
	const struct journal_info *info;

	log->journal = jfind_open(where, error);
	if (!log->journal)
		return false;
	info = journal_info(log->journal);
	log->log_error = info->error != 0;
	log->ignored = !is_needed(log, where) && info->start;
	return true;
}

static void say(const struct replayed *log, const char *name)
{
	const struct replay_report *report = replay_report(log->replay);

	log_info("'%s' was not unmounted cleanly: it is shown with the %" PRIu64
		 " blocks that %" PRIu32 " transactions of its journal have",
		 name, report->blocks, report->transactions);
}

/* The superblock that the host is opened by, as the view has it. */
static bool read_behind(const struct replayed *log, const struct jfind *where,
			struct ext2_super_block *ret, GError **error)
{
	const struct ext2_super_block *super = where->super;

	if (!where->super_block)
		return source_read_super(log->view, where->name, ret, error);
	return backup_read(log->view, where->name, where->super_block,
			   (uint32_t)EXT2_BLOCK_SIZE(super), ret, error);
}

static bool look_through(struct replayed *log, const struct jfind *where,
			 struct ext2_super_block *super, GError **error)
{
	unsigned bits = super->s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	uint64_t size = blkdev_geometry(where->dev)->size;
	struct ext2_super_block now;
	struct progress progress;

	replay_show_begin(&progress);
	baddev_set_strict(where->bad, true);
	log->replay = replay_scan(log->journal, size >> bits, replay_show,
				  &progress, error);
	baddev_set_strict(where->bad, false);
	progress_end(&progress);
	if (!log->replay)
		return false;
	log->view = replay_view_new(log->replay, where->dev);
	if (!read_behind(log, where, &now, error) ||
	    !gate_check(&now, size, where->name, true, error) ||
	    !jfind_same_blocks(where, &now, error))
		return false;
	log->had_error = super->s_state & EXT2_ERROR_FS;
	*super = now;
	say(log, where->name);
	return true;
}

static bool open_log(struct replayed *log, const struct jfind *where,
		     struct ext2_super_block *super, GError **error)
{
	bool needed = needs_recovery(super);
	bool unknown = where->super_block != 0;

	/* replayed_finish() has a look at the others. */
	if (!needed && !unknown && !where->journal_dev)
		return true;
	if (find(log, where, error) &&
	    (!is_needed(log, where) || look_through(log, where, super, error)))
		return true;
	if (needed || unknown)
		replayed_advise(error);
	replayed_close(log);
	return false;
}

bool replayed_open(struct replayed *log, struct blkdev *dev,
		   const struct hostfs_options *opt, const char *name,
		   struct ext2_super_block *super, GError **error)
{
	const struct jfind where = {
		.dev = dev,
		.journal_dev = opt->journal_dev,
		.bad = opt->bad,
		.name = name,
		.super_block = opt->super_block,
		.super = super,
	};

	*log = (struct replayed){ .norecovery = opt->norecovery };
	if (!check_options(opt, name, super, error))
		return false;
	if (!opt->readonly || opt->norecovery)
		return true;
	if (has_journal(super))
		return open_log(log, &where, super, error);
	if (needs_recovery(super))
		log_warning("'%s' says that its journal must be replayed, but"
			    " has none; it is shown as it lies on the disk",
			    name);
	return true;
}

/* What the superblock counts is from before the log. */
static void count_free(ext2_filsys fs)
{
	uint64_t blocks;
	uint32_t inodes;

	if (!source_count_free(fs, &blocks, &inodes))
		return;
	ext2fs_free_blocks_count_set(fs->super, blocks);
	fs->super->s_free_inodes_count = inodes;
}

/*
 * The superblock of a journal that nobody needs: the first block of its inode,
 * no more, for its map may be long. False: it makes no sense, or cannot be read,
 * which is no reason to refuse anything.
 */
static bool read_aside(struct hostfs *fs, struct jbd_super *ret)
{
	ext2_ino_t ino = fs->fs->super->s_journal_inum;
	struct ext2_inode inode;
	blk64_t block = 0;
	uint32_t type;

	if (ext2fs_read_inode(fs->fs, ino, &inode) || jmap_too_deep(&inode) ||
	    ext2fs_bmap2(fs->fs, ino, &inode, NULL, 0, 0, NULL, &block) ||
	    !block ||
	    blkdev_pread(fs->dev, ret, sizeof(*ret),
			 dev_of_pblk(pblk_at(block), fs->bits)))
		return false;
	type = be32_get(ret->header.blocktype);
	return be32_get(ret->header.magic) == JBD_MAGIC &&
	       (type == JBD_SUPER_V1 || type == JBD_SUPER_V2);
}

static void look_aside(struct hostfs *fs)
{
	struct jbd_super super;

	if (!read_aside(fs, &super)) {
		log_debug("'%s' has a journal that makes no sense", fs->name);
		return;
	}
	fs->log.ignored = be32_get(super.start) != 0;
	fs->log.log_error = be32_get(super.error) != 0;
	if (fs->log.ignored)
		log_info("'%s' has a journal that holds changes, but was"
			 " unmounted cleanly: they are ignored",
			 fs->name);
}

void replayed_finish(struct hostfs *fs)
{
	const struct ext2_super_block *super = fs->fs->super;

	if (fs->log.replay)
		count_free(fs->fs);
	else if (fs->readonly && !fs->log.norecovery && has_journal(super) &&
		 super->s_journal_inum)
		look_aside(fs);
}

void replayed_close(struct replayed *log)
{
	blkdev_unref(log->view);
	replay_free(log->replay);
	journal_close(log->journal);
	*log = (struct replayed){ 0 };
}

void replayed_advise(GError **error)
{
	char *text;

	if (!error || !*error ||
	    g_error_matches(*error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE))
		return;
	text = g_strdup_printf("%s; -o norecovery shows the host as it lies on"
			       " the disk",
			       (*error)->message);
	g_free((*error)->message);
	(*error)->message = text;
}

void replayed_info(const struct replayed *log, struct hostfs_info *ret)
{
	ret->norecovery = log->norecovery;
	ret->log_ignored = log->ignored;
	ret->log_error = log->log_error;
	ret->has_error |= log->log_error || log->had_error;
	if (!log->replay)
		return;
	ret->replayed = ret->needs_recovery = true;
	ret->replay = (struct hostfs_replay){
		.transactions = replay_report(log->replay)->transactions,
		.log_blocks = replay_report(log->replay)->log_blocks,
		.blocks = replay_report(log->replay)->blocks,
		.revoked = replay_report(log->replay)->revoked,
	};
}
