/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking down, from the top:
 *
 *   loop devices   flushed, freed
 *   mount          unmounted
 *   server         waited for: it commits
 *   folder         removed, where attach made it
 *
 * Who uses any of it is looked for before the first step. A server that is gone
 * stops nothing: what it left is removed, and that it could not commit is said.
 */
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/dev/inuse.h>

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

/* Half a second, for who is just leaving. */
#define PATIENCE_TRIES	  50
#define PATIENCE_PAUSE_NS 10000000

/* ---- who uses it ---- */

static bool has_device(GPtrArray *loops, const char *name)
{
	for (guint i = 0; i < loops->len; i++) {
		const struct loopdev *dev = g_ptr_array_index(loops, i);

		if (strcmp(dev->name, name) == 0)
			return true;
	}
	return false;
}

/* @m's devices without those of @loops; the first is a reason not to go on. */
static bool check_no_device(const struct mount_entry *m, GPtrArray *loops,
			    GError **error)
{
	g_autoptr(GPtrArray) there = mounts_loops(m);

	for (guint i = 0; i < there->len; i++) {
		const struct loopdev *dev = g_ptr_array_index(there, i);

		if (loops && has_device(loops, dev->name))
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is attached to '%s'; detach it first: "
			    "losetup -d %s",
			    dev->path, dev->backing, dev->path);
		return false;
	}
	return true;
}

/* A mount is more than what is to go: other devices, other places. */
static bool check_nothing_else(const struct mount_entry *m, GPtrArray *loops,
			       GError **error)
{
	g_autoptr(GPtrArray) table = mounttable_read(0);

	if (!check_no_device(m, loops, error))
		return false;
	for (guint i = 0; i < table->len; i++) {
		const struct mount_entry *e = g_ptr_array_index(table, i);

		if (e->dev != m->dev || strcmp(e->where, m->where) == 0)
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is mounted on '%s', too; unmount that first",
			    m->where, e->where);
		return false;
	}
	return true;
}

static bool report_process(const struct mount_entry *m, const char *process,
			   GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
		    "'%s' is in use by %s; end that first", m->where, process);
	return false;
}

static bool check_unused(GPtrArray *loops, GError **error)
{
	for (guint i = 0; i < loops->len; i++) {
		const struct loopdev *dev = g_ptr_array_index(loops, i);
		g_autofree char *use = inuse_disk(dev->name);

		if (!use)
			continue;
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "%s; end that first", use);
		return false;
	}
	return true;
}

/* Only where there is something to be lost by finding out at the unmount. */
static bool check_no_process(const struct mount_entry *m, GPtrArray *loops,
			     GError **error)
{
	g_autofree char *process = loops->len ? inuse_process(m->where) : NULL;

	return !process || report_process(m, process, error);
}

static bool check_answer(const struct mount_entry *m, enum answer answer,
			 GError **error)
{
	switch (answer) {
	case ANSWER_OK:
	case ANSWER_DEAD:
		return true;
	case ANSWER_SILENT:
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "the server of '%s' on '%s' does not answer; what "
			    "it has not written would be lost",
			    m->source, m->where);
		return false;
	case ANSWER_UNREACHABLE:
		break;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' cannot be looked at; it is another user's mount, or "
		    "something is mounted over it: unmount that first",
		    m->where);
	return false;
}

/* ---- unmounting ---- */

/* fusermount3 does it for who is not root; NULL, or what it says. */
static char *ask_fusermount(const char *where, int flags)
{
	const char *argv[] = { "fusermount3", flags & MNT_DETACH ? "-uz" : "-u",
			       "--", where, NULL };
	g_autofree char *said = NULL;
	g_autoptr(GError) why = NULL;
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
			  NULL, NULL, &said, &status, &why))
		return g_strdup(why->message);
	if (status == 0)
		return NULL;
	g_strchomp(said);
	return g_strdup(*said ? said : "fusermount3 failed");
}

/* NULL, or why not. */
static char *try_unmount(const char *where, int flags)
{
	if (umount2(where, UMOUNT_NOFOLLOW | flags) == 0)
		return NULL;
	return errno == EPERM ? ask_fusermount(where, flags)
			      : g_strdup(g_strerror(errno));
}

/* @flags: of umount2(2). */
static bool unmount(const struct mount_entry *m, int flags, GError **error)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_PAUSE_NS };
	g_autofree char *why = try_unmount(m->where, flags);
	g_autofree char *process = NULL;

	for (unsigned i = 0; why && i < PATIENCE_TRIES; i++) {
		nanosleep(&pause, NULL);
		g_free(why);
		why = try_unmount(m->where, flags);
	}
	if (!why)
		return true;
	process = inuse_process(m->where);
	if (process)
		return report_process(m, process, error);
	if (check_no_device(m, NULL, error))
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "cannot unmount '%s'; 'fuser -vm' and 'findmnt' "
			    "may tell who uses it: %s",
			    m->where, why);
	return false;
}

/* ---- the steps ---- */

/* *ret_flush: the first errno of a flush. */
static bool detach_loops(GPtrArray *loops, int *ret_flush, GError **error)
{
	*ret_flush = 0;
	for (guint i = 0; i < loops->len; i++) {
		int err;

		if (!loopdev_detach(g_ptr_array_index(loops, i), &err, error))
			return false;
		if (!*ret_flush)
			*ret_flush = err;
	}
	return true;
}

static bool end_mount(const struct mount_entry *m, GPtrArray *shown, bool alive,
		      int flags, GError **error)
{
	struct watch w;
	bool done;

	if (alive)
		watch_begin(&w, m, shown);
	done = unmount(m, flags, error);
	if (done && rundir_has(m->where))
		rundir_remove(m->where);
	if (alive) {
		done = done && watch_wait(&w, m, error);
		watch_end(&w);
	}
	return done;
}

/* All is down; is it all on the source? */
static bool check_written(const struct mount_entry *m, bool alive, int flush,
			  GError **error)
{
	if (m->readonly)
		return true;
	if (!alive)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_DIRTY,
			    "the server of '%s' was gone before it could write "
			    "the last changes; 'rawmap recover' or 'e2fsck "
			    "-p' brings the host in order",
			    m->source);
	else if (flush)
		error_set_errno(error, RAWMAP_ERROR_IO, flush,
				"not all that was written to the loop device "
				"has reached '%s'; check what is in the image",
				m->source);
	return alive && !flush;
}

bool take_down(const struct mount_entry *m, GPtrArray *loops, bool whole,
	       GError **error)
{
	g_autoptr(GPtrArray) shown = NULL;
	enum answer answer;
	bool alive;
	int flush;

	if (!check_unused(loops, error) ||
	    (whole && (!check_nothing_else(m, loops, error) ||
		       !check_no_process(m, loops, error))))
		return false;
	answer = server_ask(m, &shown);
	if (!check_answer(m, answer, error))
		return false;
	alive = answer == ANSWER_OK;
	return detach_loops(loops, &flush, error) &&
	       (!whole || end_mount(m, shown, alive, 0, error)) &&
	       check_written(m, alive, flush, error);
}

/* Shown elsewhere, too: the server goes on. */
static bool has_other_place(const struct mount_entry *m)
{
	g_autoptr(GPtrArray) table = mounttable_read(0);
	guint places = 0;

	for (guint i = 0; i < table->len; i++) {
		const struct mount_entry *e = g_ptr_array_index(table, i);

		places += e->dev == m->dev;
	}
	return places > 1;
}

/* It does not answer, and nobody wants to wait for it any longer. */
static bool cut_off(const struct mount_entry *m, GError **error)
{
	if (!end_mount(m, NULL, false, MNT_FORCE, error))
		return false;
	if (m->readonly)
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_DIRTY,
		    "'%s' is unmounted, but its server did not answer: what it "
		    "had not written may be lost; when it is gone, check '%s' "
		    "with e2fsck -f",
		    m->where, m->source);
	return false;
}

bool take_off(const struct mount_entry *m, bool lazy, bool force,
	      GError **error)
{
	g_autoptr(GPtrArray) shown = NULL;
	enum answer answer;
	bool alive;

	if (lazy || has_other_place(m))
		return end_mount(m, NULL, false, lazy ? MNT_DETACH : 0, error);
	answer = server_ask(m, &shown);
	if (force && answer == ANSWER_SILENT)
		return cut_off(m, error);
	alive = answer == ANSWER_OK;
	return check_answer(m, answer, error) &&
	       end_mount(m, shown, alive, 0, error) &&
	       check_written(m, alive, 0, error);
}
