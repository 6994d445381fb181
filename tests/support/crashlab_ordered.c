/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judges of a host without a journal: it is sound enough to be read at once,
 * and e2fsck -p finds what the order of writes promises, and nothing else.
 */
#include <support/crashlab_priv.h>

#include <string.h>

/* What e2fsck -p may have to say. */
static bool line_allowed(const struct crashlab *lab, const char *line)
{
	static const char *const always[] = {
		"was not cleanly unmounted, check forced",
		"Free blocks count wrong",
		"Block bitmap differences",
		/* A bitmap and its descriptor are two blocks. */
		"block bitmap does not match checksum",
		/* The first bitmap of a group that had none so far. */
		"Padding at end of block bitmap is not set",
		/* Advice, not an error. */
		"could be narrower.  IGNORED",
		"could be shorter.  IGNORED",
		" files (",
	};
	static const char *const inode[] = { "i_blocks is", "i_size is" };

	for (unsigned i = 0; i < G_N_ELEMENTS(always); i++)
		if (strstr(line, always[i]))
			return true;
	for (unsigned i = 0; i < G_N_ELEMENTS(inode); i++)
		if (strstr(line, inode[i]))
			return !lab->extents || lab->spec.full;
	return !*line || !strcmp(line, "FIXED.");
}

static char *judge_repairs(const struct crashlab *lab, const char *out)
{
	g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

	for (char **l = lines; *l; l++)
		if (!line_allowed(lab, *l))
			return g_strdup_printf("e2fsck -p repairs '%s':\n%s",
					       *l, out);
	return NULL;
}

static char *judge_preen(struct crashlab *lab, struct crashlab_result *ret)
{
	g_autofree char *out = NULL, *again = NULL;
	int status = crashlab_fsck(lab, &lab->state, "-p", &out);

	ret->repaired += status != 0;
	if (status <= 1)
		return judge_repairs(lab, out);
	if (!lab->spec.full)
		return g_strdup_printf("e2fsck -p: %d\n%s", status, out);
	ret->forced++;
	status = crashlab_fsck(lab, &lab->state, "-fy", &again);
	return status <= 1
		       ? NULL
		       : g_strdup_printf("e2fsck -fy: %d\n%s", status, again);
}

char *crashlab_verdict_ordered(struct crashlab *lab,
			       const struct crashlab_verdict *v,
			       struct crashlab_result *ret)
{
	bool clean = crashlab_is_clean(lab, lab->state.bytes);
	char *wrong = NULL;

	if (!lab->spec.full)
		wrong = crashlab_judge_content(lab, &lab->state, &v->window,
					       "before the repair", NULL, NULL);
	if (!wrong && !clean)
		wrong = crashlab_judge_refusal(lab);
	if (!wrong && !clean)
		wrong = judge_preen(lab, ret);
	if (!wrong)
		wrong = crashlab_judge_consistency(lab, &lab->state,
						   clean ? "marked clean"
							 : "after the repair");
	if (!wrong)
		wrong = crashlab_judge_content(lab, &lab->state, &v->window,
					       "after the repair", NULL, NULL);
	return wrong;
}
