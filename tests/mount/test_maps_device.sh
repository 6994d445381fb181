#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The device-mapper table of an image, read as device-mapper reads one: target
# after target from the raw device. Where the kernel has device-mapper, by it.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_loop
need debugfs

host=$TMP/host.img

# read_through TABLE: the bytes of the device that it makes.
read_through()
{
	local start len kind source from rest at=0
	while read -r start len kind source from rest; do
		[ "$start" -eq "$at" ] || fail "a gap before sector $start"
		[ -z "$rest" ] || fail "more in a line: $rest"
		at=$((at + len))
		case $kind in
		linear)
			dd if="$source" bs=512 skip="$from" count="$len" \
				2>/dev/null
			;;
		zero)
			[ -z "$source" ] || fail "zero has no $source"
			dd if=/dev/zero bs=512 count="$len" 2>/dev/null
			;;
		*) fail "target $kind" ;;
		esac
	done <"$1"
}

has_device_mapper()
{
	command -v dmsetup >/dev/null && dmsetup targets 2>/dev/null |
		grep -q '^zero '
}

# By the kernel; read-only, as the manual says.
read_by_kernel()
{
	local name=rawmap-test-$$
	run dmsetup create --readonly "$name" "$1"
	run dmsetup mknodes "$name"
	sha256sum <"/dev/mapper/$name"
	run dmsetup remove --retry "$name"
}

# A file of 4 MiB whose blocks were somebody else's before, some of them
# unwritten: what a table may not show.
build_host()
{
	make_host "$1" 48M "$host" -b "$2"
	yes old | head -c 8M >"$TMP/old"
	put_file "$host" "$TMP/old" /old
	debugfs -w -R 'rm /old' "$host" >/dev/null 2>&1
	make_sparse 4M "$TMP/disk"
	for at in 0 1 2 8 100 101 300 511 700 1023; do
		yes "block $at" | dd of="$TMP/disk" bs=4096 seek="$at" count=1 \
			iflag=fullblock conv=notrunc 2>/dev/null
	done
	put_file "$host" "$TMP/disk" /disk
	[ "$1" = ext2 ] || debugfs -w -R 'fallocate /disk 400 450' "$host" \
		>/dev/null 2>&1
	get_file "$host" /disk "$TMP/now"
}

test_table()
{
	local wanted
	build_host "$@"
	wanted=$(sha256sum <"$TMP/now")
	loop_attach "$host" --read-only
	expect_status 0 "$RAWMAP" map --format dm "$LOOP" /disk
	mv "$TMP/out" "$TMP/table"
	grep -q " linear $LOOP " "$TMP/table" || fail 'no linear target'
	grep -q ' zero$' "$TMP/table" || fail 'no zero target'
	expect_equal "$(read_through "$TMP/table" | sha256sum)" "$wanted" \
		'what the table reads as'
	if has_device_mapper; then
		expect_equal "$(read_by_kernel "$TMP/table")" "$wanted" \
			'what the kernel reads by the table'
	else
		say 'no device-mapper: the table was read by this test only'
	fi
	loop_detach "$LOOP"
}

# Tables name the device so that it is found from anywhere.
test_relative_name()
{
	loop_attach "$host" --read-only
	cd /dev || fail 'cd /dev'
	expect_status 0 "$RAWMAP" map --format dm "${LOOP#/dev/}" /disk
	expect_text "$TMP/out" " linear $LOOP "
	cd "$TMP" || fail "cd $TMP"
	loop_detach "$LOOP"
}

refuse_table()
{
	expect_status 1 "$RAWMAP" map --format dm "$LOOP" "$1"
	expect_text "$TMP/err" "$2"
	[ ! -s "$TMP/out" ] || fail "a table all the same: $(cat "$TMP/out")"
}

test_refusals()
{
	printf 'no whole sector' >"$TMP/odd"
	put_file "$host" "$TMP/odd" /odd
	: >"$TMP/empty"
	put_file "$host" "$TMP/empty" /empty
	loop_attach "$host" --read-only
	refuse_table /odd 'whole sectors'
	refuse_table /empty 'is empty'
	loop_detach "$LOOP"
}

# A device of large sectors cannot be mapped in smaller pieces.
test_large_sectors()
{
	make_host ext4 16M "$host" -b 1024
	put_file "$host" "$TMP/disk" /disk
	loop_attach "$host" --read-only --sector-size 4096
	refuse_table /disk 'begin where sectors'
	loop_detach "$LOOP"
}

test_table ext4 4096
test_table ext4 1024
test_table ext2 1024
test_relative_name
test_refusals
test_large_sectors
