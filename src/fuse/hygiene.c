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
 */
#include "fuse_priv.h"

#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static void set_io_flusher(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_debug("not marked as an I/O flusher: %s", strerror(errno));
}

static bool may_lock_memory(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit limit;

	if (syscall(SYS_capget, &head, caps) == 0 &&
	    (caps[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &
	     CAP_TO_MASK(CAP_IPC_LOCK)))
		return true;
	return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	       limit.rlim_cur == RLIM_INFINITY;
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

void hygiene_apply(void)
{
	set_io_flusher();
	lock_memory();
	spare_from_oom();
}
