/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support/filebed.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

char *filebed_new(void)
{
	char *dir = g_strdup("filebed-XXXXXX");

	if (!mkdtemp(dir))
		g_error("filebed: %s", g_strerror(errno));
	return dir;
}

void filebed_free(char *dir)
{
	GDir *list = g_dir_open(dir, 0, NULL);
	const char *name;

	while (list && (name = g_dir_read_name(list)))
		filebed_remove(dir, name);
	if (list)
		g_dir_close(list);
	if (g_rmdir(dir))
		g_error("filebed: %s: %s", dir, g_strerror(errno));
	g_free(dir);
}

char *filebed_path(const char *dir, const char *name)
{
	return g_build_filename(dir, name, NULL);
}

/* Not g_file_set_contents(), which syncs: some tests want a thousand files. */
void filebed_put(const char *dir, const char *name, const void *bytes,
		 size_t len)
{
	g_autofree char *path = filebed_path(dir, name);
	FILE *file = fopen(path, "we");

	if (!file || fwrite(bytes, 1, len, file) != len || fclose(file))
		g_error("filebed: %s: %s", path, g_strerror(errno));
}

uint8_t *filebed_get(const char *dir, const char *name, size_t *ret_len)
{
	g_autofree char *path = filebed_path(dir, name);
	g_autoptr(GError) error = NULL;
	char *bytes;

	if (!g_file_get_contents(path, &bytes, ret_len, &error))
		g_error("filebed: %s", error->message);
	return (uint8_t *)bytes;
}

void filebed_remove(const char *dir, const char *name)
{
	g_autofree char *path = filebed_path(dir, name);

	if (g_unlink(path))
		g_error("filebed: %s: %s", path, g_strerror(errno));
}
