/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which format a source has: content decides before names do, since a segment
 * file may be called anything.
 */
#include <rawmap/dev/anyfile.h>

#include <rawmap/base/error.h>
#include <rawmap/dev/ewf.h>
#include <rawmap/dev/splitraw.h>

static struct blkdev *
open_ewf(const char *path, const struct filedev_options *opt, GError **error)
{
	if (!opt->readonly) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_READONLY,
			    "'%s' is an EWF image, which cannot be written to; "
			    "-r opens it read-only, -o cow=FILE keeps what is "
			    "written in another file",
			    path);
		return NULL;
	}
	if (opt->direct == FILEDEV_DIRECT_ON) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is an EWF image, which has no direct I/O; "
			    "use -o direct=auto",
			    path);
		return NULL;
	}
	return ewf_open(path, error);
}

struct blkdev *anyfile_open(const char *path, const struct filedev_options *opt,
			    const char **ret_format, GError **error)
{
	const char *format = "raw";
	g_auto(GStrv) parts = NULL;
	GError *why = NULL;
	struct blkdev *dev;

	if (ewf_recognises(path)) {
		format = "EWF";
		dev = open_ewf(path, opt, error);
	} else if ((parts = splitraw_parts(path, &why))) {
		format = "split raw";
		dev = splitraw_open(parts, opt, error);
	} else if (why) {
		g_propagate_error(error, why);
		return NULL;
	} else {
		dev = filedev_open(path, opt, error);
	}
	if (dev)
		*ret_format = format;
	return dev;
}
