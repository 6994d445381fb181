/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/thread.h>

#include <errno.h>
#include <signal.h>

/* A new thread begins with the mask of the one that makes it. */
static int create(pthread_t *ret, const pthread_attr_t *attr,
		  void *(*main)(void *), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = pthread_create(ret, attr, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int thread_start(pthread_t *ret, const cpu_set_t *cpus, void *(*main)(void *),
		 void *arg)
{
	pthread_attr_t attr;
	int err;

	if (!cpus)
		return create(ret, NULL, main, arg);
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus);
	err = err ? -err : create(ret, &attr, main, arg);
	pthread_attr_destroy(&attr);
	/* None of them is there any more: better elsewhere than not at all. */
	return err == -EINVAL ? create(ret, NULL, main, arg) : err;
}
