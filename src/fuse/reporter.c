/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIGUSR1: the counters of every image, to the log.
 *
 * The signal is blocked in all threads, from before there is a server to its
 * end: so it never kills anybody, and nobody has to do anything in a handler. A
 * thread waits for it. It may wait for locks and for a slow log as it likes,
 * which the engines could not.
 *
 * One that came before the thread was there is answered when it is; those that
 * come while it reports become one; what comes after its end changes nothing.
 */
#include "fuse_priv.h"

#include <rawmap/base/log.h>
#include <rawmap/base/thread.h>
#include <rawmap/inspect/statsreport.h>
#include <rawmap/ioctl.h>

#include <signal.h>

struct reporter {
	struct session *s; /* set once */
	pthread_t thread;  /* set once */
	gint stop;	   /* atomic */
};

static void report(const struct session *s, struct image *img)
{
	g_auto(GStrv) lines = NULL;
	struct rawmap_stats stats;

	session_stats(s, img, &stats);
	lines = statsreport_lines(&stats);
	for (char **line = lines; *line; line++)
		log_notice("'%s' on '%s': %s", hostfile_path(image_file(img)),
			   s->mountpoint, *line);
}

static void asked_by(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGUSR1);
}

static void *reporter_main(void *arg)
{
	struct reporter *r = arg;
	sigset_t asked;
	int sig;

	asked_by(&asked);
	while (sigwait(&asked, &sig) == 0 && !g_atomic_int_get(&r->stop))
		for (guint i = 0; i < r->s->images->len; i++)
			report(r->s, g_ptr_array_index(r->s->images, i));
	return NULL;
}

void session_hold_signals(void)
{
	sigset_t asked;

	asked_by(&asked);
	pthread_sigmask(SIG_BLOCK, &asked, NULL);
}

struct reporter *reporter_start(struct session *s)
{
	struct reporter *r = g_new0(struct reporter, 1);
	int err;

	r->s = s;
	err = thread_start(&r->thread, NULL, reporter_main, r);
	if (!err)
		return r;
	/* Whoever asks gets no answer, but a mount. */
	log_debug("SIGUSR1 reports nothing: no thread: %s", g_strerror(-err));
	g_free(r);
	return NULL;
}

void reporter_stop(struct reporter *r)
{
	if (!r)
		return;
	g_atomic_int_set(&r->stop, 1);
	pthread_kill(r->thread, SIGUSR1);
	pthread_join(r->thread, NULL);
	g_free(r);
}
