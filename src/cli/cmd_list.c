/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap list: a line for each image that is shown. Of a server that does not
 * tell, a line for the mount, with what the kernel knows.
 */
#include "cli_priv.h"
#include "mounts.h"

#include <rawmap/base/json.h>

#include <stdio.h>
#include <string.h>

struct row {
	const struct mount_entry *mount;
	const struct rawmap_about *about; /* NULL: nobody told */
	const char *path;		  /* of the file; NULL: not known */
	enum answer answer;
	GPtrArray *loops; /* borrowed, of the mount: not only of this file */
};

static const char *const states[] = {
	[ANSWER_OK] = "ok",
	[ANSWER_DEAD] = "dead",
	[ANSWER_SILENT] = "silent",
	[ANSWER_UNREACHABLE] = "unreachable",
};

static bool is_readonly(const struct row *row)
{
	return row->mount->readonly ||
	       (row->about && (row->about->flags & RAWMAP_ABOUT_READONLY));
}

static const char *source_of(const struct row *row)
{
	return row->about ? row->about->source : row->mount->source;
}

static bool is_of_row(const struct row *row, const struct loopdev *dev)
{
	return !row->path || strcmp(dev->backing, row->path) == 0;
}

/* ---- a table ---- */

enum { SOURCE, IMAGE, FILE_, LOOP, MODE, STATE, COLUMNS };

static const char *const titles[COLUMNS] = {
	[SOURCE] = "SOURCE", [IMAGE] = "IMAGE", [FILE_] = "FILE",
	[LOOP] = "LOOP",     [MODE] = "MODE",	[STATE] = "STATE",
};

/* A name must not break the line, nor look like nothing. */
static char *cell(const char *text)
{
	char *copy = g_strdup(text && *text ? text : "-");

	for (char *c = copy; *c; c++)
		if (g_ascii_iscntrl(*c))
			*c = '?';
	return copy;
}

static char *loops_cell(const struct row *row)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < row->loops->len; i++) {
		const struct loopdev *dev = g_ptr_array_index(row->loops, i);

		if (is_of_row(row, dev))
			g_string_append_printf(text, "%s%s",
					       text->len ? "," : "", dev->path);
	}
	return cell(text->str);
}

static void table_row(GPtrArray *lines, const struct row *row)
{
	char **line = g_new0(char *, COLUMNS + 1);

	line[SOURCE] = cell(source_of(row));
	line[IMAGE] = cell(row->about ? row->about->image : NULL);
	line[FILE_] = cell(row->path ? row->path : row->mount->where);
	line[LOOP] = loops_cell(row);
	line[MODE] = cell(is_readonly(row) ? "ro" : "rw");
	line[STATE] = cell(states[row->answer]);
	g_ptr_array_add(lines, line);
}

static void print_line(const char *const *line, const int *width)
{
	for (guint k = 0; k < COLUMNS - 1; k++)
		printf("%s%*s ", line[k],
		       width[k] - (int)g_utf8_strlen(line[k], -1), "");
	puts(line[COLUMNS - 1]);
}

/* Nothing at all when there is nothing. */
static void print_table(GPtrArray *lines)
{
	int width[COLUMNS];

	if (!lines->len)
		return;
	for (guint k = 0; k < COLUMNS; k++) {
		width[k] = (int)strlen(titles[k]);
		for (guint i = 0; i < lines->len; i++) {
			char **line = g_ptr_array_index(lines, i);
			int len = (int)g_utf8_strlen(line[k], -1);

			width[k] = MAX(width[k], len);
		}
	}
	print_line(titles, width);
	for (guint i = 0; i < lines->len; i++)
		print_line((const char *const *)g_ptr_array_index(lines, i),
			   width);
}

/* ---- JSON ---- */

static void json_loops(struct json *j, const struct row *row)
{
	json_array(j, "loops");
	for (guint i = 0; i < row->loops->len; i++) {
		const struct loopdev *dev = g_ptr_array_index(row->loops, i);

		if (!is_of_row(row, dev))
			continue;
		json_object(j, NULL);
		json_string(j, "device", dev->path);
		json_bool(j, "direct", dev->direct);
		json_bool(j, "readonly", dev->readonly);
		json_object_end(j);
	}
	json_array_end(j);
}

static void json_row(struct json *j, const struct row *row)
{
	json_object(j, NULL);
	json_string(j, "source", source_of(row));
	json_string(j, "image", row->about ? row->about->image : NULL);
	json_string(j, "mountpoint", row->mount->where);
	json_string(j, "file", row->path);
	json_loops(j, row);
	json_string(j, "mode", is_readonly(row) ? "ro" : "rw");
	json_string(j, "state", states[row->answer]);
	if (row->about) {
		json_string(j, "engine", row->about->engine);
		json_u64(j, "offset", row->about->offset);
		json_u64(j, "pid", (uint64_t)row->about->pid);
	}
	json_object_end(j);
}

/* ---- all of them ---- */

struct output {
	GPtrArray *lines; /* of the table; NULL: JSON */
	struct json json;
};

static void add_row(struct output *out, const struct row *row)
{
	if (out->lines)
		table_row(out->lines, row);
	else
		json_row(&out->json, row);
}

static void add_mount(struct output *out, const struct mount_entry *m)
{
	g_autoptr(GPtrArray) loops = mounts_loops(m);
	g_autoptr(GPtrArray) shown = NULL;
	struct row row = { .mount = m, .loops = loops };

	row.answer = server_ask(m, &shown);
	for (guint i = 0; i < shown->len; i++) {
		const struct shown *s = g_ptr_array_index(shown, i);

		row.path = s->path;
		row.about = s->known ? &s->about : NULL;
		add_row(out, &row);
	}
	if (!shown->len)
		add_row(out, &row);
}

static void list(struct output *out)
{
	g_autoptr(GPtrArray) table = mounts_read();

	for (guint i = 0; i < table->len; i++)
		add_mount(out, g_ptr_array_index(table, i));
}

static void list_table(void)
{
	struct output out = {
		.lines = g_ptr_array_new_with_free_func(
			(GDestroyNotify)g_strfreev),
	};

	list(&out);
	print_table(out.lines);
	g_ptr_array_unref(out.lines);
}

static void list_json(void)
{
	struct output out = { .lines = NULL };
	g_autofree char *text = NULL;

	json_init(&out.json);
	json_array(&out.json, NULL);
	list(&out);
	json_array_end(&out.json);
	text = json_end(&out.json);
	puts(text);
}

int cmd_list(const struct command *self, int argc, char **argv)
{
	GError *error = NULL;
	gboolean json = FALSE;
	bool done;
	const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE,
					   &json,
					   "Print an array of JSON "
					   "objects",
					   NULL },
					 G_OPTION_ENTRY_NULL };

	if (!command_parse(self, entries, 0, 0, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (json)
		list_json();
	else
		list_table();
	if (!output_finish(&error))
		return command_fail(error);
	return STATUS_OK;
}
