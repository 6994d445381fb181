/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text, written member by member. Commas and quotes are ours, the nesting
 * is the caller's. Text that is not UTF-8 has U+FFFD where it is not.
 */
#ifndef RAWMAP_BASE_JSON_H
#define RAWMAP_BASE_JSON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct json {
	GString *text;
	bool first; /* private: of the innermost object or array */
};

/* clear frees the text; end gives it away, one line, for the caller to free. */
void json_init(struct json *j);
void json_clear(struct json *j);
char *json_end(struct json *j);

/* @name is NULL inside an array, and for the outermost object. */
void json_object(struct json *j, const char *name);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *name);
void json_array_end(struct json *j);

void json_string(struct json *j, const char *name, const char *value); /* NULL:
									   null */
void json_u64(struct json *j, const char *name, uint64_t value);
void json_bool(struct json *j, const char *name, bool value);

#endif
