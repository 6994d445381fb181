/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel as a judge: a loop device over the state, mounted read-only. That
 * applies the journal and changes nothing else. It takes root and a loop driver.
 */
#include <support/crashlab_priv.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

/* A shorter log is read, but not mounted. */
#define KERNEL_LOG_MIN 1024

/* A device bound to @fd for as long as it is open, or -1. */
static int attach(int fd, char **ret_path)
{
	const struct loop_config config = {
		.fd = (uint32_t)fd,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), dev = -1;

	/* Somebody else may be faster. */
	for (unsigned i = 0; control >= 0 && dev < 0 && i < 16; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		g_free(*ret_path);
		*ret_path = g_strdup_printf("/dev/loop%d", number);
		dev = number < 0 ? -1 : open(*ret_path, O_RDWR | O_CLOEXEC);
		if (dev >= 0 && ioctl(dev, LOOP_CONFIGURE, &config)) {
			close(dev);
			dev = -1;
		}
	}
	if (control >= 0)
		close(control);
	return dev;
}

/* 0 or the errno of the mount. */
static int mount_once(const char *dev)
{
	g_autofree char *dir = g_dir_make_tmp("rawmap-mount-XXXXXX", NULL);
	int err;

	g_assert(dir);
	err = mount(dev, dir, "ext4", MS_RDONLY, NULL) ? errno : 0;
	if (!err && umount(dir))
		g_error("crashlab: umount %s: %s", dir, g_strerror(errno));
	rmdir(dir);
	return err;
}

static void leave_out(struct crashlab *lab, const char *why)
{
	fprintf(stderr, "# left out: the kernel's mount (%s)\n", why);
	lab->no_kernel = true;
}

char *crashlab_mount(struct crashlab *lab, bool *ret_done)
{
	g_autofree char *path = NULL;
	int dev, err;

	*ret_done = false;
	if (lab->no_kernel ||
	    (lab->spec.log_blocks && lab->spec.log_blocks < KERNEL_LOG_MIN))
		return NULL;
	dev = attach(lab->state.fd, &path);
	if (dev < 0) {
		leave_out(lab, "no loop device");
		return NULL;
	}
	err = mount_once(path);
	close(dev);
	if (err == EPERM || err == EACCES) {
		leave_out(lab, "not allowed");
		return NULL;
	}
	*ret_done = true;
	return err ? g_strdup_printf("the kernel does not mount it: %s",
				     g_strerror(err))
		   : NULL;
}
