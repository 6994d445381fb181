/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mount.rawmap: the program that mount(8) runs for its type "rawmap", from a
 * command line or from fstab. It only translates; "rawmap mount" does the work.
 *
 *   mount(8) says                     "rawmap mount" is told
 *   image="/a,b"                      -o 'image=/a\,b'
 *   ro,rw                             the last of them
 *   what is a matter of mount(8)      nothing
 *   -s: and what nobody knows         nothing
 *   -f                                is not run: the options are checked
 *   nofail, and no source is there    is not run: nothing is wrong
 *
 * Its exit statuses are those of mount(8), not those of rawmap.
 */
#include "cli_priv.h"
#include "helper.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct request {
	char *source, *mountpoint;
	const char *namespace; /* where to mount; NULL: here */
	const char *access;    /* "ro", "rw", or NULL: nothing was said */
	GPtrArray *options;    /* the others, as -o of rawmap takes them */
	bool fake, sloppy, verbose, nofail, remount, help;
};

/*
 * fstab's and mount's own affairs, which mount(8) leaves in or a caller that is
 * not mount(8) may; and flags without a meaning where there are no access times
 * and no mandatory locks.
 */
static const char *const not_ours[] = {
	"defaults",	 "auto",     "noauto",	   "user",
	"nouser",	 "users",    "nousers",	   "owner",
	"noowner",	 "group",    "nogroup",	   "_netdev",
	"comment",	 "uhelper",  "helper",	   "relatime",
	"norelatime",	 "diratime", "nodiratime", "strictatime",
	"nostrictatime", "lazytime", "nolazytime", "iversion",
	"noiversion",	 "mand",     "nomand",	   "silent",
	"loud",
};

static bool is_ours(const char *option)
{
	g_autofree char *name = g_strndup(option, strcspn(option, "="));

	if (g_str_has_prefix(name, "x-") || g_str_has_prefix(name, "X-"))
		return false;
	for (guint i = 0; i < G_N_ELEMENTS(not_ours); i++)
		if (strcmp(name, not_ours[i]) == 0)
			return false;
	return true;
}

/*
 * The next option of *text, with backslashes for what quotes protected. *text
 * moves behind the comma, or becomes NULL at the end.
 */
static char *next_option(const char **text)
{
	GString *option = g_string_new(NULL);
	bool quoted = false;
	const char *c;

	for (c = *text; *c && (quoted || *c != ','); c++) {
		if (*c == '"') {
			quoted = !quoted;
			continue;
		}
		if (*c == '\\' && c[1])
			g_string_append_c(option, *c++);
		else if (*c == ',')
			g_string_append_c(option, '\\');
		g_string_append_c(option, *c);
	}
	*text = *c ? c + 1 : NULL;
	return g_string_free(option, FALSE);
}

static void take_options(struct request *r, const char *text)
{
	while (text) {
		g_autofree char *option = next_option(&text);

		if (strcmp(option, "ro") == 0)
			r->access = "ro";
		else if (strcmp(option, "rw") == 0)
			r->access = "rw";
		else if (strcmp(option, "nofail") == 0)
			r->nofail = true;
		else if (strcmp(option, "remount") == 0)
			r->remount = true;
		else if (*option && is_ours(option))
			g_ptr_array_add(r->options, g_steal_pointer(&option));
	}
}

static bool usage(GError **error, const char *what)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "%s; usage: mount.rawmap SOURCE MOUNTPOINT [-sfnv] [-N "
		    "NAMESPACE] [-o OPTIONS] [-t TYPE]",
		    what);
	return false;
}

static bool take_argument(struct request *r, int c, GError **error)
{
	switch (c) {
	case 'f':
		r->fake = true;
		return true;
	case 's':
		r->sloppy = true;
		return true;
	case 'v':
		r->verbose = true;
		return true;
	case 'r':
	case 'w':
		r->access = c == 'r' ? "ro" : "rw";
		return true;
	case 'o':
		take_options(r, optarg);
		return true;
	case 'N':
		r->namespace = optarg;
		return true;
	case 'n': /* there is no mtab */
	case 't': /* TYPE.SUBTYPE: rawmap is what it is */
		return true;
	case 'h':
		r->help = true;
		return true;
	default:
		return usage(error, c == ':' ? "an option lacks its value"
					     : "unknown option");
	}
}

static bool read_arguments(struct request *r, int argc, char **argv,
			   GError **error)
{
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, ":fsnvrwo:N:t:h")) >= 0)
		if (!take_argument(r, c, error))
			return false;
	if (r->help)
		return true;
	if (argc - optind != 2)
		return usage(error, argc - optind < 2 ? "too few arguments"
						      : "too many arguments");
	r->source = argv[optind];
	r->mountpoint = argv[optind + 1];
	if (r->remount) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "'remount' is not possible: unmount '%s' and "
			    "mount it anew",
			    r->mountpoint);
		return false;
	}
	if (r->access)
		g_ptr_array_add(r->options, g_strdup(r->access));
	for (guint i = 0; r->sloppy && i < r->options->len;)
		if (mountopts_knows(g_ptr_array_index(r->options, i)))
			i++;
		else
			g_ptr_array_remove_index(r->options, i);
	return true;
}

static bool check_options(const struct request *r, GError **error)
{
	struct mountopts opt;
	bool good;

	g_ptr_array_add(r->options, NULL);
	good = options_read(&opt, (char **)r->options->pdata, error) &&
	       mountopts_check(&opt, error);
	mountopts_clear(&opt);
	return good;
}

/* fstab(5): no error when the device does not exist. */
static bool may_be_absent(const struct request *r)
{
	if (!r->nofail || access(r->source, F_OK) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR))
		return false;
	log_info("'%s' is not there, and 'nofail' is set: nothing is mounted",
		 r->source);
	return true;
}

static int run_mount(const struct request *r, const struct command *mount)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	pid_t self = getpid();
	int status;

	g_ptr_array_add(argv, (char *)mount->name);
	if (r->verbose)
		g_ptr_array_add(argv, "-v");
	for (guint i = 0; i < r->options->len; i++) {
		g_ptr_array_add(argv, "-o");
		g_ptr_array_add(argv, g_ptr_array_index(r->options, i));
	}
	g_ptr_array_add(argv, "--");
	g_ptr_array_add(argv, r->source);
	g_ptr_array_add(argv, r->mountpoint);
	g_ptr_array_add(argv, NULL);
	status = mount->run(mount, (int)argv->len - 1, (char **)argv->pdata);
	/* The server's is read by the command, which is the one to translate. */
	return getpid() == self ? helper_status(status) : status;
}

bool is_mount_helper(const char *program)
{
	return helper_is(program, "mount.");
}

int mount_helper(const struct command *mount, int argc, char **argv)
{
	struct request r = { .options =
				     g_ptr_array_new_with_free_func(g_free) };
	GError *error = NULL;
	int status = MOUNT_OK;

	if (!read_arguments(&r, argc, argv, &error)) {
		status = helper_fail(error);
	} else if (r.help) {
		puts("Usage: mount.rawmap SOURCE MOUNTPOINT [-sfnv]\n"
		     "         [-N NAMESPACE] [-o OPTIONS] [-t TYPE]\n\n"
		     "What mount(8) runs for the type rawmap; see "
		     "mount.rawmap(8).");
		if (!output_finish(&error))
			status = helper_fail(error);
	} else if (r.namespace &&
		   !helper_enter_namespace(r.namespace, &error)) {
		status = helper_fail(error);
	} else if (r.fake) {
		if (!check_options(&r, &error))
			status = helper_fail(error);
	} else {
		if (r.verbose)
			log_set_level(LOG_LEVEL_INFO);
		if (!may_be_absent(&r))
			status = run_mount(&r, mount);
	}
	g_ptr_array_unref(r.options);
	return status;
}
