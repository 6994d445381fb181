/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the program says while it runs. Who returns an error is silent; who
 * handles it speaks, once. One sentence a line, no trailing newline or full
 * stop: what, where, what to do.
 */
#ifndef RAWMAP_BASE_LOG_H
#define RAWMAP_BASE_LOG_H

#include <glib.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE, /* what somebody asked for just now */
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/*
 * Until told otherwise: notices, warnings and errors, on standard error, behind
 * "rawmap: ". The level is set before threads start. To syslog also goes what GLib
 * says in this process, the last words of g_error() among it.
 */
void log_set_level(enum log_level level);
void log_use_syslog(bool on);

bool log_enabled(enum log_level level);
void log_message(enum log_level level, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);

/*
 * A line at the bottom of the terminal that standard error is: it is replaced by
 * the next one, covered by a message, and taken away by NULL. @text is ASCII;
 * what is too long for the terminal's width is cut off.
 */
void log_status(const char *text);

#define log_error(...)	 log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
