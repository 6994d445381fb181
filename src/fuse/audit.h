/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of a mount for those who have to show what was done: a line of
 * JSON when it begins and one when it ends, appended to a file.
 */
#ifndef RAWMAP_FUSE_AUDIT_H
#define RAWMAP_FUSE_AUDIT_H

#include "fuse_priv.h"

struct audit;

/*
 * The session is open, nothing is served yet. What is the source, what was
 * found, what is shown; durable on return. Only for a source that is left alone
 * by this file: it must not be the source. NULL with a sentence.
 */
struct audit *audit_begin(const char *path, const struct session *s,
			  const struct mountopts *opt, GError **error);

/*
 * Nothing is served any more, the source is still open: what was read and
 * written. Durable on return; False with a sentence. Frees in any case; NULL is
 * fine.
 */
bool audit_end(struct audit *a, const struct session *s, GError **error);

#endif
