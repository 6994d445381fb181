/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where messages go.
 *
 * This module owns the one piece of state that belongs to the whole process:
 * how much is said, and to whom. The one is set while the program still has one
 * thread and only read afterwards; the other changes when a server goes into the
 * background, and is atomic. A message leaves in one write(), so that lines of
 * several threads, or of several processes that share a terminal or a log file,
 * do not mix. errno survives a message.
 *
 * A status line has no end: the cursor waits behind it. Who writes next, a
 * status or a message, first takes it away, with blanks over its whole width.
 */
#include <rawmap/base/log.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <syslog.h>
#include <unistd.h>

static enum log_level threshold = LOG_LEVEL_NOTICE; /* set before threads */
static bool to_syslog;				    /* atomic */
static int status_width; /* atomic: of the line that stands there; 0: none */

/* What a terminal that does not tell its width is taken for. */
#define COLUMNS 80

static int syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_WARNING:
		return LOG_WARNING;
	case LOG_LEVEL_NOTICE:
		return LOG_NOTICE;
	case LOG_LEVEL_INFO:
		return LOG_INFO;
	case LOG_LEVEL_DEBUG:
		return LOG_DEBUG;
	}
	return LOG_ERR;
}

static bool is_to_syslog(void)
{
	return __atomic_load_n(&to_syslog, __ATOMIC_RELAXED);
}

/* There is nobody to tell when this fails. */
static void write_line(const char *line)
{
	size_t left = strlen(line);

	while (left) {
		ssize_t n = write(STDERR_FILENO, line, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		left -= (size_t)n;
	}
}

static guint columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return COLUMNS;
	return size.ws_col;
}

/* What takes the status line away, and leaves the cursor at its beginning. */
static char *wiped(void)
{
	int width = __atomic_exchange_n(&status_width, 0, __ATOMIC_RELAXED);

	/* In one that was made narrow they would be many lines. */
	if (width)
		width = MIN(width, (int)columns() - 1);
	return width ? g_strdup_printf("\r%*s\r", width, "") : g_strdup("");
}

void log_status(const char *text)
{
	g_autofree char *wipe = wiped();
	g_autofree char *line = NULL;
	/* The last column makes some terminals begin a line. */
	size_t most = columns() - 1;

	if (is_to_syslog())
		return;
	line = text ? g_strdup_printf("rawmap: %s", text) : g_strdup("");
	if (strlen(line) > most)
		line[most] = '\0';
	__atomic_store_n(&status_width, (int)strlen(line), __ATOMIC_RELAXED);
	write_line(wipe);
	write_line(line);
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

/* What GLib says, such as the last words of g_error(), in the background. */
static void glib_to_syslog(const char *domain, GLogLevelFlags level,
			   const char *text, gpointer unused)
{
	bool is_end = level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR);

	(void)domain;
	(void)unused;
	syslog(is_end ? LOG_CRIT : LOG_WARNING, "%s", text);
}

void log_use_syslog(bool on)
{
	if (on && !is_to_syslog())
		openlog("rawmap", LOG_PID, LOG_DAEMON);
	if (!on && is_to_syslog())
		closelog();
	__atomic_store_n(&to_syslog, on, __ATOMIC_RELAXED);
	g_log_set_default_handler(on ? glib_to_syslog : g_log_default_handler,
				  NULL);
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

/* One of those that a terminal has above ASCII, as UTF-8: CSI is "\302\233". */
static bool is_high_control(const char *c)
{
	return (guchar)c[0] == 0xc2 && (guchar)c[1] >= 0x80 &&
	       (guchar)c[1] < 0xa0;
}

/*
 * Names come from anybody. What would move a terminal's cursor is not let out,
 * nor what would begin a line as a message does: a list is indented.
 */
static void make_plain(char *text)
{
	for (char *c = text; *c; c++) {
		bool high = is_high_control(c);

		if (high || (g_ascii_iscntrl(*c) && *c != '\t' &&
			     !(*c == '\n' && c[1] == ' ')))
			*c = '?';
		if (high)
			*++c = '?';
	}
}

void log_message(enum log_level level, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	int saved = errno;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	make_plain(text);

	if (is_to_syslog()) {
		syslog(syslog_priority(level), "%s", text);
	} else {
		g_autofree char *wipe = wiped();
		g_autofree char *line =
			g_strdup_printf("%srawmap: %s\n", wipe, text);

		write_line(line);
	}
	errno = saved;
}
