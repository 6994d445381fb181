#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the command line answers: help, mistakes, exit status.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
commands='mount attach detach list map info recover stats'

# refuse STATUS TEXT ARGUMENTS...: one sentence, with TEXT, and nothing else.
refuse()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$RAWMAP" "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 "lines on standard error of: $*"
	[[ $(cat "$TMP/err") == 'rawmap: '* ]] ||
		fail "no 'rawmap: ' in front: $(cat "$TMP/err")"
	[ ! -s "$TMP/out" ] || fail "standard output of: $*"
}

test_help()
{
	local command
	expect_status 0 "$RAWMAP" --help
	expect_status 0 "$RAWMAP" help help
	expect_status 0 "$RAWMAP" help
	for command in $commands; do
		expect_text "$TMP/out" "  $command "
	done
	for command in $commands; do
		expect_status 0 "$RAWMAP" "$command" --help
		expect_text "$TMP/out" "rawmap $command"
		mv "$TMP/out" "$TMP/help"
		expect_status 0 "$RAWMAP" help "$command"
		expect_same_bytes "$TMP/out" "$TMP/help"
	done
	expect_status 0 "$RAWMAP" --version
	grep -Eqx 'rawmap [0-9]+(\.[0-9]+)*' "$TMP/out" ||
		fail "version: $(cat "$TMP/out")"
	expect_status 2 "$RAWMAP"
	expect_text "$TMP/err" 'Usage: rawmap'
}

test_usage_errors()
{
	refuse 2 "there are: mount, attach, detach, list, map, info, recover, advise, stats, help" frobnicate
	refuse 2 "there is no command 'frobnicate'" help frobnicate
	refuse 2 'usage: rawmap help' help map more
	refuse 2 'usage: rawmap mount' mount
	refuse 2 'usage: rawmap mount' mount -i /disk "$TMP/host.img"
	refuse 2 'too many' mount -i /disk "$TMP/host.img" "$MNT" more
	refuse 2 '-i PATH' mount "$TMP/host.img" "$MNT"
	refuse 2 '-i PATH' mount -o ro "$TMP/host.img" "$MNT"
	refuse 2 "'nosuchoption'" mount -i /disk -o nosuchoption \
		"$TMP/host.img" "$MNT"
	refuse 2 'commit=' mount -i /disk -o commit=soon "$TMP/host.img" "$MNT"
	refuse 2 "'sync' makes no sense" mount -i /disk -o ro,sync \
		"$TMP/host.img" "$MNT"
	refuse 2 "'discard' makes no sense" mount -r -i /disk -o discard \
		"$TMP/host.img" "$MNT"
	refuse 2 "'rw'" mount -r -i /disk -o rw "$TMP/host.img" "$MNT"
	refuse 2 'the source itself' mount -i /disk "$TMP/host.img" \
		"$TMP/host.img"
	refuse 2 '--frobnicate' mount --frobnicate "$TMP/host.img" "$MNT"
	refuse 2 'usage: rawmap map' map "$TMP/host.img"
	refuse 2 'table, json' map --format xml "$TMP/host.img" /disk
	refuse 2 'usage: rawmap info' info
	refuse 2 'usage: rawmap recover' recover
	refuse 2 'usage: rawmap stats' stats
}

test_failures()
{
	refuse 1 "$TMP/nothing" mount -i /disk "$TMP/nothing" "$MNT"
	refuse 1 "$TMP/nothing" mount -i /disk "$TMP/host.img" "$TMP/nothing"
	refuse 1 /nothing mount -i /nothing "$TMP/host.img" "$MNT"
	refuse 1 directory mount -i /lost+found "$TMP/host.img" "$MNT"
	refuse 1 'no ext2, ext3 or ext4' mount -i /disk "$TMP/zeros" "$MNT"
	refuse 1 'neither a directory' mount -i /disk "$TMP/host.img" /dev/null
	refuse 1 /nothing map "$TMP/host.img" /nothing
	refuse 1 "$TMP/nothing" info "$TMP/nothing"
	refuse 1 'no ext2, ext3 or ext4' info "$TMP/zeros"
	refuse 1 'not a file that rawmap shows' stats "$TMP/zeros"
	refuse 1 'not a file that rawmap shows' stats "$TMP"
	refuse 1 "$TMP/nothing" stats "$TMP/nothing"
	is_mounted "$MNT" && fail 'one of them was mounted after all'
	return 0
}

# A full disk is noticed.
test_output_errors()
{
	local status=0
	"$RAWMAP" map --format json "$TMP/host.img" /disk >/dev/full \
		2>"$TMP/err" || status=$?
	expect_equal "$status" 1 'exit status of map to a full disk'
	status=0
	"$RAWMAP" info "$TMP/host.img" >/dev/full 2>"$TMP/err" || status=$?
	expect_equal "$status" 1 'exit status of info to a full disk'
}

test_reports()
{
	expect_status 0 "$RAWMAP" map "$TMP/host.img" /disk
	expect_text "$TMP/out" '/disk: 1 extent'
	expect_status 0 "$RAWMAP" map --format json "$TMP/host.img" /disk
	expect_text "$TMP/out" '"start": 1048576, "length": 65536, "state": "mapped"'
	expect_status 0 "$RAWMAP" info "$TMP/host.img"
	expect_text "$TMP/out" ext4
	expect_status 0 "$RAWMAP" info "$TMP/host.img" /disk
	expect_text "$TMP/out" '4194304 bytes'
}

test_reading_writes_nothing()
{
	local before
	before=$(sha256sum <"$TMP/host.img")
	expect_status 0 "$RAWMAP" info "$TMP/host.img" /disk
	expect_status 0 "$RAWMAP" map "$TMP/host.img" /disk
	expect_equal "$(sha256sum <"$TMP/host.img")" "$before" 'bytes of the host'
}

# The command that goes to the background returns when the file is there, and
# paths of its command line were those of the folder where it was typed.
test_background()
{
	need_fuse
	cd "$TMP" || fail "cd $TMP"
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -i /disk host.img mnt
	expect_equal "$(stat -c %s "$MNT/disk")" 4194304 'size'
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_equal "$(findmnt -no FSTYPE,SOURCE "$MNT" | tr -s ' ')" \
		"fuse.rawmap $TMP/host.img" 'findmnt'
	expect_status 0 "$RAWMAP" stats "$MNT/disk"
	grep -Eq '^  reads .* 4 MiB$' "$TMP/out" ||
		fail "stats: $(cat "$TMP/out")"
	expect_status 0 "$RAWMAP" stats --json "$MNT/disk"
	expect_text "$TMP/out" '"read_bytes": 4194304,'
	refuse 1 'in use' mount -i /disk "$TMP/host.img" "$TMP/other"
	refuse 1 'in use' info "$TMP/host.img"
	run umount "$MNT"
}

# "link/.." is the folder above the one that the link leads to.
test_path_through_link()
{
	need_fuse
	mkdir -p "$TMP/far/folder"
	ln "$TMP/host.img" "$TMP/far/host.img"
	ln -s far/folder "$TMP/link"
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -r -i /disk "$TMP/link/../host.img" \
		"$MNT"
	expect_equal "$(findmnt -no SOURCE "$MNT")" "$TMP/far/host.img" \
		'the source'
	run umount "$MNT"
}

# Waits as long as the server that is going away has the host.
wait_for_release()
{
	run timeout "$limit" flock "$TMP/host.img" true
}

test_signals()
{
	local signal
	need_fuse
	for signal in TERM INT HUP; do
		mount_rawmap -v -i /disk "$TMP/host.img" "$MNT"
		printf x | dd of="$MNT/disk" conv=notrunc 2>/dev/null
		kill -s "$signal" "$SERVER"
		wait_for_server 0
		is_mounted "$MNT" && fail "mounted after SIG$signal"
		check_host "$TMP/host.img"
	done
	put_back=$(debugfs -R 'cat /disk' "$TMP/host.img" 2>/dev/null |
		head -c 1)
	expect_equal "$put_back" x 'what was written before the signal'
}

make_host ext4 32M "$TMP/host.img"
make_sparse 4M "$TMP/disk"
yes rawmap | head -c 65536 |
	dd of="$TMP/disk" bs=65536 seek=16 conv=notrunc 2>/dev/null
put_file "$TMP/host.img" "$TMP/disk" /disk
truncate -s 1M "$TMP/zeros"
mkdir "$TMP/other"

test_help
test_usage_errors
test_failures
test_output_errors
test_reports
test_reading_writes_nothing
test_background
wait_for_release
test_path_through_link
wait_for_release
check_host "$TMP/host.img"
test_signals
