/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said when a library refuses, or memory cannot be had. These functions
 * stand here, before those of the libraries; other tests have the libraries' own.
 *
 *   function                                answers
 *   memfd_create                            no memory, if the test says so
 *   pwrite                                  the same
 *   blkid_new_probe                         no memory
 *   libewf_handle_segment_files_corrupted   yes
 */
#include "unit/dev/ewf_bed.h"

#include <rawmap/dev/parttable.h>

#include <support/memdev.h>

#include <rawmap_config.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define DISK_SIZE (UINT64_C(1) << 20)

static bool has_no_file, has_no_room;

static void setup_all(void)
{
	has_no_file = has_no_room = false;
	setup();
}

static void teardown_all(void)
{
	has_no_file = has_no_room = false;
	teardown();
}

/* ---- in their place ---- */

int memfd_create(const char *name, unsigned flags)
{
	if (!has_no_file)
		return (int)syscall(SYS_memfd_create, name, flags);
	errno = ENFILE;
	return -1;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t pos)
{
	const struct iovec part = { (void *)(uintptr_t)buf, len };

	if (!has_no_room)
		return pwritev(fd, &part, 1, pos);
	errno = ENOSPC;
	return -1;
}

void *blkid_new_probe(void);
int libewf_handle_segment_files_corrupted(void *handle, void **why);

void *blkid_new_probe(void)
{
	return NULL;
}

int libewf_handle_segment_files_corrupted(void *handle, void **why)
{
	(void)handle;
	(void)why;
	return 1;
}

/* ---- partitions ---- */

static void ck_no_table(struct blkdev *dev, int code, const char *sentence)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(parttable_read(dev, "the disk", &error));
	ck_assert_ptr_nonnull(error);
	ck_assert_str_eq(error->message, sentence);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, code));
	blkdev_unref(dev);
}

START_TEST(without_a_file_in_memory_there_is_no_table)
{
	has_no_file = true;
	ck_no_table(memdev_new(DISK_SIZE, 512), RAWMAP_ERROR_FAILED,
		    "'the disk': partitions cannot be looked for without a "
		    "file in memory; say where the filesystem begins, "
		    "offset=: Too many open files in system");
}
END_TEST

START_TEST(without_memory_for_the_file_there_is_no_table)
{
	has_no_room = true;
	ck_no_table(memdev_new(DISK_SIZE, 512), RAWMAP_ERROR_FAILED,
		    "'the disk': partitions cannot be looked for without a "
		    "file in memory; say where the filesystem begins, "
		    "offset=: No space left on device");
}
END_TEST

START_TEST(without_libblkid_there_is_no_table)
{
#ifdef HAVE_BLKID
	ck_no_table(memdev_new(DISK_SIZE, 512), RAWMAP_ERROR_FAILED,
		    "'the disk': libblkid cannot look for partitions; say "
		    "where the filesystem begins, offset=");
#else
	ck_no_table(memdev_new(DISK_SIZE, 512), RAWMAP_ERROR_UNSUPPORTED,
		    "this rawmap was built without libblkid and cannot read "
		    "partition tables; say where the filesystem begins, "
		    "offset=");
#endif
}
END_TEST

/* ---- EWF ---- */

#ifdef HAVE_LIBEWF
START_TEST(image_that_the_library_finds_damaged_is_refused)
{
	g_autofree char *path = filebed_path(dir, "x.E01");
	g_autofree char *whole = g_canonicalize_filename(path, NULL);
	g_autofree char *sentence = g_strdup_printf(
		"libewf finds the segments of '%s' damaged or incomplete; "
		"ewfrecover may help",
		whole);
	g_autoptr(GError) error = NULL;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	ck_assert_ptr_null(ewf_open(path, &error));
	ck_assert_ptr_nonnull(error);
	ck_assert_str_eq(error->message, sentence);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT));
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("library_calls");
	TCase *tc = tcase_create("library_calls");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup_all, teardown_all);
	tcase_add_test(tc, without_a_file_in_memory_there_is_no_table);
	tcase_add_test(tc, without_memory_for_the_file_there_is_no_table);
	tcase_add_test(tc, without_libblkid_there_is_no_table);
#ifdef HAVE_LIBEWF
	tcase_add_test(tc, image_that_the_library_finds_damaged_is_refused);
#endif
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
