/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What attach puts up, list shows, and detach takes down.
 *
 *   loop device    attached to
 *   exposed file   which is shown by
 *   mount          in a folder of its own (rundir.c) where attach made it
 *   server         which has the source
 *
 * The kernel's tables say what there is; only the server knows what it serves,
 * and it may be gone, or stuck: it is asked with a limit to our patience.
 */
#ifndef RAWMAP_MOUNTS_H
#define RAWMAP_MOUNTS_H

#include <rawmap/dev/loopdev.h>
#include <rawmap/dev/mounttable.h>
#include <rawmap/ioctl.h>

#include <glib.h>
#include <stdbool.h>

/* ---- folders of attach (rundir.c) ---- */

/* A fresh folder to mount on; the caller frees. NULL with a sentence. */
char *rundir_make(GError **error);
void rundir_remove(const char *where); /* says so when it cannot */
/* Is @where such a folder, and a mount there one that attach made? */
bool rundir_has(const char *where);

/* ---- what there is (mounts.c) ---- */

/* rawmap's among all mounts, in order: struct mount_entry. */
GPtrArray *mounts_read(void);

/* Of @table: the one that is mounted on @where; NULL. */
const struct mount_entry *mounts_at(GPtrArray *table, const char *where);

/* Where @operand leads, without following a slash at its end; the caller frees.
 * No server is asked. */
char *mounts_resolve(const char *operand);

/* Of @table: the one that shows the file at @path; NULL. */
const struct mount_entry *mounts_with(GPtrArray *table, const char *path);

/* The loop devices whose files @m shows, an array of struct loopdev. */
GPtrArray *mounts_loops(const struct mount_entry *m);

/* ---- asking a server (ask.c) ---- */

enum answer {
	ANSWER_OK,
	ANSWER_DEAD,	    /* it is gone, the mount is not */
	ANSWER_SILENT,	    /* not within some seconds */
	ANSWER_UNREACHABLE, /* this process may not look there */
};

struct shown {
	char *path;		   /* of the exposed file */
	bool known;		   /* the server told about it: */
	struct rawmap_about about; /* texts end with a 0 */
};

/*
 * What @m shows: *ret is an array of struct shown, not empty on ANSWER_OK, empty
 * otherwise; unref it in any case.
 */
enum answer server_ask(const struct mount_entry *m, GPtrArray **ret);

/* ---- ending (watch.c, takedown.c) ---- */

/* The end of a server, to be waited for from before the unmount on. */
struct watch {
	pid_t pid;
	int pidfd;   /* -1: cannot be waited for */
	int outcome; /* descriptor; -1: it cannot tell */
	int flush;   /* errno of a flush in its place */
};

/* @shown: what the server has just said. */
void watch_begin(struct watch *w, const struct mount_entry *m,
		 GPtrArray *shown);
void watch_end(struct watch *w);
/*
 * It is unmounted: wait for the server. True when all that was written is on
 * the source, else the server's sentence, or why it goes on.
 */
bool watch_wait(const struct watch *w, const struct mount_entry *m,
		GError **error);

/*
 * Take down, in this order: @loops (struct loopdev, of @m), and if @whole also
 * the mount, and wait for its server. Nothing is touched when somebody uses any
 * of it: BUSY. False also when all is down but not all is on the source.
 */
bool take_down(const struct mount_entry *m, GPtrArray *loops, bool whole,
	       GError **error);

/*
 * What umount(8) means: this place alone. Waits for the server as take_down()
 * does, except where it goes on: with @lazy, and when it shows the same in other
 * places. @force: a server that does not answer is cut off, DIRTY.
 */
bool take_off(const struct mount_entry *m, bool lazy, bool force,
	      GError **error);

#endif
