/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text from a disk or a command line inside XML. A path is any bytes but NUL;
 * XML 1.0 takes UTF-8 and not every character of it, not even by reference.
 */
#include "inspect_priv.h"

static bool is_xml_char(gunichar c)
{
	return c == '\t' || c == '\n' || c == '\r' ||
	       (c >= 0x20 && c != 0xfffe && c != 0xffff);
}

static const char *entity_of(gunichar c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&apos;";
	default:
		return NULL;
	}
}

char *xmltext_escape(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	GString *escaped = g_string_new(NULL);

	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);
		const char *entity = entity_of(c);

		if (!is_xml_char(c))
			g_string_append_unichar(escaped, 0xfffd);
		else if (entity)
			g_string_append(escaped, entity);
		else if (c < 0x20) /* a parser would make a blank of it */
			g_string_append_printf(escaped, "&#%u;", (unsigned)c);
		else
			g_string_append_unichar(escaped, c);
	}
	return g_string_free(escaped, FALSE);
}
