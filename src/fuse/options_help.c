/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What --help says of -o: the options by what they are about, a line or more for
 * each group, as wide as a terminal at least is. rawmap-mount(1) has the same
 * groups, in the same order.
 */
#include "options_priv.h"

#include <string.h>

#define WIDTH  80
#define INDENT 2
#define LABEL  13 /* in front of a group's options */

static const char *const labels[] = {
	[GROUP_MOUNT] = "mount",      [GROUP_FUSE] = "libfuse",
	[GROUP_SOURCE] = "source",    [GROUP_RO] = "with ro",
	[GROUP_RO_COW] = "ro or cow",
};
G_STATIC_ASSERT(G_N_ELEMENTS(labels) == GROUP_COUNT);

/* Some of what libfuse takes, which go with allow_other. */
static const char *const of_libfuse[] = { "allow_root", "auto_unmount",
					  "fsname=NAME" };

struct paragraph {
	GString *text;
	gsize indent, column; /* where a line begins; where it is now */
	bool begun;
};

/* Behind a comma, if anything; on the next line where it does not fit. */
static void put_item(struct paragraph *p, const char *item)
{
	gsize len = strlen(item);

	if (p->begun)
		g_string_append_c(p->text, ',');
	/* A blank before it, a comma behind it. */
	if (p->begun && p->column + 2 + len + 1 > WIDTH) {
		g_string_append_printf(p->text, "\n%*s", (int)p->indent, "");
		p->column = p->indent;
	} else if (p->begun) {
		g_string_append_c(p->text, ' ');
		p->column += 2;
	}
	g_string_append(p->text, item);
	p->column += len;
	p->begun = true;
}

static void put_option(struct paragraph *p, enum own opt)
{
	const char *name = option_name(opt), *value = option_value(opt);
	g_autofree char *with = g_strdup_printf("%s=%s", name, value);

	if (!value || option_value_optional(opt))
		put_item(p, name);
	if (value)
		put_item(p, with);
}

static bool is_for(enum own opt, enum mountopts_use use)
{
	switch (use) {
	case MOUNTOPTS_PLACE:
		return option_is_of_place(opt);
	case MOUNTOPTS_LOOKING:
		return option_is_of_source(opt);
	case MOUNTOPTS_ATTACH:
		return opt != OPT_IMAGE;
	case MOUNTOPTS_MOUNT:
		return true;
	case MOUNTOPTS_NONE:
		break;
	}
	return false;
}

static void put_group(struct paragraph *p, enum mountopts_use use,
		      enum option_group group)
{
	for (unsigned opt = 0; opt < OPT_FUSE; opt++) {
		if (option_group((enum own)opt) != group ||
		    !is_for((enum own)opt, use))
			continue;
		put_option(p, (enum own)opt);
		for (guint i = 0;
		     opt == OPT_ALLOW_OTHER && i < G_N_ELEMENTS(of_libfuse);
		     i++)
			put_item(p, of_libfuse[i]);
	}
}

/* Which group it is in says nothing to who only looks. */
static void put_flat(GString *text, enum mountopts_use use)
{
	struct paragraph p = { text, INDENT, INDENT, false };

	g_string_append_printf(text, "\n%*s", INDENT, "");
	for (unsigned g = 0; g < GROUP_COUNT; g++)
		put_group(&p, use, (enum option_group)g);
}

static void put_groups(GString *text, enum mountopts_use use)
{
	for (unsigned g = 0; g < GROUP_COUNT; g++) {
		struct paragraph p = { text, LABEL, LABEL, false };

		g_string_append_printf(text, "\n%*s%-*s", INDENT, "",
				       LABEL - INDENT, labels[g]);
		put_group(&p, use, (enum option_group)g);
	}
}

char *mountopts_describe(enum mountopts_use use)
{
	GString *text = g_string_new("Options for -o, with commas between:");

	if (use == MOUNTOPTS_MOUNT || use == MOUNTOPTS_ATTACH)
		put_groups(text, use);
	else
		put_flat(text, use);
	return g_string_free(text, FALSE);
}
