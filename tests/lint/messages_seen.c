/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listens to a test: preloaded (contrib/messages makes it and does), it stands
 * between a program and the functions of GLib that every message passes on its
 * way, and appends what they make, a line each, to the file RAWMAP_MESSAGES. So
 * what a test provokes is known whether it looks at the words or not, and the
 * program has nothing in it for tests.
 *
 * Processes without GLib are not touched: nothing here needs it to be there.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One write(2), so that lines of several processes do not mix. */
static void note(const char *text)
{
	const char *path = getenv("RAWMAP_MESSAGES");
	char line[4096];
	size_t len = 0;
	int fd;

	if (!path || !text)
		return;
	for (; *text && len < sizeof(line) - 1; text++)
		line[len++] = *text;
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[len++] = '\n';
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	if (write(fd, line, len) < 0)
		perror(path);
	close(fd);
}

#define NEXT(name) ((__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name))

static GError *make(GQuark domain, gint code, const char *text)
{
	note(text);
	return NEXT(g_error_new_literal)(domain, code, text);
}

/* As GLib does: nobody may want to know. */
static void give(GError **err, GError *error)
{
	if (err && !*err)
		*err = error;
	else
		NEXT(g_error_free)(error);
}

char *g_strdup_vprintf(const char *format, va_list args)
{
	char *text = NEXT(g_strdup_vprintf)(format, args);

	note(text);
	return text;
}

GError *g_error_new(GQuark domain, gint code, const char *format, ...)
{
	va_list args;
	char *text;
	GError *error;

	va_start(args, format);
	text = NEXT(g_strdup_vprintf)(format, args);
	va_end(args);
	error = make(domain, code, text);
	NEXT(g_free)(text);
	return error;
}

void g_set_error(GError **err, GQuark domain, gint code, const char *format,
		 ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = NEXT(g_strdup_vprintf)(format, args);
	va_end(args);
	give(err, make(domain, code, text));
	NEXT(g_free)(text);
}

void g_set_error_literal(GError **err, GQuark domain, gint code,
			 const char *text)
{
	give(err, make(domain, code, text));
}

/* What g_error() calls: nobody comes back from there. */
void g_log(const char *domain, GLogLevelFlags level, const char *format, ...)
{
	va_list args, again;
	char *text;

	va_start(args, format);
	va_copy(again, args);
	text = NEXT(g_strdup_vprintf)(format, again);
	va_end(again);
	note(text);
	NEXT(g_free)(text);
	NEXT(g_logv)(domain, level, format, args);
	va_end(args);
}
