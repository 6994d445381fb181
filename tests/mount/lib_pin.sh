# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the tests of -o pin share. Behind lib.sh.

# shellcheck disable=SC2034 # for who reads this
unset RAWMAP_TEST_ENGINE
host=$TMP/host.img
# Said where even root may not do everything, as in many containers.
unmarked='CAP_SYS_RESOURCE waits for itself$'

all_are() # STATE [IMAGE]
{
	"$RAWMAP" map --format json "$host" "${2:-/disk}" |
		jq -e "all(.[]; .state == \"$1\")" >/dev/null
}
