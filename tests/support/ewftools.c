/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support/ewftools.h"

#include "support/filebed.h"

#include <glib.h>
#include <sys/wait.h>

/* The words of @options, and @file behind them. */
static void run(const char *program, const char *options, const char *file)
{
	g_auto(GStrv) words = g_strsplit(options, " ", -1);
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *out = NULL, *err = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	g_ptr_array_add(argv, (char *)program);
	for (char **word = words; *word; word++)
		if (**word)
			g_ptr_array_add(argv, *word);
	g_ptr_array_add(argv, (char *)file);
	g_ptr_array_add(argv, NULL);
	if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH,
			  NULL, NULL, &out, &err, &status, &error))
		g_error("ewftools: %s; see contrib/deps test", error->message);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		g_error("ewftools: %s %s %s: status %#x\n%s%s", program,
			options, file, (unsigned)status, out, err);
}

void ewftools_acquire(const char *dir, const char *raw, const char *name,
		      const char *more)
{
	g_autofree char *source = filebed_path(dir, raw);
	g_autofree char *target = filebed_path(dir, name);
	g_autofree char *options = g_strdup_printf(
		"-u -q -b 64 -S 1048576 -t %s %s", target, more);

	run("ewfacquire", options, source);
}

uint8_t *ewftools_export(const char *dir, const char *first, size_t *ret_len)
{
	g_autofree char *source = filebed_path(dir, first);
	g_autofree char *target = filebed_path(dir, "exported");
	g_autofree char *options =
		g_strdup_printf("-u -q -f raw -t %s", target);

	run("ewfexport", options, source);
	return filebed_get(dir, "exported.raw", ret_len);
}
