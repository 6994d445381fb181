/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that a test reads, one after the other, and what they come to. */
#ifndef TESTS_OPTIONS_BED_H
#define TESTS_OPTIONS_BED_H

#include <rawmap/fuse/options.h>

#include <rawmap/base/error.h>

#include <check.h>
#include <string.h>

static struct mountopts o;

static inline void setup(void)
{
	mountopts_init(&o);
}

static inline void teardown(void)
{
	mountopts_clear(&o);
}

static inline void parse(const char *text)
{
	g_autoptr(GError) error = NULL;

	ck_assert_msg(mountopts_parse(&o, text, &error), "%s: %s", text,
		      error ? error->message : "no error set");
	ck_assert_ptr_null(error);
}

static inline void check(void)
{
	g_autoptr(GError) error = NULL;

	ck_assert_msg(mountopts_check(&o, &error), "%s",
		      error ? error->message : "no error set");
}

/* A usage error whose sentence has @word in it. */
static inline void assert_usage(bool passed, GError *error, const char *word)
{
	ck_assert(!passed);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE));
	ck_assert_msg(strstr(error->message, word) != NULL, "'%s' not in '%s'",
		      word, error->message);
}

static inline void refuse_parse(const char *text, const char *word)
{
	g_autoptr(GError) error = NULL;
	bool passed = mountopts_parse(&o, text, &error);

	assert_usage(passed, error, word);
}

static inline void refuse_check(const char *word)
{
	g_autoptr(GError) error = NULL;
	bool passed = mountopts_check(&o, &error);

	assert_usage(passed, error, word);
}

static inline void assert_list(const GPtrArray *list, guint i, const char *text)
{
	ck_assert_uint_gt(list->len, i);
	ck_assert_str_eq(g_ptr_array_index(list, i), text);
}

#endif
