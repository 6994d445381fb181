# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced behind lib_private.sh and lib.sh. mount(8) and umount(8) look for their
# helpers in /sbin alone: the namespace has another one, a copy with ours in it.

# The folder is $TMP/sbin.
use_helpers()
{
	local sbin name
	sbin=$(realpath /sbin)
	run cp -a "$sbin" "$TMP/sbin"
	for name in mount.rawmap mount.fuse.rawmap umount.fuse.rawmap; do
		ln -sf "$RAWMAP" "$TMP/sbin/$name"
	done
	run mount --bind "$TMP/sbin" "$sbin"
	# mount(8) keeps a table there, and shares it with the rest.
	run mount -t tmpfs tmpfs /run
	run cp -a /etc "$TMP/etc"
	: >"$TMP/etc/fstab"
	run mount --bind "$TMP/etc" /etc
}

uid=65534

as_user()
{
	setpriv --reuid "$uid" --regid "$uid" --clear-groups \
		--inh-caps=-all -- "$@"
}

# An ordinary user may mount: his program, the host and a mountpoint are in
# $TMP/theirs.
use_user() # HOST
{
	local theirs=$TMP/theirs name
	need fusermount3 setpriv
	mknod "$TMP/fuse" c 10 229
	chmod 666 "$TMP/fuse"
	run mount --bind "$TMP/fuse" /dev/fuse
	chmod 755 "$TMP"
	mkdir "$theirs" "$theirs/mnt"
	cp "$RAWMAP" "$theirs/rawmap"
	for name in mount.rawmap umount.fuse.rawmap; do
		ln -sf "$theirs/rawmap" "$TMP/sbin/$name"
	done
	cp "$1" "$theirs/host.img"
	chown -R "$uid:$uid" "$theirs"
	chmod 644 /etc/fstab
	as_user "$theirs/rawmap" --version >/dev/null ||
		skip 'an ordinary user cannot run rawmap here'
}
