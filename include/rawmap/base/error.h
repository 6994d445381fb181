/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors of the control path: open, parse, lookup, command line.
 *
 * The I/O path answers 0 or -errno. A sentence here names what, where and what
 * to do; the command prints it behind "rawmap: " and nothing else.
 */
#ifndef RAWMAP_BASE_ERROR_H
#define RAWMAP_BASE_ERROR_H

#include <glib.h>

#define RAWMAP_ERROR (rawmap_error_quark())
GQuark rawmap_error_quark(void);

enum rawmap_error {
	RAWMAP_ERROR_FAILED, /* anything below does not fit */
	RAWMAP_ERROR_USAGE,  /* the command line or an option: exit status 2 */
	RAWMAP_ERROR_BUSY,   /* mounted, locked, held by somebody */
	RAWMAP_ERROR_DIRTY,  /* journal to be replayed, not clean, errors */
	RAWMAP_ERROR_UNSUPPORTED, /* a feature rawmap does not (write to) */
	RAWMAP_ERROR_CORRUPT,	  /* on-disk data that makes no sense */
	RAWMAP_ERROR_NOT_FOUND,
	RAWMAP_ERROR_NOT_A_FILE, /* directory, device node, ... */
	RAWMAP_ERROR_READONLY,	 /* reading is sound, writing is not */
	RAWMAP_ERROR_IO,
};

/* @err: a positive errno; ": <strerror>" is appended to the sentence. */
void error_set_errno(GError **error, enum rawmap_error code, int err,
		     const char *fmt, ...) G_GNUC_PRINTF(4, 5);

#endif
