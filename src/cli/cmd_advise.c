/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap advise: what a server should know of an image's map, by ioctl(2).
 *
 * What reads the map asks for a large range in steps: a terminal sees how far it
 * is, and a signal ends it.
 */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/progress.h>
#include <rawmap/base/text.h>
#include <rawmap/ioctl.h>

#include <string.h>
#include <sys/stat.h>

/* Multiples of every block size; a step costs little where all is known. */
#define STEP_LEAST (UINT64_C(16) << 20)
#define STEPS_MOST 256

static const struct {
	const char *name;
	enum rawmap_advice advice;
} advices[] = {
	{ "populate", RAWMAP_ADVISE_POPULATE },
	{ "drop", RAWMAP_ADVISE_DROP },
	{ "pin", RAWMAP_ADVISE_PIN },
	{ "unpin", RAWMAP_ADVISE_UNPIN },
};

static bool parse_advice(const char *name, uint32_t *ret, GError **error)
{
	for (guint i = 0; i < G_N_ELEMENTS(advices); i++) {
		if (strcmp(name, advices[i].name) != 0)
			continue;
		*ret = advices[i].advice;
		return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "'%s' is no advice; there are: populate, drop, pin, unpin",
		    name);
	return false;
}

/* argv[1...]: WHAT FILE [OFFSET [LENGTH]] */
static bool parse(int argc, char **argv, struct rawmap_advise *ret,
		  GError **error)
{
	*ret = (struct rawmap_advise){ .offset = 0 };
	if (!parse_advice(argv[1], &ret->advice, error) ||
	    (argc > 3 &&
	     !text_parse_size(argv[3], "OFFSET", &ret->offset, error)) ||
	    (argc > 4 &&
	     !text_parse_size(argv[4], "LENGTH", &ret->length, error)))
		return false;
	if (argc > 4 && !ret->length) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "LENGTH is 0; leave it out for all to the end");
		return false;
	}
	return true;
}

static bool reads_map(const struct rawmap_advise *how)
{
	return how->advice == RAWMAP_ADVISE_POPULATE ||
	       how->advice == RAWMAP_ADVISE_PIN;
}

/* How much of the file is meant; more, or 0, when that is not known. */
static uint64_t bytes_meant(const char *path, const struct rawmap_advise *how)
{
	struct stat st;

	if (how->length)
		return MIN(how->length, UINT64_MAX - how->offset);
	if (stat(path, &st) < 0 || (uint64_t)st.st_size < how->offset)
		return 0;
	return (uint64_t)st.st_size - how->offset;
}

/* The last one has the end that was asked for: it may have none. */
static bool advise_in_steps(const char *path, const struct rawmap_advise *how,
			    GError **error)
{
	uint64_t all = bytes_meant(path, how), done = 0;
	uint64_t step = MAX(STEP_LEAST, (all / STEPS_MOST + STEP_LEAST - 1) /
						STEP_LEAST * STEP_LEAST);
	struct rawmap_advise part = *how;
	struct progress progress;
	bool good = true;

	progress_begin(&progress, "reading the map", PROGRESS_SHARE);
	for (; good && all - done > step; done += step) {
		part.offset = how->offset + done;
		part.length = step;
		good = exposed_ask(path, RAWMAP_IOC_ADVISE, &part, error);
		progress_step(&progress, done + step, all);
	}
	part.offset = how->offset + done;
	part.length = how->length ? all - done : 0;
	good = good && exposed_ask(path, RAWMAP_IOC_ADVISE, &part, error);
	progress_end(&progress);
	return good;
}

static bool advise(const char *path, struct rawmap_advise *how, GError **error)
{
	if (reads_map(how))
		return advise_in_steps(path, how, error);
	return exposed_ask(path, RAWMAP_IOC_ADVISE, how, error);
}

int cmd_advise(const struct command *self, int argc, char **argv)
{
	struct rawmap_advise how;
	GError *error = NULL;
	bool done;

	if (!command_parse(self, NULL, 2, 4, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!parse(argc, argv, &how, &error) || !advise(argv[2], &how, &error))
		return command_fail(error);
	return STATUS_OK;
}
