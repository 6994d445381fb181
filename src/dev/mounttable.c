/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "36 35 98:0 /root /where rw,noatime shared:1 - ext4 /dev/sda rw,errors=..."
 *
 * Between the options of the mount and the dash stands any number of words. A
 * blank, a tab, a newline or a backslash of a path or a source is an octal
 * escape, so that blanks separate the words and nothing else.
 */
#include <rawmap/dev/mounttable.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The words that are always there; what is behind the dash is counted from it. */
enum { DEVICE = 2, WHERE = 4, FIRST_OPTIONAL = 6 };
enum { TYPE = 1, SOURCE, OPTIONS, BEHIND };

static void entry_free(struct mount_entry *e)
{
	g_free(e->where);
	g_free(e->type);
	g_free(e->source);
	g_free(e);
}

/* "rw,user_id=1000,group_id=1000,default_permissions" */
static void parse_options(struct mount_entry *e, const char *text)
{
	g_auto(GStrv) option = g_strsplit(text, ",", -1);

	for (char **o = option; *o; o++) {
		unsigned id;

		if (strcmp(*o, "ro") == 0)
			e->readonly = true;
		else if (sscanf(*o, "user_id=%u", &id) == 1)
			e->uid = id;
		else if (sscanf(*o, "group_id=%u", &id) == 1)
			e->gid = id;
	}
}

static struct mount_entry *parse_line(const char *line)
{
	g_auto(GStrv) word = g_strsplit(line, " ", -1);
	guint n = g_strv_length(word), dash = FIRST_OPTIONAL;
	struct mount_entry *e;
	unsigned major, minor;

	while (dash < n && strcmp(word[dash], "-") != 0)
		dash++;
	if (n < BEHIND || dash > n - BEHIND ||
	    sscanf(word[DEVICE], "%u:%u", &major, &minor) != 2)
		return NULL;

	e = g_new(struct mount_entry, 1);
	*e = (struct mount_entry){
		.dev = makedev(major, minor),
		.where = g_strcompress(word[WHERE]),
		.type = g_strcompress(word[dash + TYPE]),
		.source = g_strcompress(word[dash + SOURCE]),
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	parse_options(e, word[dash + OPTIONS]);
	return e;
}

GPtrArray *mounttable_parse(const char *text)
{
	GPtrArray *table =
		g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
	g_auto(GStrv) line = g_strsplit(text, "\n", -1);

	for (char **l = line; *l; l++) {
		struct mount_entry *e = parse_line(*l);

		if (e)
			g_ptr_array_add(table, e);
	}
	return table;
}

GPtrArray *mounttable_read(pid_t pid)
{
	g_autofree char *path =
		pid ? g_strdup_printf("/proc/%d/mountinfo", (int)pid)
		    : g_strdup("/proc/self/mountinfo");
	g_autofree char *text = NULL;

	(void)g_file_get_contents(path, &text, NULL, NULL);
	return mounttable_parse(text ? text : "");
}
