#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What keeps virtual machines, by an ordinary user: a qcow2 file in the host that
# starts with no byte and grows, in every cache mode and with every way of I/O
# that qemu has; raw images that it resizes; clones, snapshots, backing files,
# discards. And its locks: an image that one qemu has is no other's.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need qemu-img qemu-io

host=$TMP/host.img

# io ARGUMENTS -- COMMANDS...: qemu-io; it says of some failures no more than a
# word.
io()
{
	local args=()
	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	while [ $# -gt 0 ]; do
		args+=(-c "$1")
		shift
	done
	qemu-io "${args[@]}" >"$TMP/io" 2>&1 || fail "$(cat "$TMP/io")"
	if grep -iE 'fail|error|mismatch|not supported|invalid' "$TMP/io" >&2; then
		fail "qemu-io ${args[*]}"
	fi
}

sectors()
{
	stat -c %b "$1"
}

# ---- a qcow2 file that grows ----

# The ways: cache mode, asynchronous I/O.
ways='none native
none io_uring
none threads
directsync native
directsync io_uring
writethrough threads
writethrough io_uring
writeback threads
writeback io_uring
unsafe threads'

# May the kernel be asked here? A container may forbid it, and then qemu fails.
can_uring()
{
	truncate -s 1M "$TMP/probe"
	qemu-io -f raw -i io_uring -c 'read 0 4k' "$TMP/probe" >"$TMP/io" 2>&1
}

test_grows()
{
	local cache aio pattern=0 size
	expect_equal "$(stat -c '%s %b' "$MNT/grow")" '0 0' 'at the beginning'
	run qemu-img create -q -f qcow2 "$MNT/grow" 256M
	run qemu-img info --output=json "$MNT/grow" >"$TMP/info"
	expect_text "$TMP/info" '"virtual-size": 268435456'
	while read -r cache aio; do
		[ "$aio" != io_uring ] || can_uring || continue
		pattern=$((pattern + 1))
		size=$(stat -c %s "$MNT/grow")
		io -f qcow2 -t "$cache" -i "$aio" "$MNT/grow" -- \
			"write -P $pattern $((pattern * 20))M 300k" \
			"aio_write -P $pattern $((pattern * 20 + 1))M 100k" \
			"aio_write -P $pattern $((pattern * 20 + 2))M 7k" \
			aio_flush "write -z $((pattern * 20))M 10k" flush
		[ "$(stat -c %s "$MNT/grow")" -gt "$size" ] ||
			fail "$cache, $aio: it did not grow"
		io -f qcow2 -t "$cache" -i "$aio" "$MNT/grow" -- \
			"read -P 0 $((pattern * 20))M 10k" \
			"read -P $pattern $((pattern * 20 + 1))M 100k"
	done <<<"$ways"
	last=$pattern
	patterns_are_there "$MNT/grow"
	run qemu-img check -q "$MNT/grow"
}

# patterns_are_there FILE
patterns_are_there()
{
	local i
	for ((i = 1; i <= last; i++)); do
		io -f qcow2 "$1" -- "read -P 0 $((i * 20))M 10k" \
			"read -P $i $((i * 20 * 1024 + 10))k 290k" \
			"read -P $i $((i * 20 + 1))M 100k" \
			"read -P $i $((i * 20 + 2))M 7k" \
			"read -P 0 $((i * 20 + 3))M 64k"
	done
}

test_grown()
{
	local before
	run qemu-img resize -q "$MNT/grow" +64M
	io -f qcow2 -t none "$MNT/grow" -- "write -P 90 300M 1M" \
		"read -P 90 300M 1M"
	# Snapshots keep blocks, and give them up.
	run qemu-img snapshot -c first "$MNT/grow"
	io -f qcow2 -t none "$MNT/grow" -- "write -P 91 300M 1M"
	run qemu-img snapshot -a first "$MNT/grow"
	io -f qcow2 -t none "$MNT/grow" -- "read -P 90 300M 1M"
	run qemu-img snapshot -d first "$MNT/grow"
	# What the machine discards, the host gets back.
	before=$(sectors "$MNT/grow")
	io -f qcow2 -t none -d unmap "$MNT/grow" -- "discard 300M 1M" flush
	[ "$(sectors "$MNT/grow")" -le $((before - 1024)) ] ||
		fail "discard: $before sectors, then $(sectors "$MNT/grow")"
	io -f qcow2 "$MNT/grow" -- "read -P 0 300M 1M"
	run qemu-img check -q "$MNT/grow"
	patterns_are_there "$MNT/grow"
}

# ---- raw images ----

test_convert()
{
	local how
	run qemu-img convert -f qcow2 -O raw "$MNT/grow" "$TMP/flat"
	for how in '-t none -T none' '-t writeback -W -m 16' \
		'-t none -S 4k' '-t unsafe -C'; do
		run qemu-img create -q -f raw "$MNT/raw" 8M
		# shellcheck disable=SC2086
		run qemu-img convert -f qcow2 -O raw $how "$MNT/grow" "$MNT/raw"
		run qemu-img compare -q -f raw -F raw "$MNT/raw" "$TMP/flat"
		[ "$(sectors "$MNT/raw")" -lt 20480 ] ||
			fail "convert $how: $(sectors "$MNT/raw") sectors"
	done
	# Over what is there, and back into the qcow2, compressed.
	run qemu-img convert -n -f raw -O raw -t none "$TMP/flat" "$MNT/raw"
	run qemu-img convert -c -f raw -O qcow2 "$MNT/raw" "$MNT/small"
	run qemu-img compare -q -f raw -F qcow2 "$MNT/raw" "$MNT/small"
	run qemu-img map --output=json -f raw "$MNT/raw" >"$TMP/map"
	[ "$(grep -c '"data": true' "$TMP/map")" -ge "$last" ] ||
		fail "qemu-img map: $(cat "$TMP/map")"
	run qemu-img measure -f raw -O qcow2 "$MNT/raw" >"$TMP/out"
}

test_resize()
{
	local how size
	run qemu-img create -q -f raw "$MNT/raw" 3M
	expect_equal "$(stat -c %s "$MNT/raw")" 3145728 'created'
	# Its first block: qemu looks there for what alignment it takes.
	[ "$(sectors "$MNT/raw")" -le 8 ] || fail 'created: not sparse'
	io -f raw -t none "$MNT/raw" -- 'write -P 7 2M 1M'
	for how in off falloc full; do
		size=$(stat -c %s "$MNT/raw")
		run qemu-img resize -q --preallocation="$how" -f raw \
			"$MNT/raw" +1M
		expect_equal "$(stat -c %s "$MNT/raw")" $((size + (1 << 20))) \
			"resize, $how"
		io -f raw "$MNT/raw" -- "read -P 0 $size 1M" 'read -P 7 2M 1M'
	done
	[ "$(sectors "$MNT/raw")" -ge 6144 ] || fail 'not preallocated'
	run qemu-img resize -q --shrink -f raw "$MNT/raw" 2560k
	expect_equal "$(stat -c %s "$MNT/raw")" 2621440 'shrunk'
	io -f raw "$MNT/raw" -- 'read -P 7 2M 512k'
	for how in off metadata falloc full; do
		run qemu-img create -q -f qcow2 -o preallocation="$how" \
			"$MNT/small" 3M
		io -f qcow2 -t none "$MNT/small" -- 'write -P 8 1M 1M' \
			'read -P 8 1M 1M' 'read -P 0 2M 1M'
		run qemu-img check -q "$MNT/small"
	done
}

# A backing file in the host, changes beside it, and those brought home.
test_backing()
{
	run qemu-img create -q -f raw "$MNT/raw" 6M
	io -f raw -t none "$MNT/raw" -- 'write -P 1 0 6M'
	run qemu-img create -q -f qcow2 -F raw -b "$MNT/raw" "$MNT/small"
	io -f qcow2 -t none "$MNT/small" -- 'write -P 2 1M 1M' \
		'read -P 1 2M 1M' 'write -z -u 3M 1M'
	run qemu-img commit -q "$MNT/small"
	io -f raw "$MNT/raw" -- 'read -P 1 0 1M' 'read -P 2 1M 1M' \
		'read -P 1 2M 1M' 'read -P 0 3M 1M' 'read -P 1 4M 2M'
	run qemu-img check -q "$MNT/small"
}

# Zeros that stay allocated, zeros that do not, and parts of blocks of both.
test_zeros()
{
	local way before
	for way in '-t none -i native' '-t writeback -i threads'; do
		run qemu-img create -q -f raw "$MNT/raw" 4M
		# shellcheck disable=SC2086
		io -f raw $way -d unmap "$MNT/raw" -- 'write -P 5 0 4M' \
			'write -z 1M 64k' 'write -z 1200k 3k' \
			'write -z -u 2M 1M' 'discard 3M 512k' flush \
			'read -P 5 0 1M' 'read -P 0 1M 64k' \
			'read -P 5 1088k 112k' 'read -P 0 1200k 3k' \
			'read -P 5 1203k 845k' 'read -P 0 2M 1M' \
			'read -P 0 3M 512k' 'read -P 5 3584k 512k'
		[ "$(sectors "$MNT/raw")" -le $((8192 - 2048)) ] ||
			fail "$way: $(sectors "$MNT/raw") sectors"
	done
	before=$(sectors "$MNT/raw")
	run qemu-img bench -f raw -t none -i native -w -c 300 -d 32 -s 4096 \
		--pattern 85 "$MNT/raw" >"$TMP/out"
	io -f raw "$MNT/raw" -- 'read -P 85 0 1200k'
	[ "$(sectors "$MNT/raw")" -ge "$before" ] || fail 'bench lost blocks'
}

# ---- locks ----

# The first one works from a pipe: it has the image as long as that is open. A raw
# image qemu-io would share.
test_locks()
{
	local line
	coproc FIRST { exec qemu-io -f qcow2 -t none "$MNT/small" 2>&1; }
	first=$FIRST_PID
	echo 'write -P 6 0 64k' >&"${FIRST[1]}"
	read -r -t "$limit" -u "${FIRST[0]}" line || fail 'no word from qemu-io'
	[[ $line == *'wrote 65536/65536'* ]] || fail "qemu-io: $line"

	expect_status 1 qemu-io -f qcow2 -c 'read 0 4k' "$MNT/small"
	expect_text "$TMP/err" 'Failed to get'
	expect_status 1 qemu-img info "$MNT/small"
	expect_text "$TMP/err" 'Failed to get'
	expect_status 1 qemu-img resize -f qcow2 "$MNT/small" +1M
	expect_text "$TMP/err" 'Failed to get'
	expect_status 0 qemu-img info -U -f qcow2 "$MNT/small"
	expect_status 0 qemu-io -f qcow2 -c 'read -P 6 0 64k' -r -U "$MNT/small"

	echo quit >&"${FIRST[1]}"
	wait "$first" || fail 'the first qemu-io failed'
	io -f qcow2 "$MNT/small" -- 'read -P 6 0 64k'
}

# on_host KIND BLOCK
on_host()
{
	local name images=()
	make_host "$1" 64M "$host" -b "$2" -m 0
	: >"$TMP/empty"
	for name in grow raw small; do
		put_file "$host" "$TMP/empty" "/$name"
		images+=(-i "/$name")
	done
	mount_rawmap "${images[@]}" "$host" "$MNT"
	test_grows
	test_grown
	test_convert
	test_backing
	test_resize
	test_zeros
	test_locks
	run cp "$MNT/grow" "$TMP/grow"
	unmount_rawmap

	check_host "$host"
	get_file "$host" /grow "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/grow"
	run qemu-img check -q "$TMP/now"
	patterns_are_there "$TMP/now"
	get_file "$host" /small "$TMP/small"
	run qemu-img check -q "$TMP/small"
	rm "$TMP/now" "$TMP/small"
}

on_host ext4 4096
on_host ext2 1024
