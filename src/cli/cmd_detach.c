/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap detach: what an operand names, and how much goes with it.
 *
 *   a loop device, of attach     it and its mount
 *   a loop device, of others     it; the mount was there before
 *   a mountpoint, of attach      it and its loop device
 *   a mountpoint, of mount       it
 */
#include "cli_priv.h"
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/base/waiting.h>

static bool detach_device(const char *path, GPtrArray *table, GError **error)
{
	g_autoptr(GPtrArray) loops = g_ptr_array_new();
	g_autoptr(loopdev) dev = loopdev_look(path, error);
	const struct mount_entry *m;

	if (!dev)
		return false;
	m = mounts_with(table, dev->backing);
	if (!m) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
			    "'%s' is not attached to a file that rawmap shows; "
			    "'losetup -d' detaches it",
			    path);
		return false;
	}
	g_ptr_array_add(loops, dev);
	return take_down(m, loops, rundir_has(m->where), error);
}

static bool detach_mount(const struct mount_entry *m, GError **error)
{
	g_autoptr(GPtrArray) loops = rundir_has(m->where) ? mounts_loops(m)
							  : g_ptr_array_new();

	return take_down(m, loops, true, error);
}

/* A server that is gone must not be asked: the table is looked at first. */
static bool detach(const char *operand, GError **error)
{
	g_autoptr(GPtrArray) table = mounts_read();
	g_autofree char *where = mounts_resolve(operand);
	const struct mount_entry *m = mounts_at(table, where);
	g_autoptr(GError) why = NULL;
	bool done;

	if (m)
		return detach_mount(m, error);
	done = detach_device(operand, table, &why);
	if (g_error_matches(why, RAWMAP_ERROR, RAWMAP_ERROR_NOT_A_FILE))
		g_set_error(
			error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			"'%s' is neither a loop device nor where rawmap has "
			"something mounted; see 'rawmap list'",
			operand);
	else if (why)
		g_propagate_error(error, g_steal_pointer(&why));
	return done;
}

/* What was written last may take its time. */
static bool detach_and_wait(const char *operand, GError **error)
{
	struct waiting waiting;
	bool done;

	waiting_begin(&waiting, "writing what is left");
	done = detach(operand, error);
	waiting_end(&waiting);
	return done;
}

int cmd_detach(const struct command *self, int argc, char **argv)
{
	GError *error = NULL;
	int status = STATUS_OK;
	bool done;

	if (!command_parse(self, NULL, 1, G_MAXINT, &argc, &argv, &done,
			   &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	for (int i = 1; i < argc; i++)
		if (!detach_and_wait(argv[i], &error))
			status = command_fail(g_steal_pointer(&error));
	return status;
}
