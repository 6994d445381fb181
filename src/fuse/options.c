/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The -o language. rawmap's own options are a table; a name that is not in it
 * belongs to libfuse and is kept as it was written, escapes included.
 *
 * "sync" is libfuse's too, and is kept from it: the kernel would follow every
 * write with a fsync of its own, when the server has flushed already.
 */
#include "options_priv.h"

#include <rawmap/base/error.h>

#include <stdarg.h>
#include <string.h>

#define DEFAULT_COMMIT	5
#define DEFAULT_CACHE	(UINT64_C(32) << 20)
#define DEFAULT_THREADS 16

/* What stands behind the "=", as the help shows it; NULL: nothing. */
static const struct {
	const char *name, *value;
	enum option_group group;
} own_options[] = {
	[OPT_IMAGE] = { "image", "PATH", GROUP_MOUNT },
	[OPT_RO] = { "ro", NULL, GROUP_MOUNT },
	[OPT_RW] = { "rw", NULL, GROUP_MOUNT },
	[OPT_COMMIT] = { "commit", "SECONDS", GROUP_MOUNT },
	[OPT_SYNC] = { "sync", NULL, GROUP_MOUNT },
	[OPT_DISCARD] = { "discard", NULL, GROUP_MOUNT },
	[OPT_CACHE] = { "cache", "SIZE", GROUP_MOUNT },
	[OPT_PIN] = { "pin", "alloc", GROUP_MOUNT },
	[OPT_ENGINE] = { "engine", "auto|uring|threads", GROUP_MOUNT },
	[OPT_IO_URING] = { "io_uring", NULL, GROUP_MOUNT },
	[OPT_THREADS] = { "threads", "N", GROUP_MOUNT },
	[OPT_ALLOW_OTHER] = { "allow_other", "auto", GROUP_FUSE },
	[OPT_MAX_READ] = { "max_read", "BYTES", GROUP_FUSE },
	[OPT_DIRECT] = { "direct", "auto|on|off", GROUP_SOURCE },
	[OPT_OFFSET] = { "offset", "BYTES", GROUP_SOURCE },
	[OPT_PARTITION] = { "partition", "N|auto", GROUP_SOURCE },
	[OPT_COW] = { "cow", "FILE", GROUP_SOURCE },
	[OPT_AUDIT] = { "audit", "FILE", GROUP_SOURCE },
	[OPT_JOURNAL] = { "journal", "DEVICE", GROUP_RO },
	[OPT_NORECOVERY] = { "norecovery", NULL, GROUP_RO },
	[OPT_SB] = { "sb", "BLOCK", GROUP_RO },
	[OPT_BLOCKSIZE] = { "blocksize", "BYTES", GROUP_RO },
	[OPT_DELETED] = { "deleted", NULL, GROUP_RO },
	[OPT_UNWRITTEN] = { "unwritten", "raw", GROUP_RO },
	[OPT_ON_ERROR] = { "on-error", "zero", GROUP_RO_COW },
	[OPT_DDRESCUE] = { "ddrescue", "FILE", GROUP_RO_COW },
};
G_STATIC_ASSERT(G_N_ELEMENTS(own_options) == OPT_FUSE);

const char *option_name(enum own opt)
{
	return own_options[opt].name;
}

enum option_group option_group(enum own opt)
{
	return own_options[opt].group;
}

char *option_text(enum own opt)
{
	bool value = option_value(opt) && !option_value_optional(opt);

	return g_strconcat(option_name(opt), value ? "=" : NULL, NULL);
}

const char *option_value(enum own opt)
{
	return own_options[opt].value;
}

bool option_value_optional(enum own opt)
{
	return opt == OPT_PIN || opt == OPT_ALLOW_OTHER;
}

bool option_usage(GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	g_set_error_literal(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE, text);
	return false;
}

static enum own find_own(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(own_options); i++)
		if (strcmp(name, own_options[i].name) == 0)
			return (enum own)i;
	return OPT_FUSE;
}

static bool take_own(struct mountopts *o, enum own opt, const char *value,
		     const char *raw, GError **error)
{
	const char *name = option_name(opt), *takes = option_value(opt);

	if (takes && !option_value_optional(opt) && (!value || !*value))
		return option_usage(error,
				    "option '%s' needs a value: -o %s=...",
				    name, name);
	if (!takes && value)
		return option_usage(error, "option '%s' takes no value", name);
	if (opt != OPT_IMAGE && option_seen(o, opt))
		return option_usage(error, "option '%s' is given twice", name);
	o->seen |= UINT32_C(1) << opt;
	return option_set(o, opt, value, raw, error);
}

/*
 * The next option of *text: its raw writing, and it with the escapes resolved.
 * *text moves behind the comma, or becomes NULL at the end.
 */
static char *next_option(const char **text, char **ret_raw)
{
	const char *c = *text;
	GString *plain = g_string_new(NULL);

	for (; *c && *c != ','; c++) {
		if (*c == '\\' && c[1])
			c++;
		g_string_append_c(plain, *c);
	}
	*ret_raw = g_strndup(*text, (gsize)(c - *text));
	*text = *c ? c + 1 : NULL;
	return g_string_free(plain, FALSE);
}

void mountopts_init(struct mountopts *o)
{
	*o = (struct mountopts){
		.images = g_ptr_array_new_with_free_func(g_free),
		.source.stack.direct = FILEDEV_DIRECT_AUTO,
		.commit = DEFAULT_COMMIT,
		.cache = DEFAULT_CACHE,
		.engine = MOUNT_ENGINE_AUTO,
		.threads = DEFAULT_THREADS,
		.fuse = g_ptr_array_new_with_free_func(g_free),
		.given = g_string_new(NULL),
	};
}

void mountopts_clear(struct mountopts *o)
{
	g_clear_pointer(&o->images, g_ptr_array_unref);
	g_clear_pointer(&o->fuse, g_ptr_array_unref);
	g_clear_pointer(&o->audit, g_free);
	hostsource_options_clear(&o->source);
	if (o->given)
		g_string_free(o->given, TRUE);
	o->given = NULL;
}

bool mountopts_parse(struct mountopts *o, const char *text, GError **error)
{
	g_string_append_printf(o->given, "%s%s", o->given->len ? "," : "",
			       text);
	while (text) {
		g_autofree char *raw = NULL;
		g_autofree char *plain = next_option(&text, &raw);
		char *value = strchr(plain, '=');
		enum own opt;

		if (!*plain)
			continue;
		if (value)
			*value++ = '\0';
		opt = find_own(plain);
		if (opt == OPT_FUSE)
			g_ptr_array_add(o->fuse, g_steal_pointer(&raw));
		else if (!take_own(o, opt, value, raw, error))
			return false;
	}
	return true;
}

void mountopts_add_image(struct mountopts *o, const char *path)
{
	g_ptr_array_add(o->images, g_strdup(path));
}

void mountopts_set_readonly(struct mountopts *o)
{
	o->source.stack.readonly = true;
}
