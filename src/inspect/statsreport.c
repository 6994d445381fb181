/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counters for people and for a log: the same rows, set as a table or
 * joined to a line a group.
 */
#include <rawmap/inspect/statsreport.h>

#include <rawmap/base/text.h>

#include <glib.h>
#include <inttypes.h>

struct row {
	const char *group; /* NULL: that of the one above */
	const char *name;
	char *value;
	char *note; /* NULL: there is none */
};

static void row_clear(gpointer data)
{
	struct row *row = data;

	g_free(row->value);
	g_free(row->note);
}

static void add(GArray *rows, const char *group, const char *name, char *value,
		char *note)
{
	const struct row row = {
		.group = group,
		.name = name,
		.value = value,
		.note = note,
	};

	g_array_append_val(rows, row);
}

static char *number(uint64_t n)
{
	return g_strdup_printf("%" PRIu64, n);
}

static double ratio(uint64_t part, uint64_t all)
{
	return all ? (double)part / (double)all : 0;
}

/* Three digits, more or less: nobody measures better. */
static char *milliseconds(double ns)
{
	double ms = ns / 1e6;
	int digits = 0;

	if (ms < 1)
		digits = 3;
	else if (ms < 10)
		digits = 2;
	else if (ms < 100)
		digits = 1;
	return g_strdup_printf("%.*f ms", digits, ms);
}

static char *duration(uint64_t ns)
{
	uint64_t s = ns / UINT64_C(1000000000);

	if (s < 60)
		return g_strdup_printf("%" PRIu64 " s", s);
	if (s < 3600)
		return g_strdup_printf("%" PRIu64 " min %" PRIu64 " s", s / 60,
				       s % 60);
	if (s < 86400)
		return g_strdup_printf("%" PRIu64 " h %" PRIu64 " min",
				       s / 3600, s / 60 % 60);
	return g_strdup_printf("%" PRIu64 " d %" PRIu64 " h", s / 86400,
			       s / 3600 % 24);
}

static void add_server(GArray *rows, const struct rawmap_stats *st)
{
	g_autofree char *each =
		milliseconds(ratio(st->request_ns_total, st->requests));

	add(rows, "server", "up", duration(st->uptime_ns), NULL);
	add(rows, NULL, "requests", number(st->requests),
	    g_strdup_printf("%s each", each));
	add(rows, NULL, "in flight", number(st->queue_depth),
	    g_strdup_printf("%" PRIu64 " at most, %.2f on average",
			    st->queue_depth_max,
			    ratio(st->request_ns_total, st->uptime_ns)));
}

static void add_image(GArray *rows, const struct rawmap_stats *st)
{
	add(rows, "image", "reads", number(st->reads),
	    text_format_size(st->read_bytes));
	add(rows, NULL, "writes", number(st->writes),
	    text_format_size(st->write_bytes));
	add(rows, NULL, "fills", number(st->fills),
	    text_format_size(st->fill_bytes));
	add(rows, NULL, "punches", number(st->punches),
	    text_format_size(st->punch_bytes));
	add(rows, NULL, "zeros", number(st->zeros), NULL);
	add(rows, NULL, "flushes", number(st->flushes), NULL);
	add(rows, NULL, "errors", number(st->errors), NULL);
}

static void add_cache(GArray *rows, const struct rawmap_stats *st)
{
	g_autofree char *budget = text_format_size(st->cache_budget);
	uint64_t looks = st->cache_hits + st->cache_misses;

	add(rows, "cache", "extents", number(st->cache_extents), NULL);
	add(rows, NULL, "memory", text_format_size(st->cache_bytes),
	    g_strdup_printf("of %s", budget));
	add(rows, NULL, "hits", number(st->cache_hits),
	    g_strdup_printf("%.1f %%", 100 * ratio(st->cache_hits, looks)));
	add(rows, NULL, "misses", number(st->cache_misses), NULL);
	add(rows, NULL, "loads", number(st->cache_loads), NULL);
	add(rows, NULL, "evictions", number(st->cache_evictions), NULL);
}

static void add_host(GArray *rows, const struct rawmap_stats *st)
{
	add(rows, "host", "commits", number(st->commits),
	    g_strdup_printf("%" PRIu64 " blocks", st->commit_blocks));
	add(rows, NULL, "mean",
	    milliseconds(ratio(st->commit_ns_total, st->commits)), NULL);
	add(rows, NULL, "p99", milliseconds((double)st->commit_ns_p99), NULL);
	add(rows, NULL, "longest", milliseconds((double)st->commit_ns_max),
	    NULL);
	add(rows, NULL, "pending", number(st->pending_blocks),
	    g_strdup("blocks to be written"));
	add(rows, NULL, "freed", number(st->pending_free),
	    g_strdup("blocks to be reused"));
	add(rows, NULL, "failed",
	    st->failed ? g_strdup(g_strerror((gint)st->failed))
		       : g_strdup("no"),
	    st->failed ? g_strdup("read-only now") : NULL);
}

static void add_source(GArray *rows, const struct rawmap_stats *st)
{
	add(rows, "source", "reads", number(st->dev_reads),
	    text_format_size(st->dev_read_bytes));
	add(rows, NULL, "writes", number(st->dev_writes),
	    text_format_size(st->dev_write_bytes));
	add(rows, NULL, "flushes", number(st->dev_flushes), NULL);
	add(rows, NULL, "errors", number(st->dev_errors), NULL);
}

static GArray *rows_new(const struct rawmap_stats *st)
{
	GArray *rows = g_array_new(FALSE, FALSE, sizeof(struct row));

	g_array_set_clear_func(rows, row_clear);
	add_server(rows, st);
	add_image(rows, st);
	add_cache(rows, st);
	add_host(rows, st);
	add_source(rows, st);
	return rows;
}

char *statsreport_table(const struct rawmap_stats *st)
{
	g_autoptr(GArray) rows = rows_new(st);
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < rows->len; i++) {
		const struct row *row = &g_array_index(rows, struct row, i);

		if (row->group)
			g_string_append_printf(text, "%s\n", row->group);
		g_string_append_printf(text, "  %-10s %12s", row->name,
				       row->value);
		if (row->note)
			g_string_append_printf(text, "   %s", row->note);
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}

char **statsreport_lines(const struct rawmap_stats *st)
{
	g_autoptr(GArray) rows = rows_new(st);
	GPtrArray *lines = g_ptr_array_new();
	GString *line = NULL;

	for (guint i = 0; i < rows->len; i++) {
		const struct row *row = &g_array_index(rows, struct row, i);

		if (row->group && line)
			g_ptr_array_add(lines, g_string_free(line, FALSE));
		if (row->group)
			line = g_string_new(row->group);
		g_string_append_printf(line, "%s %s %s", row->group ? ":" : ",",
				       row->name, row->value);
		if (row->note)
			g_string_append_printf(line, " (%s)", row->note);
	}
	g_ptr_array_add(lines, g_string_free(line, FALSE));
	g_ptr_array_add(lines, NULL);
	return (char **)g_ptr_array_free(lines, FALSE);
}
