/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A partition table for people: the list, and the choice of one of it. What
 * comes from the disk is printed only as far as it can be printed.
 */
#include "parttable_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/base/text.h>

#include <inttypes.h>

char *parttable_printable(const char *text)
{
	g_autofree char *valid = text ? g_utf8_make_valid(text, -1) : NULL;
	GString *out;

	if (!valid)
		return NULL;
	out = g_string_new(NULL);
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
	}
	return g_string_free(out, FALSE);
}

static void append_notes(GString *out, const struct partition *p)
{
	g_autofree char *missing = text_format_size(p->missing);

	if (p->name)
		g_string_append_printf(out, "  \"%s\"", p->name);
	if (!p->size && p->missing)
		g_string_append(out, "  behind the end of the source");
	else if (!p->size)
		g_string_append(out, "  without a length");
	else if (p->missing)
		g_string_append_printf(out, "  cut off, %s are missing",
				       missing);
	if (p->overlaps)
		g_string_append_printf(out, "  overlaps %u", p->overlaps);
}

static void append_line(GString *out, const struct partition *p)
{
	g_autofree char *human = text_format_size(p->size + p->missing);

	g_string_append_printf(out, " %6u %15" PRIu64 " %10s  %-21s %-8s",
			       p->number, p->start, human, p->type_name,
			       p->content ? p->content : "-");
	append_notes(out, p);
	while (out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
	g_string_append_c(out, '\n');
}

char *parttable_format(const struct parttable *pt)
{
	GString *out = g_string_new(NULL);

	if (!pt->type)
		return g_string_free(out, FALSE);
	g_string_append_printf(out, " %6s %15s %10s  %-21s %s\n", "number",
			       "start (bytes)", "size", "type", "content");
	for (guint i = 0; i < pt->parts->len; i++)
		append_line(out, g_ptr_array_index(pt->parts, i));
	if (pt->damage)
		g_string_append_printf(out, " damaged: %s\n", pt->damage);
	return g_string_free(out, FALSE);
}

const struct partition *parttable_find(const struct parttable *pt,
				       unsigned number)
{
	for (guint i = 0; i < pt->parts->len; i++) {
		const struct partition *p = g_ptr_array_index(pt->parts, i);

		if (p->number == number)
			return p;
	}
	return NULL;
}

/* ---- the choice ---- */

/* The list ends the sentence. */
static void refuse(const struct parttable *pt, enum rawmap_error code,
		   const char *sentence, GError **error)
{
	g_autofree char *list = parttable_format(pt);

	g_strchomp(list);
	g_set_error(error, RAWMAP_ERROR, (gint)code, "'%s' %s:\n%s", pt->source,
		    sentence, list);
}

static const struct partition *by_number(const struct parttable *pt,
					 unsigned number, GError **error)
{
	const struct partition *p = parttable_find(pt, number);
	g_autofree char *sentence = NULL;

	if (p && p->size)
		return p;
	if (!p)
		sentence = g_strdup_printf("has no partition %u", number);
	else
		sentence = g_strdup_printf(
			"has nothing of partition %u, which %s", number,
			p->missing ? "begins behind its end" : "has no length");
	refuse(pt, p ? RAWMAP_ERROR_CORRUPT : RAWMAP_ERROR_NOT_FOUND, sentence,
	       error);
	return NULL;
}

static const struct partition *only_ext(const struct parttable *pt,
					GError **error)
{
	const struct partition *found = NULL;
	unsigned n = 0;

	for (guint i = 0; i < pt->parts->len; i++) {
		const struct partition *p = g_ptr_array_index(pt->parts, i);

		if (p->is_ext) {
			found = p;
			n++;
		}
	}
	if (n == 1)
		return found;
	if (n)
		refuse(pt, RAWMAP_ERROR_USAGE,
		       "has several partitions with an ext2, ext3 or ext4 "
		       "filesystem; say which one, partition=N",
		       error);
	else
		refuse(pt, RAWMAP_ERROR_NOT_FOUND,
		       "has no partition with an ext2, ext3 or ext4 filesystem",
		       error);
	return NULL;
}

const struct partition *parttable_choose(const struct parttable *pt,
					 unsigned number, GError **error)
{
	const struct partition *p;

	if (!pt->type) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "'%s' has no partition table; leave partition= "
			    "away, or say where the filesystem begins, offset=",
			    pt->source);
		return NULL;
	}
	p = number ? by_number(pt, number, error) : only_ext(pt, error);
	if (p && p->missing)
		log_warning("partition %u of '%s' ends behind the end of the "
			    "source: %" PRIu64 " bytes of it are missing",
			    p->number, pt->source, p->missing);
	return p;
}
