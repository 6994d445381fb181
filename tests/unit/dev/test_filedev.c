/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file device over real temporary files, and over loop devices where root
 * and losetup are at hand. Temporary files stand in the working directory:
 * /tmp may be a filesystem without direct I/O.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/filedev.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (3u << 20)

static char path[] = "filedev-XXXXXX";

static void make_file(off_t size)
{
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void setup(void)
{
	make_file(SIZE);
}

static void teardown(void)
{
	unlink(path);
}

static struct blkdev *open_at(const char *at, enum filedev_direct direct,
			      bool readonly)
{
	struct filedev_options opt = { .readonly = readonly,
				       .direct = direct,
				       .lock = true };
	g_autoptr(GError) error = NULL;
	struct blkdev *dev = filedev_open(at, &opt, &error);

	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	return dev;
}

static void ck_refused(const char *at, bool readonly, int code)
{
	struct filedev_options opt = { .readonly = readonly, .lock = true };
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(filedev_open(at, &opt, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error ? error->message : "no error");
	ck_assert_ptr_nonnull(strstr(error->message, at));
}

/* Unaligned, aligned, misaligned memory: everything against a model. */
static void ck_against_model(struct blkdev *dev, guint32 seed)
{
	size_t size = blkdev_geometry(dev)->size;
	g_autofree uint8_t *model = g_malloc0(size);
	g_autofree uint8_t *got = g_malloc(size);
	g_autofree uint8_t *buf = g_malloc(size + 4096);
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

	ck_assert_uint_le(size, G_MAXINT32);
	ck_assert_int_eq(blkdev_zero(dev, size, dev_off_at(0)), 0);
	for (unsigned round = 0; round < 150; round++) {
		size_t pos = (size_t)g_rand_int_range(rand, 0, (gint32)size);
		size_t max = round % 8 ? 5000 : size;
		size_t len = (size_t)g_rand_int_range(rand, 1, (gint32)max);
		uint8_t *at = buf + g_rand_int_range(rand, 0, 4096);

		if (round % 16 == 15)
			pos = size - MIN(len, size);
		if (round % 3 == 0) {
			at = (uint8_t *)(((uintptr_t)buf + 4095) & ~4095ul);
			pos &= ~4095ul;
			len = (len + 4095) & ~4095ul;
		}
		len = MIN(len, size - pos);
		if (round % 5 == 4) {
			memset(model + pos, 0, len);
			ck_assert_int_eq(blkdev_zero(dev, len, dev_off_at(pos)),
					 0);
			continue;
		}
		if (round % 2) {
			ck_assert_int_eq(
				blkdev_pread(dev, at, len, dev_off_at(pos)), 0);
			ck_assert(!memcmp(at, model + pos, len));
			continue;
		}
		for (size_t i = 0; i < len; i++)
			at[i] = (uint8_t)(i + round);
		memcpy(model + pos, at, len);
		ck_assert_int_eq(blkdev_pwrite(dev, at, len, dev_off_at(pos)),
				 0);
	}
	ck_assert_int_eq(blkdev_flush(dev), 0);
	ck_assert_int_eq(blkdev_pread(dev, got, size, dev_off_at(0)), 0);
	ck_assert(!memcmp(got, model, size));
}

static const off_t sizes[] = { SIZE, SIZE + 512, SIZE + 1, SIZE + 4095, 777 };

/* @_i: each mode with each size. */
START_TEST(random_io_agrees_with_a_model_and_keeps_the_size)
{
	enum filedev_direct mode = (enum filedev_direct)(_i % 3);
	off_t size = sizes[_i / 3];
	struct blkdev *dev;
	struct stat st;

	teardown();
	make_file(size);
	dev = open_at(path, mode, false);
	ck_assert_uint_eq(blkdev_geometry(dev)->size, (uint64_t)size);
	ck_assert(mode == FILEDEV_DIRECT_AUTO ||
		  filedev_is_direct(dev) == (mode == FILEDEV_DIRECT_ON));
	ck_against_model(dev, (guint32)_i);
	blkdev_unref(dev);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, size);
}
END_TEST

START_TEST(tail_is_coherent_with_another_open_file)
{
	static const char text[] = "the end";
	struct blkdev *dev;
	char back[sizeof(text)];
	int fd;

	teardown();
	make_file(SIZE + sizeof(text));
	dev = open_at(path, FILEDEV_DIRECT_AUTO, false);
	ck_assert_int_eq(
		blkdev_pwrite(dev, text, sizeof(text), dev_off_at(SIZE)), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, back, sizeof(back), SIZE), sizeof(back));
	ck_assert_str_eq(back, text);
	close(fd);
	blkdev_unref(dev);
}
END_TEST

START_TEST(discard_leaves_ragged_edges_alone)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);
	struct blkdev *dev = open_at(path, FILEDEV_DIRECT_AUTO, false);
	struct stat st;

	memset(buf, 0x5a, SIZE);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, SIZE, dev_off_at(0)), 0);
	ck_assert_int_eq(blkdev_discard(dev, 100, dev_off_at(10)), 0);
	ck_assert_int_eq(blkdev_discard(dev, 1 << 20, dev_off_at(100)), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, SIZE, dev_off_at(0)), 0);
	for (size_t i = 0; i < 512; i++) {
		ck_assert_uint_eq(buf[i], 0x5a);
		ck_assert_uint_eq(buf[(1 << 20) + 100 + i], 0x5a);
	}
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE);
	blkdev_unref(dev);
}
END_TEST

/* @_i: the mode. */
START_TEST(file_cut_off_underneath_is_eio)
{
	struct blkdev *dev = open_at(path, (enum filedev_direct)_i, false);
	g_autofree char *buf = g_malloc(SIZE);

	ck_assert_int_eq(truncate(path, SIZE / 2 + 100), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, SIZE, dev_off_at(0)), -EIO);
	ck_assert_int_eq(blkdev_pread(dev, buf, 9, dev_off_at(SIZE - 9)), -EIO);
	blkdev_unref(dev);
}
END_TEST

START_TEST(second_writer_and_reader_of_a_written_file_are_busy)
{
	struct blkdev *dev = open_at(path, FILEDEV_DIRECT_AUTO, false);

	ck_refused(path, false, RAWMAP_ERROR_BUSY);
	ck_refused(path, true, RAWMAP_ERROR_BUSY);
	blkdev_unref(dev);
	blkdev_unref(open_at(path, FILEDEV_DIRECT_AUTO, false));
}
END_TEST

START_TEST(readers_share_and_keep_writers_out)
{
	struct blkdev *a = open_at(path, FILEDEV_DIRECT_AUTO, true);
	struct blkdev *b = open_at(path, FILEDEV_DIRECT_AUTO, true);

	ck_refused(path, false, RAWMAP_ERROR_BUSY);
	blkdev_unref(a);
	blkdev_unref(b);
}
END_TEST

START_TEST(readonly_refuses_writes)
{
	struct blkdev *dev = open_at(path, FILEDEV_DIRECT_AUTO, true);

	ck_assert(blkdev_geometry(dev)->readonly);
	ck_assert(!blkdev_geometry(dev)->can_discard);
	ck_assert_int_eq(blkdev_pwrite(dev, "x", 1, dev_off_at(0)), -EROFS);
	blkdev_unref(dev);
}
END_TEST

START_TEST(missing_path_is_not_found)
{
	ck_refused("no-such-file", true, RAWMAP_ERROR_NOT_FOUND);
	ck_refused("no-such-folder/file", false, RAWMAP_ERROR_NOT_FOUND);
}
END_TEST

START_TEST(what_is_no_file_is_unsupported)
{
	ck_refused(".", true, RAWMAP_ERROR_UNSUPPORTED);
	ck_refused("/dev/null", false, RAWMAP_ERROR_UNSUPPORTED);
	teardown();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_refused(path, true, RAWMAP_ERROR_UNSUPPORTED);
}
END_TEST

START_TEST(no_permission_to_write_is_readonly)
{
	if (!geteuid()) {
		printf("skipped: root may write everything\n");
		return;
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_refused(path, false, RAWMAP_ERROR_READONLY);
}
END_TEST

/* The name of a fresh loop device over the file, or NULL. */
static char *loop_new(unsigned sector)
{
	g_autofree char *command = g_strdup_printf(
		"losetup --show -f -b %u %s 2>&1", sector, path);
	char name[256] = "";
	FILE *pipe;

	if (geteuid()) {
		printf("skipped: loop devices need root\n");
		return NULL;
	}
	pipe = popen(command, "re");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_ptr_nonnull(fgets(name, sizeof(name), pipe));
	if (pclose(pipe)) {
		printf("skipped: no loop device: %s", name);
		return NULL;
	}
	return g_strdup(g_strchomp(name));
}

static void loop_free(const char *loop)
{
	g_autofree char *command = g_strdup_printf("losetup -d %s", loop);

	ck_assert_int_eq(system(command), 0);
}

static const unsigned sectors[] = { 512, 4096 };

/* @_i: the sector size; direct and buffered both. */
START_TEST(block_device_agrees_with_a_model)
{
	g_autofree char *loop = loop_new(sectors[_i]);
	struct blkdev *dev;

	if (!loop)
		return;
	for (int mode = FILEDEV_DIRECT_AUTO; mode <= FILEDEV_DIRECT_OFF;
	     mode++) {
		dev = open_at(loop, (enum filedev_direct)mode, false);
		ck_assert_uint_eq(blkdev_geometry(dev)->size, SIZE);
		ck_assert_uint_eq(blkdev_geometry(dev)->sector, sectors[_i]);
		ck_assert_uint_eq(blkdev_geometry(dev)->align,
				  mode == FILEDEV_DIRECT_OFF ? 1 : sectors[_i]);
		ck_against_model(dev, (guint32)mode);
		ck_assert_int_eq(blkdev_discard(dev, 1 << 20, dev_off_at(1)),
				 0);
		blkdev_unref(dev);
	}
	loop_free(loop);
}
END_TEST

START_TEST(second_user_of_a_written_block_device_is_busy)
{
	g_autofree char *loop = loop_new(512);
	struct blkdev *dev;

	if (!loop)
		return;
	dev = open_at(loop, FILEDEV_DIRECT_AUTO, false);
	ck_refused(loop, false, RAWMAP_ERROR_BUSY);
	ck_refused(loop, true, RAWMAP_ERROR_BUSY);
	blkdev_unref(dev);
	blkdev_unref(open_at(loop, FILEDEV_DIRECT_AUTO, false));
	loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filedev");
	TCase *tc = tcase_create("filedev");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc,
			    random_io_agrees_with_a_model_and_keeps_the_size, 0,
			    3 * (int)G_N_ELEMENTS(sizes));
	tcase_add_test(tc, tail_is_coherent_with_another_open_file);
	tcase_add_test(tc, discard_leaves_ragged_edges_alone);
	tcase_add_loop_test(tc, file_cut_off_underneath_is_eio, 0, 3);
	tcase_add_test(tc, second_writer_and_reader_of_a_written_file_are_busy);
	tcase_add_test(tc, readers_share_and_keep_writers_out);
	tcase_add_test(tc, readonly_refuses_writes);
	tcase_add_test(tc, missing_path_is_not_found);
	tcase_add_test(tc, what_is_no_file_is_unsupported);
	tcase_add_test(tc, no_permission_to_write_is_readonly);
	tcase_add_loop_test(tc, block_device_agrees_with_a_model, 0,
			    (int)G_N_ELEMENTS(sectors));
	tcase_add_test(tc, second_user_of_a_written_block_device_is_busy);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
