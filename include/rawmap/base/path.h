/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that outlive a change of the working directory. */
#ifndef RAWMAP_BASE_PATH_H
#define RAWMAP_BASE_PATH_H

/*
 * @path, absolute: the folder's links are resolved, the last part is as it is
 * given (a device is known by that name). What does not exist is taken as text.
 * The caller frees.
 */
char *path_absolute(const char *path);

#endif
