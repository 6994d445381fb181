/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * That something goes on of which nobody knows how long it takes: a line at the
 * bottom of the terminal that standard error is, "writing: 3 s", gone at the
 * end. For calls that block; what counts its steps has progress.h.
 */
#ifndef RAWMAP_BASE_WAITING_H
#define RAWMAP_BASE_WAITING_H

#include <rawmap/base/lock.h>

#include <pthread.h>

/* All private; on its user's stack. */
struct waiting {
	const char *what;
	bool ticking; /* there is a thread */
	pthread_t thread;
	struct mutex lock;
	struct cond changed;
	bool over GUARDED_BY(lock);
};

/* @what, "writing": short ASCII, borrowed until waiting_end(). */
void waiting_begin(struct waiting *w, const char *what);
void waiting_end(struct waiting *w);

#endif
