/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freeing a loop device, or leaving it alone.
 *
 * LOOP_CLR_FD is lazy: while somebody else has the device open it only marks it
 * to be cleared at the last close, and says that all is well. So:
 *
 *   open it exclusively   the kernel knows whom it gave it to: a filesystem,
 *                         swap, device mapper, a partition of it
 *   flush it
 *   LOOP_CLR_FD, close    free at once when nobody else has it open
 *   wait, a moment        somebody may only be looking (udev)
 *   take the mark back    somebody uses it: he keeps it, and we say so
 *
 * It is opened for reading only: udev looks at what was open for writing.
 */
#include "loopdev_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/dev/inuse.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void report_busy(const struct loopdev *dev, GError **error)
{
	g_autofree char *kernel = inuse_disk(dev->name);
	g_autofree char *process = kernel ? NULL : inuse_process(dev->path);

	if (kernel)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "%s; end that first", kernel);
	else if (process)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is in use by %s; end that first", dev->path,
			    process);
	else
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is in use: mounted, or held by another "
			    "program; end that first",
			    dev->path);
}

static int open_exclusively(const struct loopdev *dev, GError **error)
{
	struct patience patience = { 0 };
	int fd, err;

	do {
		fd = open(dev->path, O_RDONLY | O_EXCL | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		err = errno;
	} while (err == EBUSY && be_patient(&patience));
	if (err == EBUSY)
		report_busy(dev, error);
	else
		error_set_errno(error, RAWMAP_ERROR_IO, err, "cannot open '%s'",
				dev->path);
	return -1;
}

/* sysfs has the file as long as the device has it. */
static bool has_file(const char *name, const char *file)
{
	g_autofree char *now = loopdev_attribute(name, "loop/backing_file");

	return now && g_str_equal(now, file);
}

static bool is_attached(const struct loopdev *dev)
{
	return has_file(dev->name, dev->backing);
}

bool loopdev_wait_until_free(const char *name, const char *file)
{
	struct patience patience = { 0 };

	while (has_file(name, file))
		if (!be_patient(&patience))
			return false;
	return true;
}

/* True: it stays attached. False: it was just freed. */
static bool keep(const struct loopdev *dev)
{
	struct loop_info64 info = { 0 };
	int fd = open(dev->path, O_RDWR | O_CLOEXEC);
	bool kept;

	if (fd < 0)
		fd = open(dev->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return is_attached(dev);
	kept = ioctl(fd, LOOP_GET_STATUS64, &info) == 0;
	info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
	kept = kept && ioctl(fd, LOOP_SET_STATUS64, &info) == 0;
	close(fd);
	return kept || is_attached(dev);
}

bool loopdev_detach(const struct loopdev *dev, int *ret_flush_err,
		    GError **error)
{
	int fd = open_exclusively(dev, error);

	if (fd < 0)
		return false;
	*ret_flush_err = fsync(fd) < 0 ? errno : 0;
	/* While nobody else can get it. */
	loopdev_set_affinity(dev->name, LOOPDEV_AFFINITY_DEFAULT);
	if (ioctl(fd, LOOP_CLR_FD) < 0) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot detach '%s'; try 'losetup -d'",
				dev->path);
		close(fd);
		return false;
	}
	close(fd);
	if (loopdev_wait_until_free(dev->name, dev->backing) || !keep(dev))
		return true;
	loopdev_set_affinity(dev->name, LOOPDEV_AFFINITY);
	report_busy(dev, error);
	return false;
}
