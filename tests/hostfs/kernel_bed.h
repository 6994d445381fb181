/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel as a maker and as a judge of hosts: loop devices and mounts that
 * nobody else can see.
 *
 * A loop device goes with its last user, and a mount is taken out of the tree
 * as soon as its root is open: both are gone when the process is, however it
 * ends. kernel_umount() returns when everything is on the image file.
 */
#ifndef TESTS_HOSTFS_KERNEL_BED_H
#define TESTS_HOSTFS_KERNEL_BED_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

struct kernel_loop {
	int fd;
	char name[32];
};

#define KERNEL_TRIES 100

/* False: loop devices cannot be had here. */
static inline bool kernel_loop_try(struct kernel_loop *loop, const char *path)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int file = open(path, O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)file,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR },
	};
	bool done = false;

	/* Others may be faster than we with the number that is free. */
	for (int i = 0; control >= 0 && file >= 0 && !done; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0 || i == KERNEL_TRIES)
			break;
		snprintf(loop->name, sizeof(loop->name), "/dev/loop%d", n);
		loop->fd = open(loop->name, O_RDWR | O_CLOEXEC);
		if (loop->fd < 0)
			break;
		done = ioctl(loop->fd, LOOP_CONFIGURE, &config) == 0;
		if (!done)
			close(loop->fd);
	}
	if (control >= 0)
		close(control);
	if (file >= 0)
		close(file);
	return done;
}

static inline void kernel_loop(struct kernel_loop *loop, const char *path)
{
	ck_assert_msg(kernel_loop_try(loop, path), "no loop device for %s",
		      path);
}

static inline void kernel_loop_close(struct kernel_loop *loop)
{
	close(loop->fd);
}

/* Its root, or -errno of what the kernel says. @options may be NULL. */
static inline int kernel_mount_try(const struct kernel_loop *loop,
				   unsigned long flags, const char *options)
{
	g_autofree char *where = g_dir_make_tmp("rawmap-mount-XXXXXX", NULL);
	int err, root;

	ck_assert_ptr_nonnull(where);
	err = mount(loop->name, where, "ext4", flags, options) ? errno : 0;
	root = err ? -err : open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err)
		umount2(where, MNT_DETACH);
	rmdir(where);
	return root;
}

static inline int kernel_mount(const struct kernel_loop *loop,
			       unsigned long flags, const char *options)
{
	int root = kernel_mount_try(loop, flags, options);

	ck_assert_msg(root >= 0, "mount -o %s: %s", options ? options : "",
		      g_strerror(-root));
	return root;
}

static inline void kernel_umount(int root)
{
	close(root);
}

/*
 * Nothing more is written, by nobody, as if the power had failed; what is in
 * memory only is lost (EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH).
 */
static inline void kernel_pull_the_plug(int root)
{
	uint32_t flags = 2;

	ck_assert_msg(!ioctl(root, _IOR('X', 125, uint32_t), &flags),
		      "shutdown: %s", g_strerror(errno));
}

/* May this process do all that, on this machine? */
static inline bool kernel_usable(void)
{
	g_autofree char *path = NULL;
	struct kernel_loop loop;
	bool usable = false;
	int fd;

	if (geteuid() != 0)
		return false;
	fd = g_file_open_tmp(NULL, &path, NULL);
	if (fd < 0)
		return false;
	if (!ftruncate(fd, 1 << 20) && kernel_loop_try(&loop, path)) {
		usable = true;
		kernel_loop_close(&loop);
	}
	close(fd);
	unlink(path);
	return usable;
}

#endif
