/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limit of open files.
 *
 * The usual soft limit, 1024, is for programs that call select(); rawmap does
 * not, and an image of some terabytes can have that many parts.
 */
#include "openfiles.h"

#include <rawmap/base/error.h>

#include <inttypes.h>
#include <sys/resource.h>

/* What is open anyway, or will be: FUSE, rings, the log, other sources. */
#define OTHERS 256

bool openfiles_allow(const char *path, size_t n, GError **error)
{
	rlim_t need = (rlim_t)n + OTHERS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= need)
		return true;
	if (limit.rlim_max >= need) {
		limit.rlim_cur = need;
		if (!setrlimit(RLIMIT_NOFILE, &limit))
			return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' and the parts that follow it need up to %" PRIuMAX
		    " open files, and this process may have %" PRIuMAX
		    "; raise the limit of open files (ulimit -Hn)",
		    path, (uintmax_t)need, (uintmax_t)limit.rlim_max);
	return false;
}
