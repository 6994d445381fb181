/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap stats --watch: a line now, since the server began, and one for each
 * interval, until so many are printed, SIGINT comes, or the server is gone.
 *
 * The file is opened for each look only: a watcher keeps nobody from
 * unmounting. SIGINT waits in a mask while a line is written and while nothing
 * is to be done, so lines are whole and the end is a clean one; but not while
 * the server is asked: one that does not answer could not be left otherwise.
 * Where the caller has it ignored, it stays so.
 */
#include "cli_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/lock.h>
#include <rawmap/inspect/statsreport.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S    UINT64_C(1000000000)
#define LINES_BELOW 20 /* a heading */

static void interrupt_of(sigset_t *ret)
{
	struct sigaction now;

	sigemptyset(ret);
	if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sigaddset(ret, SIGINT);
}

/* Until CLOCK_MONOTONIC says @due; false: SIGINT came. */
static bool wait_until(const sigset_t *interrupt, uint64_t due)
{
	for (;;) {
		uint64_t now = monotonic_now_ns();
		struct timespec left;

		if (now >= due)
			return true;
		left.tv_sec = (time_t)((due - now) / NS_PER_S);
		left.tv_nsec = (long)((due - now) % NS_PER_S);
		if (sigtimedwait(interrupt, NULL, &left) > 0)
			return false;
		/* Else it is time, or the process was stopped for a while. */
	}
}

/* What was there a moment ago: whatever it says now, it has gone. */
static bool ask_again(const char *file, struct rawmap_stats *ret,
		      GError **error)
{
	if (exposed_ask(file, RAWMAP_IOC_STATS, ret, NULL))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' is not served any more: it was unmounted, or its "
		    "server ended; the server's messages say why",
		    file);
	return false;
}

static bool ask(const char *file, const sigset_t *interrupt, bool first,
		struct rawmap_stats *ret, GError **error)
{
	bool good;

	sigprocmask(SIG_UNBLOCK, interrupt, NULL);
	good = first ? exposed_ask(file, RAWMAP_IOC_STATS, ret, error)
		     : ask_again(file, ret, error);
	sigprocmask(SIG_BLOCK, interrupt, NULL);
	return good;
}

static void print_line(const struct stats_watch *how, uint64_t line,
		       const struct rawmap_stats *before,
		       const struct rawmap_stats *now)
{
	g_autofree char *text = NULL;

	if (how->json) {
		text = statsreport_json(now);
	} else {
		text = statsreport_interval(before, now);
		if (line % LINES_BELOW == 0)
			puts(statsreport_heading());
	}
	puts(text);
}

static bool watch(const char *file, const struct stats_watch *how,
		  const sigset_t *interrupt, GError **error)
{
	uint64_t due = monotonic_now_ns();
	struct rawmap_stats before = { 0 }, now;

	for (uint64_t line = 0;; line++) {
		if (!ask(file, interrupt, !line, &now, error))
			return false;
		print_line(how, line, &before, &now);
		/* A pipe has it at once, and who is gone is noticed. */
		if (!output_finish(error))
			return false;
		if (line + 1 == how->count)
			return true;
		before = now;
		/* No heap of lines behind a server that was slow. */
		due = MAX(due + how->seconds * NS_PER_S, monotonic_now_ns());
		if (!wait_until(interrupt, due))
			return true;
	}
}

bool stats_watch(const char *file, const struct stats_watch *how,
		 GError **error)
{
	sigset_t interrupt, old;
	bool good;

	interrupt_of(&interrupt);
	sigprocmask(SIG_BLOCK, &interrupt, &old);
	good = watch(file, how, &interrupt, error);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return good;
}
