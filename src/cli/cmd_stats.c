/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap stats: the counters of a mounted image, asked by ioctl(2). */
#include "cli_priv.h"

#include <rawmap/base/text.h>
#include <rawmap/inspect/statsreport.h>

#include <stdio.h>

#define SECONDS_MAX 86400

struct wanted {
	gboolean json, watch;
	char *seconds, *count; /* as given; NULL: not */
	struct stats_watch how;
};

static bool stats_once(const char *file, bool json, GError **error)
{
	g_autofree char *text = NULL;
	struct rawmap_stats stats;

	if (!exposed_ask(file, RAWMAP_IOC_STATS, &stats, error))
		return false;
	text = json ? statsreport_json(&stats) : statsreport_table(&stats);
	printf("%s%s", text, json ? "\n" : "");
	return output_finish(error);
}

/* How often and how long only make sense while watching: they ask for it. */
static bool read_numbers(struct wanted *w, GError **error)
{
	w->watch |= w->seconds || w->count;
	w->how = (struct stats_watch){ .json = w->json, .seconds = 1 };
	return (!w->seconds ||
		text_parse_u64(w->seconds, "--interval", 1, SECONDS_MAX,
			       &w->how.seconds, error)) &&
	       (!w->count || text_parse_u64(w->count, "--count", 1, UINT64_MAX,
					    &w->how.count, error));
}

static bool run(struct wanted *w, const char *file, GError **error)
{
	if (!read_numbers(w, error))
		return false;
	return w->watch ? stats_watch(file, &w->how, error)
			: stats_once(file, w->json, error);
}

int cmd_stats(const struct command *self, int argc, char **argv)
{
	struct wanted w = { .json = FALSE };
	GError *error = NULL;
	bool done, good;
	const GOptionEntry entries[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &w.json,
		  "Print one JSON object, or one a line", NULL },
		{ "watch", 'w', 0, G_OPTION_ARG_NONE, &w.watch,
		  "Print a line since the mount, then one for each interval",
		  NULL },
		{ "interval", 'n', 0, G_OPTION_ARG_STRING, &w.seconds,
		  "Watch, with intervals of so many seconds instead of 1",
		  "SECONDS" },
		{ "count", 'c', 0, G_OPTION_ARG_STRING, &w.count,
		  "Watch, and end after so many lines", "N" },
		G_OPTION_ENTRY_NULL
	};

	good = command_parse(self, entries, 1, 1, &argc, &argv, &done,
			     &error) &&
	       (done || run(&w, argv[1], &error));
	g_free(w.seconds);
	g_free(w.count);
	return good ? STATUS_OK : command_fail(error);
}
