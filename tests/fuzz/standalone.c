/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In the place of libFuzzer, where that is not: every file that is named, and
 * every one in a folder that is named, is an input once.
 */
#include "fuzz_input.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned ran;

static void run_file(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *bytes = NULL;
	gsize len;

	if (!g_file_get_contents(path, &bytes, &len, &error))
		g_error("%s", error->message);
	fprintf(stderr, "# %s\n", path);
	LLVMFuzzerTestOneInput((const uint8_t *)bytes, len);
	ran++;
}

static void run(const char *path)
{
	g_autoptr(GError) error = NULL;
	const char *name;
	GDir *dir;

	if (!g_file_test(path, G_FILE_TEST_IS_DIR)) {
		run_file(path);
		return;
	}
	dir = g_dir_open(path, 0, &error);
	if (!dir)
		g_error("%s", error->message);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		run_file(file);
	}
	g_dir_close(dir);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	fprintf(stderr, "# %u inputs\n", ran);
	return ran ? EXIT_SUCCESS : EXIT_FAILURE;
}
