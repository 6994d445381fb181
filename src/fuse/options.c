/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The -o language. rawmap's own options are a table; a name that is not in it
 * belongs to libfuse and is kept as it was written, escapes included.
 *
 * Which names libfuse knows is asked of libfuse itself: a session that is never
 * mounted is made from each kept option alone. A list here would refuse what a
 * later release adds.
 *
 * "sync" is libfuse's too, and is kept from it: the kernel would follow every
 * write with a fsync of its own, when the server has flushed already.
 */
#include "fuse_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/text.h>
#include <rawmap/fuse/options.h>

#include <stdarg.h>
#include <string.h>

#define DEFAULT_COMMIT	5
#define DEFAULT_CACHE	(UINT64_C(32) << 20)
#define DEFAULT_THREADS 16

enum own {
	OPT_IMAGE,
	OPT_RO,
	OPT_RW,
	OPT_COMMIT,
	OPT_SYNC,
	OPT_DISCARD,
	OPT_CACHE,
	OPT_DIRECT,
	OPT_ENGINE,
	OPT_IO_URING,
	OPT_THREADS,
	OPT_MAX_READ,
	OPT_FUSE, /* not one of rawmap's */
};

static const struct {
	const char *name;
	bool value;
} own_options[] = {
	[OPT_IMAGE] = { "image", true },
	[OPT_RO] = { "ro", false },
	[OPT_RW] = { "rw", false },
	[OPT_COMMIT] = { "commit", true },
	[OPT_SYNC] = { "sync", false },
	[OPT_DISCARD] = { "discard", false },
	[OPT_CACHE] = { "cache", true },
	[OPT_DIRECT] = { "direct", true },
	[OPT_ENGINE] = { "engine", true },
	[OPT_IO_URING] = { "io_uring", false },
	[OPT_THREADS] = { "threads", true },
	[OPT_MAX_READ] = { "max_read", true },
};

/* What a read-only mount has no use for, and why. */
static const struct {
	enum own opt;
	const char *text, *never;
} for_writers[] = {
	{ OPT_COMMIT, "commit=", "written" },
	{ OPT_SYNC, "sync", "written" },
	{ OPT_DISCARD, "discard", "freed" },
};

static bool usage(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Always false, so that a caller can return it. */
static bool usage(GError **error, const char *fmt, ...)
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

static bool parse_direct(const char *value, enum filedev_direct *ret,
			 GError **error)
{
	if (strcmp(value, "auto") == 0)
		*ret = FILEDEV_DIRECT_AUTO;
	else if (strcmp(value, "on") == 0)
		*ret = FILEDEV_DIRECT_ON;
	else if (strcmp(value, "off") == 0)
		*ret = FILEDEV_DIRECT_OFF;
	else
		return usage(error, "direct=%s: the value is auto, on or off",
			     value);
	return true;
}

static bool parse_engine(const char *value, enum mount_engine *ret,
			 GError **error)
{
	if (strcmp(value, "auto") == 0)
		*ret = MOUNT_ENGINE_AUTO;
	else if (strcmp(value, "uring") == 0)
		*ret = MOUNT_ENGINE_URING;
	else if (strcmp(value, "threads") == 0)
		*ret = MOUNT_ENGINE_THREADS;
	else
		return usage(error,
			     "engine=%s: the value is auto, uring or "
			     "threads",
			     value);
	return true;
}

static bool parse_number(const char *value, const char *what, unsigned min,
			 unsigned max, unsigned *ret, GError **error)
{
	uint64_t n;

	if (!text_parse_u64(value, what, min, max, &n, error))
		return false;
	*ret = (unsigned)n;
	return true;
}

static bool parse_own(struct mountopts *o, enum own opt, const char *value,
		      const char *raw, GError **error)
{
	const char *name = own_options[opt].name;

	if (own_options[opt].value && (!value || !*value))
		return usage(error, "option '%s' needs a value: -o %s=...",
			     name, name);
	if (!own_options[opt].value && value)
		return usage(error, "option '%s' takes no value", name);
	if (opt != OPT_IMAGE && (o->seen & 1U << opt))
		return usage(error, "option '%s' is given twice", name);
	o->seen |= 1U << opt;

	switch (opt) {
	case OPT_IMAGE:
		mountopts_add_image(o, value);
		return true;
	case OPT_RO:
		o->readonly = true;
		return true;
	case OPT_COMMIT:
		return parse_number(value, "commit=", 1, 86400, &o->commit,
				    error);
	case OPT_SYNC:
		o->sync = true;
		return true;
	case OPT_DISCARD:
		o->discard = true;
		return true;
	case OPT_CACHE:
		return text_parse_size(value, "cache=", &o->cache, error);
	case OPT_DIRECT:
		return parse_direct(value, &o->direct, error);
	case OPT_ENGINE:
		return parse_engine(value, &o->engine, error);
	case OPT_IO_URING:
		o->over_uring = true;
		return true;
	case OPT_THREADS:
		return parse_number(value, "threads=", 1, 256, &o->threads,
				    error);
	case OPT_MAX_READ:
		g_ptr_array_add(o->fuse, g_strdup(raw));
		return parse_number(value, "max_read=", 4096, MAX_TRANSFER,
				    &o->max_read, error);
	case OPT_RW:
	case OPT_FUSE:
		break;
	}
	return true;
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
		.commit = DEFAULT_COMMIT,
		.cache = DEFAULT_CACHE,
		.direct = FILEDEV_DIRECT_AUTO,
		.engine = MOUNT_ENGINE_AUTO,
		.threads = DEFAULT_THREADS,
		.fuse = g_ptr_array_new_with_free_func(g_free),
	};
}

void mountopts_clear(struct mountopts *o)
{
	g_clear_pointer(&o->images, g_ptr_array_unref);
	g_clear_pointer(&o->fuse, g_ptr_array_unref);
}

bool mountopts_parse(struct mountopts *o, const char *text, GError **error)
{
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
		else if (!parse_own(o, opt, value, raw, error))
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
	o->readonly = true;
}

static void say_nothing(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

static bool fuse_knows(const char *option)
{
	static const struct fuse_lowlevel_ops no_ops = { 0 };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *se = NULL;

	if (fuse_opt_add_arg(&args, "rawmap") == 0 &&
	    fuse_opt_add_arg(&args, "-o") == 0 &&
	    fuse_opt_add_arg(&args, option) == 0)
		se = fuse_session_new(&args, &no_ops, sizeof(no_ops), NULL);
	fuse_opt_free_args(&args);
	if (!se)
		return false;
	fuse_session_destroy(se);
	return true;
}

/* Who can take requests out of io_uring: our engine, or libfuse's threads. */
static const char *passage_missing(const struct mountopts *o)
{
	if (!o->over_uring)
		return NULL;
	if (o->engine == MOUNT_ENGINE_THREADS)
		return fuse_knows("io_uring")
			       ? NULL
			       : "with engine=threads it takes libfuse 3.18";
#ifdef HAVE_LIBURING
	return NULL;
#else
	return "this rawmap was built without liburing";
#endif
}

bool mountopts_has_fuse(const struct mountopts *o, const char *option)
{
	return g_ptr_array_find_with_equal_func(o->fuse, option, g_str_equal,
						NULL);
}

bool mountopts_check(const struct mountopts *o, GError **error)
{
	const char *unknown = NULL, *passage;

	if (!o->images->len)
		return usage(error, "no image is named: say -i PATH, "
				    "the path of a file inside the source");
	if (o->readonly && (o->seen & 1U << OPT_RW))
		return usage(error, "'rw' contradicts 'ro' or -r");
	for (guint i = 0; i < G_N_ELEMENTS(for_writers); i++)
		if (o->readonly && (o->seen & 1U << for_writers[i].opt))
			return usage(error,
				     "'%s' makes no sense on a read-only "
				     "mount: nothing is ever %s",
				     for_writers[i].text, for_writers[i].never);
	if (o->sync && mountopts_has_fuse(o, "async"))
		return usage(error, "'async' contradicts 'sync'");

	fuse_set_log_func(say_nothing);
	for (guint i = 0; i < o->fuse->len && !unknown; i++)
		if (!fuse_knows(g_ptr_array_index(o->fuse, i)))
			unknown = g_ptr_array_index(o->fuse, i);
	passage = passage_missing(o);
	fuse_set_log_func(NULL);
	if (passage)
		return usage(error, "'io_uring' cannot be had: %s", passage);
	if (unknown)
		return usage(error,
			     "unknown option '%s'; "
			     "rawmap(1) lists what -o takes",
			     unknown);
	return true;
}
