/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the kernel has a device mounted, from its own table. Only for a
 * sentence: whether the device may be used is the open's business.
 */
#include "dev_priv.h"

#include <stdio.h>
#include <sys/sysmacros.h>

/*
 * "36 35 98:0 /root /where rw - ext4 /dev/sda rw,errors=continue": spaces of a
 * path stand there as \040, and what is said last is the filesystem's.
 */
static char *mountpoint_of(const char *line, dev_t dev, bool *ret_readonly)
{
	g_auto(GStrv) field = g_strsplit(line, " ", -1);
	guint n = g_strv_length(field);
	unsigned major, minor;

	if (n < 6 || sscanf(field[2], "%u:%u", &major, &minor) != 2 ||
	    makedev(major, minor) != dev)
		return NULL;
	if (ret_readonly)
		*ret_readonly = g_str_has_prefix(field[n - 1], "ro");
	return g_strcompress(field[4]);
}

char *filedev_mountpoint(dev_t dev, bool *ret_readonly)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) line = NULL;
	char *where = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return NULL;
	line = g_strsplit(text, "\n", -1);
	for (size_t i = 0; !where && line[i]; i++)
		where = mountpoint_of(line[i], dev, ret_readonly);
	return where;
}
