/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap's mounts, and the loop devices on them, as the kernel knows them. */
#include "mounts.h"

#include <rawmap/dev/inuse.h>

#include <stdlib.h>
#include <string.h>

/* libfuse's "fuse" or "fuseblk", and the subtype that we give it. */
static bool is_ours(const struct mount_entry *m)
{
	return g_str_has_prefix(m->type, "fuse") &&
	       g_str_has_suffix(m->type, ".rawmap");
}

GPtrArray *mounts_read(void)
{
	GPtrArray *table = mounttable_read(0);

	for (guint i = table->len; i-- > 0;)
		if (!is_ours(g_ptr_array_index(table, i)))
			g_ptr_array_remove_index(table, i);
	return table;
}

/* The last one is on top. */
const struct mount_entry *mounts_at(GPtrArray *table, const char *where)
{
	for (guint i = table->len; i-- > 0;) {
		const struct mount_entry *m = g_ptr_array_index(table, i);

		if (strcmp(m->where, where) == 0)
			return m;
	}
	return NULL;
}

char *mounts_resolve(const char *operand)
{
	g_autofree char *plain = g_strdup(operand);
	size_t len = strlen(plain);
	char *real, *copy;

	while (len > 1 && plain[len - 1] == '/')
		plain[--len] = '\0';
	real = realpath(plain, NULL);
	copy = g_strdup(real ? real : plain);
	free(real);
	return copy;
}

const struct mount_entry *mounts_with(GPtrArray *table, const char *path)
{
	const struct mount_entry *best = NULL;

	for (guint i = table->len; i-- > 0;) {
		const struct mount_entry *m = g_ptr_array_index(table, i);

		if (inuse_is_below(path, m->where) &&
		    (!best || strlen(m->where) > strlen(best->where)))
			best = m;
	}
	return best;
}

GPtrArray *mounts_loops(const struct mount_entry *m)
{
	GPtrArray *loops = loopdev_list();

	for (guint i = loops->len; i-- > 0;) {
		const struct loopdev *dev = g_ptr_array_index(loops, i);

		if (!inuse_is_below(dev->backing, m->where))
			g_ptr_array_remove_index(loops, i);
	}
	return loops;
}
