/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as people write and read them. */
#ifndef RAWMAP_BASE_TEXT_H
#define RAWMAP_BASE_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * "4096", "64k", "64K", "64KiB", "1.5G" is refused: whole numbers with an
 * optional binary suffix (K M G T, each with optional "iB"), nothing around.
 * False and a RAWMAP_ERROR_USAGE that names @what otherwise, or on overflow.
 */
bool text_parse_size(const char *text, const char *what, uint64_t *ret_bytes,
		     GError **error);

/* A whole decimal number in [min, max]; else false, RAWMAP_ERROR_USAGE. */
bool text_parse_u64(const char *text, const char *what, uint64_t min,
		    uint64_t max, uint64_t *ret, GError **error);

/* "1.5 GiB": at most one digit behind the point. The caller frees. */
char *text_format_size(uint64_t bytes);

#endif
