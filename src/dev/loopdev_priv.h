/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What looking at a loop device, attaching and freeing it share. */
#ifndef RAWMAP_LOOPDEV_PRIV_H
#define RAWMAP_LOOPDEV_PRIV_H

#include <rawmap/dev/loopdev.h>

#include <time.h>

/* queue/rq_affinity while it is ours, and the kernel's default. */
#define LOOPDEV_AFFINITY	 "2"
#define LOOPDEV_AFFINITY_DEFAULT "1"

#define PATIENCE_PAUSE_NS 10000000
#define PATIENCE_TRIES	  50 /* half a second */

/* For those who have a device for moments only, such as udev. */
struct patience {
	unsigned tries;
};

/* A short pause; false: it is over. */
static inline bool be_patient(struct patience *p)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_PAUSE_NS };

	if (++p->tries >= PATIENCE_TRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* The device "loop3"; NULL: nothing is attached to it. */
struct loopdev *loopdev_look_at(const char *name);

/* A file of the device's folder in sysfs, without its newline; NULL: none. */
char *loopdev_attribute(const char *name, const char *what);

/*
 * A moment's patience, after LOOP_CLR_FD, until @file is not attached to @name any
 * more: who has the device open, and may only be looking, keeps it so long.
 */
bool loopdev_wait_until_free(const char *name, const char *file);

/* Not fatal where it may not be set. */
void loopdev_set_affinity(const char *name, const char *value);

#endif
