/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A helper of mount(8) or umount(8): its name, its place, its exit status. */
#include "helper.h"

#include "cli_priv.h"

#include <rawmap/base/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

bool helper_is(const char *program, const char *kind)
{
	const char *slash = strrchr(program, '/');

	return g_str_has_prefix(slash ? slash + 1 : program, kind);
}

int helper_status(int status)
{
	if (status == STATUS_OK)
		return MOUNT_OK;
	return status == STATUS_USAGE ? MOUNT_USAGE : MOUNT_FAILED;
}

int helper_fail(GError *error)
{
	return helper_status(command_fail(error));
}

bool helper_enter_namespace(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		error_set_errno(error, RAWMAP_ERROR_FAILED, errno,
				"cannot enter the namespace '%s'", path);
	else
		return close(fd) == 0;
	if (fd >= 0)
		close(fd);
	return false;
}
