/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many files the process may have open: for sources of many parts. */
#ifndef RAWMAP_DEV_OPENFILES_H
#define RAWMAP_DEV_OPENFILES_H

#include <glib.h>
#include <stdbool.h>

/*
 * See to it that @n more files can be opened, for the source @path. Raises the
 * soft limit of the process as far as it has to; where the hard limit forbids
 * that, false and FAILED.
 */
bool openfiles_allow(const char *path, size_t n, GError **error);

#endif
