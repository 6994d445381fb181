#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user with a disk image of his own needs nothing else: he mounts,
# makes a filesystem in the image, looks into it, and unmounts.

# Where only root may open /dev/fuse, a namespace has a node for everybody.
if [ "${1-}" != in-namespace ] && [ "$(id -u)" -eq 0 ]; then
	exec unshare -m -- "$0" in-namespace
fi

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need setpriv fusermount3 debugfs mkfs.ext4

uid=65534
home=$TMP/home
program=$home/rawmap

as_user()
{
	setpriv --reuid "$uid" --regid "$uid" --clear-groups \
		--inh-caps=-all -- "$@"
}

# refuse TEXT STATUS COMMAND...
refuse()
{
	local text=$1
	shift
	expect_status 1 as_user "$program" "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
}

prepare()
{
	mknod "$TMP/fuse" c 10 229
	chmod 666 "$TMP/fuse"
	mount --bind "$TMP/fuse" /dev/fuse
	chmod 755 "$TMP"
	mkdir "$home" "$home/mnt"
	cp "$RAWMAP" "$program"
	make_host ext4 32M "$home/host.img" -m 25
	make_sparse 16M "$TMP/disk"
	put_file "$home/host.img" "$TMP/disk" /disk
	chown -R "$uid:$uid" "$home"
	as_user sh -c ': <>/dev/fuse' || skip 'no way to open /dev/fuse'
	as_user "$program" --version >/dev/null ||
		skip 'an ordinary user cannot run rawmap here'
}

released()
{
	run timeout "$limit" flock "$home/host.img" true
}

# The file is debugfs' as much as the user's.
test_everyday()
{
	mounts+=("$home/mnt")
	run as_user "$program" mount -v -i /disk "$home/host.img" "$home/mnt" \
		2>"$TMP/err"
	expect_text "$TMP/err" "only user $uid may use the images"
	expect_equal "$(as_user stat -c '%u %s' "$home/mnt/disk")" \
		"$uid 16777216" 'owner and size'
	run as_user mkfs.ext4 -q -F "$home/mnt/disk"
	echo 'a file inside' >"$TMP/inside"
	chmod 644 "$TMP/inside"
	as_user debugfs -w -R "write $TMP/inside inside" "$home/mnt/disk" \
		>"$TMP/debugfs" 2>&1
	as_user debugfs -R 'ls -l' "$home/mnt/disk" >"$TMP/ls" 2>/dev/null
	expect_text "$TMP/ls" inside
	run as_user e2fsck -fn "$home/mnt/disk" >"$TMP/out" 2>&1
	expect_status 1 as_user cp "$home/mnt/disk" "$home/mnt/other"
	run as_user fusermount3 -u "$home/mnt"
	released
	check_host "$home/host.img"
	expect_equal "$(stat -c %u "$home/host.img")" "$uid" 'owner'
}

test_read_permission_only()
{
	local before
	chown root "$home/host.img"
	chmod 644 "$home/host.img"
	refuse '-r' mount -i /disk "$home/host.img" "$home/mnt"
	before=$(sha256sum <"$home/host.img")
	run as_user "$program" mount -r -i /disk "$home/host.img" "$home/mnt"
	as_user debugfs -R 'cat inside' "$home/mnt/disk" 2>/dev/null \
		>"$TMP/out"
	expect_same_bytes "$TMP/out" "$TMP/inside"
	run as_user fusermount3 -u "$home/mnt"
	released
	expect_equal "$(sha256sum <"$home/host.img")" "$before" 'the host'
	chmod 600 "$home/host.img"
	refuse 'Permission denied' mount -r -i /disk "$home/host.img" \
		"$home/mnt"
	chown "$uid" "$home/host.img"
}

free_blocks()
{
	dumpe2fs -h "$home/host.img" 2>/dev/null |
		sed -n 's/^Free blocks: *//p'
}

# What mke2fs keeps for root stays free.
test_reserve()
{
	local reserved free
	reserved=$(dumpe2fs -h "$home/host.img" 2>/dev/null |
		sed -n 's/^Reserved block count: *//p')
	run as_user "$program" mount -i /disk "$home/host.img" "$home/mnt"
	expect_status 1 as_user dd if=/dev/urandom of="$home/mnt/disk" bs=64K \
		seek=256 count=1024 conv=notrunc
	expect_text "$TMP/err" 'No space left'
	free=$(as_user stat -f -c %a "$home/mnt")
	[ "$free" -lt 16 ] || fail "$free blocks available"
	run as_user fusermount3 -u "$home/mnt"
	released
	check_host "$home/host.img"
	free=$(free_blocks)
	[ "$free" -ge "$reserved" ] || fail "$free blocks free of $reserved"

	# Root gets them.
	mount_rawmap -i /disk "$home/host.img" "$home/mnt"
	expect_status 1 dd if=/dev/urandom of="$home/mnt/disk" bs=64K \
		seek=256 count=1024 conv=notrunc
	expect_text "$TMP/err" 'No space left'
	unmount_rawmap
	check_host "$home/host.img"
	free=$(free_blocks)
	[ "$free" -lt 16 ] || fail "$free blocks free"
}

prepare
test_everyday
test_read_permission_only
test_reserve
