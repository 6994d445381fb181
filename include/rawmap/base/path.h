/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that outlive a change of the working directory. */
#ifndef RAWMAP_BASE_PATH_H
#define RAWMAP_BASE_PATH_H

#include <glib.h>

/*
 * @path, absolute: the folder's links are resolved, the last part is as it is
 * given (a device is known by that name). What does not exist is taken as text.
 * The caller frees. NULL with RAWMAP_ERROR_USAGE when @path is empty, NOT_FOUND
 * when it starts from a working directory that was removed.
 */
char *path_absolute(const char *path, GError **error);

#endif
