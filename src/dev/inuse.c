/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users are looked for where the kernel tells of them without asking anybody:
 * the table of mounts, /proc/swaps, the "holders" of sysfs, and the text of the
 * links in /proc/PID. A stat(2) behind those links would ask the very server
 * that may be gone.
 */
#include <rawmap/dev/inuse.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- a disk and its partitions ---- */

bool inuse_in_swaps(const char *text, const char *path)
{
	g_auto(GStrv) line = g_strsplit(text, "\n", -1);

	for (char **l = line; *l; l++) {
		g_auto(GStrv) word = g_strsplit_set(*l, " \t", 2);
		g_autofree char *name = *word ? g_strcompress(*word) : NULL;

		if (name && strcmp(name, path) == 0)
			return true;
	}
	return false;
}

static char *if_mounted(const char *folder, const char *node)
{
	g_autofree char *path = g_build_filename(folder, "dev", NULL);
	g_autofree char *number = NULL;
	g_autoptr(GPtrArray) table = mounttable_read(0);
	unsigned major, minor;

	if (!g_file_get_contents(path, &number, NULL, NULL) ||
	    sscanf(number, "%u:%u", &major, &minor) != 2)
		return NULL;
	for (guint i = 0; i < table->len; i++) {
		const struct mount_entry *e = g_ptr_array_index(table, i);

		/* Some filesystems have a number of their own. */
		if (e->dev == makedev(major, minor) ||
		    strcmp(e->source, node) == 0)
			return g_strdup_printf("'%s' is mounted on '%s'", node,
					       e->where);
	}
	return NULL;
}

static char *if_swap(const char *node)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents("/proc/swaps", &text, NULL, NULL) &&
	    inuse_in_swaps(text, node))
		return g_strdup_printf("'%s' is in use as swap", node);
	return NULL;
}

static char *if_held(const char *folder, const char *node)
{
	g_autofree char *path = g_build_filename(folder, "holders", NULL);
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *holder = dir ? g_dir_read_name(dir) : NULL;
	char *text =
		holder ? g_strdup_printf("'%s' is part of '%s'", node, holder)
		       : NULL;

	if (dir)
		g_dir_close(dir);
	return text;
}

static char *use_of(const char *folder, const char *name)
{
	g_autofree char *node = g_build_filename("/dev", name, NULL);
	char *text = if_mounted(folder, node);

	if (!text)
		text = if_swap(node);
	return text ? text : if_held(folder, node);
}

/* Only partitions have a "partition". */
static char *use_of_part(const char *disk, const char *name)
{
	g_autofree char *folder = g_build_filename(disk, name, NULL);
	g_autofree char *mark = g_build_filename(folder, "partition", NULL);

	return g_file_test(mark, G_FILE_TEST_EXISTS) ? use_of(folder, name)
						     : NULL;
}

char *inuse_disk(const char *name)
{
	g_autofree char *disk = g_build_filename("/sys/block", name, NULL);
	char *text = use_of(disk, name);
	const char *part;
	GDir *dir;

	if (text)
		return text;
	dir = g_dir_open(disk, 0, NULL);
	if (!dir)
		return NULL;
	while (!text && (part = g_dir_read_name(dir)))
		text = use_of_part(disk, part);
	g_dir_close(dir);
	return text;
}

/* ---- processes ---- */

bool inuse_is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (strncmp(path, top, len) != 0)
		return false;
	path += len;
	return !*path || *path == '/' ||
	       (g_str_has_prefix(top, "/dev/") && *path == 'p' &&
		g_ascii_isdigit(path[1]));
}

static bool leads_below(const char *folder, const char *name, const char *top)
{
	g_autofree char *link = g_build_filename(folder, name, NULL);
	g_autofree char *text = g_file_read_link(link, NULL);

	return text && inuse_is_below(text, top);
}

static bool has_open(const char *process, const char *top)
{
	static const char *const own[] = { "cwd", "root", "exe" };
	g_autofree char *fds = g_build_filename(process, "fd", NULL);
	bool found = false;
	const char *fd;
	GDir *dir;

	for (guint i = 0; i < G_N_ELEMENTS(own); i++)
		if (leads_below(process, own[i], top))
			return true;
	dir = g_dir_open(fds, 0, NULL);
	if (!dir)
		return false;
	while (!found && (fd = g_dir_read_name(dir)))
		found = leads_below(fds, fd, top);
	g_dir_close(dir);
	return found;
}

static char *describe(const char *process, const char *pid)
{
	g_autofree char *path = g_build_filename(process, "comm", NULL);
	g_autofree char *comm = NULL;

	if (!g_file_get_contents(path, &comm, NULL, NULL))
		return g_strdup_printf("process %s", pid);
	return g_strdup_printf("'%s' (process %s)", g_strchomp(comm), pid);
}

typedef bool (*process_test)(const char *process, pid_t pid, void *ctx);

/* The first other process that @test finds, described. */
static char *find_process(process_test test, void *ctx)
{
	GDir *dir = g_dir_open("/proc", 0, NULL);
	char *text = NULL;
	const char *name;

	if (!dir)
		return NULL;
	while (!text && (name = g_dir_read_name(dir))) {
		g_autofree char *process = NULL;
		pid_t pid = (pid_t)g_ascii_strtoull(name, NULL, 10);

		if (pid <= 0 || pid == getpid())
			continue;
		process = g_build_filename("/proc", name, NULL);
		if (test(process, pid, ctx))
			text = describe(process, name);
	}
	g_dir_close(dir);
	return text;
}

static bool test_open(const char *process, pid_t pid, void *ctx)
{
	(void)pid;
	return has_open(process, ctx);
}

char *inuse_process(const char *path)
{
	g_autofree char *top = g_strdup(path);

	return find_process(test_open, top);
}

struct mounted {
	const struct mount_entry *fs;
	char *where; /* owned */
};

/* The number alone may be another filesystem's by now. */
static bool is_same(const struct mount_entry *a, const struct mount_entry *b)
{
	return a->dev == b->dev && strcmp(a->type, b->type) == 0 &&
	       strcmp(a->source, b->source) == 0;
}

static bool test_mounted(const char *process, pid_t pid, void *ctx)
{
	g_autoptr(GPtrArray) table = mounttable_read(pid);
	struct mounted *m = ctx;

	(void)process;
	for (guint i = 0; i < table->len; i++) {
		const struct mount_entry *e = g_ptr_array_index(table, i);

		if (!is_same(e, m->fs))
			continue;
		m->where = g_strdup(e->where);
		return true;
	}
	return false;
}

char *inuse_mounted(const struct mount_entry *fs, char **ret_where)
{
	struct mounted m = { .fs = fs };
	char *text = find_process(test_mounted, &m);

	if (ret_where && text)
		*ret_where = g_steal_pointer(&m.where);
	g_free(m.where);
	return text;
}
