/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens bottom-up, closes in reverse, from whatever stage was reached. */
#include <rawmap/hostfs/hostsource.h>

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/replay.h>

#include <inttypes.h>

void hostsource_options_clear(struct hostsource_options *opt)
{
	g_clear_pointer(&opt->journal, g_free);
	g_clear_pointer(&opt->stack.ddrescue, g_free);
	g_clear_pointer(&opt->stack.cow, g_free);
}

/* Read-only, whatever the host is. */
static bool open_journal(struct hostsource *src, const char *path,
			 GError **error)
{
	const struct filedev_options opt = {
		.readonly = true,
		.direct = FILEDEV_DIRECT_AUTO,
		.lock = true,
	};

	if (!path)
		return true;
	src->journal = filedev_open(path, &opt, error);
	return src->journal != NULL;
}

/* A wish, not a condition: the host is opened without. */
static bool may_discard(const struct hostsource *src, const char *path)
{
	if (blkdev_geometry(src->stack.dev)->can_discard)
		return true;
	log_warning("'%s' cannot discard: 'discard' has no effect, blocks that "
		    "are freed stay allocated on it",
		    path);
	return false;
}

/* The user named a whole disk: say what is on it. */
static bool offer_partitions(const struct hostsource *src, const char *path,
			     GError **error)
{
	g_autofree char *list = stack_list_partitions(&src->stack, path, NULL);

	if (!list)
		return false;
	g_strchomp(list);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
		    "'%s' is a disk with partitions; say which one is meant "
		    "with -o partition=N:\n%s",
		    path, list);
	return true;
}

/*
 * Into the file of changes: the source's owner cannot be asked to do it first,
 * and its orphans are nobody else's business there.
 */
static bool recover_into(struct hostsource *src, const char *name,
			 const char *path, GError **error)
{
	struct progress progress;
	const struct recover_options opt = {
		.name = name,
		.source = path,
		.keep_orphans = true,
		.bad = src->stack.bad,
		.progress = replay_show,
		.ctx = &progress,
	};
	struct recover_report report;
	bool done;

	replay_show_begin(&progress);
	done = hostfs_recover(src->stack.dev, &opt, &report, error);
	progress_end(&progress);
	if (!done)
		return false;
	if (report.needed)
		log_info("'%s': %" PRIu32 " transactions of its journal are "
			 "replayed into the file of changes",
			 name, report.transactions);
	return true;
}

static bool open_host(struct hostsource *src, const char *path,
		      const struct hostsource_options *opt, GError **error)
{
	g_autofree char *name = stack_name(&src->stack, path);
	const struct hostfs_options host = {
		.name = name,
		.source = path,
		.readonly = opt->stack.readonly,
		.keep_orphans = src->stack.cow,
		.use_reserved = opt->use_reserved,
		.discard = opt->discard && may_discard(src, path),
		.norecovery = opt->norecovery,
		.journal_dev = src->journal,
		.bad = src->stack.bad,
		.super_block = opt->super_block,
		.super_block_size = opt->super_block_size,
		.deleted = opt->deleted,
		.raw_unwritten = opt->raw_unwritten,
	};

	GError *why = NULL;

	if (!src->stack.cow || recover_into(src, name, path, &why))
		src->fs = hostfs_open(src->stack.dev, &host, &why);
	if (src->fs)
		return true;
	if (opt->stack.place == STACK_WHOLE &&
	    g_error_matches(why, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT) &&
	    offer_partitions(src, path, error))
		g_error_free(why);
	else
		g_propagate_error(error, why);
	return false;
}

bool hostsource_open(struct hostsource *ret, const char *path,
		     const struct hostsource_options *opt, GError **error)
{
	*ret = (struct hostsource){ .fs = NULL };
	if (stack_open(&ret->stack, path, &opt->stack, error) &&
	    open_journal(ret, opt->journal, error) &&
	    open_host(ret, path, opt, error))
		return true;
	hostsource_close(ret);
	return false;
}

int hostsource_close(struct hostsource *src)
{
	int err = hostfs_close(src->fs);

	blkdev_unref(src->journal);
	stack_close(&src->stack);
	*src = (struct hostsource){ .fs = NULL };
	return err;
}
