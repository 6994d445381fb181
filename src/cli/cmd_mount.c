/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap mount: into the background unless told otherwise, and back to the
 * caller only when the images are there.
 */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/base/path.h>
#include <rawmap/fuse/daemon.h>
#include <rawmap/fuse/session.h>

#include <stdlib.h>
#include <string.h>

struct arguments {
	char **images, **options; /* as given; NULL: none */
	gboolean readonly, foreground, debug, verbose;
	struct mountopts opt;
	char *source, *mountpoint; /* absolute */
};

static void arguments_clear(struct arguments *a)
{
	mountopts_clear(&a->opt);
	g_strfreev(a->images);
	g_strfreev(a->options);
	g_free(a->source);
	g_free(a->mountpoint);
}

static bool read_options(struct arguments *a, GError **error)
{
	for (char **path = a->images; path && *path; path++)
		mountopts_add_image(&a->opt, *path);
	for (char **text = a->options; text && *text; text++)
		if (!mountopts_parse(&a->opt, *text, error))
			return false;
	if (a->readonly)
		mountopts_set_readonly(&a->opt);
	return mountopts_check(&a->opt, error);
}

/* The server changes to "/": what it is given must not depend on the place. */
static void make_absolute(struct arguments *a, char **operands)
{
	char *real = realpath(operands[1], NULL);

	a->source = path_absolute(operands[0]);
	a->mountpoint =
		g_canonicalize_filename(real ? real : operands[1], NULL);
	free(real);
}

static bool parse(struct arguments *a, const struct command *self, int argc,
		  char **argv, bool *ret_done, GError **error)
{
	g_autofree char *takes = mountopts_describe(MOUNTOPTS_MOUNT);
	const GOptionEntry entries[] = {
		{ "image", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->images,
		  "Show this file of SOURCE: an absolute path inside it, or "
		  "<N>, an inode number; may be repeated",
		  "PATH" },
		{ "read-only", 'r', 0, G_OPTION_ARG_NONE, &a->readonly,
		  "Write nothing, neither images nor SOURCE", NULL },
		{ "options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->options,
		  takes, "OPTS" },
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
	if (!read_options(a, error))
		return false;
	make_absolute(a, argv + 1);
	return true;
}

/* The server's life; it speaks of a failure before it is gone. */
static int serve(const struct arguments *a, struct daemon *daemon)
{
	GError *error = NULL, *at_close = NULL;
	struct session *s;
	int status = STATUS_OK;

	s = session_open(&a->opt, a->source, a->mountpoint, a->debug, &error);
	if (s && session_mount(s, &error)) {
		daemon_ready(daemon);
		session_run(s, &error);
	}
	if (error)
		status = command_fail(error);
	if (!session_close(s, &at_close))
		status = command_fail(at_close);
	return status;
}

static int mount_in_background(const struct arguments *a)
{
	GError *error = NULL;
	struct daemon daemon;
	bool is_parent;
	int status;

	if (!daemon_fork(&daemon, &is_parent, &status, &error))
		return command_fail(error);
	return is_parent ? status : serve(a, &daemon);
}

int cmd_mount(const struct command *self, int argc, char **argv)
{
	struct arguments a = { 0 };
	struct daemon none = { .fd = -1 };
	GError *error = NULL;
	bool done;
	int status = STATUS_OK;

	mountopts_init(&a.opt);
	if (!parse(&a, self, argc, argv, &done, &error)) {
		status = command_fail(error);
	} else if (!done) {
		if (a.debug || a.verbose)
			log_set_level(a.debug ? LOG_LEVEL_DEBUG
					      : LOG_LEVEL_INFO);
		status = a.debug || a.foreground ? serve(&a, &none)
						 : mount_in_background(&a);
	}
	arguments_clear(&a);
	return status;
}
