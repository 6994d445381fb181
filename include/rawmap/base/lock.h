/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Thin wrappers of pthread locks: they abort on misuse, so callers need no
 * error path, and ThreadSanitizer sees them (it cannot see GMutex). The
 * annotations are clang's thread-safety analysis; gcc ignores them. In C it can
 * check what a function needs, but cannot name one field of a struct from
 * another: GUARDED_BY(lock) behind a field tells the reader and no compiler.
 */
#ifndef RAWMAP_BASE_LOCK_H
#define RAWMAP_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define RAWMAP_TSA(x) __attribute__((x))
#else
#define RAWMAP_TSA(x)
#endif
#define CAPABILITY(name) RAWMAP_TSA(capability(name))
#define GUARDED_BY(l)
#define REQUIRES(...)	     RAWMAP_TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) RAWMAP_TSA(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...)	     RAWMAP_TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...)  RAWMAP_TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...)	     RAWMAP_TSA(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...)  RAWMAP_TSA(release_shared_capability(__VA_ARGS__))
#define EXCLUDES(...)	     RAWMAP_TSA(locks_excluded(__VA_ARGS__))
#define NO_TSA		     RAWMAP_TSA(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t l;
};

/* Waits on CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t c;
};

void mutex_init(struct mutex *m);
void mutex_clear(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRE(m);
void mutex_unlock(struct mutex *m) RELEASE(m);
/* False: somebody has it. */
bool mutex_trylock(struct mutex *m) RAWMAP_TSA(try_acquire_capability(true, m));

/* A waiting writer goes before new readers: never take it twice. */
void rwlock_init(struct rwlock *l);
void rwlock_clear(struct rwlock *l);
void rwlock_rdlock(struct rwlock *l) ACQUIRE_SHARED(l);
void rwlock_rdunlock(struct rwlock *l) RELEASE_SHARED(l);
void rwlock_wrlock(struct rwlock *l) ACQUIRE(l);
void rwlock_wrunlock(struct rwlock *l) RELEASE(l);

void cond_init(struct cond *c);
void cond_clear(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);
/* Returns false when @monotonic_ns (CLOCK_MONOTONIC) passed without a signal. */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t monotonic_ns)
	REQUIRES(m);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

uint64_t monotonic_now_ns(void);

#endif
