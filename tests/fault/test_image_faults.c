/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Nth device operation of a scripted session fails, N = 1, 2, 3, ... until
 * one session meets no failure. Each session lives, says so when it failed,
 * never shows bytes that nobody wrote, and leaves a host that e2fsck -p puts
 * right and that holds what was flushed.
 */
#include <support/faultdev.h>
#include <support/imagehost.h>

#include <rawmap/base/log.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE  (UINT64_C(256) << 10)
#define OLD   'o' /* flushed before anything fails */
#define NEW   'n'
#define LEVEL 100000 /* [0, LEVEL) is OLD, and stays so */

struct variant {
	const char *mkfs;
	enum faultdev_kind kind;
	unsigned flags;
};

static const struct variant variants[] = {
	{ "-t ext4 -b 1024", FAULTDEV_WRITE, FAULTDEV_ONCE },
	{ "-t ext4 -b 1024", FAULTDEV_WRITE, FAULTDEV_PERSISTENT },
	{ "-t ext4 -b 4096", FAULTDEV_WRITE, FAULTDEV_SHORT },
	{ "-t ext4 -b 1024", FAULTDEV_READ, FAULTDEV_ONCE },
	{ "-t ext4 -b 1024", FAULTDEV_FLUSH, FAULTDEV_ONCE },
	{ "-t ext4 -b 1024", FAULTDEV_ZERO, FAULTDEV_ONCE },
	{ "-t ext3 -b 1024", FAULTDEV_ANY, FAULTDEV_PERSISTENT },
	{ "-t ext2 -b 1024", FAULTDEV_ANY, FAULTDEV_ONCE },
};

static struct imagehost h;

static void note(int *first, int err)
{
	if (err < 0 && !*first)
		*first = err;
}

static int write_bytes(int byte, uint64_t len, uint64_t pos)
{
	g_autofree uint8_t *buf = g_malloc(len);
	ssize_t got;

	memset(buf, byte, len);
	got = image_pwrite(h.img, buf, len, img_off_at(pos));
	return got < 0 ? (int)got : got < (ssize_t)len ? -EIO : 0;
}

/* Fill, overwrite, flush, punch, zero, grow, shrink: the first error. */
static int session(void)
{
	int err = 0;

	note(&err, write_bytes(NEW, 50000, 120001));
	note(&err, write_bytes(NEW, 3000, 125000));
	note(&err, image_flush(h.img));
	note(&err, image_punch(h.img, img_off_at(130100), 20000));
	note(&err, image_flush(h.img));
	note(&err, image_zero(h.img, img_off_at(150500), 9000, true));
	note(&err, write_bytes(NEW, 30000, SIZE + 5000));
	note(&err, image_truncate(h.img, SIZE + 1234));
	note(&err, image_flush(h.img));
	return err;
}

static void check_bytes(bool all_readable)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);
	ssize_t got = image_pread(h.img, buf, SIZE, img_off_at(0));

	if (!all_readable && got < 0)
		return;
	ck_assert_int_eq(got, (ssize_t)SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		if (i < LEVEL)
			ck_assert_int_eq(buf[i], OLD);
		else
			ck_assert(buf[i] == 0 || buf[i] == NEW);
}

/* False when nothing failed any more. */
static bool fail_at(const struct variant *v, uint64_t nth)
{
	bool fired;
	int err, closed;

	imagehost_open(&h);
	ck_assert_int_eq(write_bytes(OLD, LEVEL, 0), 0);
	ck_assert_int_eq(image_flush(h.img), 0);

	faultdev_arm(h.dev, v->kind, nth, EIO, v->flags);
	err = session();
	fired = faultdev_fired(h.dev);
	faultdev_disarm(h.dev);
	ck_assert_msg(fired || !err, "%d without a reason", err);
	if (fired && v->kind == FAULTDEV_FLUSH)
		ck_assert_int_ne(err, 0);
	check_bytes(true);
	closed = imagehost_close(&h);
	ck_assert_msg(fired || !closed, "close: %d", closed);

	imagehost_repair(&h);
	imagehost_open(&h);
	check_bytes(true);
	imagehost_abandon(&h);
	return fired;
}

START_TEST(a_failed_device_operation_loses_nothing_that_was_flushed)
{
	const struct variant *v = &variants[_i];
	const struct imagehost_spec spec = {
		v->mkfs, UINT64_C(4) << 20, SIZE, NULL, 0, 256,
	};
	uint64_t nth = 1;
	bool fired;

	log_set_level(LOG_LEVEL_ERROR);
	do {
		imagehost_init(&h, &spec);
		fired = fail_at(v, nth);
		imagehost_clear(&h);
		nth += g_getenv("RAWMAP_FULL") ? 1 : 1 + nth / 4;
	} while (fired);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image_faults");
	TCase *tc = tcase_create("image_faults");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, a_failed_device_operation_loses_nothing_that_was_flushed, 0,
		G_N_ELEMENTS(variants));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
