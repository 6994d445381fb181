/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap advise: what a server should know of an image's map, by ioctl(2). */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/text.h>
#include <rawmap/ioctl.h>

#include <string.h>

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

int cmd_advise(const struct command *self, int argc, char **argv)
{
	struct rawmap_advise how;
	GError *error = NULL;
	bool done;

	if (!command_parse(self, NULL, 2, 4, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!parse(argc, argv, &how, &error) ||
	    !exposed_ask(argv[2], RAWMAP_IOC_ADVISE, &how, &error))
		return command_fail(error);
	return STATUS_OK;
}
