#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Standard streams that are closed or full when the command is called. A source
# whose descriptor took the place of one must not be lost on the way into the
# background.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

host=$TMP/host.img
make_host ext4 16M "$host"
run dd if=/dev/urandom of="$TMP/new" bs=64K count=16 status=none
make_sparse 1M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk

mount_in_background()
{
	run timeout "$limit" "$RAWMAP" mount -i /disk "$host" "$MNT"
}

# What is written through the mount is on the host after it.
written_through()
{
	mounts+=("$MNT")
	cat "$TMP/new" 1<>"$MNT/disk" || fail "$1: cannot write"
	run sync "$MNT/disk"
	run umount "$MNT"
	run timeout "$limit" flock "$host" true
	check_host "$host"
	get_file "$host" /disk "$TMP/got"
	expect_same_bytes "$TMP/got" "$TMP/new"
	run dd if=/dev/urandom of="$TMP/new" bs=64K count=16 status=none
}

test_mount_without_streams()
{
	mount_in_background <&-
	written_through 'no standard input'
	mount_in_background >&-
	written_through 'no standard output'
	mount_in_background 2>&-
	written_through 'no standard error'
	mount_in_background <&- >&- 2>&-
	written_through 'no stream at all'
}

# A lock that the caller holds on a descriptor is his, not the server's.
test_inherited_descriptors()
{
	exec 9>"$TMP/lock"
	run flock 9
	mount_in_background
	exec 9>&-
	run flock --nonblock "$TMP/lock" true
	written_through 'an inherited descriptor'
}

# What nobody can read is a failure, however the stream is broken.
test_output_that_fails()
{
	local got
	for words in "info $host" "map $host /disk" help 'map --help'; do
		# shellcheck disable=SC2086
		"$RAWMAP" $words >/dev/full 2>"$TMP/err"
		got=$?
		expect_equal "$got" 1 "exit status, full output: $words"
		# shellcheck disable=SC2086
		"$RAWMAP" $words >&- 2>"$TMP/err"
		got=$?
		expect_equal "$got" 1 "exit status, closed output: $words"
		expect_text "$TMP/err" 'Bad file descriptor'
	done
	"$RAWMAP" frobnicate 2>&-
	expect_equal "$?" 2 'exit status, closed standard error'
}

test_mount_without_streams
test_inherited_descriptors
test_output_that_fails
