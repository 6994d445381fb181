/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writers on neighbouring bytes of one sector, and readers of an overlay that
 * is being written out. RAWMAP_TEST_CONCURRENT
 */
#include <rawmap/dev/filedev.h>
#include <rawmap/dev/overlay.h>

#include "support/memdev.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS	400
#define WRITERS 3
#define SECTOR	4096

struct writer {
	pthread_t thread;
	struct blkdev *dev;
	uint64_t pos;
	size_t len;
	bool failed;
};

/* Each round writes another value and reads its own back at once. */
static void *write_and_check(void *arg)
{
	struct writer *w = arg;
	g_autofree uint8_t *raw = g_malloc(w->len + SECTOR);
	uint8_t *buf = (uint8_t *)(((uintptr_t)raw + SECTOR - 1) &
				   ~(uintptr_t)(SECTOR - 1));
	g_autofree uint8_t *back = g_malloc(w->len);

	for (unsigned i = 0; i < ROUNDS && !w->failed; i++) {
		memset(buf, (int)(i & 0xff), w->len);
		w->failed = blkdev_pwrite(w->dev, buf, w->len,
					  dev_off_at(w->pos)) ||
			    blkdev_pread(w->dev, back, w->len,
					 dev_off_at(w->pos)) ||
			    memcmp(buf, back, w->len);
	}
	return NULL;
}

static void run_writers(struct blkdev *dev)
{
	/* Two share sector 0 and 1, all three border on each other. */
	struct writer w[WRITERS] = {
		{ .dev = dev, .pos = 10, .len = 3000 },
		{ .dev = dev, .pos = 3010, .len = 2 * SECTOR - 3010 },
		{ .dev = dev, .pos = 2 * SECTOR, .len = 2 * SECTOR },
	};

	for (unsigned i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL,
						write_and_check, &w[i]),
				 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned i = 0; i < WRITERS; i++)
		ck_assert_msg(!w[i].failed, "writer %u lost its bytes", i);
}

/* @_i: the mode. */
START_TEST(neighbouring_writers_lose_nothing)
{
	char path[] = "concurrent-XXXXXX";
	struct filedev_options opt = { .direct = (enum filedev_direct)_i };
	struct blkdev *dev;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 16 * SECTOR), 0);
	close(fd);
	dev = filedev_open(path, &opt, NULL);
	unlink(path);
	ck_assert_ptr_nonnull(dev);
	run_writers(dev);
	blkdev_unref(dev);
}
END_TEST

struct reader {
	struct overlay *ov;
	gint stop;  /* atomic */
	gint stale; /* atomic */
};

/* A block is one value throughout, and that value never falls. */
static void *read_blocks(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[SECTOR], last = 0;

	while (!g_atomic_int_get(&r->stop)) {
		if (overlay_get_block(r->ov, pblk_at(3), buf) ||
		    buf[0] != buf[SECTOR - 1] || buf[0] < last)
			g_atomic_int_set(&r->stale, 1);
		last = buf[0];
	}
	return NULL;
}

START_TEST(reader_of_a_write_out_sees_no_old_block)
{
	g_autoptr(blkdev) mem = memdev_new(16 * SECTOR, SECTOR);
	struct reader r = { .ov = overlay_new(mem, SECTOR, 0) };
	uint8_t buf[SECTOR];
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, read_blocks, &r), 0);
	for (int i = 1; i < 256; i++) {
		memset(buf, i, SECTOR);
		for (unsigned b = 0; b < 16; b++)
			overlay_put_block(r.ov, pblk_at(b), buf, 0);
		ck_assert_int_eq(overlay_write_out(r.ov, mem, 0), 0);
	}
	g_atomic_int_set(&r.stop, 1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(r.stale, 0);
	overlay_unref(r.ov);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dev concurrent");
	TCase *tc = tcase_create("dev concurrent");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, neighbouring_writers_lose_nothing, 0, 3);
	tcase_add_test(tc, reader_of_a_write_out_sees_no_old_block);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
