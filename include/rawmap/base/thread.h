/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads beside the main one. They get no signals: those are for the main
 * thread, which waits for them in its own way.
 */
#ifndef RAWMAP_BASE_THREAD_H
#define RAWMAP_BASE_THREAD_H

#include <pthread.h>
#include <sched.h>

/*
 * Run @main with @arg on a new thread, to be joined. @cpus: where it may run;
 * NULL: where the caller may. 0 or -errno, *ret is set on 0 only.
 */
int thread_start(pthread_t *ret, const cpu_set_t *cpus, void *(*main)(void *),
		 void *arg);

#endif
