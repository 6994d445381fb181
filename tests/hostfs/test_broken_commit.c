/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/*
 * A host with a journal that breaks in the middle of a commit, or cannot take
 * what is asked of it at once: what reaches the source then, and who learns of
 * it afterwards.
 */
#include "../../src/hostfs/tx_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/image/image.h>
#include <rawmap/jbd/format.h>

#include <support/faultdev.h>
#include <support/gatedev.h>
#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB  (UINT64_C(1) << 20)
#define SIZE (8 * MIB)
#define BS   1024u

static struct {
	struct hostimg *img;
	struct blkdev *mem, *order, *fault, *gate;
	struct hostfs *fs;
	struct image *image;
	size_t size;
} bed;

static void bed_make(const char *mkfs, uint64_t size,
		     const struct hostimg_piece *piece)
{
	const struct hostimg_spec spec = { mkfs, size };

	bed.img = hostimg_make(&spec);
	hostimg_put(bed.img, "disk", 1, 4 * MIB, piece, piece ? 1 : 0);
}

static void bed_load(void)
{
	g_autofree uint8_t *bytes = hostimg_bytes(bed.img, &bed.size);

	bed.mem = memdev_new(bed.size, 512);
	memcpy(memdev_bytes(bed.mem), bytes, bed.size);
	bed.order = orderdev_new(bed.mem);
	bed.fault = faultdev_new(bed.order);
	bed.gate = gatedev_new(bed.fault);
}

static void bed_open(void)
{
	const struct hostfs_options opt = { .use_reserved = true };
	GError *error = NULL;
	struct hostfile *hf;

	/* A test may have changed what lies there. */
	orderdev_look(bed.order);
	bed.fs = hostfs_open(bed.gate, &opt, &error);
	ck_assert_msg(bed.fs, "%s", error ? error->message : "");
	hf = hostfile_open(bed.fs, "/disk", 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	bed.image = image_new(hf, false);
}

static void bed_clear(void)
{
	blkdev_unref(bed.gate);
	blkdev_unref(bed.fault);
	blkdev_unref(bed.order);
	blkdev_unref(bed.mem);
	hostimg_free(bed.img);
}

static void put(uint64_t block, int byte)
{
	uint8_t buf[BS];

	memset(buf, byte, BS);
	ck_assert_int_eq(
		image_pwrite(bed.image, buf, BS, img_off_at(block * BS)), BS);
}

static bool log_has_room(void)
{
	bool room;

	mutex_lock(&bed.fs->lock);
	room = !bed.fs->marked || journalled_has_room(bed.fs);
	mutex_unlock(&bed.fs->lock);
	return room;
}

/* Commits of an inode alone, until the next one has to start the log over. */
static void fill_the_log(void)
{
	struct timespec when = { 1000000, 0 };

	for (;; when.tv_sec++) {
		ck_assert_int_eq(image_set_times(bed.image, NULL, &when), 0);
		if (!log_has_room())
			return;
		ck_assert_int_eq(image_flush(bed.image), 0);
	}
}

static uint64_t commits(void)
{
	struct hostfs_stats s;

	hostfs_stats(bed.fs, &s);
	return s.commits;
}

static void *sync_thread(void *arg)
{
	(void)arg;
	return GINT_TO_POINTER(image_flush(bed.image));
}

/* The block that /disk's "(@name)" indirect block is. */
static unsigned long indirect(const char *name)
{
	g_autofree char *stat = hostimg_ask(bed.img, "stat /disk");
	g_autofree char *label = g_strdup_printf("(%s):", name);
	char *at = strstr(stat, label);

	ck_assert_ptr_nonnull(at);
	return strtoul(at + strlen(label), NULL, 10);
}

/*
 * Two tree blocks are to be freed; the bit of the second is clear already, so
 * that the first is gone when the host breaks.
 */
START_TEST(half_a_change_is_not_committed_by_who_leads)
{
	const struct hostimg_piece piece = { 273 * BS, BS };
	uint64_t before;
	pthread_t t;
	void *ret;

	bed_make("-t ext3 -b 1024", SIZE, &piece);
	hostimg_edit(bed.img, "freeb %lu\nsetb 8000\n", indirect("IND"));
	bed_load();
	bed_open();
	fill_the_log();
	before = commits();
	gatedev_shut(bed.gate);
	ck_assert_int_eq(pthread_create(&t, NULL, sync_thread, NULL), 0);
	gatedev_wait(bed.gate, 1); /* of the checkpoint, before the freeze */
	ck_assert_int_lt(image_punch(bed.image, img_off_at(273 * BS), BS), 0);
	ck_assert(hostfs_broken(bed.fs));
	gatedev_open(bed.gate);
	pthread_join(t, &ret);
	ck_assert_int_lt(GPOINTER_TO_INT(ret), 0);
	ck_assert_uint_eq(commits(), before);
	image_free(bed.image);
	ck_assert_int_lt(hostfs_close(bed.fs), 0);
	bed_clear();
}
END_TEST

/* @_i: the write into the log, or its first or second flush. */
START_TEST(an_error_outlives_the_replay)
{
	const struct recover_options opt = { .name = NULL };
	struct recover_report report;
	g_autofree char *said = NULL;
	g_autoptr(GError) error = NULL;

	bed_make("-t ext4 -b 1024", SIZE, NULL);
	bed_load();
	bed_open();
	put(100, 1);
	ck_assert_int_eq(image_flush(bed.image), 0);
	put(200, 2);
	faultdev_arm(bed.fault, _i ? FAULTDEV_FLUSH : FAULTDEV_WRITE,
		     _i ? (uint64_t)_i : 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(image_flush(bed.image), -EIO);
	faultdev_disarm(bed.fault);
	image_free(bed.image);
	ck_assert_int_eq(hostfs_close(bed.fs), -EIO);

	ck_assert_msg(hostfs_recover(bed.mem, &opt, &report, &error), "%s",
		      error ? error->message : "");
	ck_assert(report.had_error);
	hostimg_store(bed.img, memdev_bytes(bed.mem), bed.size);
	ck_assert_int_le(hostimg_preen(bed.img, &said), 1);
	ck_assert_msg(strstr(said, "check forced"), "%s", said);
	bed_clear();
}
END_TEST

/* The journal's superblock says that it is shorter than its inode. */
static void cut_log(uint32_t blocks)
{
	for (size_t at = 0; at < bed.size; at += BS) {
		struct jbd_super *super = (void *)(memdev_bytes(bed.mem) + at);

		if (be32_get(super->header.magic) == JBD_MAGIC &&
		    be32_get(super->header.blocktype) == JBD_SUPER_V2)
			super->maxlen = be32_of(blocks);
	}
}

START_TEST(a_long_write_over_many_groups_fits_a_short_log)
{
	const size_t len = 24 * MIB;
	g_autofree uint8_t *buf = g_malloc(len);
	g_autofree char *said = NULL;

	memset(buf, 7, len);
	bed_make("-t ext4 -b 1024 -g 256 -J size=1 -N 1024 -O ^resize_inode",
		 64 * MIB, NULL);
	bed_load();
	cut_log(256);
	bed_open();
	for (unsigned i = 0; i < 2; i++) {
		ssize_t n = image_pwrite(bed.image, buf, len,
					 img_off_at(i * (len + 999)));

		ck_assert_int_eq(n, (ssize_t)len);
		ck_assert_int_eq(image_flush(bed.image), 0);
	}
	ck_assert_int_eq(image_truncate(bed.image, 0), 0);
	image_free(bed.image);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	hostimg_store(bed.img, memdev_bytes(bed.mem), bed.size);
	ck_assert_msg(hostimg_fsck(bed.img, &said) == 0, "%s", said);
	bed_clear();
}
END_TEST

START_TEST(a_log_that_is_too_short_is_refused)
{
	const struct hostfs_options opt = { .use_reserved = true };
	g_autoptr(GError) error = NULL;

	bed_make("-t ext4 -b 1024", SIZE, NULL);
	bed_load();
	cut_log(200);
	ck_assert_ptr_null(hostfs_open(bed.mem, &opt, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_READONLY);
	ck_assert_msg(strstr(error->message, "too short"), "%s",
		      error->message);
	bed_clear();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("broken_commit");
	TCase *tc = tcase_create("broken_commit");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, half_a_change_is_not_committed_by_who_leads);
	tcase_add_loop_test(tc, an_error_outlives_the_replay, 0, 3);
	tcase_add_test(tc, a_long_write_over_many_groups_fits_a_short_log);
	tcase_add_test(tc, a_log_that_is_too_short_is_refused);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
