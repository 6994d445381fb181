/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pthread locks that abort instead of returning an error.
 *
 * Every failure of these calls is a bug of the caller: unlocking what another
 * thread holds, destroying what is held, locking twice. Debug builds make
 * mutexes error-checking, so that such a bug is seen where it happens.
 */
#include <rawmap/base/lock.h>

#include <errno.h>
#include <glib.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)

/* Says which call failed and why; errors of pthread calls are results. */
static void must(int err, const char *call)
{
	if (G_UNLIKELY(err))
		g_error("a lock was misused: %s: %s", call, g_strerror(err));
}

void mutex_init(struct mutex *m)
{
	pthread_mutexattr_t attr;

	must(pthread_mutexattr_init(&attr), "pthread_mutexattr_init");
#ifdef RAWMAP_DEBUG
	must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK),
	     "pthread_mutexattr_settype");
#endif
	must(pthread_mutex_init(&m->m, &attr), "pthread_mutex_init");
	must(pthread_mutexattr_destroy(&attr), "pthread_mutexattr_destroy");
}

void mutex_clear(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->m), "pthread_mutex_destroy");
}

/* The bodies are where the analysis cannot look: pthread has no annotations. */
void mutex_lock(struct mutex *m) NO_TSA
{
	must(pthread_mutex_lock(&m->m), "pthread_mutex_lock");
}

bool mutex_trylock(struct mutex *m) NO_TSA
{
	int err = pthread_mutex_trylock(&m->m);

	if (err == EBUSY)
		return false;
	must(err, "pthread_mutex_trylock");
	return true;
}

void mutex_unlock(struct mutex *m) NO_TSA
{
	must(pthread_mutex_unlock(&m->m), "pthread_mutex_unlock");
}

void rwlock_init(struct rwlock *l)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr), "pthread_rwlockattr_init");
	/* glibc prefers readers: enough of them would starve a writer. */
	must(pthread_rwlockattr_setkind_np(
		     &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
	     "pthread_rwlockattr_setkind_np");
	must(pthread_rwlock_init(&l->l, &attr), "pthread_rwlock_init");
	must(pthread_rwlockattr_destroy(&attr), "pthread_rwlockattr_destroy");
}

void rwlock_clear(struct rwlock *l)
{
	must(pthread_rwlock_destroy(&l->l), "pthread_rwlock_destroy");
}

void rwlock_rdlock(struct rwlock *l) NO_TSA
{
	must(pthread_rwlock_rdlock(&l->l), "pthread_rwlock_rdlock");
}

void rwlock_rdunlock(struct rwlock *l) NO_TSA
{
	must(pthread_rwlock_unlock(&l->l), "pthread_rwlock_unlock");
}

void rwlock_wrlock(struct rwlock *l) NO_TSA
{
	must(pthread_rwlock_wrlock(&l->l), "pthread_rwlock_wrlock");
}

void rwlock_wrunlock(struct rwlock *l) NO_TSA
{
	must(pthread_rwlock_unlock(&l->l), "pthread_rwlock_unlock");
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr), "pthread_condattr_init");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC),
	     "pthread_condattr_setclock");
	must(pthread_cond_init(&c->c, &attr), "pthread_cond_init");
	must(pthread_condattr_destroy(&attr), "pthread_condattr_destroy");
}

void cond_clear(struct cond *c)
{
	must(pthread_cond_destroy(&c->c), "pthread_cond_destroy");
}

void cond_wait(struct cond *c, struct mutex *m)
{
	must(pthread_cond_wait(&c->c, &m->m), "pthread_cond_wait");
}

bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t monotonic_ns)
{
	struct timespec at = {
		.tv_sec = (time_t)(monotonic_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(monotonic_ns % NSEC_PER_SEC),
	};
	int err = pthread_cond_timedwait(&c->c, &m->m, &at);

	if (err == ETIMEDOUT)
		return false;
	must(err, "pthread_cond_timedwait");
	return true;
}

void cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->c), "pthread_cond_signal");
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->c), "pthread_cond_broadcast");
}

uint64_t monotonic_now_ns(void)
{
	struct timespec now;
	int err = clock_gettime(CLOCK_MONOTONIC, &now);

	g_assert(err == 0);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}
