/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What -o says: rawmap's own options, and those that are libfuse's. */
#ifndef RAWMAP_FUSE_OPTIONS_H
#define RAWMAP_FUSE_OPTIONS_H

#include <rawmap/hostfs/hostsource.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum mount_engine {
	MOUNT_ENGINE_AUTO,
	MOUNT_ENGINE_URING,
	MOUNT_ENGINE_THREADS
};

enum mount_pin {
	MOUNT_PIN_NONE,
	MOUNT_PIN_MAP,	/* maps and server stay in memory */
	MOUNT_PIN_ALLOC /* and no write inside an image allocates */
};

struct mountopts {
	GPtrArray *images;		  /* paths inside the host, as given */
	struct hostsource_options source; /* readonly is there */
	unsigned commit;		  /* seconds between commits */
	bool sync;	/* a change is durable before its reply */
	uint64_t cache; /* bytes for the map of each image */
	enum mount_pin pin;
	char *audit;	/* path of the record; NULL: none */
	GString *given; /* all of -o, as it was written */
	enum mount_engine engine;
	bool others_auto;  /* let others in where that may be */
	bool over_uring;   /* requests are to come through io_uring */
	unsigned threads;  /* at most so many that wait for the source */
	unsigned max_read; /* bytes; 0: libfuse was not told */
	GPtrArray *fuse;   /* for libfuse, in the notation of -o */
	uint32_t seen;	   /* private: which ones were given */
};

/* The defaults; clear frees what init and parse allocated. */
void mountopts_init(struct mountopts *o);
void mountopts_clear(struct mountopts *o);

/*
 * Take over one argument of -o: options with commas between them; "\," and
 * "\\" stand for a comma and a backslash inside a value. May be called again
 * for a further -o. Names that are not rawmap's are kept for libfuse.
 * False with RAWMAP_ERROR_USAGE: a value that cannot be read, an option given
 * twice.
 */
bool mountopts_parse(struct mountopts *o, const char *text, GError **error);

void mountopts_add_image(struct mountopts *o, const char *path);
void mountopts_set_readonly(struct mountopts *o); /* -r */

/*
 * All of them together: an image is named, nothing contradicts, libfuse knows
 * every option that was kept for it. False with RAWMAP_ERROR_USAGE.
 */
bool mountopts_check(const struct mountopts *o, GError **error);

/*
 * The same for a command that looks at a source and mounts nothing: only what
 * says where the host lies, and how it is read, is allowed. Makes it read-only.
 */
bool mountopts_check_looking(struct mountopts *o, GError **error);
/* And for one that is only to be told where the host lies. */
bool mountopts_check_place(const struct mountopts *o, GError **error);

/* What a command needs the options for. */
enum mountopts_use {
	MOUNTOPTS_NONE,	   /* for nothing */
	MOUNTOPTS_PLACE,   /* as mountopts_check_place() */
	MOUNTOPTS_LOOKING, /* as mountopts_check_looking() */
	MOUNTOPTS_ATTACH,  /* all but image= */
	MOUNTOPTS_MOUNT	   /* all of them */
};

/*
 * The options for a help text, in lines of at most 80 columns: a title, and
 * below it, indented, "direct=auto|on|off, offset=BYTES, ...", behind a word or
 * two and some blanks where the lines are about different things. What is to be
 * chosen is in lower case, what is to be filled in upper. The caller frees.
 */
char *mountopts_describe(enum mountopts_use use);

/* Does anybody know this one option, rawmap or libfuse? Its value aside. */
bool mountopts_knows(const char *option);

/* Is @option, as it stands here, among those for libfuse? */
bool mountopts_has_fuse(const struct mountopts *o, const char *option);

#endif
