# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced before lib.sh by a test that mounts over what belongs to the machine:
# root runs the test again in a mount namespace of its own, and what is mounted
# there is gone with it. The argument says which namespace was left, so that
# none runs in that by mistake.
#
# Nothing of the machine may be mounted below $TMP, which is removed with all
# that is in it: copy it there, and mount the copy.

private_left=$(readlink /proc/self/ns/mnt)
if [ "$(id -u)" -eq 0 ] &&
	[[ ${1-} != mnt:* || $1 == "$private_left" ]]; then
	exec unshare -m -- "$0" "$private_left"
fi
