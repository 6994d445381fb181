/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device number that the kernel has for a part of a block device. sysfs
 * counts in sectors of 512 bytes, whatever the disk's are
 * (Documentation/ABI/stable/sysfs-block).
 */
#include "dev_priv.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static char *attribute(const char *folder, const char *name, const char *what)
{
	g_autofree char *path = g_build_filename(folder, name, what, NULL);
	char *text = NULL;

	(void)g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

/* Only partitions have a "partition". */
static bool starts_at(const char *folder, const char *name, uint64_t sector,
		      dev_t *ret)
{
	g_autofree char *number = attribute(folder, name, "partition");
	g_autofree char *start = attribute(folder, name, "start");
	g_autofree char *dev = attribute(folder, name, "dev");
	unsigned major, minor;

	if (!number || !start || !dev ||
	    g_ascii_strtoull(start, NULL, 10) != sector ||
	    sscanf(dev, "%u:%u", &major, &minor) != 2)
		return false;
	*ret = makedev(major, minor);
	return true;
}

bool partnode_find(const char *path, uint64_t start, dev_t *ret)
{
	g_autofree char *folder = NULL;
	struct stat st;
	const char *name;
	bool found = false;
	GDir *dir;

	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	folder = g_strdup_printf("/sys/dev/block/%u:%u", major(st.st_rdev),
				 minor(st.st_rdev));
	dir = g_dir_open(folder, 0, NULL);
	if (!dir)
		return false;
	while (!found && (name = g_dir_read_name(dir)))
		found = starts_at(folder, name, start / 512, ret);
	g_dir_close(dir);
	return found;
}
