/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said when the kernel refuses what it seldom refuses. The functions of
 * libc that opening a source calls stand here, before libc's own, and fail where
 * the test says so.
 *
 *   call    fails as
 *   fstat   another file than stat() saw; at the size
 *   flock   a network filesystem without locks
 *   fcntl   a file that cannot do without O_DIRECT
 *   ioctl   a device that is gone; one of large sectors
 *
 * Devices are files that stat() and fstat() call devices.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/filedev.h>

#include <support/filebed.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 8192

static struct {
	bool is_device, is_other, has_no_locks, is_gone, is_direct;
	int fstat_fails_at; /* the call, counted from 1; 0: none */
	int sector;
	int fstats;
} fault;

static char *dir, *path;

static void setup(void)
{
	static const uint8_t zeros[SIZE];

	dir = filebed_new();
	path = filebed_path(dir, "source");
	filebed_put(dir, "source", zeros, sizeof(zeros));
	memset(&fault, 0, sizeof(fault));
}

static void teardown(void)
{
	memset(&fault, 0, sizeof(fault));
	filebed_free(dir);
	g_free(path);
}

/* ---- in libc's place ---- */

static int look(int fd, const char *name, struct stat *st, int flags)
{
	int res = fstatat(fd, name, st, flags);

	if (fault.is_device)
		st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
	return res;
}

int stat(const char *restrict name, struct stat *restrict st)
{
	return look(AT_FDCWD, name, st, 0);
}

int fstat(int fd, struct stat *st)
{
	int res = look(fd, "", st, AT_EMPTY_PATH);

	if (++fault.fstats == fault.fstat_fails_at) {
		errno = EIO;
		return -1;
	}
	if (fault.is_other)
		st->st_ino++;
	return res;
}

int flock(int fd, int how)
{
	if (!fault.has_no_locks)
		return (int)syscall(SYS_flock, fd, how);
	errno = ENOLCK;
	return -1;
}

/* Of all that passes here each argument is a number. */
int fcntl(int fd, int cmd, ...)
{
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	if (fault.is_direct && cmd == F_SETFL) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

#ifdef STATX_DIOALIGN
/* Opened with O_DIRECT, and then it cannot. */
int statx(int fd, const char *restrict name, int flags, unsigned mask,
	  struct statx *restrict ret)
{
	int res = (int)syscall(SYS_statx, fd, name, flags, mask, ret);

	if (fault.is_direct) {
		ret->stx_mask |= STATX_DIOALIGN;
		ret->stx_dio_offset_align = ret->stx_dio_mem_align = 0;
	}
	return res;
}
#endif

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!fault.is_device)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (fault.is_gone) {
		errno = ENXIO;
		return -1;
	}
	if (request == BLKGETSIZE64)
		*(uint64_t *)arg = SIZE;
	else
		*(int *)arg = request == BLKSSZGET ? fault.sector : 0;
	return 0;
}

/* ---- what is said ---- */

/* @sentence: "%s" stands for the path. */
static void ck_says(enum filedev_direct direct, int code, const char *sentence)
{
	const struct filedev_options opt = { .lock = true, .direct = direct };
	g_auto(GStrv) part = g_strsplit(sentence, "%s", 2);
	g_autofree char *whole = g_strconcat(part[0], path, part[1], NULL);
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(filedev_open(path, &opt, &error));
	ck_assert_ptr_nonnull(error);
	ck_assert_str_eq(error->message, whole);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, code));
}

START_TEST(without_a_fault_it_opens)
{
	const struct filedev_options opt = { .lock = true };
	struct blkdev *dev = filedev_open(path, &opt, NULL);

	ck_assert_ptr_nonnull(dev);
	ck_assert_uint_eq(blkdev_geometry(dev)->size, SIZE);
	blkdev_unref(dev);

	fault.is_device = true;
	fault.sector = 512;
	dev = filedev_open(path, &opt, NULL);
	ck_assert_ptr_nonnull(dev);
	blkdev_unref(dev);
}
END_TEST

START_TEST(another_file_in_its_place)
{
	fault.is_other = true;
	ck_says(FILEDEV_DIRECT_AUTO, RAWMAP_ERROR_IO,
		"'%s' was replaced while it was opened; try again");
}
END_TEST

START_TEST(no_locks)
{
	fault.has_no_locks = true;
	ck_says(FILEDEV_DIRECT_AUTO, RAWMAP_ERROR_IO,
		"cannot lock '%s'; copy it to a filesystem with locks, or mount "
		"that one with them: No locks available");
}
END_TEST

START_TEST(a_device_that_is_gone)
{
	fault.is_device = fault.is_gone = true;
	ck_says(FILEDEV_DIRECT_AUTO, RAWMAP_ERROR_IO,
		"cannot learn the geometry of '%s'; see whether the device is "
		"still there: No such device or address");
}
END_TEST

static const int sectors[] = { 0, 256, 520, 131072 };

START_TEST(sectors_that_cannot_be_used)
{
	g_autofree char *sentence = g_strdup_printf(
		"'%%s' has sectors of %d bytes, which rawmap cannot use; copy "
		"it to a file first",
		sectors[_i]);

	fault.is_device = true;
	fault.sector = sectors[_i];
	ck_says(FILEDEV_DIRECT_AUTO, RAWMAP_ERROR_UNSUPPORTED, sentence);
}
END_TEST

#ifdef STATX_DIOALIGN
START_TEST(direct_io_that_cannot_be_left)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	/* A filesystem without any: it is never asked for. */
	if (fd < 0)
		return;
	close(fd);
	fault.is_direct = true;
	ck_says(FILEDEV_DIRECT_AUTO, RAWMAP_ERROR_IO,
		"cannot use '%s' without direct I/O; try -o direct=off: "
		"Invalid argument");
}
END_TEST
#endif

/* The first look at the descriptor is whether it is the file. */
START_TEST(a_size_that_cannot_be_had)
{
	fault.fstat_fails_at = 2;
	ck_says(FILEDEV_DIRECT_OFF, RAWMAP_ERROR_IO,
		"cannot learn the size of '%s'; see whether it is still there: "
		"Input/output error");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filedev_calls");
	TCase *tc = tcase_create("filedev_calls");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, without_a_fault_it_opens);
	tcase_add_test(tc, another_file_in_its_place);
	tcase_add_test(tc, no_locks);
	tcase_add_test(tc, a_device_that_is_gone);
	tcase_add_loop_test(tc, sectors_that_cannot_be_used, 0,
			    (int)G_N_ELEMENTS(sectors));
#ifdef STATX_DIOALIGN
	tcase_add_test(tc, direct_io_that_cannot_be_left);
#endif
	tcase_add_test(tc, a_size_that_cannot_be_had);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
