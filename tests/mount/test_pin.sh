#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o pin and pin=alloc: what is there when the command returns, what is refused,
# and what is said of a server that may not do what swap takes.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
# shellcheck source=tests/mount/lib_pin.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_pin.sh"
need jq python3 setpriv prlimit

counter() # NAME [IMAGE]
{
	"$RAWMAP" stats --json "$MNT/${2:-disk}" | jq ".$1"
}

# Every second block of 32 MiB: 4096 extents, as many holes, then 8 MiB in one
# that nobody has written.
make_comb()
{
	make_host "$1" 96M "$host" -b 4096
	rm -f "$TMP/disk"
	run python3 -c "
import os
out = os.open('$TMP/disk', os.O_WRONLY | os.O_CREAT)
for at in range(0, 32 << 20, 8192):
    os.pwrite(out, os.urandom(4096), at)
os.ftruncate(out, 32 << 20)"
	put_file "$host" "$TMP/disk" /disk
	[ "$1" = ext4 ] || return
	mkdir -p "$TMP/kernel"
	loop_attach "$host"
	mount_inner "$LOOP" "$TMP/kernel"
	run fallocate -o 32M -l 8M "$TMP/kernel/disk"
	run umount "$TMP/kernel"
	loop_detach "$LOOP"
	truncate -s 40M "$TMP/disk"
}

test_map_is_loaded_and_kept()
{
	local loads what
	mount_rawmap -v -r -o "engine=$1,pin,cache=16K" -i /disk "$host" "$MNT"
	expect_text "$LOG" 'and its map stays in memory'
	[ "$(counter cache_extents)" -ge 4096 ] ||
		fail "$(counter cache_extents) extents of a pinned map"
	loads=$(counter cache_loads)
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_equal "$(counter cache_loads)" "$loads" 'loads after reading'
	expect_equal "$(counter cache_evictions)" 0 'evictions'
	for what in drop unpin; do
		expect_status 1 "$RAWMAP" advise "$what" "$MNT/disk"
		expect_text "$TMP/err" 'mounted with -o pin'
	done
	run "$RAWMAP" advise populate "$MNT/disk"
	unmount_rawmap
}

test_no_hole_is_left()
{
	local before
	mount_rawmap -o "engine=$1,pin=alloc" -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	before=$(stat -c %b "$MNT/disk")
	[ "$before" -ge $(($(stat -c %s "$MNT/disk") / 512)) ] ||
		fail "only $before sectors are allocated"
	[ "$(dumpe2fs -h "$host" 2>/dev/null | grep -c ' clean$')" -eq 1 ] ||
		fail 'the host is not marked clean'
	# Blocks stay, whatever is asked.
	expect_status 1 fallocate -p -o 1M -l 1M "$MNT/disk"
	expect_text "$TMP/err" 'unsupported'
	run fallocate -z -o 2M -l 1M "$MNT/disk"
	run fallocate -z -o 2M -l 1M "$TMP/disk"
	run dd if=/dev/urandom of="$TMP/disk" bs=4K seek=1000 count=500 \
		conv=notrunc status=none
	run dd if="$TMP/disk" of="$MNT/disk" bs=4K seek=1000 skip=1000 \
		count=500 conv=notrunc,fsync status=none
	expect_equal "$(counter fills)" 0 fills
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_equal "$(stat -c %b "$MNT/disk")" "$before" 'sectors at the end'
	unmount_rawmap
	check_host "$host"
	all_are mapped || fail 'not all of it is mapped'
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"

	# Nothing is left to be done.
	mount_rawmap -o "engine=$1,pin=alloc" -i /disk "$host" "$MNT"
	expect_equal "$(counter dev_write_bytes)" 0 'bytes written'
	unmount_rawmap
}

threads_of() # PROCESS
{
	set -- "/proc/$1/task"/*
	echo $#
}

locked_memory() # kB
{
	awk '$1 == "VmLck:" { print $2 }' "/proc/$SERVER/status"
}

# Sanitizers lock nothing, and a container may not.
is_locked()
{
	[ "$(locked_memory)" -gt 0 ] && return
	grep -q -e __asan_init -e __tsan_init "$RAWMAP" ||
		grep -q 'memory is not locked' "$LOG" || fail 'nothing is locked'
	return 1
}

use_all_threads()
{
	local i writers=()
	for ((i = 0; i < 24; i++)); do
		dd if=/dev/urandom of="$MNT/disk" bs=1M seek=$((i % 12)) \
			count=1 conv=notrunc status=none &
		writers+=($!)
	done
	wait "${writers[@]}" || fail 'a writer has failed'
}

# Threads, and memory for each: its stack and what it has in its hands.
test_threads_and_memory_are_there()
{
	local until=$((SECONDS + limit)) locked
	mount_rawmap -v -o "engine=$1,pin=alloc,threads=20" -i /disk "$host" \
		"$MNT"
	until [ "$(threads_of "$SERVER")" -gt 20 ]; do
		[ "$SECONDS" -lt "$until" ] ||
			fail "only $(threads_of "$SERVER") threads"
	done
	if is_locked; then
		locked=$(locked_memory)
		[ "$locked" -ge $((96 << 10)) ] || fail "only $locked KiB"
		[ "$locked" -le $((160 << 10)) ] || fail "all of $locked KiB"
	fi
	use_all_threads
	is_locked && expect_equal "$(locked_memory)" "$locked" 'KiB under load'

	# None of the threads sees a signal.
	run kill -TERM "$SERVER"
	wait_for_server 0
	expect_text "$LOG" 'signal 15: unmounting'
	: >"$LOG"
}

# Two images, and the server is gone as soon as it could be: nothing was pending.
test_what_is_mounted_is_durable()
{
	make_host "$1" 32M "$host"
	make_sparse 4M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	put_file "$host" "$TMP/disk" /more
	mount_rawmap -o pin=alloc,commit=3600 -i /disk -i /more "$host" "$MNT"
	kill_rawmap
	dumpe2fs -h "$host" 2>/dev/null | grep -q needs_recovery &&
		fail 'the journal is needed'
	check_host "$host"
	all_are mapped || fail 'not all of it is mapped'
	all_are mapped /more || fail 'not all of the second image is mapped'

	# With no memory for its map but what is pinned.
	mount_rawmap -r -o pin,cache=0 -i /disk -i /more "$host" "$MNT"
	[ "$(counter cache_extents more)" -gt 0 ] ||
		fail 'the map of the second image is not pinned'
	unmount_rawmap
}

# refuse STATUS TEXT MOUNT-ARGUMENTS...: the host stays what it is.
refuse()
{
	local status=$1 text=$2 before
	shift 2
	before=$(sha256sum <"$host")
	expect_status "$status" "$RAWMAP" mount "$@" "$host" "$MNT"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	expect_equal "$(sha256sum <"$host")" "$before" 'the host'
}

test_refusals()
{
	make_host ext4 64M "$host"
	make_sparse 32M "$TMP/disk"
	put_file "$host" "$TMP/disk" /one
	put_file "$host" "$TMP/disk" /two
	refuse 2 'read-only mount' -r -o pin=alloc -i /one
	refuse 2 "contradicts 'cow='" -o "pin=alloc,cow=$TMP/cow" -i /one
	[ ! -e "$TMP/cow" ] || fail 'a file of changes was made'
	refuse 2 'pin=everything' -o pin=everything -i /one
	refuse 1 "'pin=alloc' needs 64 MiB for holes" -o pin=alloc -i /one \
		-i /two
}

# The map needs blocks, too, that holes alone do not show: it runs full.
test_full_in_the_middle()
{
	local holes
	make_host ext2 32M "$host" -b 1024 -m 0
	holes=$(dumpe2fs -h "$host" 2>/dev/null |
		sed -n 's/^Free blocks: *//p')
	make_sparse 1M "$TMP/disk"
	put_file "$host" "$TMP/disk" /first
	make_sparse $(((holes - 1034) << 10)) "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	expect_status 1 "$RAWMAP" mount -o pin=alloc -i /first -i /disk \
		"$host" "$MNT"
	expect_text "$TMP/err" "'/disk'"
	expect_text "$TMP/err" 'No space left'
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
	all_are hole /first || fail 'not all of the first was given back'
}

# The kernel refuses, when all else is done.
test_no_mount_no_blocks()
{
	make_host ext4 16M "$host"
	make_sparse 4M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	expect_status 1 unshare -m sh -s "$RAWMAP" mount -o pin=alloc \
		-i /disk "$host" "$MNT" <<-'END'
		mount --bind /dev/null /dev/fuse && exec "$@"
	END
	expect_text "$TMP/err" 'cannot mount on'
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

test_what_is_missing_is_said()
{
	make_host ext4 16M "$host"
	make_sparse 1M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	cat >"$TMP/limited" <<-END
		#!/bin/sh
		exec prlimit --memlock=65536:65536 setpriv \
			--bounding-set=-ipc_lock,-sys_resource "$RAWMAP" "\$@"
	END
	chmod +x "$TMP/limited"
	expect_status 0 "$TMP/limited" mount -o pin -i /disk "$host" "$MNT"
	expect_text "$TMP/err" 'not locked, so do not swap to what is mounted here'
	expect_text "$TMP/err" 'ulimit -l'
	grep -q "$unmarked" "$TMP/err" || fail 'nothing about the capability'
	expect_equal "$(wc -l <"$TMP/err")" 2 'lines on standard error'
	run umount "$MNT"
	run timeout "$limit" flock "$host" true

	# In a namespace of his own a user is root, but not to the kernel.
	if unshare -Urm true 2>/dev/null; then
		expect_status 0 prlimit --memlock=65536:65536 unshare -Urm \
			sh -s "$RAWMAP" "$host" "$MNT" <<-'END'
			"$1" mount -o pin -i /disk "$2" "$3" && umount "$3"
		END
		expect_text "$TMP/err" 'ulimit -l'
		run timeout "$limit" flock "$host" true
	fi

	# Nobody swaps to what is only read.
	expect_status 0 "$TMP/limited" mount -r -o pin -i /disk "$host" "$MNT"
	expect_text "$TMP/err" 'ulimit -l'
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	run umount "$MNT"
	run timeout "$limit" flock "$host" true
}

mounts+=("$MNT")
for engine in uring threads; do
	for kind in ext4 ext2; do
		say "$kind, engine=$engine"
		make_comb "$kind"
		test_map_is_loaded_and_kept "$engine"
		test_no_hole_is_left "$engine"
	done
	test_threads_and_memory_are_there "$engine"
done
for kind in ext4 ext2; do
	test_what_is_mounted_is_durable "$kind"
done
test_refusals
test_full_in_the_middle
test_no_mount_no_blocks
test_what_is_missing_is_said
