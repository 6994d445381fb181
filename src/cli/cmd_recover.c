/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap recover: the host's journal goes home, and nothing else. */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/replay.h>

#include <inttypes.h>
#include <stdio.h>

static bool open_source(struct stack *ret, const char *path,
			const struct stack_options *opt, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (stack_open(ret, path, opt, &why))
		return true;
	/* What it suggests is an option of another command. */
	if (g_error_matches(why, RAWMAP_ERROR, RAWMAP_ERROR_READONLY))
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_READONLY,
			    "'%s' cannot be opened for writing; -n looks what"
			    " there is to recover",
			    path);
	else
		g_propagate_error(error, g_steal_pointer(&why));
	return false;
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

static bool recover(const char *source, const struct mountopts *opt,
		    bool dry_run, GError **error)
{
	struct progress progress;
	struct stack_options place = opt->source.stack;
	g_autofree char *name = NULL;
	struct recover_report report;
	struct stack stack;
	bool done;

	place.readonly = dry_run;
	if (!open_source(&stack, source, &place, error))
		return false;
	name = stack_name(&stack, source);
	replay_show_begin(&progress);
	done = hostfs_recover(stack.dev,
			      &(struct recover_options){
				      .name = name,
				      .source = source,
				      .dry_run = dry_run,
				      .progress = replay_show,
				      .ctx = &progress,
			      },
			      &report, error);
	progress_end(&progress);
	stack_close(&stack);
	if (!done)
		return false;
	print_report(name, &report, dry_run);
	if (report.had_error)
		log_warning("the journal of '%s' had recorded an error; run"
			    " 'e2fsck -f' on it",
			    name);
	return output_finish(error);
}

static bool read_and_recover(const char *source, char **options, bool dry_run,
			     GError **error)
{
	struct mountopts opt;
	bool done = options_read(&opt, options, error) &&
		    mountopts_check_place(&opt, error) &&
		    recover(source, &opt, dry_run, error);

	mountopts_clear(&opt);
	return done;
}

int cmd_recover(const struct command *self, int argc, char **argv)
{
	g_auto(GStrv) options = NULL;
	GError *error = NULL;
	gboolean dry_run = FALSE;
	bool done;
	const GOptionEntry entries[] = {
		{ "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
		  "Only say what there is to recover; write nothing", NULL },
		{ "options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &options,
		  OPTIONS_HELP, "OPTS" },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 1, 1, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!read_and_recover(argv[1], options, dry_run, &error))
		return command_fail(error);
	return STATUS_OK;
}
