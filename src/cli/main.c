/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program: finds the sub-command and hands over. */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap_config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
	{ "mount", "SOURCE MOUNTPOINT",
	  "Show images inside SOURCE as files below MOUNTPOINT", cmd_mount,
	  MOUNTOPTS_MOUNT },
	{ "attach", "SOURCE PATH",
	  "Make a loop device of an image inside SOURCE", cmd_attach,
	  MOUNTOPTS_ATTACH },
	{ "detach", "DEVICE|MOUNTPOINT...",
	  "Take down what attach or mount put up, and wait until it is written",
	  cmd_detach, MOUNTOPTS_NONE },
	{ "list", "", "Print what is mounted and attached", cmd_list,
	  MOUNTOPTS_NONE },
	{ "map", "SOURCE PATH",
	  "Print where the blocks of an image lie on SOURCE", cmd_map,
	  MOUNTOPTS_LOOKING },
	{ "info", "SOURCE [PATH]",
	  "Tell about the filesystem on SOURCE, or about an image", cmd_info,
	  MOUNTOPTS_LOOKING },
	{ "recover", "SOURCE",
	  "Apply the journal of the filesystem on SOURCE, nothing else",
	  cmd_recover, MOUNTOPTS_PLACE },
	{ "advise", "populate|drop|pin|unpin FILE [OFFSET [LENGTH]]",
	  "Read, keep or forget where the blocks of a mounted image lie",
	  cmd_advise, MOUNTOPTS_NONE },
	{ "stats", "FILE", "Print the counters of a mounted image", cmd_stats,
	  MOUNTOPTS_NONE },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_help(FILE *out)
{
	fputs("Usage: rawmap COMMAND [OPTION...] ...\n\n"
	      "Serves image files that lie inside an unmounted ext2, ext3 or "
	      "ext4 filesystem.\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		fprintf(out, "  %-8s%s\n", commands[i].name,
			commands[i].summary);
	fputs("  help    Print this, or the help of a command\n\n"
	      "Options:\n"
	      "  -h, --help     Print this\n"
	      "  -V, --version  Print the version\n\n"
	      "'rawmap COMMAND --help' explains a command; see rawmap(1).\n",
	      out);
}

static int wrong_command(const char *name)
{
	GString *names = g_string_new(NULL);
	g_autofree char *list = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		g_string_append_printf(names, "%s, ", commands[i].name);
	g_string_append(names, "help");
	list = g_string_free(names, FALSE);
	return command_fail(g_error_new(RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
					"there is no command '%s'; there are: "
					"%s",
					name, list));
}

/* Second line: what a build may lack. */
static void print_version(void)
{
	puts("rawmap " RAWMAP_VERSION "\nbuilt with:"
#ifdef HAVE_LIBURING
	     " io_uring"
#endif
#ifdef HAVE_BLKID
	     " partitions"
#endif
#ifdef HAVE_LIBEWF
	     " EWF"
#endif
	);
}

static int finish(void)
{
	GError *error = NULL;

	return output_finish(&error) ? STATUS_OK : command_fail(error);
}

static int help(int argc, char **argv)
{
	static char help_option[] = "--help";
	const struct command *command;
	char *command_argv[3] = { NULL, help_option, NULL };

	if (argc > 3)
		return command_fail(g_error_new(
			RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			"too many arguments; usage: rawmap help [COMMAND]"));
	if (argc < 3 || strcmp(argv[2], "help") == 0) {
		print_help(stdout);
		return finish();
	}
	command = find_command(argv[2]);
	if (!command)
		return wrong_command(argv[2]);
	command_argv[0] = argv[2];
	return command->run(command, 2, command_argv);
}

/*
 * Whoever closed a standard stream before he called us would make the source or
 * the connection to the kernel take its number, and what is written for people,
 * or the server's way into the background, would go there. /dev/null holds the
 * place, opened so that using it still fails as on a closed descriptor.
 */
static void occupy_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", flags) != fd)
			abort(); /* before anything could go wrong */
	}
}

int main(int argc, char **argv)
{
	const struct command *command;

	occupy_standard_streams();
	/* A limit of file sizes is an error like others, and has a sentence. */
	signal(SIGXFSZ, SIG_IGN);
	g_set_prgname("rawmap");
	if (argc > 0 && is_mount_helper(argv[0]))
		return mount_helper(find_command("mount"), argc, argv);
	if (argc > 0 && is_umount_helper(argv[0]))
		return umount_helper(argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return STATUS_USAGE;
	}
	if (strcmp(argv[1], "help") == 0)
		return help(argc, argv);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return finish();
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		print_version();
		return finish();
	}
	command = find_command(argv[1]);
	if (!command)
		return wrong_command(argv[1]);
	return command->run(command, argc - 1, argv + 1);
}
