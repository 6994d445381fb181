#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# mount(8) with the types rawmap and fuse.rawmap: command lines, fstab, users,
# and what it says when it cannot.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_private.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_private.sh"
# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/mount/lib_helpers.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_helpers.sh"
need_root
need_fuse
need debugfs setpriv nsenter

host=$TMP/host.img
helper=$TMP/sbin/mount.rawmap
other=		# who waits in another namespace

end_other()
{
	local status=$?
	[ -z "$other" ] || kill "$other"
	(exit "$status")
	cleanup
}
trap end_other EXIT

prepare()
{
	use_helpers
	make_host ext4 32M "$host"
	head -c 300000 /dev/urandom >"$TMP/a"
	head -c 70000 /dev/urandom >"$TMP/b"
	put_file "$host" "$TMP/a" /a
	put_file "$host" "$TMP/b" '/comma'
	debugfs -w -R 'ln /comma /c,d' "$host" >"$TMP/debugfs" 2>&1
	debugfs -w -R 'unlink /comma' "$host" >"$TMP/debugfs" 2>&1
	get_stat "$host" '/c,d' >/dev/null || fail 'no file with a comma'
	mounts+=("$MNT")
}

released()
{
	run timeout "$limit" flock "$host" true
}

unmount()
{
	run umount "$MNT"
	released
}

options_of()
{
	findmnt -n -o OPTIONS --mountpoint "$MNT"
}

# refuse STATUS TEXT COMMAND...
refuse()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$@"
	expect_text "$TMP/err" "$text"
	is_mounted "$MNT" && fail "mounted after all: $*"
	return 0
}

test_both_types()
{
	local type
	for type in rawmap fuse.rawmap; do
		run mount -t "$type" "$host" "$MNT" -o image=/a
		expect_same_bytes "$MNT/a" "$TMP/a"
		expect_equal "$(findmnt -n -o FSTYPE,SOURCE \
			--mountpoint "$MNT" | tr -s ' ')" \
			"fuse.rawmap $host" 'type and source'
		unmount
	done
	check_host "$host"
}

test_on_a_file()
{
	: >"$TMP/naked"
	mounts+=("$TMP/naked")
	run mount -t rawmap "$host" "$TMP/naked" -o image=/a
	expect_same_bytes "$TMP/naked" "$TMP/a"
	run umount "$TMP/naked"
	released
}

test_commas()
{
	run mount -t rawmap "$host" "$MNT" -o 'image="/c,d",image=/a'
	expect_same_bytes "$MNT/c,d" "$TMP/b"
	expect_same_bytes "$MNT/a" "$TMP/a"
	unmount
	for option in 'image="/c,d"' 'image=/"c,"d' 'image=/c\,d'; do
		run "$helper" "$host" "$MNT" -o "rw,$option"
		expect_same_bytes "$MNT/c,d" "$TMP/b"
		unmount
	done
}

test_flags()
{
	run mount -t rawmap "$host" "$MNT" \
		-o ro,noexec,nosuid,nodev,noatime,image=/a
	[[ ,$(options_of), == *,ro,* && ,$(options_of), == *,noexec,* ]] ||
		fail "options: $(options_of)"
	expect_status 1 dd if=/dev/zero of="$MNT/a" count=1 conv=notrunc
	unmount
	run mount -r -t rawmap "$host" "$MNT" -o image=/a
	[[ ,$(options_of), == *,ro,* ]] || fail "options: $(options_of)"
	unmount
	# As it stands in the list, and in any other.
	run "$helper" "$host" "$MNT" -o ro,image=/a,rw
	[[ ,$(options_of), == *,rw,* ]] || fail "options: $(options_of)"
	unmount
}

test_others_affairs()
{
	run "$helper" "$host" "$MNT" -n -t fuse.rawmap -o \
		"defaults,noauto,user,users,owner,group,nofail,_netdev" \
		-o 'comment="x,y",x-systemd.requires=a.service,x-gvfs-show' \
		-o X-mount.mkdir,uhelper=x,relatime,lazytime,image=/a,
	expect_same_bytes "$MNT/a" "$TMP/a"
	unmount
}

# What fstab says, and a second time nothing happens.
test_fstab()
{
	local line=$TMP/fstab
	printf '%s %s rawmap %s 0 0\n' "$host" "$MNT" \
		'image=/a,commit=1,nofail,_netdev,x-systemd.requires=x.mount' \
		>"$line"
	run mount -a -T "$line"
	expect_same_bytes "$MNT/a" "$TMP/a"
	run mount -a -T "$line"
	expect_equal "$(grep -c " $MNT " /proc/self/mounts)" 1 'mounts'
	unmount
	run mount -T "$line" "$MNT"
	unmount
	printf '%s %s rawmap nofail,image=/a 0 0\n' "$TMP/none" "$MNT" >"$line"
	run mount -a -T "$line"
	is_mounted "$MNT" && fail 'mounted without a source'
	printf '%s %s rawmap image=/a 0 0\n' "$TMP/none" "$MNT" >"$line"
	expect_status 32 mount -T "$line" "$MNT"
}

test_by_uuid()
{
	local uuid
	need_loop
	need blkid
	uuid=$(dumpe2fs -h "$host" 2>/dev/null |
		sed -n 's/^Filesystem UUID: *//p')
	loop_attach "$host"
	# What is in the cache is not looked for on all devices there are.
	export BLKID_FILE=$TMP/blkid
	run blkid "$LOOP" >"$TMP/out"
	run mount -t rawmap "UUID=$uuid" "$MNT" -o image=/a
	expect_equal "$(findmnt -n -o SOURCE --mountpoint "$MNT")" "$LOOP" \
		'source'
	expect_same_bytes "$MNT/a" "$TMP/a"
	run umount "$MNT"
	loop_detach "$LOOP"
	check_host "$host"
}

# mount(8) makes a loop device of what lies behind it.
test_offset()
{
	local shifted=$TMP/shifted
	need_loop
	truncate -s 33M "$shifted"
	dd if="$host" of="$shifted" bs=1M seek=1 conv=notrunc,sparse \
		status=none
	run mount -t rawmap "$shifted" "$MNT" -o offset=1048576,image=/a
	expect_same_bytes "$MNT/a" "$TMP/a"
	LOOP=$(findmnt -n -o SOURCE --mountpoint "$MNT")
	[[ $LOOP == /dev/loop* ]] || fail "source: $LOOP"
	loops+=("$LOOP")
	run umount "$MNT"
	until [ ! -e "/sys/block/${LOOP##*/}/loop/backing_file" ]; do
		[ "$SECONDS" -lt 300 ] || fail 'the loop device stays'
	done
	loops=()
}

test_fake_and_sloppy()
{
	run "$helper" -f "$host" "$MNT" -o image=/a
	run "$helper" -f "$TMP/none" "$MNT" -o image=/a
	is_mounted "$MNT" && fail 'mounted with -f'
	refuse 1 nosuch "$helper" -f "$host" "$MNT" -o image=/a,nosuch
	run "$helper" -s "$host" "$MNT" -o image=/a,nosuch=1,commit=2
	unmount
	refuse 1 'commit=' "$helper" -s "$host" "$MNT" -o image=/a,commit=x
	run mount -t rawmap --fake "$host" "$MNT" -o image=/a
	is_mounted "$MNT" && fail 'mounted with --fake'
	return 0
}

test_failures()
{
	refuse 1 'image=PATH' mount -t rawmap "$host" "$MNT"
	refuse 1 "'nosuch'" mount -t rawmap "$host" "$MNT" -o image=/a,nosuch
	refuse 32 /none mount -t rawmap "$host" "$MNT" -o image=/none
	refuse 32 "$TMP/none" "$helper" "$TMP/none" "$MNT" -o image=/a
	# Found by the server, and told by the command.
	refuse 1 'one image only' "$helper" "$host" "$TMP/naked" \
		-o 'image=/a,image="/c,d"'
	refuse 1 'usage: mount.rawmap' "$helper" "$host"
	refuse 1 'usage: mount.rawmap' "$helper" "$host" "$MNT" more
	refuse 1 'usage: mount.rawmap' "$helper" -x "$host" "$MNT"
	refuse 1 'usage: mount.rawmap' "$helper" "$host" "$MNT" -o
	refuse 32 "$TMP/none" "$helper" -N "$TMP/none" "$host" "$MNT"
	expect_status 0 "$helper" -h
	expect_text "$TMP/out" 'mount.rawmap SOURCE'

	run mount -t rawmap "$host" "$MNT" -o image=/a
	expect_status 1 mount -t rawmap "$host" "$MNT" -o remount,ro,image=/a
	expect_text "$TMP/err" remount
	unmount
}

test_verbose()
{
	expect_status 0 mount -v -t rawmap "$host" "$MNT" -o image=/a
	unmount
	expect_status 0 "$helper" -v "$TMP/none" "$MNT" -o nofail,image=/a
	expect_text "$TMP/err" nofail
	expect_status 0 "$helper" "$TMP/none" "$MNT" -o nofail,image=/a
	[ ! -s "$TMP/err" ] || fail "nofail says: $(cat "$TMP/err")"
}

# In somebody else's namespace: here is nothing to be seen.
test_namespace()
{
	local path
	mkfifo "$TMP/wait"
	# shellcheck disable=SC2016 # the other shell expands it
	unshare -m sh -c 'echo >"$1"; read -r _ <"$1"' sh "$TMP/wait" &
	other=$!
	read -r _ <"$TMP/wait"
	run mount -N "$other" -t rawmap "$host" "$MNT" -o image=/a
	is_mounted "$MNT" && fail 'mounted here'
	path=$MNT/a
	nsenter -m -t "$other" cat "$path" >"$TMP/out"
	expect_same_bytes "$TMP/out" "$TMP/a"
	run nsenter -m -t "$other" umount "$MNT"
	released
	echo >"$TMP/wait"
	wait "$other"
	other=
}

# A line with "user", mounted by one.
test_user()
{
	local theirs=$TMP/theirs
	use_user "$host"
	printf '%s %s rawmap noauto,user,image=/a 0 0\n' \
		"$theirs/host.img" "$theirs/mnt" >/etc/fstab
	mounts+=("$theirs/mnt")
	run as_user mount "$theirs/mnt"
	as_user cmp "$theirs/mnt/a" "$TMP/a" || fail 'the image differs'
	expect_status 1 cat "$theirs/mnt/a"
	run as_user umount "$theirs/mnt"
	run timeout "$limit" flock "$theirs/host.img" true
	check_host "$theirs/host.img"
}

prepare
test_both_types
test_on_a_file
test_commas
test_flags
test_others_affairs
test_fstab
test_by_uuid
test_offset
test_fake_and_sloppy
test_failures
test_verbose
test_namespace
test_user
