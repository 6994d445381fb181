/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where attach mounts: a folder of its own for each, below one that nobody else
 * may look into. It lives as long as the machine is up, or the user logged in.
 *
 *   root    /run/rawmap/XXXXXX
 *   others  $XDG_RUNTIME_DIR/rawmap/XXXXXX
 */
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OF_ROOT	 "/run/rawmap"
#define OF_USERS "/run/user/"
#define NAME	 "rawmap"

/* NULL: the user has no such place. */
static char *base_path(void)
{
	const char *runtime = g_getenv("XDG_RUNTIME_DIR");
	char *real, *path;

	if (geteuid() == 0)
		return g_strdup(OF_ROOT);
	real = runtime && g_path_is_absolute(runtime) ? realpath(runtime, NULL)
						      : NULL;
	path = real ? g_build_filename(real, NAME, NULL) : NULL;
	free(real);
	return path;
}

/* Made, or ours already, and nobody else's to put something into. */
static bool ensure_base(const char *base, GError **error)
{
	struct stat st;

	if (mkdir(base, 0700) < 0 && errno != EEXIST) {
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"cannot make the folder '%s' for the mount; "
				"'rawmap mount' takes one that you name",
				base);
		return false;
	}
	if (lstat(base, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' is not a folder of this user's own; remove it", base);
	return false;
}

char *rundir_make(GError **error)
{
	g_autofree char *base = base_path();
	g_autofree char *where = NULL;

	if (!base) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "there is no folder for the mount: XDG_RUNTIME_DIR "
			    "does not name one; 'rawmap mount' takes one "
			    "that you name");
		return NULL;
	}
	if (!ensure_base(base, error))
		return NULL;
	where = g_build_filename(base, "XXXXXX", NULL);
	if (mkdtemp(where))
		return g_steal_pointer(&where);
	error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
			"cannot make a folder for the mount in '%s'; 'rawmap "
			"mount' takes one that you name",
			base);
	return NULL;
}

void rundir_remove(const char *where)
{
	if (rmdir(where) < 0)
		log_warning(
			"cannot remove the folder '%s'; remove it by hand: %s",
			where, strerror(errno));
}

/* "/run/user/1000/rawmap": root looks after everybody's. */
static bool is_base(const char *path)
{
	g_autofree char *own = base_path();
	const char *rest = path;

	if (strcmp(path, OF_ROOT) == 0 || (own && strcmp(path, own) == 0))
		return true;
	if (!g_str_has_prefix(path, OF_USERS))
		return false;
	rest += strlen(OF_USERS);
	rest += strspn(rest, "0123456789");
	return strcmp(rest, "/" NAME) == 0;
}

bool rundir_has(const char *where)
{
	g_autofree char *above = g_path_get_dirname(where);

	return is_base(above);
}
