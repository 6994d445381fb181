/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error domain of the control path and its one constructor for errno. */
#include <rawmap/base/error.h>

#include <stdarg.h>

G_DEFINE_QUARK(rawmap - error - quark, rawmap_error)

void error_set_errno(GError **error, enum rawmap_error code, int err,
		     const char *fmt, ...)
{
	g_autofree char *sentence = NULL;
	va_list args;

	va_start(args, fmt);
	sentence = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error(error, RAWMAP_ERROR, (gint)code, "%s: %s", sentence,
		    g_strerror(err));
}
