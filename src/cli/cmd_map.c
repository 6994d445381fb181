/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap map: where the blocks of an image lie. */
#include "cli_priv.h"

#include <rawmap/hostfs/hostfile.h>
#include <rawmap/inspect/mapreport.h>

#include <stdio.h>

/* The walk goes forward once; a cache would only keep what is done with. */
#define CACHE_BUDGET (UINT64_C(256) << 10)

static bool print_map(const char *source, const char *path,
		      enum mapreport_format format, GError **error)
{
	struct source src;
	struct hostfile *hf;
	bool done = false;

	if (!source_open(&src, source, error))
		return false;
	hf = hostfile_open(src.fs, path, CACHE_BUDGET, error);
	if (hf)
		done = mapreport_print(hf, format, stdout, error);
	hostfile_close(hf);
	source_close(&src);
	return done;
}

int cmd_map(const struct command *self, int argc, char **argv)
{
	g_autofree char *format_name = NULL;
	enum mapreport_format format = MAPREPORT_TABLE;
	GError *error = NULL;
	bool done;
	const GOptionEntry entries[] = {
		{ "format", 0, 0, G_OPTION_ARG_STRING, &format_name,
		  "table (blocks, for people) or json (bytes, for programs)",
		  "FORMAT" },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 2, 2, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if ((format_name &&
	     !mapreport_parse_format(format_name, &format, &error)) ||
	    !print_map(argv[1], argv[2], format, &error))
		return command_fail(error);
	return STATUS_OK;
}
