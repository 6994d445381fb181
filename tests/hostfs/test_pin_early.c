/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/* Holes that are being filled: what ends it early, and others beside it. */
#include "pin_bed.h"

#include <support/faultdev.h>
#include <support/memdev.h>

#include <errno.h>
#include <sched.h>

/* ---- ends early ---- */

static const unsigned ends[] = { 1, 17, 90 };

START_TEST(a_crash_in_the_middle_leaves_a_sound_host)
{
	struct patience p = { .last = ends[(unsigned)_i % 3] };
	const struct image_watch w = { bear, &p };

	make((int)((unsigned)_i / 3), SIZE, 1 << 20);
	ck_assert_int_eq(image_fill_holes(h.img, filled, &w), -ECANCELED);
	imagehost_abandon(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	expect_content();
	/* The next mount completes it. */
	fill();
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

START_TEST(what_was_filled_can_be_given_back)
{
	struct patience p = { .last = 41 };
	const struct image_watch w = { bear, &p };
	uint64_t before, available;
	struct image_stats stats;

	make(_i, SIZE, 1 << 20);
	before = holes();
	available = hostfs_available(h.fs);
	ck_assert_int_eq(image_fill_holes(h.img, filled, &w), -ECANCELED);
	ck_assert_uint_lt(holes(), before);
	image_stats(h.img, &stats);
	ck_assert_uint_eq(stats.errors, 0);
	ck_assert_int_eq(image_give_back(h.img, filled), 0);
	ck_assert_uint_eq(holes(), before);
	expect_content();
	ck_assert_int_eq(image_flush(h.img), 0);
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	ck_assert_uint_eq(hostfs_available(h.fs), available);
	/* And a punch is one again. */
	ck_assert_int_eq(image_punch(h.img, img_off_at(0), BS), 0);
	memset(content, 0, BS);
	finish();
}
END_TEST

START_TEST(a_host_that_runs_full_gets_it_all_back)
{
	uint64_t before, available;

	make(_i, UINT64_C(64) << 20, 1 << 20);
	before = holes();
	available = hostfs_available(h.fs);
	ck_assert_uint_gt(before, available);
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), -ENOSPC);
	ck_assert_int_eq(image_give_back(h.img, filled), 0);
	ck_assert_uint_eq(holes(), before);
	expect_content();
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	/* The map may keep a block that it had to grow by. */
	ck_assert_uint_ge(hostfs_available(h.fs) + 2, available);
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, NULL, 0);
	drop();
}
END_TEST

/* One life in which the @nth write fails. */
static bool live_with_fault(GBytes *first, uint64_t nth)
{
	uint64_t available;
	int err;

	memdev_restore(h.mem, first);
	imagehost_open(&h);
	available = hostfs_available(h.fs);
	g_array_set_size(filled, 0);
	faultdev_arm(h.dev, FAULTDEV_WRITE, nth, EIO, FAULTDEV_ONCE);
	err = image_fill_holes(h.img, filled, NULL);
	if (!err)
		err = image_flush(h.img);
	ck_assert(!err == !faultdev_fired(h.dev));
	if (err && !hostfs_broken(h.fs)) {
		ck_assert_int_eq(image_give_back(h.img, filled), 0);
		ck_assert_int_eq(hostfs_settle(h.fs), 0);
		ck_assert_uint_eq(hostfs_available(h.fs), available);
	}
	expect_content();
	faultdev_disarm(h.dev);
	(void)imagehost_close(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	expect_content();
	imagehost_abandon(&h);
	return err;
}

START_TEST(a_write_that_fails_harms_nothing)
{
	GBytes *first;
	uint64_t nth = 1;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(imagehost_close(&h), 0);
	first = memdev_snapshot(h.mem);
	while (live_with_fault(first, nth))
		nth *= 2;
	ck_assert_uint_gt(nth, PIECES);
	g_bytes_unref(first);
	drop();
}
END_TEST

/* ---- beside others ---- */

static int going; /* atomic */

/* Threads that ask about each byte do without Check. */
static void *read_all_the_time(void *arg)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);

	(void)arg;
	while (__atomic_load_n(&going, __ATOMIC_SEQ_CST)) {
		if (image_pread(h.img, buf, SIZE, img_off_at(0)) != SIZE)
			g_error("a short read");
		for (uint64_t i = 0; i < SIZE; i++)
			if (buf[i] != content[i] && buf[i] != 'w')
				g_error("byte %lu is %#x", (unsigned long)i,
					buf[i]);
	}
	return NULL;
}

#define WRITTEN(piece) ((uint64_t)(piece)*EVERY + 9 * BS + 10)

static void *write_into_holes(void *arg)
{
	static const char w[] = { 'w', 'w', 'w', 'w' };

	(void)arg;
	for (unsigned i = PIECES; i--;)
		if (image_pwrite(h.img, w, sizeof(w), img_off_at(WRITTEN(i))) !=
		    sizeof(w))
			g_error("a short write");
	return NULL;
}

START_TEST(others_go_on_while_holes_are_filled)
{
	pthread_t threads[3];

	make(_i, SIZE, 1 << 20);
	__atomic_store_n(&going, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						read_all_the_time, NULL),
				 0);
	ck_assert_int_eq(
		pthread_create(&threads[2], NULL, write_into_holes, NULL), 0);
	fill();
	pthread_join(threads[2], NULL);
	__atomic_store_n(&going, 0, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < PIECES; i++)
		memset(content + WRITTEN(i), 'w', 4);
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

static bool step_seen(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx;
	(void)done;
	(void)total;
	__atomic_store_n(&going, 1, __ATOMIC_SEQ_CST);
	return true;
}

static void *fill_it(void *arg)
{
	const struct image_watch w = { step_seen, NULL };

	(void)arg;
	if (image_fill_holes(h.img, filled, &w))
		g_error("not filled");
	return NULL;
}

/* Else both would give the hole blocks. */
START_TEST(a_write_under_way_is_waited_for)
{
	const uint64_t pos = 5 * EVERY + 7 * BS;
	struct image_io io;
	pthread_t thread;

	make(_i, SIZE, 1 << 20);
	memset(content + pos, 'w', 2 * BS);
	ck_assert_int_eq(image_begin(h.img, IMAGE_WRITE, img_off_at(pos),
				     2 * BS, 0, &io),
			 0);
	ck_assert_uint_eq(io.len, 2 * BS);
	__atomic_store_n(&going, 0, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(pthread_create(&thread, NULL, fill_it, NULL), 0);
	/* Time enough for who does not wait. */
	for (unsigned i = 0; i < 50000; i++)
		sched_yield();
	ck_assert_int_eq(__atomic_load_n(&going, __ATOMIC_SEQ_CST), 0);
	ck_assert_int_eq(image_end(h.img, &io,
				   image_transfer(h.img, &io, content + pos)),
			 0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pin_early");
	TCase *early = tcase_create("ends_early");
	TCase *beside = tcase_create("beside_others");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(early, a_crash_in_the_middle_leaves_a_sound_host, 0,
			    3 * (int)KINDS);
	ADD(early, what_was_filled_can_be_given_back);
	ADD(early, a_host_that_runs_full_gets_it_all_back);
	ADD(early, a_write_that_fails_harms_nothing);
	ADD(beside, others_go_on_while_holes_are_filled);
	ADD(beside, a_write_under_way_is_waited_for);
	suite_add_tcase(s, early);
	suite_add_tcase(s, beside);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
