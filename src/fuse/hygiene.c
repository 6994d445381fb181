/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A writable image can carry a filesystem or swap whose writeback the kernel
 * needs in order to free memory. Then this process must make progress without
 * waiting for that same memory:
 *
 *   PR_SET_IO_FLUSHER   its allocations do not start writeback and it is not
 *                       throttled for dirty pages it is itself cleaning
 *   mlockall()          its pages are not swapped out; MCL_ONFAULT keeps the
 *                       untouched part of stacks and arenas out of memory
 *   oom_score_adj       it is not what gets killed
 *
 * Each needs a privilege of its own that an ordinary user does not have; his
 * images carry nothing that the kernel depends on. Called before threads start:
 * they inherit it.
 *
 * With -o pin what will be needed is there before the first request, and locked
 * as a whole: stacks that are as large as they have to be, and a heap that is
 * grown once, is never given back, and is one for all threads. What a request
 * allocates comes out of it.
 */
#include "engine_priv.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* Of a thread, with -o pin. Each is locked, however little of it is used. */
#define STACK (UINT64_C(1) << 20)
/* Requests that wait, names, the last commit. */
#define HEAP (UINT64_C(8) << 20)
/* Beside a buffer, for its alignment and what comes with it. */
#define SLACK (UINT64_C(32) << 10)

static bool set_io_flusher(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)
		return true;
	log_debug("not marked as an I/O flusher: %s", strerror(errno));
	return false;
}

/*
 * Any amount? The limit says so, or the kernel, when it is asked for more: a
 * capability of a user namespace has the name alone, and with MCL_FUTURE an
 * allocation would fail some day.
 */
static bool may_lock_memory(void)
{
	struct rlimit limit;
	size_t more;
	void *none;
	bool may;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return false;
	/* None, or as good as none. */
	if (limit.rlim_cur > SIZE_MAX / 2)
		return true;
	more = (size_t)limit.rlim_cur + (size_t)sysconf(_SC_PAGESIZE);
	none = mmap(NULL, more, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (none == MAP_FAILED)
		return false;
	may = mlock2(none, more, MLOCK_ONFAULT) == 0;
	munmap(none, more);
	return may;
}

/* Below a limit, a later allocation would fail: rather lock nothing. */
static void lock_memory(void)
{
	if (!may_lock_memory())
		log_debug("memory not locked: the limit is too low");
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_debug("memory not locked: %s", strerror(errno));
}

static void spare_from_oom(void)
{
	static const char score[] = "-1000\n";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, score, sizeof(score) - 1) < 0)
		log_debug("not spared by the OOM killer: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* ---- -o pin ---- */

static void set_stacks(void)
{
	pthread_attr_t attr;

	if (pthread_getattr_default_np(&attr))
		return;
	if (pthread_attr_setstacksize(&attr, STACK) ||
	    pthread_setattr_default_np(&attr))
		log_debug("stacks are as large as ever");
	pthread_attr_destroy(&attr);
}

/*
 * What a thread that waits for the device has in its hands: a buffer for what it
 * reads, or one that is aligned for what it writes; in the engine of threads
 * the request itself as well.
 */
static size_t heap_size(const struct session *s)
{
	size_t each = s->engine == &engine_threads ? 3 : 1;

	return HEAP + s->threads * each * (MAX_TRANSFER + SLACK);
}

static void grow_heap(size_t size)
{
	void *volatile heap;

#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
#endif
	heap = malloc(size);
	free(heap);
}

/* Said where it may not be done: who has said pin relies on it. */
static void lock_everything(void)
{
	const char *why = NULL;

	if (!may_lock_memory())
		why = "the limit is too low (ulimit -l)";
	else if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		why = strerror(errno);
	if (why)
		log_warning("the server's memory is not locked, so do not swap "
			    "to what is mounted here: %s",
			    why);
}

/*
 * Without the flag an allocation of the server itself may swap, and wait behind
 * all who do: for itself.
 */
void hygiene_pin(const struct session *s)
{
	spare_from_oom();
	set_stacks();
	grow_heap(heap_size(s));
	if (!s->readonly && !set_io_flusher())
		log_warning("do not swap to what is mounted here: when memory "
			    "is short, a server without CAP_SYS_RESOURCE waits "
			    "for itself");
	lock_everything();
}

void hygiene_apply(void)
{
	(void)set_io_flusher();
	lock_memory();
	spare_from_oom();
}
