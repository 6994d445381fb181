# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Makes the test that sources it an ordinary user's, from its first line to its
# last. Who is root becomes nobody, in a mount namespace where everybody may open
# /dev/fuse, with copies of the tests and of the program where he can reach them.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"

# In the namespace; does not return.
become_user()
{
	local uid=65534 from=$1 status=0
	stage=$(mktemp -d "${TMPDIR:-/tmp}/rawmap-user.XXXXXX") || exit 1
	trap 'rm -rf "$stage"' EXIT
	chmod 755 "$stage"
	mkdir "$stage/tests" "$stage/home"
	cp "$from"/*.sh "$stage/tests"
	cp "${RAWMAP:?the path of the rawmap program}" "$stage/rawmap"
	chown "$uid:$uid" "$stage/home"
	# Without it the test finds out what the system allows.
	if mknod "$stage/fuse" c 10 229 2>/dev/null; then
		chmod 666 "$stage/fuse"
		mount --bind "$stage/fuse" /dev/fuse
	fi
	cd "$stage/home" || exit 1
	export HOME=$stage/home TMPDIR=$stage/home RAWMAP=$stage/rawmap
	setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all \
		--pdeathsig TERM -- "$stage/tests/$(basename "$0")" || status=$?
	exit "$status"
}

if [ "$(id -u)" -eq 0 ]; then
	if [ "${1-}" != in-namespace ]; then
		command -v setpriv unshare >/dev/null || exit 77
		exec unshare -m -- "$0" in-namespace
	fi
	become_user "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fi

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need fusermount3

# What lib.sh unmounts is the user's own. [-l] MOUNTPOINT
umount()
{
	local lazy=()
	if [ "$1" = -l ]; then
		lazy=(-z)
		shift
	fi
	fusermount3 -u "${lazy[@]}" "$1"
}
