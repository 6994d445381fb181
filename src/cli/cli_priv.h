/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the sub-commands share. */
#ifndef RAWMAP_CLI_PRIV_H
#define RAWMAP_CLI_PRIV_H

#include <rawmap/fuse/options.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* One line of the table in main.c. argv[0] is the name of the sub-command. */
struct command {
	const char *name;
	const char *arguments; /* behind the options, for the help */
	const char *summary;
	int (*run)(const struct command *self, int argc, char **argv);
	enum mountopts_use takes; /* what its -o is for */
};

/* What the help has beside -o. */
#define OPTIONS_HELP "Further options, listed below"

int cmd_mount(const struct command *self, int argc, char **argv);
int cmd_attach(const struct command *self, int argc, char **argv);
int cmd_detach(const struct command *self, int argc, char **argv);
int cmd_list(const struct command *self, int argc, char **argv);
int cmd_map(const struct command *self, int argc, char **argv);
int cmd_info(const struct command *self, int argc, char **argv);
int cmd_recover(const struct command *self, int argc, char **argv);
int cmd_stats(const struct command *self, int argc, char **argv);
int cmd_advise(const struct command *self, int argc, char **argv);

/*
 * The same program under a name "mount.TYPE", where mount(8) looks for it: with
 * mount's arguments and exit statuses. @mount: the command that does the work.
 */
bool is_mount_helper(const char *program);
int mount_helper(const struct command *mount, int argc, char **argv);

/* And under a name "umount.TYPE", for umount(8). */
bool is_umount_helper(const char *program);
int umount_helper(int argc, char **argv);

/*
 * Read the options of a sub-command; afterwards *argc counts the operands in
 * (*argv)[1...]. --help is answered here: true, and *ret_done is set. False
 * with RAWMAP_ERROR_USAGE: an unknown option, too few or too many operands.
 */
bool command_parse(const struct command *self, const GOptionEntry *entries,
		   int min_operands, int max_operands, int *argc, char ***argv,
		   bool *ret_done, GError **error);

/* Say the sentence, free it, and the exit status that fits. */
int command_fail(GError *error);

/* One server: what it shows, and where. */
struct server {
	struct mountopts opt;
	char *source, *mountpoint; /* absolute */
	bool debug;
};

void server_init(struct server *s);
void server_clear(struct server *s);

/* What each -i and -o said (NULL: none), and -r; all of it checked. */
bool server_options(struct server *s, char **images, char **options,
		    bool readonly, GError **error);

/*
 * Make both paths absolute: the server changes to "/", and what it is given must
 * not depend on the place. False with the errors of path_absolute().
 */
bool server_place(struct server *s, const char *source, const char *mountpoint,
		  GError **error);

/* Serve until the end, here; the exit status. What went wrong has been said. */
int server_run(const struct server *s);

enum server_for {
	SERVER_ALONE,  /* the command has nothing more to do */
	SERVER_HELPED, /* it has: from before the server on, signals that would
			  end it do not */
};

/*
 * The same in the background; before any thread. True in the command: the
 * server is ready, or *ret_status says why there is none. False in the server,
 * at its end, with its exit status.
 */
bool server_start(const struct server *s, enum server_for what,
		  int *ret_status);

/*
 * ioctl(2) on a file that rawmap exposes. False with a sentence when it is none,
 * when its server does not answer, or with what the server says.
 */
bool exposed_ask(const char *path, unsigned long request, void *arg,
		 GError **error);

/*
 * What --watch does: @count lines, 0: until SIGINT, each @seconds (> 0) behind
 * the one before. False with a sentence: those of exposed_ask(), and when what
 * was there is not there any more.
 */
struct stats_watch {
	bool json;
	uint64_t seconds, count;
};

bool stats_watch(const char *file, const struct stats_watch *how,
		 GError **error);

/* What was printed has reached standard output; else false with a sentence. */
bool output_finish(GError **error);

/*
 * Open a source that is only looked at: a shared lock, and nothing is written.
 * @options: what each -o said, NULL for none. False with a sentence.
 */
bool look_open(struct hostsource *ret, const char *path, char **options,
	       GError **error);

/* All of @options into *opt, not checked yet; mountopts_clear() in any case. */
bool options_read(struct mountopts *opt, char **options, GError **error);

#endif
