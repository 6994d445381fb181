/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The line: "allocating: 43%, 41.3 MiB of 96.0 MiB, 310 MiB/s, 0:05 left".
 *
 *   from the beginning     what happens
 *   half a second          nothing: most things are over by then
 *   later                  drawn ten times a second
 *   two seconds            and from then on says how long it will still take
 *
 * No name of a file is in it: what a terminal wraps, or takes for a command,
 * cannot be taken away again.
 */
#include <rawmap/base/progress.h>

#include <rawmap/base/lock.h>
#include <rawmap/base/log.h>
#include <rawmap/base/text.h>

#include <stdio.h>
#include <unistd.h>

#define MS	  UINT64_C(1000000)
#define SECOND	  (1000 * MS)
#define SHOW_WAIT (500 * MS)
#define SHOW_STEP (100 * MS)
#define LEFT_WAIT (2 * SECOND)

static unsigned percent_of(uint64_t done, uint64_t total)
{
	return done < total ? (unsigned)((double)done * 100 / (double)total)
			    : 100;
}

static void add_bytes(GString *line, uint64_t done, uint64_t total, uint64_t ns)
{
	double rate = (double)done * (double)SECOND / (double)ns;
	g_autofree char *now = text_format_size(done);
	g_autofree char *all = text_format_size(total);
	g_autofree char *speed = text_format_size((uint64_t)rate);

	g_string_append_printf(line, ", %s of %s, %s/s", now, all, speed);
}

static void add_left(GString *line, uint64_t done, uint64_t total, uint64_t ns)
{
	double left = (double)ns * (double)(total - done) / (double)done;
	uint64_t s = (uint64_t)(left / (double)SECOND) + 1;

	if (s < 100 * 3600)
		g_string_append_printf(line, ", %u:%02u:%02u left",
				       (unsigned)(s / 3600),
				       (unsigned)(s / 60 % 60),
				       (unsigned)(s % 60));
}

static void draw(struct progress *p, uint64_t done, uint64_t total, uint64_t ns)
{
	GString *line = g_string_new(p->what);
	g_autofree char *text = NULL;

	g_string_append_printf(line, ": %u%%", p->percent);
	if (p->unit == PROGRESS_BYTES)
		add_bytes(line, done, total, ns);
	if (ns >= LEFT_WAIT && done && done < total)
		add_left(line, done, total, ns);
	text = g_string_free(line, FALSE);
	log_status(text);
}

void progress_begin(struct progress *p, const char *what,
		    enum progress_unit unit)
{
	uint64_t now = monotonic_now_ns();

	*p = (struct progress){
		.what = what,
		.unit = unit,
		.terminal = isatty(STDERR_FILENO),
		.began = now,
		.due = now + SHOW_WAIT,
	};
}

void progress_step_at(struct progress *p, uint64_t done, uint64_t total,
		      uint64_t now_ns)
{
	unsigned percent;

	if (!p->terminal || now_ns < p->due)
		return;
	p->due = now_ns + SHOW_STEP;
	percent = percent_of(done, total);
	if (percent > p->percent)
		p->percent = percent;
	p->shown = true;
	draw(p, done, total, now_ns - p->began);
}

void progress_step(struct progress *p, uint64_t done, uint64_t total)
{
	if (p->terminal)
		progress_step_at(p, done, total, monotonic_now_ns());
}

void progress_end(struct progress *p)
{
	if (p->shown)
		log_status(NULL);
	p->shown = false;
}
