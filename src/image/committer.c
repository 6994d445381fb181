/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The committing thread: waits, commits, waits again; when nothing was committed
 * for a turn, the host may take home what is in its journal. A commit that fails has
 * made the host read-only and was reported there; what comes after answers at
 * once, so the thread needs no opinion of its own about errors.
 */
#include <rawmap/base/lock.h>
#include <rawmap/base/thread.h>
#include <rawmap/dev/cow.h>
#include <rawmap/image/committer.h>

struct committer {
	struct hostfs *fs;    /* set once */
	uint64_t interval_ns; /* set once */
	pthread_t thread;     /* set once */
	struct mutex lock;
	struct cond wake;
	bool stop; /* guarded by lock */
};

/* False: it is time to end. */
static bool wait_a_turn(struct committer *c)
{
	uint64_t until = monotonic_now_ns() + c->interval_ns;
	bool stop;

	mutex_lock(&c->lock);
	while (!c->stop && cond_wait_until(&c->wake, &c->lock, until))
		;
	stop = c->stop;
	mutex_unlock(&c->lock);
	return !stop;
}

/*
 * Overwrites of the image need no commit; but in a file of changes what is new
 * counts from the next flush on, and would be lost with the process.
 */
static void settle_changes(struct hostfs *fs)
{
	struct cow_info info;

	if (cow_info(hostfs_data_dev(fs), &info) && !info.settled)
		hostfs_sync(fs);
}

static void *committer_main(void *arg)
{
	struct committer *c = arg;

	uint64_t before = 0;

	while (wait_a_turn(c)) {
		struct hostfs_stats stats;

		hostfs_stats(c->fs, &stats);
		/* A turn without a commit: nobody is kept waiting. */
		if (stats.commits == before)
			hostfs_tick(c->fs);
		else
			hostfs_commit(c->fs);
		before = stats.commits;
		settle_changes(c->fs);
	}
	return NULL;
}

static void committer_free(struct committer *c)
{
	cond_clear(&c->wake);
	mutex_clear(&c->lock);
	g_free(c);
}

struct committer *committer_start(struct hostfs *fs, unsigned seconds,
				  int *ret_err)
{
	struct committer *c = g_new0(struct committer, 1);
	int err;

	g_assert(seconds >= 1);
	c->fs = fs;
	c->interval_ns = UINT64_C(1000000000) * seconds;
	mutex_init(&c->lock);
	cond_init(&c->wake);
	err = thread_start(&c->thread, NULL, committer_main, c);
	if (!err)
		return c;
	*ret_err = -err;
	committer_free(c);
	return NULL;
}

void committer_stop(struct committer *c)
{
	if (!c)
		return;
	mutex_lock(&c->lock);
	c->stop = true;
	cond_signal(&c->wake);
	mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	committer_free(c);
}
