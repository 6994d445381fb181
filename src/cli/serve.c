/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the words of a command line to a server: what mount and attach share.
 */
#include "cli_priv.h"

#include <rawmap/base/path.h>
#include <rawmap/fuse/daemon.h>
#include <rawmap/fuse/session.h>

#include <signal.h>
#include <stdlib.h>

void server_init(struct server *s)
{
	/* Whoever asks too early for counters kills nobody. */
	session_hold_signals();
	*s = (struct server){ 0 };
	mountopts_init(&s->opt);
}

void server_clear(struct server *s)
{
	mountopts_clear(&s->opt);
	g_free(s->source);
	g_free(s->mountpoint);
}

bool server_options(struct server *s, char **images, char **options,
		    bool readonly, GError **error)
{
	for (char **path = images; path && *path; path++)
		mountopts_add_image(&s->opt, *path);
	for (char **text = options; text && *text; text++)
		if (!mountopts_parse(&s->opt, *text, error))
			return false;
	if (readonly)
		mountopts_set_readonly(&s->opt);
	return mountopts_check(&s->opt, error);
}

bool server_place(struct server *s, const char *source, const char *mountpoint,
		  GError **error)
{
	char *real = realpath(mountpoint, NULL);

	s->source = path_absolute(source, error);
	if (s->source)
		s->mountpoint = real ? g_strdup(real)
				     : path_absolute(mountpoint, error);
	free(real);
	return s->mountpoint;
}

/* The server's life; it speaks of a failure before it is gone. */
static int serve(const struct server *server, struct daemon *daemon)
{
	GError *error = NULL, *at_close = NULL;
	struct session *s;
	int status = STATUS_OK;

	s = session_open(&server->opt, server->source, server->mountpoint,
			 server->debug, &error);
	if (s && session_mount(s, &error)) {
		daemon_ready(daemon);
		session_run(s, &error);
	}
	if (error)
		status = command_fail(error);
	if (!session_close(s, &at_close))
		status = command_fail(at_close);
	return status;
}

int server_run(const struct server *s)
{
	struct daemon none = { .fd = -1 };

	return serve(s, &none);
}

/* Who has put something up takes it down again before he ends. */
static void hold_signals(sigset_t *ret_before)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	sigset_t set;

	sigemptyset(&set);
	for (guint i = 0; i < G_N_ELEMENTS(ending); i++)
		sigaddset(&set, ending[i]);
	sigprocmask(SIG_BLOCK, &set, ret_before);
}

bool server_start(const struct server *s, enum server_for what, int *ret_status)
{
	GError *error = NULL;
	struct daemon daemon;
	bool is_parent;
	sigset_t before;

	if (what == SERVER_HELPED)
		hold_signals(&before);
	if (!daemon_fork(&daemon, &is_parent, ret_status, &error)) {
		*ret_status = command_fail(error);
		return true;
	}
	if (is_parent)
		return true;
	if (what == SERVER_HELPED)
		sigprocmask(SIG_SETMASK, &before, NULL);
	*ret_status = serve(s, &daemon);
	return false;
}
