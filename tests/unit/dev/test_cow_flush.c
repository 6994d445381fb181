/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write over a file whose flush fails, as the kernel tells it: once, to
 * whoever comes first, and then as if nothing had been. RAWMAP_TEST_CONCURRENT
 */
#include "cow_bed.h"

#include <rawmap/base/lock.h>

#include <pthread.h>
#include <stdlib.h>

/* How long the first one is kept for another to come, at most. */
#define PATIENCE_NS UINT64_C(200000000)

/* ---- a store that tells of its error once, and has a raw way ---- */

struct oncedev {
	struct blkdev dev; /* first */
	struct blkdev *lower;
	struct mutex lock;
	struct cond change;
	int err;       /* guarded by lock: for the next flush; 0: none */
	bool told;     /* guarded by lock: a flush has it, and is kept */
	unsigned over; /* guarded by lock: flushes that succeeded */
};

static struct oncedev *once_of(struct blkdev *dev)
{
	return (struct oncedev *)dev;
}

static int once_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	return blkdev_pread(once_of(dev)->lower, buf, len, pos);
}

static int once_pwrite(struct blkdev *dev, const void *buf, size_t len,
		       dev_off pos)
{
	return blkdev_pwrite(once_of(dev)->lower, buf, len, pos);
}

/* Who is told comes back last, if there is another one at all. */
static int once_flush(struct blkdev *dev)
{
	struct oncedev *d = once_of(dev);
	int err;

	mutex_lock(&d->lock);
	err = d->err;
	d->err = 0;
	if (err) {
		uint64_t until = monotonic_now_ns() + PATIENCE_NS;

		d->told = true;
		cond_broadcast(&d->change);
		while (!d->over)
			if (!cond_wait_until(&d->change, &d->lock, until))
				break;
	} else {
		d->over++;
		cond_broadcast(&d->change);
	}
	mutex_unlock(&d->lock);
	return err;
}

static bool once_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		     uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	(void)io;
	(void)buf;
	(void)len;
	*ret = (struct blkdev_raw){ .dev = dev, .fd = -1, .pos = pos };
	return true;
}

static void once_close(struct blkdev *dev)
{
	struct oncedev *d = once_of(dev);

	blkdev_unref(d->lower);
	cond_clear(&d->change);
	mutex_clear(&d->lock);
	g_free(d);
}

static struct oncedev *once_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "once",
		.pread = once_pread,
		.pwrite = once_pwrite,
		.flush = once_flush,
		.raw = once_raw,
		.close = once_close,
	};
	struct oncedev *d = g_new0(struct oncedev, 1);

	blkdev_init(&d->dev, &ops, blkdev_geometry(lower));
	d->lower = blkdev_ref(lower);
	mutex_init(&d->lock);
	cond_init(&d->change);
	return d;
}

/* ---- */

static struct cow_bed b;
static struct oncedev *once;

static void setup(void)
{
	bed_init(&b, BED_SIZE, 1);
	bed_close(&b);
	once = once_new(b.store);
	bed_open_on(&b, &once->dev, false);
}

static void teardown(void)
{
	bed_clear(&b);
	blkdev_unref(&once->dev);
}

static void fail_once(void)
{
	mutex_lock(&once->lock);
	once->err = -EIO;
	once->over = 0;
	once->told = false;
	mutex_unlock(&once->lock);
}

/* As an engine does, which takes the raw way where there is one. */
static int flush_somehow(void)
{
	struct blkdev_raw at;

	if (blkdev_raw(b.cow, BLKDEV_FLUSH, NULL, 0, dev_off_at(0), &at))
		return blkdev_flush(at.dev);
	return blkdev_flush(b.cow);
}

/* Nothing is new in the map: the first flush is nothing but the file's. */
START_TEST(no_flush_succeeds_after_one_that_an_engine_did)
{
	bed_write(&b, 0, 'a', BED_CLUSTER);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	bed_write(&b, 0, 'b', BED_CLUSTER);
	fail_once();
	ck_assert_int_eq(flush_somehow(), -EIO);
	ck_assert_int_eq(flush_somehow(), -EIO);
	bed_write(&b, BED_CLUSTER, 'c', BED_CLUSTER);
	ck_assert_int_eq(blkdev_flush(b.cow), -EIO);
}
END_TEST

static void *flush_too(void *arg)
{
	int *ret = arg;

	*ret = blkdev_flush(b.cow);
	return NULL;
}

/*
 * The first one has the error and has not come back yet. @_i: there is news in
 * the map by now.
 */
START_TEST(no_flush_succeeds_beside_one_that_fails)
{
	int first = 0, second = 0;
	pthread_t thread[2];

	bed_write(&b, 0, 'a', BED_CLUSTER);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	bed_write(&b, 0, 'b', BED_CLUSTER);
	fail_once();
	ck_assert(!pthread_create(&thread[0], NULL, flush_too, &first));
	mutex_lock(&once->lock);
	while (!once->told)
		cond_wait(&once->change, &once->lock);
	mutex_unlock(&once->lock);
	if (_i)
		bed_write(&b, BED_CLUSTER, 'c', BED_CLUSTER);
	ck_assert(!pthread_create(&thread[1], NULL, flush_too, &second));
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	ck_assert_int_eq(first, -EIO);
	ck_assert_int_eq(second, -EIO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cow flush");
	TCase *tc = tcase_create("cow flush");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_flush_succeeds_after_one_that_an_engine_did);
	tcase_add_loop_test(tc, no_flush_succeeds_beside_one_that_fails, 0, 2);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
