/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory of its own for a test that needs files with certain names. It
 * stands in the working directory: /tmp may be a filesystem without direct I/O.
 * What cannot be done aborts the test.
 */
#ifndef RAWMAP_TESTS_FILEBED_H
#define RAWMAP_TESTS_FILEBED_H

#include <stddef.h>
#include <stdint.h>

/* The path of a fresh directory. */
char *filebed_new(void);
/* Removes the directory, which holds nothing but files, and frees @dir. */
void filebed_free(char *dir);

/* To be freed. */
char *filebed_path(const char *dir, const char *name);
/* Make a file, or replace its content, with @len bytes. */
void filebed_put(const char *dir, const char *name, const void *bytes,
		 size_t len);
/* The content, to be freed. */
uint8_t *filebed_get(const char *dir, const char *name, size_t *ret_len);
void filebed_remove(const char *dir, const char *name);

#endif
