/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/path.h>

#include <glib.h>
#include <stdlib.h>

/* Text alone would take the ".." behind a link for where the link lies. */
char *path_absolute(const char *path)
{
	g_autofree char *folder = g_path_get_dirname(path);
	g_autofree char *name = g_path_get_basename(path);
	char *real = realpath(folder, NULL);
	char *absolute = g_canonicalize_filename(real ? name : path, real);

	free(real);
	return absolute;
}
