/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap attach: a mount of its own, and a loop device on the image there. What
 * fails on the way takes down what was put up before it.
 */
#include "cli_priv.h"
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/base/path.h>
#include <rawmap/base/text.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_MIN 512

struct arguments {
	char **options; /* as given; NULL: none */
	char *sector_text;
	gboolean readonly, partscan, verbose;
	uint64_t sector; /* 0: what the server says */
	struct server server;
};

static void arguments_clear(struct arguments *a)
{
	server_clear(&a->server);
	g_strfreev(a->options);
	g_free(a->sector_text);
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool read_sector(struct arguments *a, GError **error)
{
	uint64_t n;

	if (!a->sector_text)
		return true;
	if (!text_parse_size(a->sector_text, "--sector-size", &n, error))
		return false;
	if (n < SECTOR_MIN || n > page_size() || (n & (n - 1))) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "--sector-size: a power of two from %d to %" PRIu64
			    " is needed",
			    SECTOR_MIN, page_size());
		return false;
	}
	a->sector = n;
	return true;
}

static bool read_options(struct arguments *a, char *image, GError **error)
{
	char *images[] = { image, NULL };

	if (!read_sector(a, error) ||
	    !server_options(&a->server, images, a->options, a->readonly, error))
		return false;
	if (a->server.opt.images->len == 1)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "'image=' means nothing to attach: PATH names the image");
	return false;
}

static bool parse(struct arguments *a, const struct command *self, int argc,
		  char **argv, bool *ret_done, GError **error)
{
	const GOptionEntry entries[] = {
		{ "read-only", 'r', 0, G_OPTION_ARG_NONE, &a->readonly,
		  "Write nothing, neither the image nor SOURCE", NULL },
		{ "partscan", 'P', 0, G_OPTION_ARG_NONE, &a->partscan,
		  "Have the kernel look for partitions in the image", NULL },
		{ "sector-size", 'b', 0, G_OPTION_ARG_STRING, &a->sector_text,
		  "Sectors of the loop device, instead of those of SOURCE",
		  "BYTES" },
		{ "options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &a->options,
		  OPTIONS_HELP, "OPTS" },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &a->verbose, "Say more",
		  NULL },
		G_OPTION_ENTRY_NULL
	};

	if (!command_parse(self, entries, 2, 2, &argc, &argv, ret_done, error))
		return false;
	if (*ret_done)
		return true;
	if (!read_options(a, argv[2], error))
		return false;
	a->server.source = path_absolute(argv[1], error);
	return a->server.source;
}

/* ---- with a server ---- */

/* The mount is there: what does it show? */
static bool find_image(const struct mount_entry *m, GPtrArray **ret_shown,
		       GError **error)
{
	const struct shown *image;

	if (server_ask(m, ret_shown) == ANSWER_OK) {
		image = g_ptr_array_index(*ret_shown, 0);
		if (image->known)
			return true;
	}
	g_set_error(
		error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		"the server of '%s' does not tell what it shows on '%s'; its "
		"messages may say why",
		m->source, m->where);
	return false;
}

/* losetup(8) says the same: who made the image may have meant another size. */
static void warn_of_tail(const struct shown *image, uint32_t sector)
{
	struct stat st;

	if (stat(image->path, &st) == 0 && st.st_size % sector)
		log_warning("the last %ju bytes of '%s' fill no sector of "
			    "%" PRIu32 " bytes; the loop device ends before "
			    "them",
			    (uintmax_t)(st.st_size % sector),
			    image->about.image, sector);
}

/* It has looked by now. Many images have none, and some kernels see none. */
static void tell_of_partitions(const struct shown *image,
			       const struct loopdev *dev)
{
	if (!loopdev_has_partitions(dev))
		log_warning("the kernel finds no partitions in '%s'; if there "
			    "are any, 'partx -a %s' adds them",
			    image->about.image, dev->path);
}

static struct loopdev *attach_loop(const struct arguments *a,
				   const struct shown *image, GError **error)
{
	const struct rawmap_about *about = &image->about;
	uint64_t sector =
		a->sector ? a->sector
			  : CLAMP(about->sector, SECTOR_MIN, page_size());
	struct loopdev_options opt = {
		.readonly = about->flags & RAWMAP_ABOUT_READONLY,
		.partscan = a->partscan,
		.sector = (uint32_t)sector,
	};
	struct loopdev *dev = loopdev_attach(image->path, &opt, error);

	if (dev)
		warn_of_tail(image, opt.sector);
	if (dev && opt.partscan)
		tell_of_partitions(image, dev);
	return dev;
}

static bool print_name(const struct loopdev *dev, GError **error)
{
	puts(dev->path);
	return output_finish(error);
}

/* The failure is the first one's. */
static void undo(const struct mount_entry *m, struct loopdev *dev)
{
	g_autoptr(GPtrArray) loops = g_ptr_array_new();
	g_autoptr(GError) error = NULL;

	if (dev)
		g_ptr_array_add(loops, dev);
	if (!take_down(m, loops, true, &error))
		log_warning("%s", error->message);
}

static bool attach_to(const struct mount_entry *m, const struct arguments *a,
		      GError **error)
{
	g_autoptr(GPtrArray) shown = NULL;
	g_autoptr(loopdev) dev = NULL;

	if (find_image(m, &shown, error)) {
		dev = attach_loop(a, g_ptr_array_index(shown, 0), error);
		if (dev && print_name(dev, error))
			return true;
	}
	undo(m, dev);
	return false;
}

static bool attach(const struct arguments *a, GError **error)
{
	g_autoptr(GPtrArray) table = mounts_read();
	const struct mount_entry *m = mounts_at(table, a->server.mountpoint);

	if (m)
		return attach_to(m, a, error);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "the mount on '%s' went away at once; try again",
		    a->server.mountpoint);
	rundir_remove(a->server.mountpoint);
	return false;
}

/* The server's exit status comes back here, too. */
static int serve_and_attach(struct arguments *a)
{
	GError *error = NULL;
	int status;

	if (!loopdev_may_attach(&error))
		return command_fail(error);
	a->server.mountpoint = rundir_make(&error);
	if (!a->server.mountpoint)
		return command_fail(error);
	if (!server_start(&a->server, SERVER_HELPED, &status))
		return status;
	if (status != STATUS_OK)
		rundir_remove(a->server.mountpoint);
	else if (!attach(a, &error))
		status = command_fail(error);
	return status;
}

int cmd_attach(const struct command *self, int argc, char **argv)
{
	struct arguments a = { 0 };
	GError *error = NULL;
	bool done;
	int status = STATUS_OK;

	server_init(&a.server);
	if (!parse(&a, self, argc, argv, &done, &error)) {
		status = command_fail(error);
	} else if (!done) {
		if (a.verbose)
			log_set_level(LOG_LEVEL_INFO);
		status = serve_and_attach(&a);
	}
	arguments_clear(&a);
	return status;
}
