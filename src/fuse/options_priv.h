/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the -o language: the list of options and its notation
 * (options.c), what a value means (options_value.c), what does not go together
 * (options_check.c), and what --help says of it all (options_help.c).
 */
#ifndef RAWMAP_OPTIONS_PRIV_H
#define RAWMAP_OPTIONS_PRIV_H

#include <rawmap/fuse/options.h>

/* In the order of the help and of rawmap-mount(1). */
enum own {
	OPT_IMAGE,
	OPT_RO,
	OPT_RW,
	OPT_COMMIT,
	OPT_SYNC,
	OPT_DISCARD,
	OPT_CACHE,
	OPT_PIN,
	OPT_ENGINE,
	OPT_IO_URING,
	OPT_THREADS,
	OPT_ALLOW_OTHER,
	OPT_MAX_READ,
	OPT_DIRECT,
	OPT_OFFSET,
	OPT_PARTITION,
	OPT_COW,
	OPT_AUDIT,
	OPT_JOURNAL,
	OPT_NORECOVERY,
	OPT_SB,
	OPT_BLOCKSIZE,
	OPT_DELETED,
	OPT_UNWRITTEN,
	OPT_ON_ERROR,
	OPT_DDRESCUE,
	OPT_FUSE, /* not one of rawmap's */
};
G_STATIC_ASSERT(OPT_FUSE <= 32); /* mountopts.seen */

/* What it is about, for the help. */
enum option_group {
	GROUP_MOUNT,
	GROUP_FUSE,
	GROUP_SOURCE,
	GROUP_RO,     /* needs a source that is only read */
	GROUP_RO_COW, /* or one that keeps its changes elsewhere */
	GROUP_COUNT
};

const char *option_name(enum own opt);
enum option_group option_group(enum own opt);
/* As it is written, with a "=" where a value has to follow; the caller frees. */
char *option_text(enum own opt);
/* What the help has behind the "="; NULL: the option takes no value. */
const char *option_value(enum own opt);
/* Or none: the option stands for itself, too. */
bool option_value_optional(enum own opt);

/* May a command that only needs to know where the host lies be given it? */
bool option_is_of_place(enum own opt);
/* And one that looks at the host's files? */
bool option_is_of_source(enum own opt);

static inline bool option_seen(const struct mountopts *o, enum own opt)
{
	return o->seen >> opt & 1;
}

/* The error that a caller returns: always false. */
bool option_usage(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * Take @value over: not NULL where the option needs one. @raw is the option as
 * it was written. False with RAWMAP_ERROR_USAGE.
 */
bool option_set(struct mountopts *o, enum own opt, const char *value,
		const char *raw, GError **error);

#endif
