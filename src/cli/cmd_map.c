/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap map: where the blocks of an image lie, all of them or one. */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/text.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/inspect/maplocate.h>
#include <rawmap/inspect/mapreport.h>

#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

/* The walk goes forward once; a cache would only keep what is done with. */
#define CACHE_BUDGET (UINT64_C(256) << 10)

/* What is asked: the whole map, or where one place of it is. */
struct question {
	enum mapreport_format format;
	bool at, device_block;
	uint64_t byte, block;
};

/*
 * Are the host's bytes those of the block device @path, as the kernel would read
 * them for a table?
 */
static bool is_block_device(const char *path, const struct stack *stack)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && !stack->bad &&
	       !stack->cow;
}

/* A table is loaded by somebody else, who stands elsewhere. */
static char *absolute(const char *path)
{
	g_autofree char *here = g_get_current_dir();

	return g_path_is_absolute(path) ? g_strdup(path)
					: g_build_filename(here, path, NULL);
}

static bool ask(const struct question *q, struct hostfile *hf,
		const char *source, const struct stack *stack, GError **error)
{
	g_autofree char *for_table = absolute(source);
	const struct mapreport what = {
		.hf = hf,
		.format = q->format,
		.out = stdout,
		.source = q->format == MAPREPORT_DM ? for_table : source,
		.source_offset = stack->start,
		.source_is_block = is_block_device(source, stack),
	};

	if (q->at)
		return maplocate_at(&what, q->byte, error);
	if (q->device_block)
		return maplocate_device_block(&what, q->block, error);
	return mapreport_print(&what, error);
}

static bool answer(const struct question *q, const char *source,
		   const char *path, char **options, GError **error)
{
	struct hostsource src;
	struct hostfile *hf;
	bool done = false;

	if (!look_open(&src, source, options, error))
		return false;
	hf = hostfile_open(src.fs, path, CACHE_BUDGET, error);
	if (hf)
		done = ask(q, hf, source, &src.stack, error);
	hostfile_close(hf);
	hostsource_close(&src);
	return done;
}

static bool understand(const char *format, const char *at,
		       const char *device_block, struct question *q,
		       GError **error)
{
	*q = (struct question){ .format = MAPREPORT_TABLE,
				.at = at != NULL,
				.device_block = device_block != NULL };
	if (format && !mapreport_parse_format(format, &q->format, error))
		return false;
	if (at && device_block) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "--at and --device-block are two questions; ask one"
			    " at a time");
		return false;
	}
	if ((at || device_block) && q->format != MAPREPORT_TABLE &&
	    q->format != MAPREPORT_JSON) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s is answered as text or as json, not as %s",
			    at ? "--at" : "--device-block", format);
		return false;
	}
	if (at)
		return text_parse_size(at, "--at", &q->byte, error);
	return !device_block || text_parse_u64(device_block, "--device-block",
					       0, UINT64_MAX, &q->block, error);
}

int cmd_map(const struct command *self, int argc, char **argv)
{
	g_autofree char *format = NULL, *at = NULL, *device_block = NULL;
	g_auto(GStrv) options = NULL;
	struct question q;
	GError *error = NULL;
	bool done;
	const GOptionEntry entries[] = {
		{ "format", 0, 0, G_OPTION_ARG_STRING, &format,
		  "How to print it; table, the default, is for people",
		  "table|json|qemu|dfxml|dm|svg" },
		{ "at", 0, 0, G_OPTION_ARG_STRING, &at,
		  "Say where this byte of the image lies", "BYTE" },
		{ "device-block", 0, 0, G_OPTION_ARG_STRING, &device_block,
		  "Say what of the image lies in this block of the filesystem",
		  "N" },
		{ "options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &options,
		  OPTIONS_HELP, "OPTS" },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 2, 2, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!understand(format, at, device_block, &q, &error) ||
	    !answer(&q, argv[1], argv[2], options, &error))
		return command_fail(error);
	return STATUS_OK;
}
