/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/path.h>

#include <rawmap/base/error.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Else glib takes "/" for it. */
static bool has_folder(void)
{
	char *here = getcwd(NULL, 0);
	bool has = here && here[0] == '/';

	free(here);
	return has;
}

/*
 * Text alone would take the ".." behind a link for where the link lies. A slash
 * at the end stays there: what is before it has to be a folder.
 */
char *path_absolute(const char *path, GError **error)
{
	g_autofree char *plain = g_strdup(path);
	g_autofree char *folder = NULL, *name = NULL, *absolute = NULL;
	size_t len = strlen(plain);
	char *real;

	if (!len) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "a path is empty; name a file or a folder");
		return NULL;
	}
	if (*plain != '/' && !has_folder()) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "the folder that '%s' starts from is gone; go to "
			    "another one, or write the path from '/' on",
			    path);
		return NULL;
	}
	while (len > 1 && plain[len - 1] == '/')
		plain[--len] = '\0';
	folder = g_path_get_dirname(plain);
	name = g_path_get_basename(plain);
	real = realpath(folder, NULL);
	absolute = g_canonicalize_filename(real ? name : plain, real);
	free(real);
	return g_strconcat(absolute, len > 1 && path[len] ? "/" : NULL, NULL);
}
