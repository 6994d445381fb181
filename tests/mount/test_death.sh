#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# How a server ends: asked to by a signal it writes what it has; killed, it
# leaves a host that says so and that e2fsck puts right, or with a journal
# rawmap recover, with all that was flushed.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

host=$TMP/host.img

new_host()
{
	make_host "$1" 32M "$host"
	make_sparse 16M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

expect_content()
{
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
}

# write MIB FLAGS...: one random MiB at that place of image and copy.
write()
{
	local at=$1
	shift
	run dd if=/dev/urandom of="$TMP/random" bs=64K count=16 status=none
	run dd if="$TMP/random" of="$TMP/disk" bs=64K seek=$((at * 16)) \
		conv=notrunc status=none
	run dd if="$TMP/random" of="$MNT/disk" bs=64K seek=$((at * 16)) \
		conv=notrunc"${1+,$1}" status=none
}

test_asked()
{
	local kind=$1 signal at=0
	new_host "$kind"
	for signal in TERM INT HUP; do
		mount_rawmap -o commit=300 -i /disk "$host" "$MNT"
		write $((at += 3))
		run fallocate -p -o $((at - 1))M -l 1536K "$MNT/disk"
		run fallocate -p -o $((at - 1))M -l 1536K "$TMP/disk"
		kill -s "$signal" "$SERVER"
		wait_for_server 0
		is_mounted "$MNT" && fail "mounted after SIG$signal"
		check_host "$host"
		expect_content
	done
}

# A signal while a client writes: the client gets an error, the host is clean.
test_asked_while_busy()
{
	local writer
	new_host ext4
	mount_rawmap -i /disk "$host" "$MNT"
	dd if=/dev/zero of="$MNT/disk" bs=4K count=1M conv=notrunc \
		2>"$TMP/dd" &
	writer=$!
	until [ "$(stat -c %b "$MNT/disk")" -gt 64 ]; do
		kill -0 "$writer" || fail "the writer ended: $(cat "$TMP/dd")"
	done
	kill -TERM "$SERVER"
	wait_for_server 0
	wait "$writer" && fail 'the writer saw no error'
	is_mounted "$MNT" && fail 'still mounted'
	check_host "$host"
}

test_busy_unmount()
{
	new_host ext4
	mount_rawmap -i /disk "$host" "$MNT"
	exec 7<>"$MNT/disk"
	expect_status 32 umount "$MNT"
	expect_text "$TMP/err" busy
	echo 'still there' >&7
	exec 7>&-
	expect_equal "$(head -n 1 "$MNT/disk")" 'still there' 'content'
	unmount_rawmap
	check_host "$host"
}

# expect_refusal TEXT: of a writer.
expect_refusal()
{
	expect_status 1 "$RAWMAP" mount -i /disk "$host" "$MNT"
	expect_text "$TMP/err" "$1"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
}

# with_e2fsck KIND, with_recover KIND: somebody puts it right.
with_e2fsck()
{
	local status=0
	e2fsck -p "$host" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -p on $1: $status: $(cat "$TMP/fsck")"
}

# A log is all that there is to be put right.
with_recover()
{
	expect_refusal 'rawmap recover'
	expect_status 0 "$RAWMAP" recover "$host"
	expect_text "$TMP/out" replayed
	check_host "$host"
	expect_status 0 "$RAWMAP" recover "$host"
	expect_text "$TMP/out" 'nothing to recover'
}

# test_killed KIND WITH
test_killed()
{
	local kind=$1
	new_host "$kind"
	mount_rawmap -o commit=300 -i /disk "$host" "$MNT"
	# A writer that stays: without one the host would come to rest.
	exec 7<>"$MNT/disk"
	write 3
	write 5
	run fallocate -p -o 3500K -l 1M "$MNT/disk"
	run fallocate -p -o 3500K -l 1M "$TMP/disk"
	write 9 fsync
	# Behind the first 12 MiB nothing was flushed.
	run dd if=/dev/urandom of="$MNT/disk" bs=64K seek=192 count=8 \
		conv=notrunc status=none
	kill_rawmap
	exec 7>&-

	expect_refusal 'e2fsck -p'
	"$2" "$kind"
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	run cmp -n $((12 << 20)) "$TMP/now" "$TMP/disk"

	mount_rawmap -i /disk "$host" "$MNT"
	write 12
	unmount_rawmap
	check_host "$host"
}

# Nothing was changed: a kill leaves no trace.
test_killed_idle()
{
	local before
	new_host ext4
	before=$(sha256sum <"$host")
	mount_rawmap -r -i /disk "$host" "$MNT"
	cat "$MNT/disk" >/dev/null
	kill_rawmap
	expect_equal "$(sha256sum <"$host")" "$before" 'a read-only host'
	mount_rawmap -i /disk "$host" "$MNT"
	cat "$MNT/disk" >/dev/null
	kill_rawmap
	check_host "$host"
}

# The mountpoint of a dead server is named as what it is.
test_stale_mount()
{
	new_host ext4
	mount_rawmap -i /disk "$host" "$MNT"
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null
	SERVER=
	expect_refusal 'fusermount3 -u'
	run umount "$MNT"
}

for kind in ext2 ext3 ext4; do
	test_asked "$kind"
	test_killed "$kind" with_e2fsck
	[ "$kind" = ext2 ] || test_killed "$kind" with_recover
done
test_asked_while_busy
test_busy_unmount
test_killed_idle
test_stale_mount
