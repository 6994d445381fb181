/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/json.h>

#include <inttypes.h>

void json_init(struct json *j)
{
	*j = (struct json){ .text = g_string_new(NULL), .first = true };
}

void json_clear(struct json *j)
{
	if (j->text)
		g_string_free(j->text, TRUE);
	j->text = NULL;
}

char *json_end(struct json *j)
{
	char *text = g_string_free(j->text, FALSE);

	j->text = NULL;
	return text;
}

static void quote(GString *to, const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value, -1);

	g_string_append_c(to, '"');
	for (const char *c = valid; *c; c++) {
		if (*c == '"' || *c == '\\')
			g_string_append_printf(to, "\\%c", *c);
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			g_string_append_printf(to, "\\u%04x",
					       (unsigned)(unsigned char)*c);
		else
			g_string_append_c(to, *c);
	}
	g_string_append_c(to, '"');
}

static void member(struct json *j, const char *name)
{
	if (!j->first)
		g_string_append(j->text, ", ");
	j->first = false;
	if (!name)
		return;
	quote(j->text, name);
	g_string_append(j->text, ": ");
}

static void open_with(struct json *j, const char *name, char bracket)
{
	member(j, name);
	g_string_append_c(j->text, bracket);
	j->first = true;
}

static void close_with(struct json *j, char bracket)
{
	g_string_append_c(j->text, bracket);
	j->first = false;
}

void json_object(struct json *j, const char *name)
{
	open_with(j, name, '{');
}

void json_object_end(struct json *j)
{
	close_with(j, '}');
}

void json_array(struct json *j, const char *name)
{
	open_with(j, name, '[');
}

void json_array_end(struct json *j)
{
	close_with(j, ']');
}

void json_string(struct json *j, const char *name, const char *value)
{
	member(j, name);
	if (value)
		quote(j->text, value);
	else
		g_string_append(j->text, "null");
}

void json_u64(struct json *j, const char *name, uint64_t value)
{
	member(j, name);
	g_string_append_printf(j->text, "%" PRIu64, value);
}

void json_bool(struct json *j, const char *name, bool value)
{
	member(j, name);
	g_string_append(j->text, value ? "true" : "false");
}
