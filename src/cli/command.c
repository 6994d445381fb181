/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every sub-command does the same way: options, operands, the end. */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 80 /* of the help */

static GOptionContext *make_context(const struct command *self,
				    const GOptionEntry *entries,
				    const gboolean *help)
{
	const GOptionEntry common[] = { { "help", 'h', 0, G_OPTION_ARG_NONE,
					  (gpointer)help, "Print this", NULL },
					G_OPTION_ENTRY_NULL };
	GOptionContext *context = g_option_context_new(self->arguments);

	/* glib's own --help would leave by exit(). */
	g_option_context_set_help_enabled(context, FALSE);
	g_option_context_set_summary(context, self->summary);
	if (self->takes != MOUNTOPTS_NONE) {
		g_autofree char *text = mountopts_describe(self->takes);

		g_option_context_set_description(context, text);
	}
	if (entries)
		g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_add_main_entries(context, common, NULL);
	return context;
}

/* @text: the rest of @line, word by word. */
static void print_beside(const char *line, const char *text)
{
	int indent = (int)(text - line);
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	gsize column = (gsize)indent;

	printf("%.*s", indent, line);
	for (guint i = 0; words[i]; i++) {
		gsize len = strlen(words[i]);

		if (i && column + 1 + len > WIDTH) {
			printf("\n%*s", indent, "");
			column = (gsize)indent;
		} else if (i) {
			putchar(' ');
			column++;
		}
		fputs(words[i], stdout);
		column += len;
	}
	putchar('\n');
}

/*
 * Print it, with what stands beside an option on lines of its own, one below the
 * other, where it does not fit; glib has no widths.
 */
static void print_wrapped(const char *help)
{
	g_auto(GStrv) lines = g_strsplit(help, "\n", -1);

	for (char **line = lines; *line; line++) {
		const char *gap = g_str_has_prefix(*line, "  -")
					  ? strstr(*line + 2, "   ")
					  : NULL;

		if (gap && strlen(*line) > WIDTH)
			print_beside(*line, gap + strspn(gap, " "));
		else
			puts(*line);
	}
}

/*
 * "-oro" is "-o ro", as to mount(8). glib does not know that, but "--options=ro";
 * the words live as long as the program.
 */
static void join_values(const GOptionEntry *entries, char **argv)
{
	for (char **arg = argv; *arg && strcmp(*arg, "--") != 0; arg++) {
		const char *word = *arg;

		if (word[0] != '-' || word[1] == '-' || !word[1] || !word[2])
			continue;
		for (const GOptionEntry *e = entries; e && e->long_name; e++) {
			g_autofree char *full = NULL;

			if (e->short_name != word[1] ||
			    e->arg == G_OPTION_ARG_NONE)
				continue;
			full = g_strdup_printf("--%s=%s", e->long_name,
					       word + 2);
			*arg = (char *)g_intern_string(full);
		}
	}
}

/* "--json=x": glib would not mind the x. */
static bool check_values(const GOptionEntry *entries, char **argv,
			 GError **error)
{
	for (char **arg = argv; *arg && strcmp(*arg, "--") != 0; arg++) {
		const char *equals = strchr(*arg, '=');
		g_autofree char *name = NULL;

		if (!g_str_has_prefix(*arg, "--") || !equals)
			continue;
		name = g_strndup(*arg, (gsize)(equals - *arg));
		for (const GOptionEntry *e = entries; e && e->long_name; e++) {
			if (e->arg != G_OPTION_ARG_NONE ||
			    strcmp(name + 2, e->long_name) != 0)
				continue;
			g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
				    "option '%s' takes no value", name);
			return false;
		}
	}
	return true;
}

bool command_parse(const struct command *self, const GOptionEntry *entries,
		   int min_operands, int max_operands, int *argc, char ***argv,
		   bool *ret_done, GError **error)
{
	g_autofree char *name = g_strconcat("rawmap ", self->name, NULL);
	g_autoptr(GError) wrong = NULL;
	gboolean help = FALSE;
	g_autoptr(GOptionContext) context = make_context(self, entries, &help);
	bool parsed;

	g_set_prgname(name); /* what the usage line starts with */
	join_values(entries, *argv + 1);
	parsed = check_values(entries, *argv, &wrong) &&
		 g_option_context_parse(context, argc, argv, &wrong);
	if (parsed && help) {
		g_autofree char *text =
			g_option_context_get_help(context, TRUE, NULL);

		print_wrapped(g_strchomp(text));
		*ret_done = true;
		g_set_prgname("rawmap");
		return output_finish(error);
	}
	g_set_prgname("rawmap");
	*ret_done = false;

	if (!parsed) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "%s; see 'rawmap %s --help'", wrong->message,
			    self->name);
		return false;
	}
	/* GOption leaves the "--" of "mount -- SOURCE MOUNTPOINT" in place. */
	for (int i = 1; i < *argc; i++) {
		if (g_strcmp0((*argv)[i], "--") != 0)
			continue;
		for (int k = i; k < *argc; k++)
			(*argv)[k] = (*argv)[k + 1];
		(*argc)--;
		break;
	}
	if (*argc - 1 < min_operands || *argc - 1 > max_operands) {
		g_set_error(
			error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			"too %s arguments; usage: rawmap %s [OPTION...]%s%s",
			*argc - 1 < min_operands ? "few" : "many", self->name,
			*self->arguments ? " " : "", self->arguments);
		return false;
	}
	return true;
}

int command_fail(GError *error)
{
	int status = g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE)
			     ? STATUS_USAGE
			     : STATUS_FAILED;

	log_error("%s", error->message);
	g_error_free(error);
	return status;
}

bool output_finish(GError **error)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	error_set_errno(error, RAWMAP_ERROR_IO, errno,
			"cannot write to standard output");
	return false;
}

bool options_read(struct mountopts *opt, char **options, GError **error)
{
	mountopts_init(opt);
	for (char **text = options; text && *text; text++)
		if (!mountopts_parse(opt, *text, error))
			return false;
	return true;
}

bool look_open(struct hostsource *ret, const char *path, char **options,
	       GError **error)
{
	struct mountopts opt;
	bool done;

	done = options_read(&opt, options, error) &&
	       mountopts_check_looking(&opt, error) &&
	       hostsource_open(ret, path, &opt.source, error);
	mountopts_clear(&opt);
	return done;
}
