/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding a free loop device, and attaching a file to it.
 *
 * LOOP_CTL_GET_FREE names a device and reserves nothing: who is second gets
 * EBUSY from LOOP_CONFIGURE and asks again. LOOP_CONFIGURE takes the file, the
 * flags and the size of a sector in one step, so that nobody ever sees a device
 * that is half set up (Linux 5.8, drivers/block/loop.c).
 */
#include "loopdev_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTROL "/dev/loop-control"

static int open_control(GError **error)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"loop devices are for root and the group of "
				"'" CONTROL "'; 'rawmap mount' shows an image "
				"as a file without one");
	else
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"the kernel has no loop devices to give; "
				"'modprobe loop' may bring them (" CONTROL ")");
	return -1;
}

bool loopdev_may_attach(GError **error)
{
	int fd = open_control(error);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* A file that knows no direct I/O is opened without. */
static int open_file(const char *path, bool readonly)
{
	int flags = O_CLOEXEC | (readonly ? O_RDONLY : O_RDWR);
	int fd = open(path, flags | O_DIRECT);

	return fd < 0 && errno == EINVAL ? open(path, flags) : fd;
}

/*
 * The node of a new device, and its owner, come a moment after the device. The
 * descriptor or -errno.
 */
static int open_node(const char *path, bool readonly)
{
	struct patience patience = { 0 };
	int fd, err;

	do {
		fd = open(path, O_CLOEXEC | (readonly ? O_RDONLY : O_RDWR));
		if (fd >= 0)
			return fd;
		err = errno;
	} while ((err == ENOENT || err == EACCES || err == ENXIO) &&
		 be_patient(&patience));
	return -err;
}

static struct loop_config config_of(int file, const char *path,
				    const struct loopdev_options *opt)
{
	struct loop_config config = {
		.fd = (uint32_t)file,
		.block_size = opt->sector,
		.info.lo_flags = LO_FLAGS_DIRECT_IO,
	};

	if (opt->readonly)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (opt->partscan)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	g_strlcpy((char *)config.info.lo_file_name, path, LO_NAME_SIZE);
	return config;
}

/*
 * A free device with @config: its descriptor, or -errno. *ret_name is the last
 * one that was tried; NULL: there was none.
 */
static int configure(int control, const struct loop_config *config,
		     bool readonly, char **ret_name)
{
	struct patience patience = { 0 };
	int err;

	do {
		g_autofree char *path = NULL;
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (number < 0)
			return -errno;
		g_free(*ret_name);
		*ret_name = g_strdup_printf("loop%d", number);
		path = g_build_filename("/dev", *ret_name, NULL);
		fd = open_node(path, readonly);
		if (fd < 0)
			return fd;
		if (ioctl(fd, LOOP_CONFIGURE, config) == 0)
			return fd;
		err = errno;
		close(fd);
	} while (err == EBUSY && be_patient(&patience));
	return -err;
}

/* Did the kernel do all that it was told, or only not complain? */
static bool check_flags(int fd, const char *name,
			const struct loopdev_options *opt, GError **error)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot learn what '/dev/%s' is; try again",
				name);
		return false;
	}
	if (!(info.lo_flags & LO_FLAGS_DIRECT_IO))
		log_info("'/dev/%s' goes through the page cache: the kernel "
			 "has no direct I/O for it",
			 name);
	if (!opt->partscan || (info.lo_flags & LO_FLAGS_PARTSCAN))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "this kernel does not look for partitions on loop devices; "
		    "go without -P, and use 'partx -a'");
	return false;
}

/*
 * Where a request ends matters for a device whose requests a process answers:
 * on the processor of who waits, not of who answered.
 */
void loopdev_set_affinity(const char *name, const char *value)
{
	g_autofree char *path =
		g_build_filename("/sys/block", name, "queue/rq_affinity", NULL);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_debug("'%s' stays as it is: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static struct loopdev *attach(int control, int file, const char *path,
			      const struct loopdev_options *opt, GError **error)
{
	struct loop_config config = config_of(file, path, opt);
	g_autofree char *name = NULL;
	struct loopdev *dev = NULL;
	int fd = configure(control, &config, opt->readonly, &name);

	if (fd < 0) {
		error_set_errno(error, RAWMAP_ERROR_FAILED, -fd,
				"cannot attach a loop device (%s) to '%s'; try "
				"again, or detach one that losetup lists",
				name ? name : "there is none free", path);
		return NULL;
	}
	if (check_flags(fd, name, opt, error)) {
		dev = loopdev_look_at(name);
		if (!dev)
			g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
				    "'/dev/%s' was detached as soon as it was "
				    "attached; try again",
				    name);
	}
	if (dev)
		loopdev_set_affinity(name, LOOPDEV_AFFINITY);
	else
		ioctl(fd, LOOP_CLR_FD);
	close(fd);
	/* The mount is in use as long. */
	if (!dev)
		loopdev_wait_until_free(name, path);
	return dev;
}

struct loopdev *loopdev_attach(const char *file,
			       const struct loopdev_options *opt,
			       GError **error)
{
	struct loopdev *dev = NULL;
	int control = open_control(error), fd;

	if (control < 0)
		return NULL;
	fd = open_file(file, opt->readonly);
	if (fd < 0)
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot open '%s' for a loop device; try again",
				file);
	else
		dev = attach(control, fd, file, opt, error);
	if (fd >= 0)
		close(fd);
	close(control);
	return dev;
}
