#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One writer or many readers, among rawmaps and beside the kernel.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop

host=$TMP/host.img
mkdir "$TMP/other" "$TMP/kernel"

# refuse TEXT ARGUMENTS...
refuse()
{
	local text=$1
	shift
	expect_status 1 "$RAWMAP" mount -i /disk "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	is_mounted "${*: -1}" && fail 'mounted after all'
	return 0
}

# released SOURCE: the server in the background has let go of it.
released()
{
	run timeout "$limit" flock "$1" true
}

# one_owner SOURCE TEXT
one_owner()
{
	mount_rawmap -i /disk "$1" "$MNT"
	refuse "$2" "$1" "$TMP/other"
	refuse "'$1'" -r "$1" "$TMP/other"
	unmount_rawmap

	mount_rawmap -r -i /disk "$1" "$MNT"
	mounts+=("$TMP/other")
	expect_status 0 "$RAWMAP" mount -r -i /disk "$1" "$TMP/other"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_same_bytes "$TMP/other/disk" "$TMP/disk"
	mkdir -p "$TMP/third"
	refuse "'$1'" "$1" "$TMP/third"
	run umount "$TMP/other"
	refuse "'$1'" "$1" "$TMP/third"
	unmount_rawmap
	released "$1"
	check_host "$1"
}

# beside_kernel SOURCE: the kernel has the host mounted.
beside_kernel()
{
	local source=$1 dev=$2
	mount_inner "$dev" "$TMP/kernel"
	refuse "$TMP/kernel" "$source" "$MNT"
	refuse "$TMP/kernel" -r "$source" "$MNT"
	run umount "$TMP/kernel"

	mount_inner "$dev" "$TMP/kernel" -o ro
	refuse "$source" "$source" "$MNT"
	mount_rawmap -r -i /disk "$source" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	run umount "$TMP/kernel"
}

make_host ext4 16M "$host"
run dd if=/dev/urandom of="$TMP/disk" bs=1M count=2 status=none
put_file "$host" "$TMP/disk" /disk
one_owner "$host" 'in use'

loop_attach "$host"
one_owner "$LOOP" "'$LOOP'"
beside_kernel "$LOOP" "$LOOP"
beside_kernel "$host" "$LOOP"

