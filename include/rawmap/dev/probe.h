/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lies on a source that is not what the user thought: for sentences. */
#ifndef RAWMAP_DEV_PROBE_H
#define RAWMAP_DEV_PROBE_H

/*
 * "a filesystem of type 'xfs'", "a partition table ('gpt')", "a signature of
 * type 'swap'", or NULL when libblkid knows nothing of it, cannot read @path, or is not there.
 * Reads only. The caller frees.
 */
char *probe_describe(const char *path);

#endif
