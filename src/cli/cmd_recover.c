/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap recover: the host's journal goes home, and nothing else.
 *
 * A long log shows how far it is, on a terminal only: a line that is rewritten
 * in place, and gone when something else is to be said.
 */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/dev/filedev.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/replay.h>

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define SHOW_AFTER_US (G_USEC_PER_SEC)
#define SHOW_EVERY_US (G_USEC_PER_SEC / 10)

struct progress {
	bool terminal;
	bool shown;   /* there is a line to be cleared */
	gint64 due;   /* when to draw again, monotonic */
	unsigned max; /* a percentage never goes back */
};

static unsigned percent_of(unsigned pass, uint64_t done, uint64_t total)
{
	double part = total ? (double)MIN(done, total) / (double)total : 1;

	return (unsigned)((pass - 1 + part) * 100 / REPLAY_PASSES);
}

static void progress_show(void *ctx, unsigned pass, uint64_t done,
			  uint64_t total)
{
	struct progress *p = ctx;
	gint64 now;

	if (!p->terminal)
		return;
	now = g_get_monotonic_time();
	if (now < p->due)
		return;
	p->due = now + SHOW_EVERY_US;
	p->max = MAX(p->max, percent_of(pass, done, total));
	p->shown = true;
	fprintf(stderr, "\rrawmap: replaying the journal: %u%%", p->max);
	fflush(stderr);
}

static void progress_clear(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r%*s\r", 40, "");
	p->shown = false;
}

static struct blkdev *open_source(const char *path, bool dry_run,
				  GError **error)
{
	const struct filedev_options opt = {
		.readonly = dry_run,
		.direct = FILEDEV_DIRECT_AUTO,
		.lock = true,
	};
	g_autoptr(GError) why = NULL;
	struct blkdev *dev = filedev_open(path, &opt, &why);

	if (dev)
		return dev;
	/* What it suggests is an option of another command. */
	if (g_error_matches(why, RAWMAP_ERROR, RAWMAP_ERROR_READONLY))
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_READONLY,
			    "'%s' cannot be opened for writing; -n looks what"
			    " there is to recover",
			    path);
	else
		g_propagate_error(error, g_steal_pointer(&why));
	return NULL;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_report(const char *source,
			 const struct recover_report *report, bool dry_run)
{
	if (!report->needed)
		printf("'%s': nothing to recover\n", source);
	else if (!report->transactions)
		printf("'%s': the journal %s empty, %s marked so\n", source,
		       dry_run ? "is" : "was", dry_run ? "to be" : "now");
	else
		printf("'%s': %" PRIu32 " transaction%s %sreplayed, %" PRIu64
		       " block%s %swritten\n",
		       source, report->transactions,
		       plural(report->transactions), dry_run ? "to be " : "",
		       report->blocks, plural(report->blocks),
		       dry_run ? "to be " : "");
}

static bool recover(const char *source, bool dry_run, GError **error)
{
	struct progress progress = {
		.terminal = isatty(STDERR_FILENO),
		.due = g_get_monotonic_time() + SHOW_AFTER_US,
	};
	const struct recover_options opt = {
		.name = source,
		.dry_run = dry_run,
		.progress = progress_show,
		.ctx = &progress,
	};
	g_autoptr(blkdev) dev = open_source(source, dry_run, error);
	struct recover_report report;
	bool done;

	if (!dev)
		return false;
	done = hostfs_recover(dev, &opt, &report, error);
	progress_clear(&progress);
	if (!done)
		return false;
	print_report(source, &report, dry_run);
	if (report.had_error)
		log_warning("the journal of '%s' had recorded an error; run"
			    " 'e2fsck -f' on it",
			    source);
	return output_finish(error);
}

int cmd_recover(const struct command *self, int argc, char **argv)
{
	GError *error = NULL;
	gboolean dry_run = FALSE;
	bool done;
	const GOptionEntry entries[] = {
		{ "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
		  "Only say what there is to recover; write nothing", NULL },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 1, 1, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!recover(argv[1], dry_run, &error))
		return command_fail(error);
	return STATUS_OK;
}
