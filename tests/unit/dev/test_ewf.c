/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EWF images as devices: the bytes of sound ones, what they say of themselves,
 * which ones are refused. RAWMAP_TEST_CONCURRENT
 */
#include "unit/dev/ewf_bed.h"

#include <rawmap/dev/filedev.h>

#include <rawmap_config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_recognised(const char *name)
{
	g_autofree char *path = filebed_path(dir, name);

	return ewf_recognises(path);
}

/* The heads of files: format 1 and 2, disk and logical, segment 1 and 2. */
static const uint8_t disk1[] = "EVF\t\r\n\xff\0\1\1\0\0\0\0\0";
static const uint8_t second1[] = "EVF\t\r\n\xff\0\1\2\0\0\0\0\0";
static const uint8_t logical1[] = "LVF\t\r\n\xff\0\1\1\0\0\0\0\0";
static const uint8_t disk2[] = "EVF2\r\n\x81\0\2\1\1\0\1\0\0";
static const uint8_t second2[] = "EVF2\r\n\x81\0\2\1\1\0\2\0\0";
static const uint8_t logical2[] = "LEF2\r\n\x81\0\2\1\1\0\1\0\0";

START_TEST(recognised_by_the_first_bytes_whatever_the_name)
{
	filebed_put(dir, "a.img", disk1, sizeof(disk1));
	filebed_put(dir, "b", logical1, sizeof(logical1));
	filebed_put(dir, "c", disk2, sizeof(disk2));
	filebed_put(dir, "d", logical2, sizeof(logical2));
	ck_assert(is_recognised("a.img"));
	ck_assert(is_recognised("b"));
	ck_assert(is_recognised("c"));
	ck_assert(is_recognised("d"));
}
END_TEST

START_TEST(anything_else_is_not_recognised)
{
	g_autofree char *fifo = filebed_path(dir, "fifo");

	filebed_put(dir, "short.E01", disk1, 8);
	filebed_put(dir, "empty.E01", "", 0);
	filebed_put(dir, "other.E01", "EVF\t\r\n\xfe\0\1\1\0\0\0\0\0", 16);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert(!is_recognised("short.E01"));
	ck_assert(!is_recognised("empty.E01"));
	ck_assert(!is_recognised("other.E01"));
	ck_assert(!is_recognised("missing.E01"));
	ck_assert(!is_recognised("fifo"));
	ck_assert(!ewf_recognises(dir));
	ck_assert(!ewf_recognises("/dev/null"));
	ck_refused("other.E01", RAWMAP_ERROR_UNSUPPORTED, "not an EWF");
}
END_TEST

START_TEST(logical_evidence_is_refused)
{
	filebed_put(dir, "a.L01", logical1, sizeof(logical1));
	filebed_put(dir, "b.Lx01", logical2, sizeof(logical2));
	ck_refused("a.L01", RAWMAP_ERROR_UNSUPPORTED, "logical");
	ck_refused("b.Lx01", RAWMAP_ERROR_UNSUPPORTED, "logical");
}
END_TEST

START_TEST(segment_that_is_not_the_first_is_refused)
{
	filebed_put(dir, "a.E02", second1, sizeof(second1));
	filebed_put(dir, "b.Ex02", second2, sizeof(second2));
	ck_refused("a.E02", RAWMAP_ERROR_USAGE, "segment 2");
	ck_refused("b.Ex02", RAWMAP_ERROR_USAGE, "segment 2");
}
END_TEST

#ifdef HAVE_LIBEWF

static const char *const flavours[] = {
	"-f encase6 -c none",	     "-f encase6 -c empty-block",
	"-f encase6 -c fast",	     "-f encase6 -c best",
	"-f encase6 -c fast -x",     "-f encase5 -c fast",
	"-f encase1 -c fast",	     "-f encase7 -c best",
	"-f encase3 -c none",	     "-f ftk -c fast",
	"-f linen5 -c fast",	     "-f ewfx -c best",
	"-f encase6 -c fast -b 16",  "-f encase6 -c none -b 2048",
	"-f encase6 -c fast -P 4096"
};

/* @_i: the flavour. */
START_TEST(image_of_every_flavour_reads_as_its_source)
{
	struct blkdev *dev;

	make_source(SIZE, false);
	ewftools_acquire(dir, "raw", "x", flavours[_i]);
	dev = open_image(strstr(flavours[_i], "-f ewfx ") ? "x.e01" : "x.E01");
	ck_assert(blkdev_geometry(dev)->readonly);
	ck_assert_int_eq(blkdev_pwrite(dev, "x", 1, dev_off_at(0)), -EROFS);
	ck_source(dev, SIZE);
	blkdev_unref(dev);
}
END_TEST

static const size_t lengths[] = { SIZE - 512, SIZE + 777, CHUNK - 512,
				  CHUNK + 77, 511,	  77 };

/* @_i: the length. */
START_TEST(size_is_the_sources_whatever_it_is)
{
	g_autofree uint8_t *exported = NULL;
	struct blkdev *dev;
	size_t len;

	make_source(lengths[_i], false);
	ewftools_acquire(dir, "raw", "x", "-c fast" ODD);
	exported = ewftools_export(dir, "x.E01", &len);
	ck_assert_uint_eq(len, lengths[_i]);
	ck_assert(!memcmp(exported, source, len));
	dev = open_image("x.E01");
	ck_assert_uint_eq(blkdev_geometry(dev)->sector, 512);
	ck_source(dev, lengths[_i]);
	blkdev_unref(dev);
}
END_TEST

START_TEST(many_segments_are_one_image)
{
	struct blkdev *dev;

	make_source(SIZE * 3, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	dev = open_image("x.E01");
	ck_assert_uint_ge(ewf_details(dev)->segments, 9);
	ck_assert(ewf_details(dev)->complete);
	ck_source(dev, SIZE * 3);
	blkdev_unref(dev);
}
END_TEST

START_TEST(image_with_another_name_is_a_single_file)
{
	g_autofree char *from = filebed_path(dir, "x.E01");
	g_autofree char *to = filebed_path(dir, "evidence.img");
	struct blkdev *dev;

	make_source(CHUNK * 4, false);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	ck_assert_int_eq(rename(from, to), 0);
	dev = open_image("evidence.img");
	ck_source(dev, CHUNK * 4);
	blkdev_unref(dev);
}
END_TEST

/* libewf opens files when it needs them. */
START_TEST(relative_path_outlives_the_working_directory)
{
	g_autofree char *here = g_get_current_dir();
	struct blkdev *dev;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	dev = open_image("x.E01");
	ck_assert_int_eq(chdir("/"), 0);
	ck_source(dev, SIZE);
	ck_assert_int_eq(chdir(here), 0);
	blkdev_unref(dev);
}
END_TEST

START_TEST(no_program_inherits_the_files)
{
	struct blkdev *dev;
	unsigned segments = 0;
	uint8_t byte;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	dev = open_image("x.E01");
	ck_assert_int_eq(blkdev_pread(dev, &byte, 1, dev_off_at(SIZE - 1)), 0);
	for (int fd = 3; fd < 256; fd++) {
		g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
		g_autofree char *target = g_file_read_link(link, NULL);

		if (!target || !strstr(target, "/x.E0"))
			continue;
		segments++;
		ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	ck_assert_uint_ge(segments, ewf_details(dev)->segments);
	blkdev_unref(dev);
}
END_TEST

START_TEST(details_are_what_the_examiner_wrote)
{
	g_autofree char *md5 = NULL, *sha1 = NULL;
	const struct ewf_details *d;
	struct blkdev *dev;

	make_source(CHUNK * 4, false);
	ewftools_acquire(dir, "raw", "x",
			 "-c fast -d sha1 -C 2024/17 -E 17.1 -e J.Doe "
			 "-D disk -N attic");
	md5 = g_compute_checksum_for_data(G_CHECKSUM_MD5, source, CHUNK * 4);
	sha1 = g_compute_checksum_for_data(G_CHECKSUM_SHA1, source, CHUNK * 4);
	dev = open_image("x.E01");
	d = ewf_details(dev);
	ck_assert_str_eq(d->case_number, "2024/17");
	ck_assert_str_eq(d->evidence_number, "17.1");
	ck_assert_str_eq(d->examiner, "J.Doe");
	ck_assert_str_eq(d->description, "disk");
	ck_assert_str_eq(d->notes, "attic");
	ck_assert_str_eq(d->md5, md5);
	ck_assert_str_eq(d->sha1, sha1);
	ck_assert_ptr_nonnull(d->acquired);
	ck_assert_ptr_nonnull(d->software);
	ck_assert_ptr_null(d->serial);
	ck_assert_uint_eq(d->segments, 1);
	ck_assert(d->complete);
	blkdev_unref(dev);
}
END_TEST

START_TEST(hash_that_is_not_stored_is_no_detail)
{
	struct blkdev *dev;

	make_source(CHUNK * 4, false);
	ewftools_acquire(dir, "raw", "x", "-c fast -f encase5");
	dev = open_image("x.E01");
	ck_assert_ptr_nonnull(ewf_details(dev)->md5);
	ck_assert_ptr_null(ewf_details(dev)->sha1);
	blkdev_unref(dev);
}
END_TEST

START_TEST(other_devices_have_no_details)
{
	struct filedev_options opt = { .readonly = true };
	g_autofree char *path = filebed_path(dir, "raw");
	struct blkdev *dev;

	make_source(CHUNK, false);
	dev = filedev_open(path, &opt, NULL);
	ck_assert_ptr_nonnull(dev);
	ck_assert_ptr_null(ewf_details(dev));
	blkdev_unref(dev);
}
END_TEST

/* ---- threads ---- */

#define READERS 4

struct reader {
	pthread_t thread;
	struct blkdev *dev;
	guint32 seed;
	bool failed;
};

static void *read_pieces(void *arg)
{
	struct reader *r = arg;
	g_autofree uint8_t *buf = g_malloc(3 * CHUNK);
	g_autoptr(GRand) rand = g_rand_new_with_seed(r->seed);

	for (unsigned i = 0; i < 150 && !r->failed; i++) {
		size_t pos =
			(size_t)g_rand_int_range(rand, 0, SIZE - 3 * CHUNK);
		size_t len = (size_t)g_rand_int_range(rand, 1, 3 * CHUNK);

		r->failed = blkdev_pread(r->dev, buf, len, dev_off_at(pos)) ||
			    memcmp(buf, source + pos, len);
	}
	return NULL;
}

START_TEST(threads_read_at_once)
{
	struct reader r[READERS] = { 0 };
	struct blkdev *dev;

	make_source(SIZE, false);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	dev = open_image("x.E01");
	for (unsigned i = 0; i < READERS; i++) {
		r[i].dev = dev;
		r[i].seed = i;
		ck_assert_int_eq(pthread_create(&r[i].thread, NULL, read_pieces,
						&r[i]),
				 0);
	}
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(r[i].thread, NULL);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_msg(!r[i].failed, "reader %u got other bytes", i);
	blkdev_unref(dev);
}
END_TEST

START_TEST(smart_image_is_refused)
{
	make_source(CHUNK, false);
	ewftools_acquire(dir, "raw", "x", "-f smart -c fast");
	ck_assert(is_recognised("x.s01"));
	ck_refused("x.s01", RAWMAP_ERROR_UNSUPPORTED, "S01");
}
END_TEST

START_TEST(image_that_the_library_does_not_know_is_an_error)
{
	g_autofree uint8_t *bytes = g_malloc0(4096);
	g_autofree char *path = filebed_path(dir, "x.Ex01");
	g_autoptr(GError) error = NULL;

	memcpy(bytes, disk2, sizeof(disk2));
	filebed_put(dir, "x.Ex01", bytes, 4096);
	ck_assert_ptr_null(ewf_open(path, &error));
	ck_assert(error != NULL);
}
END_TEST

/* ---- locks ---- */

START_TEST(segments_of_an_open_image_are_locked)
{
	struct filedev_options opt = { .lock = true };
	struct blkdev *dev, *again;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	dev = open_image("x.E01");
	again = open_image("x.E01");
	for (unsigned i = 1; i <= 3; i++) {
		g_autofree char *name = segment_name(i);
		g_autofree char *path = filebed_path(dir, name);
		g_autoptr(GError) error = NULL;

		ck_assert_ptr_null(filedev_open(path, &opt, &error));
		ck_assert(g_error_matches(error, RAWMAP_ERROR,
					  RAWMAP_ERROR_BUSY));
	}
	blkdev_unref(dev);
	blkdev_unref(again);
}
END_TEST

START_TEST(segment_that_somebody_writes_is_busy)
{
	g_autofree char *path = filebed_path(dir, "x.E03");
	int fd;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_refused("x.E01", RAWMAP_ERROR_BUSY, "x.E03");
	close(fd);
	blkdev_unref(open_image("x.E01"));
}
END_TEST

static void add_images(Suite *suite)
{
	TCase *sound = tcase_create("images");

	suite_add_tcase(suite, sound);
	tcase_add_checked_fixture(sound, setup, teardown);
	tcase_add_loop_test(sound, image_of_every_flavour_reads_as_its_source,
			    0, (int)G_N_ELEMENTS(flavours));
	tcase_add_loop_test(sound, size_is_the_sources_whatever_it_is, 0,
			    (int)G_N_ELEMENTS(lengths));
	tcase_add_test(sound, many_segments_are_one_image);
	tcase_add_test(sound, image_with_another_name_is_a_single_file);
	tcase_add_test(sound, relative_path_outlives_the_working_directory);
	tcase_add_test(sound, no_program_inherits_the_files);
	tcase_add_test(sound, details_are_what_the_examiner_wrote);
	tcase_add_test(sound, hash_that_is_not_stored_is_no_detail);
	tcase_add_test(sound, other_devices_have_no_details);
	tcase_add_test(sound, threads_read_at_once);
	tcase_add_test(sound, segments_of_an_open_image_are_locked);
	tcase_add_test(sound, segment_that_somebody_writes_is_busy);
	tcase_add_test(sound, smart_image_is_refused);
	tcase_add_test(sound, image_that_the_library_does_not_know_is_an_error);
}

#else

START_TEST(image_is_refused_without_the_library)
{
	filebed_put(dir, "a.E01", disk1, sizeof(disk1));
	ck_refused("a.E01", RAWMAP_ERROR_UNSUPPORTED, "without libewf");
}
END_TEST

static void add_images(Suite *suite)
{
	TCase *tc = tcase_create("without");

	printf("skipped: images, this rawmap was built without libewf\n");
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, image_is_refused_without_the_library);
}

#endif

int main(void)
{
	Suite *suite = suite_create("ewf");
	TCase *tc = tcase_create("heads");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, recognised_by_the_first_bytes_whatever_the_name);
	tcase_add_test(tc, anything_else_is_not_recognised);
	tcase_add_test(tc, logical_evidence_is_refused);
	tcase_add_test(tc, segment_that_is_not_the_first_is_refused);
	add_images(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
