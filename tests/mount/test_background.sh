#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The command that goes into the background: it returns when the file is there
# or says why not; and a read-only server opens its source for reading and asks
# the kernel for nothing that writes to it.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

host=$TMP/host.img
make_host ext4 16M "$host"
run dd if=/dev/urandom of="$TMP/disk" bs=64K count=33 status=none
put_file "$host" "$TMP/disk" /disk

released()
{
	run timeout "$limit" flock "$host" true
}

test_there_at_once()
{
	mounts+=("$MNT")
	for _ in {1..10}; do
		run "$RAWMAP" mount -i /disk "$host" "$MNT"
		[ -s "$MNT/disk" ] || fail 'no file when the command returned'
		run umount "$MNT"
		released
	done
	check_host "$host"
}

# Nobody waits for the server through a pipe that it inherited.
test_lets_go_of_its_caller()
{
	local out
	out=$(timeout "$limit" "$RAWMAP" mount -i /disk "$host" "$MNT" 2>&1) ||
		fail "mount in a pipe: $out"
	expect_equal "$out" '' 'what a good mount says'
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	run umount "$MNT"
	released
}

test_failure_is_told()
{
	expect_status 1 "$RAWMAP" mount -i /none "$host" "$MNT"
	expect_text "$TMP/err" /none
	expect_status 1 "$RAWMAP" mount -i /disk "$host" "$MNT/none"
	expect_text "$TMP/err" "$MNT/none"
	is_mounted "$MNT" && fail 'mounted after all'
	released
}

# Everything that changes a file, with the descriptors' paths (-y).
test_read_only_server()
{
	local before calls
	command -v strace >/dev/null || skip 'no strace'
	before=$(sha256sum <"$host"; stat -c '%x %y %z' "$host")
	calls=open,openat,write,pwrite64,pwritev,pwritev2,fallocate,ftruncate
	calls+=,truncate,ioctl,fsync,fdatasync,utimensat
	calls+=,io_uring_setup,copy_file_range,sendfile,mmap
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		strace -f -y -o "$TMP/trace" -e "trace=$calls" \
		"$RAWMAP" mount -f -r -o engine=threads -i /disk "$host" \
		"$MNT" 2>>"$LOG" &
	SERVER=$!
	until is_mounted "$MNT"; do
		kill -0 "$SERVER" 2>/dev/null || fail 'the server ended'
		wait_for_mount_change
	done
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_status 1 dd if=/dev/zero of="$MNT/disk" count=1 conv=notrunc
	expect_status 1 fallocate -p -o 0 -l 4096 "$MNT/disk"
	expect_status 1 truncate -s 0 "$MNT/disk"
	run sync "$MNT/disk"
	run umount "$MNT"
	wait_for_server 0

	grep -E 'open(at)?\(' "$TMP/trace" | grep -F "\"$host\"" \
		>"$TMP/opens"
	[ -s "$TMP/opens" ] || fail 'the source was never opened'
	grep -E 'O_RDWR|O_WRONLY|O_TRUNC|O_CREAT' "$TMP/opens" >&2 &&
		fail 'the source was opened for writing'
	grep -F "<$host>" "$TMP/trace" | grep -Ev 'open(at)?\(' |
		grep -E 'write|fallocate|truncate|fsync|utimens|PROT_WRITE' \
		>&2 && fail 'something was done to the source'
	grep -q io_uring_setup "$TMP/trace" &&
		fail 'I/O that this test does not see'
	expect_equal "$(sha256sum <"$host"; stat -c '%x %y %z' "$host")" \
		"$before" 'bytes and times of the source'
}

test_there_at_once
test_lets_go_of_its_caller
test_failure_is_told
test_read_only_server
