/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counters of a mounted image in words. Means, percentages and units are
 * made here; the counters themselves are what <rawmap/ioctl.h> says. Nothing
 * here fails; the caller frees what is returned.
 */
#ifndef RAWMAP_INSPECT_STATSREPORT_H
#define RAWMAP_INSPECT_STATSREPORT_H

#include <rawmap/ioctl.h>

/* For people: groups, and in each a line a counter. */
char *statsreport_table(const struct rawmap_stats *st);

/* The same for a log: a line a group. Ends with NULL: g_strfreev(). */
char **statsreport_lines(const struct rawmap_stats *st);

/*
 * One object in one line, its end not included: the counters by their names in
 * the structure, and commit_ns_mean.
 */
char *statsreport_json(const struct rawmap_stats *st);

/*
 * What happened between two looks, in one line without its end, below a
 * heading. Where @before is all zeros, or not before @now, since another server has
 * come: since the server began.
 */
const char *statsreport_heading(void);
char *statsreport_interval(const struct rawmap_stats *before,
			   const struct rawmap_stats *now);

#endif
