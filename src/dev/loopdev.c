/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at loop devices. What makes one is in loopdev_attach.c, what frees it
 * in loopdev_detach.c.
 *
 * What a device is comes from sysfs: LOOP_GET_STATUS64 asks the filesystem for
 * the file's attributes.
 */
#include "loopdev_priv.h"

#include <rawmap/base/error.h>

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void loopdev_free(struct loopdev *dev)
{
	if (!dev)
		return;
	g_free(dev->name);
	g_free(dev->path);
	g_free(dev->backing);
	g_free(dev);
}

char *loopdev_attribute(const char *name, const char *what)
{
	g_autofree char *path =
		g_build_filename("/sys/block", name, what, NULL);
	char *text = NULL;
	size_t len;

	if (!g_file_get_contents(path, &text, &len, NULL))
		return NULL;
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return text;
}

static bool is_set(const char *name, const char *what)
{
	g_autofree char *text = loopdev_attribute(name, what);

	return text && strcmp(text, "1") == 0;
}

struct loopdev *loopdev_look_at(const char *name)
{
	char *backing = loopdev_attribute(name, "loop/backing_file");
	struct loopdev *dev;

	if (!backing)
		return NULL;
	dev = g_new(struct loopdev, 1);
	*dev = (struct loopdev){
		.name = g_strdup(name),
		.path = g_build_filename("/dev", name, NULL),
		.backing = backing,
		.direct = is_set(name, "loop/dio"),
		.readonly = is_set(name, "ro"),
	};
	return dev;
}

/* The kernel's name of a block device; NULL when @path is none. */
static char *name_of(const char *path)
{
	g_autofree char *link = NULL, *target = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return NULL;
	link = g_strdup_printf("/sys/dev/block/%u:%u", major(st.st_rdev),
			       minor(st.st_rdev));
	target = g_file_read_link(link, NULL);
	return target ? g_path_get_basename(target) : NULL;
}

static bool is_loop(const char *name)
{
	return g_str_has_prefix(name, "loop") && name[4] &&
	       strspn(name + 4, "0123456789") == strlen(name + 4);
}

struct loopdev *loopdev_look(const char *path, GError **error)
{
	g_autofree char *name = name_of(path);
	struct loopdev *dev;

	if (!name || !is_loop(name)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_A_FILE,
			    "'%s' is no loop device", path);
		return NULL;
	}
	dev = loopdev_look_at(name);
	if (!dev)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "nothing is attached to '%s'", path);
	return dev;
}

GPtrArray *loopdev_list(void)
{
	GPtrArray *list =
		g_ptr_array_new_with_free_func((GDestroyNotify)loopdev_free);
	GDir *dir = g_dir_open("/sys/block", 0, NULL);
	const char *name;

	if (!dir)
		return list;
	while ((name = g_dir_read_name(dir))) {
		struct loopdev *dev = is_loop(name) ? loopdev_look_at(name)
						    : NULL;

		if (dev)
			g_ptr_array_add(list, dev);
	}
	g_dir_close(dir);
	return list;
}

/* sysfs has loop3/loop3p1. */
bool loopdev_has_partitions(const struct loopdev *dev)
{
	g_autofree char *path = g_build_filename("/sys/block", dev->name, NULL);
	g_autofree char *prefix = g_strconcat(dev->name, "p", NULL);
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (name = g_dir_read_name(dir)))
		found = g_str_has_prefix(name, prefix);
	g_dir_close(dir);
	return found;
}
