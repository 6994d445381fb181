/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking the server of an exposed file. */
#include "cli_priv.h"

#include <rawmap/base/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool not_ours(const char *path, GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' is not a file that rawmap shows; name one below the "
		    "mountpoint",
		    path);
	return false;
}

/* A server that is gone, and one that met a bad block, both say EIO. */
static bool says(const char *path, int err, GError **error)
{
	switch (err) {
	case EUCLEAN:
		error_set_errno(error, RAWMAP_ERROR_CORRUPT, err,
				"the map of '%s' is damaged; its server's "
				"messages say where",
				path);
		return false;
	case EBUSY:
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "the map of '%s' stays: it is mounted with -o pin",
			    path);
		return false;
	case EIO:
	case ENOTCONN:
	case ECONNABORTED:
		error_set_errno(error, RAWMAP_ERROR_IO, err,
				"the server of '%s' does not answer; "
				"'fusermount3 -u' removes a mount whose server "
				"is gone",
				path);
		return false;
	default:
		return not_ours(path, error);
	}
}

bool exposed_ask(const char *path, unsigned long request, void *arg,
		 GError **error)
{
	struct stat st;
	int fd, err;

	/* Looked at first: opening a device or a pipe may have effects. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return not_ours(path, error);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		err = errno;
		if (err == ENOTCONN || err == ECONNABORTED)
			return says(path, err, error);
		error_set_errno(error, RAWMAP_ERROR_NOT_FOUND, err,
				"cannot open '%s'", path);
		return false;
	}
	err = ioctl(fd, request, arg) < 0 ? errno : 0;
	close(fd);
	return !err || says(path, err, error);
}
