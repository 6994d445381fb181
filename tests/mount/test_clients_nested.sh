#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawmap on an image in an image in an image, by an ordinary user: four servers
# above each other, each the only one that writes to its source. What was written
# at the top is at the bottom when all have ended; and what was synced there is,
# when all of them are killed.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need debugfs

host=$TMP/host.img
levels=4
servers=()
places=()

# Level 1 is in the host, each other in the one before; the last is a disk.
# make_levels KIND: of hosts.
make_levels()
{
	local i mib=12
	make_sparse 8M "$TMP/level$levels"
	run dd if=/dev/urandom of="$TMP/level$levels" bs=64K count=20 seek=3 \
		conv=notrunc status=none
	cp --sparse=always "$TMP/level$levels" "$TMP/want"
	for ((i = levels - 1; i >= 0; i--)); do
		mib=$((mib + 12))
		make_host "$1" "${mib}M" "$TMP/level$i" -m 0
		put_file "$TMP/level$i" "$TMP/level$((i + 1))" /disk
		rm "$TMP/level$((i + 1))"
	done
	mv "$TMP/level0" "$host"
}

# mount_levels ENGINE...: one a level, from below.
mount_levels()
{
	local source=$host i=0 RAWMAP_TEST_ENGINE
	servers=()
	places=()
	for RAWMAP_TEST_ENGINE; do
		i=$((i + 1))
		mkdir -p "$TMP/mnt$i"
		mount_rawmap -o commit=300 -i /disk "$source" "$TMP/mnt$i"
		servers+=("$SERVER")
		places+=("$served")
		source=$TMP/mnt$i/disk
	done
	top=$source
}

unmount_levels()
{
	local i
	for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
		SERVER=${servers[i]}
		served=${places[i]}
		unmount_rawmap
	done
}

# As a power loss takes them; none hears of the others.
kill_levels()
{
	local i order=()
	for i in "${servers[@]}"; do
		order=("$i" "${order[@]}")
	done
	kill -KILL "${order[@]}"
	wait "${servers[@]}" 2>/dev/null
	SERVER=
	for ((i = ${#places[@]} - 1; i >= 0; i--)); do
		umount -l "${places[i]}" 2>/dev/null
	done
	check_log
}

# find_top CHECK...: the disk, from the bottom up, goes to $TMP/now; each host on
# the way passes CHECK.
find_top()
{
	local i
	cp --sparse=always "$host" "$TMP/below"
	for ((i = 0; i < levels; i++)); do
		"$@" "$TMP/below"
		get_file "$TMP/below" /disk "$TMP/above"
		mv "$TMP/above" "$TMP/below"
	done
	mv "$TMP/below" "$TMP/now"
}

# twice COMMAND...: on the disk, and on the copy of what it has to be; the word
# FILE stands for them.
twice()
{
	run "${@/#FILE/$top}"
	run "${@/#FILE/$TMP/want}"
}

# write_twice AT COUNT [dd arguments...]
write_twice()
{
	local at=$1 count=$2
	shift 2
	run dd if=/dev/urandom of="$TMP/random" bs=4K count="$count" status=none
	run dd if="$TMP/random" of="$top" bs=4K seek="$at" conv=notrunc "$@" \
		status=none
	run dd if="$TMP/random" of="$TMP/want" bs=4K seek="$at" conv=notrunc \
		status=none
}

test_written_and_committed()
{
	make_levels "$1"
	shift
	mount_levels "$@"
	expect_same_bytes "$top" "$TMP/want"
	write_twice 0 300
	write_twice 900 70 oflag=direct
	twice truncate -s 9M FILE
	write_twice 2200 50
	twice fallocate -p -o 777777 -l 1234567 FILE
	run dd if="$TMP/random" of="$top" bs=3001 seek=77 conv=notrunc status=none
	run dd if="$TMP/random" of="$TMP/want" bs=3001 seek=77 conv=notrunc \
		status=none
	expect_same_bytes "$top" "$TMP/want"
	unmount_levels
	find_top check_host
	expect_same_bytes "$TMP/now" "$TMP/want"
}

repair()
{
	local status=0
	e2fsck -fy "$1" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -fy: $status: $(cat "$TMP/fsck")"
	check_host "$1"
}

# A sync at the top is one of each level.
test_synced_and_killed()
{
	make_levels "$1"
	shift
	mount_levels "$@"
	exec 7<>"$top"
	write_twice 5 200
	write_twice 1200 300
	run sync "$top"
	run dd if="$TMP/random" of="$top" bs=4K seek=600 count=20 conv=notrunc \
		status=none
	kill_levels
	exec 7>&-
	find_top repair
	# What was not synced may be there or not.
	for file in now want; do
		run dd if=/dev/zero of="$TMP/$file" bs=4K seek=600 count=20 \
			conv=notrunc status=none
	done
	expect_same_bytes "$TMP/now" "$TMP/want"
}

test_one_owner_at_each_level()
{
	local i
	make_levels ext4
	mount_levels uring uring uring uring
	for ((i = 1; i < levels; i++)); do
		expect_status 1 "$RAWMAP" mount -i /disk "$TMP/mnt$i/disk" "$MNT"
		expect_text "$TMP/err" 'in use'
	done
	expect_status 1 umount "$TMP/mnt2"
	unmount_levels
	find_top check_host
}

test_written_and_committed ext4 uring threads uring threads
test_written_and_committed ext2 threads uring uring threads
test_synced_and_killed ext4 uring uring threads uring
test_synced_and_killed ext2 threads uring uring uring
test_one_owner_at_each_level
