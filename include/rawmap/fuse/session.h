/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One mount: a source, its host, the images, and the FUSE connection that
 * serves them. The order of a life:
 *
 *   session_open()    nothing is mounted, nothing written
 *   session_mount()   live: whoever opens the file is answered by the next step
 *   session_run()     until unmounted or SIGINT, SIGTERM, SIGHUP; SIGUSR1 logs
 *                     the counters of each image
 *   session_close()   unmounts, commits, lets the source go
 *
 * No thread exists before session_mount() has mounted.
 */
#ifndef RAWMAP_FUSE_SESSION_H
#define RAWMAP_FUSE_SESSION_H

#include <rawmap/fuse/options.h>

#include <glib.h>
#include <stdbool.h>

struct session;

/*
 * Open everything that @opt (checked) names. @source and @mountpoint are
 * absolute. @debug: libfuse writes every request to the debug log.
 * NULL with a sentence: those of filedev_open(), hostfs_open() and
 * hostfile_open(); USAGE (several images on a file, two of one name), NOT_FOUND
 * or FAILED (the mountpoint).
 */
struct session *session_open(const struct mountopts *opt, const char *source,
			     const char *mountpoint, bool debug,
			     GError **error);

/*
 * SIGUSR1 asks a server for its counters. Called before anything else, in the
 * command, too: from then on it harms nobody, whenever it comes.
 */
void session_hold_signals(void);

/* Mount, and agree with the kernel on how to talk. */
bool session_mount(struct session *s, GError **error);

/*
 * Serve. True when the mount ended as it should (unmounted, or a signal); false
 * when the connection broke. Flushes nothing: session_close() does.
 */
bool session_run(struct session *s, GError **error);

/*
 * Frees in any case, at any stage; NULL is fine. True when everything that was
 * written is durable on the source, else what could not be written.
 */
bool session_close(struct session *s, GError **error);

#endif
