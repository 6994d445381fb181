/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write, used by many at once: writers of parts of the same clusters,
 * readers, discards, and somebody who flushes. RAWMAP_TEST_CONCURRENT
 */
#include "cow_bed.h"

#include <rawmap/base/lock.h>

#include <pthread.h>
#include <stdlib.h>

#define CLUSTERS 64u
#define SIZE	 (CLUSTERS * BED_CLUSTER)
#define WRITERS	 4u
#define PART	 (BED_CLUSTER / WRITERS)

static struct cow_bed b;
static gint stop;   /* atomic */
static gint failed; /* atomic */

static void setup(void)
{
	bed_init(&b, SIZE, 1);
	g_atomic_int_set(&stop, 0);
	g_atomic_int_set(&failed, 0);
}

static void teardown(void)
{
	bed_clear(&b);
}

static void must(bool ok)
{
	if (!ok)
		g_atomic_int_set(&failed, 1);
}

/* What writer @n puts into its part of @cluster. */
static uint8_t mark(unsigned n, unsigned cluster)
{
	return (uint8_t)(1 + n + cluster * WRITERS);
}

/* Its part of each cluster, unaligned; in twos over the border of two. */
static void *write_parts(void *arg)
{
	unsigned n = GPOINTER_TO_UINT(arg);
	uint8_t buf[PART], got[PART];

	for (unsigned c = 0; c < CLUSTERS; c++) {
		uint64_t pos = c * BED_CLUSTER + n * PART;

		memset(buf, mark(n, c), PART);
		must(!blkdev_pwrite(b.cow, buf, PART - 7, dev_off_at(pos)));
		must(!blkdev_pwrite(b.cow, buf, 7, dev_off_at(pos + PART - 7)));
		must(!blkdev_pread(b.cow, got, PART, dev_off_at(pos)));
		must(!memcmp(buf, got, PART));
	}
	return NULL;
}

/* A byte is the source's, or what its writer makes of it. */
static void *read_all(void *arg)
{
	g_autofree uint8_t *got = g_malloc(SIZE);

	(void)arg;
	while (!g_atomic_int_get(&stop)) {
		must(!blkdev_pread(b.cow, got, SIZE, dev_off_at(0)));
		for (unsigned i = 0; i < SIZE; i++)
			must(got[i] == b.bytes[i] ||
			     got[i] == mark(i % BED_CLUSTER / PART,
					    i / BED_CLUSTER));
	}
	return NULL;
}

static void *flush_all(void *arg)
{
	struct blkdev_raw at;
	struct cow_info info;

	(void)arg;
	while (!g_atomic_int_get(&stop)) {
		must(!blkdev_flush(b.cow));
		must(!blkdev_raw(b.cow, BLKDEV_FLUSH, NULL, 0, dev_off_at(0),
				 &at));
		must(cow_info(b.cow, &info));
	}
	return NULL;
}

static pthread_t start(void *(*run)(void *), unsigned n)
{
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, run, GUINT_TO_POINTER(n)), 0);
	return thread;
}

START_TEST(writers_of_parts_of_a_cluster_lose_nothing)
{
	pthread_t writer[WRITERS], reader = start(read_all, 0);
	pthread_t flusher[2] = { start(flush_all, 0), start(flush_all, 0) };

	for (unsigned i = 0; i < WRITERS; i++)
		writer[i] = start(write_parts, i);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	g_atomic_int_set(&stop, 1);
	pthread_join(reader, NULL);
	pthread_join(flusher[0], NULL);
	pthread_join(flusher[1], NULL);
	ck_assert_int_eq(failed, 0);
	for (unsigned i = 0; i < SIZE; i++)
		b.bytes[i] = mark(i % BED_CLUSTER / PART, i / BED_CLUSTER);
	bed_expect(&b, b.bytes);
	bed_reopen(&b);
	bed_expect(&b, b.bytes);
}
END_TEST

/* ---- who waits for whom ---- */

/* A source whose reads of one cluster stop until they may go on. */
static struct {
	struct mutex lock;
	struct cond change;
	bool reached, open; /* guarded by lock */
} gate;

static int gated_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	if (pos.v / BED_CLUSTER == 5 && len <= BED_CLUSTER) {
		mutex_lock(&gate.lock);
		gate.reached = true;
		cond_broadcast(&gate.change);
		while (!gate.open)
			cond_wait(&gate.change, &gate.lock);
		mutex_unlock(&gate.lock);
	}
	return spotdev_pread(dev, buf, len, pos);
}

static struct blkdev *gated_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "gated",
		.pread = gated_pread,
		.pwrite = spotdev_pwrite,
		.flush = spotdev_flush,
		.close = spotdev_close,
	};
	struct spotdev *s = spotdev_new(blkdev_ref(lower));

	s->dev.ops = &ops;
	return &s->dev;
}

static void *write_in_cluster_5(void *arg)
{
	(void)arg;
	must(!blkdev_pwrite(b.cow, "a", 1, dev_off_at(5 * BED_CLUSTER + 9)));
	return NULL;
}

/* While cluster 5 is copied. */
START_TEST(a_copy_keeps_nobody_else_waiting)
{
	g_autoptr(blkdev) gated = gated_new(b.source);
	g_autoptr(GError) error = NULL;
	pthread_t writer;

	bed_close(&b);
	mutex_init(&gate.lock);
	cond_init(&gate.change);
	gate.open = true;
	b.cow = cow_new(gated, NULL, b.store, &bed_names, false, &error);
	ck_assert_ptr_nonnull(b.cow);
	gate.open = gate.reached = false;
	writer = start(write_in_cluster_5, 0);
	mutex_lock(&gate.lock);
	while (!gate.reached)
		cond_wait(&gate.change, &gate.lock);
	mutex_unlock(&gate.lock);

	bed_write(&b, 4 * BED_CLUSTER + 5, 'b', 10);
	bed_write(&b, 6 * BED_CLUSTER, 'c', 2 * BED_CLUSTER);
	ck_assert_int_eq(blkdev_flush(b.cow), 0);
	ck_assert_int_eq(blkdev_zero(b.cow, 10, dev_off_at(8 * BED_CLUSTER)),
			 0);
	ck_assert_uint_eq(bed_present(&b), 4);

	mutex_lock(&gate.lock);
	gate.open = true;
	cond_broadcast(&gate.change);
	mutex_unlock(&gate.lock);
	pthread_join(writer, NULL);
	ck_assert_int_eq(failed, 0);
	ck_assert_uint_eq(bed_present(&b), 5);
	bed_close(&b);
	cond_clear(&gate.change);
	mutex_clear(&gate.lock);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cow threads");
	TCase *tc = tcase_create("cow threads");
	SRunner *runner = srunner_create(suite);
	int bad;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, writers_of_parts_of_a_cluster_lose_nothing, 0,
			    8);
	tcase_add_test(tc, a_copy_keeps_nobody_else_waiting);
	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
