/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the kernel has a device mounted, from its own table. Only for a
 * sentence: whether the device may be used is the open's business.
 */
#include "dev_priv.h"

#include <rawmap/dev/mounttable.h>

char *filedev_mountpoint(dev_t dev, bool *ret_readonly)
{
	g_autoptr(GPtrArray) table = mounttable_read(0);

	for (guint i = 0; i < table->len; i++) {
		const struct mount_entry *e = g_ptr_array_index(table, i);

		if (e->dev != dev)
			continue;
		if (ret_readonly)
			*ret_readonly = e->readonly;
		return g_strdup(e->where);
	}
	return NULL;
}
