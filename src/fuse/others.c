/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether others than the one who mounts may use the images, root among them:
 * losetup by root on a user's mount.
 *
 *   who mounts                          allow_other    allow_other=auto
 *   root, or who may mount(2) himself   given          given
 *   a user, /etc/fuse.conf allows it    given          given
 *   a user, it does not                 an error       left out, and said
 *
 * A user's mount is made by fusermount3, which reads that file as the user and
 * as strictly as it is read here: a line of its own with its newline, blanks
 * around it and a comment behind it aside.
 */
#include "fuse_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/log.h>

#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONF	   "/etc/fuse.conf"
#define PERMISSION "user_allow_other"
#define WHAT_TO_DO "have it added, or mount as root"
#define WHAT_LACKS \
	"'/etc/fuse.conf' has no line 'user_allow_other' that you can read"
#define WHO_IS_MEANT "root, and so losetup,"

static bool has_capability(unsigned cap)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct set[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capget, &head, set) == 0 &&
	       (set[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap));
}

/* Nobody reads the file then: the kernel mounts, or fusermount3 for root. */
static bool nobody_asks(const struct mountopts *opt)
{
	return getuid() == 0 || (has_capability(CAP_SYS_ADMIN) &&
				 !mountopts_has_fuse(opt, "auto_unmount"));
}

static bool conf_permits(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents(CONF, &text, NULL, NULL))
		return false;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; line[0] && line[1]; line++) {
		*strchrnul(*line, '#') = '\0';
		if (strcmp(g_strstrip(*line), PERMISSION) == 0)
			return true;
	}
	return false;
}

static const char *asked_for(const struct mountopts *opt)
{
	if (mountopts_has_fuse(opt, "allow_other"))
		return "allow_other";
	if (mountopts_has_fuse(opt, "allow_root"))
		return "allow_root";
	return NULL;
}

bool others_decide(const struct mountopts *opt, bool *ret_add, GError **error)
{
	const char *asked = asked_for(opt);

	*ret_add = false;
	if (!asked && !opt->others_auto)
		return true;
	if (nobody_asks(opt) || conf_permits()) {
		*ret_add = opt->others_auto;
		return true;
	}
	if (!asked) {
		log_warning("only you can open the images, and " WHO_IS_MEANT
			    " cannot: " WHAT_LACKS "; " WHAT_TO_DO);
		return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_FAILED,
		    "'%s' would let " WHO_IS_MEANT " open the images, but an "
		    "ordinary user may not say so: " WHAT_LACKS "; " WHAT_TO_DO,
		    asked);
	return false;
}
