/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What options mean together, and who takes them.
 *
 * Which names libfuse knows is asked of libfuse itself: a session that is never
 * mounted is made from each kept option alone. A list here would refuse what a
 * later release adds.
 */
#include "fuse_priv.h"
#include "options_priv.h"

#include <rawmap/base/error.h>

#include <stdarg.h>

enum { READS = 1, WRITES = 2, CHANGES = 4 };

/*
 * What an option is for: a source that is only read, one that is written, or
 * one that keeps its changes elsewhere; and why not for others.
 */
static const struct {
	enum own opt;
	unsigned for_what;
	const char *why_not;
} uses[] = {
	{ OPT_COMMIT, WRITES | CHANGES, "nothing is ever written" },
	{ OPT_SYNC, WRITES | CHANGES, "nothing is ever written" },
	{ OPT_DISCARD, WRITES | CHANGES, "nothing is ever freed" },
	{ OPT_COW, CHANGES, "nothing is ever changed" },
	{ OPT_JOURNAL, READS, "rawmap does not write to external journals" },
	{ OPT_NORECOVERY, READS,
	  "a filesystem that is written must be recovered first" },
	{ OPT_SB, READS, "only the primary superblock is kept up to date" },
	{ OPT_DELETED, READS, "blocks of deleted files belong to nobody" },
	{ OPT_UNWRITTEN, READS, "it shows what a write would hide" },
	{ OPT_ON_ERROR, READS | CHANGES,
	  "zeros that were never there would be written back" },
	{ OPT_DDRESCUE, READS | CHANGES,
	  "what was not rescued would be written back" },
};

/* Where the host lies. */
static const enum own of_place[] = { OPT_DIRECT, OPT_OFFSET, OPT_PARTITION };

/* And how it is read: all that looking at its files needs. */
static const enum own of_source[] = {
	OPT_RO,	     OPT_DIRECT,     OPT_OFFSET,   OPT_PARTITION,
	OPT_JOURNAL, OPT_NORECOVERY, OPT_SB,	   OPT_BLOCKSIZE,
	OPT_DELETED, OPT_UNWRITTEN,  OPT_ON_ERROR, OPT_DDRESCUE,
};

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

static bool unknown_option(const char *option, GError **error)
{
	return option_usage(error,
			    "unknown option '%s'; rawmap-mount(1) lists what "
			    "-o takes",
			    option);
}

static bool check_fuse(const struct mountopts *o, GError **error)
{
	const char *unknown = NULL, *passage;

	fuse_set_log_func(say_nothing);
	for (guint i = 0; i < o->fuse->len && !unknown; i++)
		if (!fuse_knows(g_ptr_array_index(o->fuse, i)))
			unknown = g_ptr_array_index(o->fuse, i);
	passage = passage_missing(o);
	fuse_set_log_func(NULL);
	if (passage)
		return option_usage(error, "'io_uring' cannot be had: %s",
				    passage);
	return !unknown || unknown_option(unknown, error);
}

/* What is said all the same, but changes nothing. */
static bool is_default(const struct mountopts *o, enum own opt)
{
	return (opt == OPT_UNWRITTEN && !o->source.raw_unwritten) ||
	       (opt == OPT_ON_ERROR && !o->source.stack.zero_on_error);
}

/* What the source is opened for decides which options have a meaning. */
static bool check_uses(const struct mountopts *o, GError **error)
{
	const struct stack_options *stack = &o->source.stack;
	unsigned use = WRITES;

	if (stack->readonly)
		use = READS;
	else if (stack->cow)
		use = CHANGES;
	for (guint i = 0; i < G_N_ELEMENTS(uses); i++) {
		g_autofree char *name = option_text(uses[i].opt);

		if (!option_seen(o, uses[i].opt) || (uses[i].for_what & use) ||
		    is_default(o, uses[i].opt))
			continue;
		if (use == READS)
			return option_usage(error,
					    "'%s' makes no sense on a "
					    "read-only mount: %s",
					    name, uses[i].why_not);
		return option_usage(
			error, "'%s' needs a read-only mount (-r)%s: %s", name,
			uses[i].for_what & CHANGES ? ", or cow=FILE" : "",
			uses[i].why_not);
	}
	return true;
}

static bool check_source(const struct mountopts *o, GError **error)
{
	if (option_seen(o, OPT_OFFSET) && option_seen(o, OPT_PARTITION))
		return option_usage(error, "'offset' contradicts 'partition': "
					   "each says where the host begins");
	if (option_seen(o, OPT_BLOCKSIZE) && !option_seen(o, OPT_SB))
		return option_usage(error, "'blocksize' says how the number in "
					   "'sb=' is counted; say sb=, too");
	if (option_seen(o, OPT_NORECOVERY) && option_seen(o, OPT_JOURNAL))
		return option_usage(error, "'norecovery' contradicts "
					   "'journal': the one leaves aside "
					   "what the other replays");
	return check_uses(o, error);
}

static bool is_among(enum own opt, const enum own *list, guint n)
{
	for (guint i = 0; i < n; i++)
		if (list[i] == opt)
			return true;
	return false;
}

bool option_is_of_place(enum own opt)
{
	return is_among(opt, of_place, G_N_ELEMENTS(of_place));
}

bool option_is_of_source(enum own opt)
{
	return is_among(opt, of_source, G_N_ELEMENTS(of_source));
}

bool mountopts_knows(const char *option)
{
	struct mountopts o;
	bool known = true;

	mountopts_init(&o);
	fuse_set_log_func(say_nothing);
	if (mountopts_parse(&o, option, NULL) && o.fuse->len)
		known = fuse_knows(g_ptr_array_index(o.fuse, 0));
	fuse_set_log_func(NULL);
	mountopts_clear(&o);
	return known;
}

static bool check_pin(const struct mountopts *o, GError **error)
{
	if (o->pin != MOUNT_PIN_ALLOC)
		return true;
	if (o->source.stack.readonly)
		return option_usage(error, "'pin=alloc' makes no sense on a "
					   "read-only mount: nothing is ever "
					   "allocated; say pin");
	if (o->source.stack.cow)
		return option_usage(error, "'pin=alloc' contradicts 'cow=': "
					   "what is written first takes room "
					   "in FILE, each time");
	return true;
}

bool mountopts_has_fuse(const struct mountopts *o, const char *option)
{
	return g_ptr_array_find_with_equal_func(o->fuse, option, g_str_equal,
						NULL);
}

static bool has_subtype(const struct mountopts *o)
{
	for (guint i = 0; i < o->fuse->len; i++)
		if (g_str_has_prefix(g_ptr_array_index(o->fuse, i), "subtype="))
			return true;
	return false;
}

bool mountopts_check(const struct mountopts *o, GError **error)
{
	if (!o->images->len)
		return option_usage(error, "no image is named: say -i PATH or "
					   "-o image=PATH, the path of a file "
					   "inside the source");
	if (o->source.stack.readonly && option_seen(o, OPT_RW))
		return option_usage(error, "'rw' contradicts 'ro' or -r");
	if (o->sync && mountopts_has_fuse(o, "async"))
		return option_usage(error, "'async' contradicts 'sync'");
	if (o->others_auto && mountopts_has_fuse(o, "allow_root"))
		return option_usage(error, "'allow_root' contradicts "
					   "'allow_other=auto'");
	if (has_subtype(o))
		return option_usage(error, "'subtype=' cannot be chosen: by "
					   "the type fuse.rawmap 'rawmap list' "
					   "and umount know the mount");
	return check_source(o, error) && check_pin(o, error) &&
	       check_fuse(o, error);
}

static bool no_meaning(const char *name, GError **error)
{
	return option_usage(error, "'%s' means nothing to this command", name);
}

static bool check_only(const struct mountopts *o, const enum own *allowed,
		       guint n, GError **error)
{
	uint32_t others = o->seen;

	for (guint i = 0; i < n; i++)
		others &= ~(UINT32_C(1) << allowed[i]);
	for (unsigned opt = 0; opt < OPT_FUSE; opt++) {
		g_autofree char *name = option_text((enum own)opt);

		if (others >> opt & 1)
			return no_meaning(name, error);
	}
	return check_fuse(o, error) &&
	       (!o->fuse->len ||
		no_meaning(g_ptr_array_index(o->fuse, 0), error));
}

bool mountopts_check_looking(struct mountopts *o, GError **error)
{
	mountopts_set_readonly(o);
	return check_only(o, of_source, G_N_ELEMENTS(of_source), error) &&
	       check_source(o, error);
}

bool mountopts_check_place(const struct mountopts *o, GError **error)
{
	return check_only(o, of_place, G_N_ELEMENTS(of_place), error) &&
	       check_source(o, error);
}
