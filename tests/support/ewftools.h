/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images made by the programs of ewf-tools. What fails aborts the test. */
#ifndef RAWMAP_TESTS_EWFTOOLS_H
#define RAWMAP_TESTS_EWFTOOLS_H

#include <stddef.h>
#include <stdint.h>

/*
 * ewfacquire of the file @raw in @dir to @dir/@name.E01 and so on, segments of
 * at most 1 MiB, chunks of 32 KiB, with the words of @more as further options.
 */
void ewftools_acquire(const char *dir, const char *raw, const char *name,
		      const char *more);

/* What ewfexport makes of @first, a file in @dir; to be freed. */
uint8_t *ewftools_export(const char *dir, const char *first, size_t *ret_len);

#endif
