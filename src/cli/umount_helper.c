/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * umount.fuse.rawmap: the program that umount(8) runs for a mount whose type is
 * "fuse.rawmap". The kernel is done with a mount before its server has written
 * the last of it; this returns after the server.
 *
 *   umount(8) says    what is done
 *   nothing           unmounted, and the server waited for
 *   -l                unmounted when nobody uses it any more; nobody waits
 *   -f                and a server that does not answer is cut off
 *   -N NAMESPACE      there
 *   -v                says what it does
 *   -n, -r, -t TYPE   nothing more: there is no mtab, what is in use stays
 *
 * It takes down one place, as umount(8) does: no loop device goes with it, and
 * the server is not waited for when it shows the same in another place.
 */
#include "cli_priv.h"
#include "helper.h"
#include "mounts.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/base/waiting.h>

#include <stdio.h>
#include <unistd.h>

struct request {
	const char *mountpoint;
	const char *namespace; /* where it is; NULL: here */
	bool force, lazy, verbose, help;
};

static bool usage(GError **error, const char *what)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "%s; usage: umount.fuse.rawmap MOUNTPOINT [-flnrv] "
		    "[-N NAMESPACE] [-t TYPE]",
		    what);
	return false;
}

static bool take_argument(struct request *r, int c, GError **error)
{
	switch (c) {
	case 'f':
		r->force = true;
		return true;
	case 'l':
		r->lazy = true;
		return true;
	case 'v':
		r->verbose = true;
		return true;
	case 'N':
		r->namespace = optarg;
		return true;
	case 'n':
	case 'r':
	case 't':
		return true;
	case 'h':
		r->help = true;
		return true;
	default:
		return usage(error, c == ':' ? "an option lacks its value"
					     : "unknown option");
	}
}

static bool read_arguments(struct request *r, int argc, char **argv,
			   GError **error)
{
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, ":flnrvN:t:h")) >= 0)
		if (!take_argument(r, c, error))
			return false;
	if (r->help)
		return true;
	if (argc - optind != 1)
		return usage(error, argc - optind < 1 ? "too few arguments"
						      : "too many arguments");
	r->mountpoint = argv[optind];
	return true;
}

/*
 * umount2(2) takes what is on top, whatever it is. umount(8) writes a place as
 * the table has it.
 */
static const struct mount_entry *find_mount(GPtrArray *ours, GPtrArray *all,
					    const char *operand)
{
	g_autofree char *where = mounts_at(all, operand)
					 ? g_strdup(operand)
					 : mounts_resolve(operand);
	const struct mount_entry *m = mounts_at(ours, where);
	const struct mount_entry *top = mounts_at(all, where);

	return m && top->dev == m->dev ? m : NULL;
}

static bool run_umount(const struct request *r, GError **error)
{
	g_autoptr(GPtrArray) ours = mounts_read();
	g_autoptr(GPtrArray) all = mounttable_read(0);
	const struct mount_entry *m = find_mount(ours, all, r->mountpoint);
	struct waiting waiting;
	bool done;

	if (!m) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "rawmap has nothing mounted on '%s'; see 'rawmap "
			    "list'",
			    r->mountpoint);
		return false;
	}
	waiting_begin(&waiting, "writing what is left");
	done = take_off(m, r->lazy, r->force, error);
	waiting_end(&waiting);
	if (done)
		log_info("'%s' is unmounted", m->where);
	return done;
}

bool is_umount_helper(const char *program)
{
	return helper_is(program, "umount.");
}

int umount_helper(int argc, char **argv)
{
	struct request r = { 0 };
	GError *error = NULL;
	bool done = read_arguments(&r, argc, argv, &error);

	if (done && r.help) {
		puts("Usage: umount.fuse.rawmap MOUNTPOINT [-flnrv] "
		     "[-N NAMESPACE] [-t TYPE]\n\n"
		     "What umount(8) runs for the type fuse.rawmap; see "
		     "mount.rawmap(8).");
		done = output_finish(&error);
	} else if (done) {
		if (r.verbose)
			log_set_level(LOG_LEVEL_INFO);
		done = (!r.namespace ||
			helper_enter_namespace(r.namespace, &error)) &&
		       run_umount(&r, &error);
	}
	return done ? MOUNT_OK : helper_fail(error);
}
