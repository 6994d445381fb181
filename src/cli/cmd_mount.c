/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap mount: into the background unless told otherwise, and back to the
 * caller only when the images are there.
 */
#include "cli_priv.h"

#include <rawmap/base/log.h>

#include <stdlib.h>

struct arguments {
	char **images, **options; /* as given; NULL: none */
	gboolean readonly, foreground, debug, verbose;
	struct server server;
};

static void arguments_clear(struct arguments *a)
{
	server_clear(&a->server);
	g_strfreev(a->images);
	g_strfreev(a->options);
}

static bool parse(struct arguments *a, const struct command *self, int argc,
		  char **argv, bool *ret_done, GError **error)
{
	const GOptionEntry entries[] = {
		{ "image", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->images,
		  "Show this file of SOURCE: an absolute path inside it, or "
		  "<N>, an inode number; may be repeated",
		  "PATH" },
		{ "read-only", 'r', 0, G_OPTION_ARG_NONE, &a->readonly,
		  "Write nothing, neither images nor SOURCE", NULL },
		{ "options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->options,
		  OPTIONS_HELP, "OPTS" },
		{ "foreground", 'f', 0, G_OPTION_ARG_NONE, &a->foreground,
		  "Stay in the foreground", NULL },
		{ "debug", 'd', 0, G_OPTION_ARG_NONE, &a->debug,
		  "Write every request to standard error; implies -f", NULL },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &a->verbose, "Say more",
		  NULL },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 2, 2, &argc, &argv, ret_done, error))
		return false;
	if (*ret_done)
		return true;
	if (!server_options(&a->server, a->images, a->options, a->readonly,
			    error))
		return false;
	return server_place(&a->server, argv[1], argv[2], error);
}

int cmd_mount(const struct command *self, int argc, char **argv)
{
	struct arguments a = { 0 };
	GError *error = NULL;
	bool done;
	int status = STATUS_OK;

	server_init(&a.server);
	if (!parse(&a, self, argc, argv, &done, &error)) {
		status = command_fail(error);
	} else if (!done) {
		if (a.debug || a.verbose)
			log_set_level(a.debug ? LOG_LEVEL_DEBUG
					      : LOG_LEVEL_INFO);
		a.server.debug = a.debug;
		if (a.debug || a.foreground)
			status = server_run(&a.server);
		else
			server_start(&a.server, SERVER_ALONE, &status);
	}
	arguments_clear(&a);
	return status;
}
