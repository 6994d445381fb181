/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that has nothing to do with the work draws the line each second; there
 * is none where no terminal is. Without one that could be started nothing is
 * drawn.
 */
#include <rawmap/base/waiting.h>

#include <rawmap/base/log.h>
#include <rawmap/base/thread.h>

#include <glib.h>
#include <inttypes.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static void draw(const struct waiting *w, uint64_t seconds)
{
	g_autofree char *line =
		g_strdup_printf("%s: %" PRIu64 " s", w->what, seconds);

	log_status(line);
}

static void *tick(void *arg)
{
	struct waiting *w = arg;
	uint64_t began = monotonic_now_ns(), seconds = 0;

	mutex_lock(&w->lock);
	while (!w->over) {
		uint64_t due = began + (seconds + 1) * SECOND;

		if (!cond_wait_until(&w->changed, &w->lock, due) && !w->over)
			draw(w, ++seconds);
	}
	mutex_unlock(&w->lock);
	if (seconds)
		log_status(NULL);
	return NULL;
}

void waiting_begin(struct waiting *w, const char *what)
{
	*w = (struct waiting){ .what = what };
	mutex_init(&w->lock);
	cond_init(&w->changed);
	w->ticking = isatty(STDERR_FILENO) &&
		     thread_start(&w->thread, NULL, tick, w) == 0;
}

void waiting_end(struct waiting *w)
{
	mutex_lock(&w->lock);
	w->over = true;
	cond_signal(&w->changed);
	mutex_unlock(&w->lock);
	if (w->ticking)
		pthread_join(w->thread, NULL);
	cond_clear(&w->changed);
	mutex_clear(&w->lock);
}
