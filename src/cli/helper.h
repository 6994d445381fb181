/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs share that mount(8) and umount(8) run: rawmap under the
 * names mount.TYPE and umount.TYPE. Their exit statuses are those of mount(8).
 */
#ifndef RAWMAP_HELPER_H
#define RAWMAP_HELPER_H

#include <glib.h>
#include <stdbool.h>

enum { MOUNT_OK = 0, MOUNT_USAGE = 1, MOUNT_FAILED = 32 };

/* Is @program, argv[0], one of @kind: "mount." or "umount."? */
bool helper_is(const char *program, const char *kind);

/* mount(8)'s for rawmap's. */
int helper_status(int status);

/* Say the sentence, free it, and the exit status that fits. */
int helper_fail(GError *error);

/*
 * mount(8) and umount(8) run their helpers where they were run, and say in which
 * namespace the mountpoint is: the path of its file. False with a sentence.
 */
bool helper_enter_namespace(const char *path, GError **error);

#endif
