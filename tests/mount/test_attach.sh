#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One command from a source to a loop device, and back: what the device is, and
# that all that was written is on the source when detach returns.

# shellcheck source=tests/mount/lib_attach.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_attach.sh"
need sfdisk partx blockdev debugfs

queue()
{
	cat "/sys/block/$(basename "$LOOP")/queue/$1"
}

# A filesystem, and a file in it, through the device; for expect_inner.
use_device()
{
	mkdir -p "$TMP/inner"
	dd if=/dev/urandom of="$TMP/data" bs=64K count=30 status=none
	run mkfs.ext4 -q "$1"
	mount_inner "$1" "$TMP/inner"
	run cp "$TMP/data" "$TMP/inner/data"
	run umount "$TMP/inner"
}

# The image as debugfs has it, and the file in it.
expect_inner()
{
	get_file "$host" /disk "$TMP/now"
	check_host "$TMP/now"
	get_file "$TMP/now" /data "$TMP/now.data"
	expect_same_bytes "$TMP/now.data" "$TMP/data"
}

test_there_and_back()
{
	new_host "$1"
	attach_rawmap -o commit=300 "$host" /disk
	expect_equal "$(losetup -nO DIO,RO,AUTOCLEAR "$LOOP" | tr -d ' ')" \
		100 'direct I/O, read-only, autoclear'
	expect_equal "$(blockdev --getss --getsize64 "$LOOP" | xargs)" \
		"512 $((32 << 20))" 'sector and size'
	expect_equal "$(queue rq_affinity)" 2 rq_affinity
	expect_equal "$(stat -c %a "$(dirname "$WHERE")")" 700 'mode'
	use_device "$LOOP"
	detach_rawmap "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	expect_equal "$(queue rq_affinity)" 1 'rq_affinity afterwards'
	expect_at_rest "$host"
	expect_inner
}

test_by_mountpoint()
{
	new_host ext4
	attach_rawmap "$host" /disk
	use_device "$LOOP"
	detach_rawmap "$WHERE/"
	expect_gone "$LOOP" "$WHERE"
	expect_at_rest "$host"
	expect_inner
}

test_read_only()
{
	local before other
	before=$(sha256sum <"$host")
	attach_rawmap -r "$host" /disk
	expect_equal "$(blockdev --getro "$LOOP")" 1 'read-only'
	expect_equal "$(of .mode)" ro 'the mode'
	expect_status 1 dd if=/dev/zero of="$LOOP" count=1 oflag=direct
	mount_inner "$LOOP" "$TMP/inner" -o ro,noload
	expect_same_bytes "$TMP/inner/data" "$TMP/data"
	run umount "$TMP/inner"
	detach_rawmap "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	expect_equal "$(sha256sum <"$host")" "$before" 'the host'

	# Two who read do not mind each other.
	attach_rawmap -o ro "$host" /disk
	other=$LOOP
	attach_rawmap -r "$host" /disk
	expect_equal "$(listed "$host" | jq length)" 2 'devices'
	detach_rawmap "$other" "$LOOP"
	expect_equal "$(listed "$host")" '[]' 'what is listed'
}

# Kernels without partition tables leave it to partx.
test_partitions()
{
	new_host ext4
	run sfdisk -q --label gpt "$TMP/disk" >"$TMP/sfdisk" 2>&1 <<-END
		start=1MiB, size=8MiB
		start=16MiB, size=8MiB
	END
	run debugfs -w -R 'rm /disk' "$host" 2>/dev/null
	put_file "$host" "$TMP/disk" /disk
	attach_rawmap -P "$host" /disk
	expect_equal "$(cat "/sys/block/$(basename "$LOOP")/loop/partscan")" \
		1 'partscan'
	[ -b "${LOOP}p2" ] || run partx -a "$LOOP"
	use_device "${LOOP}p2"
	mount_inner "${LOOP}p2" "$TMP/inner"
	refuse "'${LOOP}p2' is mounted on '$TMP/inner'" "$RAWMAP" detach \
		"$LOOP"
	still_attached
	refuse 'neither a loop device' "$RAWMAP" detach "${LOOP}p2"
	run umount "$TMP/inner"
	detach_rawmap "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	[ ! -e "/sys/block/$(basename "$LOOP")/$(basename "$LOOP")p2" ] ||
		fail 'the partition is still there'
	expect_at_rest "$host"
	get_file "$host" /disk "$TMP/now"
	dd if="$TMP/now" of="$TMP/part" bs=1M skip=16 count=8 status=none
	check_host "$TMP/part"
}

test_no_partitions_are_told_of()
{
	new_host ext4
	expect_status 0 "$RAWMAP" attach -P "$host" /disk
	LOOP=$(cat "$TMP/out")
	expect_text "$TMP/err" "no partitions in '/disk'"
	expect_text "$TMP/err" "'partx -a $LOOP'"
	know "$LOOP"
	detach_rawmap "$LOOP"
	expect_gone "$LOOP" "$WHERE"
}

# The device has the sectors of the source, or those that it is told to have.
test_large_sectors()
{
	local source
	new_host ext4 -b 4096
	loop_attach "$host" -b 4096
	source=$LOOP
	attach_rawmap "$source" /disk
	expect_equal "$(blockdev --getss "$LOOP")" 4096 'sector'
	use_device "$LOOP"
	detach_rawmap "$LOOP"
	attach_rawmap -b 512 "$source" /disk
	expect_equal "$(blockdev --getss "$LOOP")" 512 'sector'
	run dd if="$TMP/data" of="$LOOP" bs=512 seek=60001 count=77 \
		oflag=direct status=none
	run dd if="$LOOP" of="$TMP/back" bs=512 skip=60001 count=77 status=none
	run cmp -n $((77 * 512)) "$TMP/back" "$TMP/data"
	detach_rawmap "$LOOP"
	loop_detach "$source"
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	get_file "$TMP/now" /data "$TMP/now.data"
	expect_same_bytes "$TMP/now.data" "$TMP/data"
}

# An end that fills no sector is said to be out of reach.
test_odd_size()
{
	new_host ext4
	run dd if=/dev/urandom of="$TMP/odd" bs=1000 count=9 status=none
	put_file "$host" "$TMP/odd" /odd
	expect_status 0 "$RAWMAP" attach -r "$host" /odd
	LOOP=$(cat "$TMP/out")
	expect_text "$TMP/err" 'the last 296 bytes'
	know "$LOOP"
	run cmp -n $((17 * 512)) "$LOOP" "$TMP/odd"
	detach_rawmap "$LOOP"
}

# All of them get a device of their own, and give it back.
test_at_once()
{
	local i pids=() status=0
	new_host ext4
	for i in 1 2 3 4; do
		cp --sparse=always "$host" "$TMP/host$i.img"
		"$RAWMAP" attach "$TMP/host$i.img" /disk >"$TMP/out$i" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}" || status=$?
	expect_equal "$status" 0 "$(cat "$TMP"/out[1-4])"
	for i in 1 2 3 4; do
		know "$(cat "$TMP/out$i")"
	done
	expect_equal "$(sort -u "$TMP"/out[1-4] | wc -l)" 4 'devices'
	pids=()
	for i in 1 2 3 4; do
		run dd if=/dev/zero of="$(cat "$TMP/out$i")" bs=1M count=1 \
			seek="$i" oflag=direct status=none
		"$RAWMAP" detach "$(cat "$TMP/out$i")" >"$TMP/err$i" 2>&1 &
		pids+=($!)
	done
	for i in 0 1 2 3; do
		wait "${pids[i]}" || fail "$(cat "$TMP/err$((i + 1))")"
	done
	for i in 1 2 3 4; do
		expect_at_rest "$TMP/host$i.img"
		expect_equal "$(listed "$TMP/host$i.img")" '[]' 'what is listed'
	done
}

test_there_and_back ext2
test_there_and_back ext4
test_by_mountpoint
test_read_only
test_partitions
test_no_partitions_are_told_of
test_large_sectors
test_odd_size
test_at_once
