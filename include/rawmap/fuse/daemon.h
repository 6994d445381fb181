/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Into the background, but not before the work is known to succeed: the command
 * returns when the server is ready, or with the exit status of its failure.
 */
#ifndef RAWMAP_FUSE_DAEMON_H
#define RAWMAP_FUSE_DAEMON_H

#include <glib.h>
#include <stdbool.h>

struct daemon {
	int fd; /* the server's end; -1: foreground */
};

/*
 * Fork; call it before any thread exists. In the server *ret_parent is false,
 * standard error is still the user's and daemon_ready() is due. In the command
 * it returns when the server is ready or gone: *ret_parent is true and
 * *ret_status what the command exits with; a server that failed has said why.
 * SIGHUP, SIGINT and SIGTERM end the command as ever, but not before the server,
 * which gets them, too, has taken back what it did; the second one at once. They
 * are blocked in a command whose server is ready.
 * False when there is no server.
 */
bool daemon_fork(struct daemon *d, bool *ret_parent, int *ret_status,
		 GError **error);

/*
 * The server is ready: a session of its own, "/" as its directory, messages to
 * syslog, and the command returns.
 */
void daemon_ready(struct daemon *d);

#endif
