#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o io_uring: requests come through the ring where the kernel offers it, and
# from /dev/fuse where it does not; either way every byte is right, and a server
# that is told to end or is killed in the middle of it leaves a sound host.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need fio strace pkill

unset RAWMAP_TEST_ENGINE RAWMAP_TEST_OPTIONS
host=$TMP/host.img
server=$RAWMAP
switch=/sys/module/fuse/parameters/enable_uring

[ -e "$switch" ] || skip "the kernel has no FUSE over io_uring: no $switch"
before=$(cat "$switch")
{ echo Y >"$switch"; } 2>/dev/null || skip "$switch cannot be set"

put_back()
{
	local status=$?
	echo "$before" >"$switch"
	return "$status"
}
trap 'put_back; cleanup' EXIT

new_host()
{
	make_host ext4 64M "$host"
	run dd if=/dev/urandom of="$TMP/disk" bs=1M count=24 status=none
	truncate -s 32M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

said()
{
	grep -c "$1" "$LOG"
}

test_threads()
{
	local status=0
	mkdir -p "$TMP/other"
	"$RAWMAP" mount -o engine=threads,io_uring -i /disk "$host" \
		"$TMP/other" 2>"$TMP/err" || status=$?
	if [ "$status" -eq 0 ]; then
		expect_same_bytes "$TMP/other/disk" "$TMP/disk"
		run umount "$TMP/other"
	else
		expect_equal "$status" 2 'exit status'
		expect_text "$TMP/err" 'takes libfuse 3.18'
	fi
}

test_not_offered()
{
	: >"$LOG"
	echo N >"$switch"
	mount_rawmap -v -o io_uring -i /disk "$host" "$MNT"
	echo Y >"$switch"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	expect_equal "$(said "in spite of 'io_uring'")" 1 'times it is said'
	expect_equal "$(said 'enable_uring')" 1 'times it is told how'
	expect_equal "$(said 'engine=uring$')" 1 'engine'
}

# traced_replies ARGUMENTS OF STRACE...: the server as $TMP/traced.
traced_replies()
{
	rm -f "$TMP/trace"
	: >"$LOG"
	cat >"$TMP/traced" <<-END
		#!/bin/bash
		export ASAN_OPTIONS=\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}detect_leaks=0
		exec strace -f -xx -s 80 -P /dev/fuse -e trace=write \
			-o "$TMP/trace" $* "$server" "\$@"
	END
	chmod +x "$TMP/traced"
}

# The kernel offers it, and is not told that it is taken; and before the server
# goes on it is not offered any more. In the 80 bytes of the first reply, the
# header's 16 among them, flags2 has byte 48 and three more.
test_kernel_takes_no_queues()
{
	local until=$((SECONDS + limit)) reply
	traced_replies
	RAWMAP=$TMP/traced mount_rawmap -o io_uring -i /disk "$host" "$MNT"
	unmount_rawmap
	reply=$(sed -n 's/.* write([0-9]*, "\(\(\\x..\)*\)", 80).*/\1/p' \
		"$TMP/trace" | head -n 1 | tr -d '\\x')
	expect_equal "${#reply}" 160 'digits of the reply'

	traced_replies -e "inject=write:signal=STOP:when=1:poke_enter=\
@arg2=${reply:0:96}00000000"
	"$TMP/traced" mount -f -o io_uring -i /disk "$host" "$MNT" 2>"$LOG" &
	SERVER=$!
	served=$MNT
	mounts+=("$MNT")
	until grep -q 'stopped by SIGSTOP' "$TMP/trace" 2>/dev/null; do
		[ "$SECONDS" -lt "$until" ] || fail 'it does not stop'
	done
	echo N >"$switch"
	run pkill -CONT -P "$SERVER"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	echo Y >"$switch"
	unmount_rawmap
	expect_equal "$(cat "$LOG")" 'rawmap: requests come from /dev/fuse, the'\
' kernel takes no queues: Operation not supported' 'what the server says'
}

# Who answers 512 reads without 512 system calls was not asked by /dev/fuse.
test_offered()
{
	local calls
	: >"$LOG"
	cat >"$TMP/traced" <<-END
		#!/bin/bash
		export ASAN_OPTIONS=\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}detect_leaks=0
		exec strace -f -e trace=read,readv,write,writev -o "$TMP/trace" \
			"$server" "\$@"
	END
	chmod +x "$TMP/traced"
	RAWMAP=$TMP/traced mount_rawmap -v -o io_uring -i /disk "$host" "$MNT"
	expect_equal "$(said 'through io_uring')" 1 'times it is said'
	calls=$(wc -l <"$TMP/trace")
	run dd if="$MNT/disk" of="$TMP/read" iflag=direct bs=4K count=512 \
		status=none
	calls=$(($(wc -l <"$TMP/trace") - calls))
	unmount_rawmap
	run cmp -n 2M "$TMP/read" "$TMP/disk"
	[ "$calls" -lt 256 ] || fail "$calls reads and writes for 512 requests"
}

# What only libfuse replies to, with errors among it, and all of it at a time.
test_other_requests()
{
	local pids=() i
	mount_rawmap -o io_uring -i /disk "$host" "$MNT"
	expect_equal "$(ls "$MNT")" disk 'names'
	expect_status 1 mkdir "$MNT/folder"
	expect_status 1 rm -f "$MNT/disk"
	expect_status 1 cat "$MNT/$(printf 'n%.0s' {1..255})"
	run "$RAWMAP" stats "$MNT/disk" >"$TMP/out"
	expect_text "$TMP/out" reads
	for i in {0..7}; do
		(
			for _ in {1..40}; do
				stat "$MNT/disk" && ls -l "$MNT" || exit 1
				fallocate -p -o "${i}M" -l 64K "$MNT/disk" ||
					exit 1
			done >/dev/null 2>&1
		) &
		pids+=($!)
		run fallocate -p -o "${i}M" -l 64K "$TMP/disk"
	done
	run wait "${pids[@]}"
	run truncate -s 31M "$MNT/disk"
	run truncate -s 33M "$MNT/disk"
	truncate -s 31M "$TMP/disk"
	truncate -s 33M "$TMP/disk"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
}

# Mapped blocks, holes and odd bytes, more requests than entries among them.
test_verified()
{
	loop=$1
	new_host
	mount_rawmap -o io_uring -i /disk "$host" "$MNT"
	LOOP=$MNT/disk
	[ "$loop" = no ] || loop_attach "$MNT/disk" --direct-io=on
	run fio --output="$TMP/fio" --minimal --verify_state_save=0 \
		--verify=crc32c --verify_fatal=1 --randseed=4711 \
		--ioengine=libaio --direct=1 --rw=randwrite \
		--filename="$LOOP" --size=8M \
		--name=mapped --offset=0 --bs=4K --iodepth=128 \
		--name=holes --offset=24M --bs=4K --iodepth=32 \
		--name=long --offset=8M --bs=1M --iodepth=4 \
		--name=odd --offset=16M --iodepth=32 --blockalign=512 \
		--bssplit=512/30:1536/20:4K/20:48K/20:512K/10
	[ "$loop" = no ] || loop_detach "$LOOP"
	cp "$MNT/disk" "$TMP/written"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/written"
}

# end SIGNAL: while requests of all kinds are under way.
test_end()
{
	local signal=$1 client until=$((SECONDS + limit)) start
	new_host
	mount_rawmap -o io_uring -i /disk "$host" "$MNT"
	# A client that comes too late must not make a file of its own.
	fio --output="$TMP/fio" --ioengine=libaio --direct=1 --rw=randrw \
		--filename="$MNT/disk" --size=32M --time_based --runtime=60 \
		--allow_file_create=0 \
		--name=a --bs=4K --iodepth=32 --name=b --bs=512K --iodepth=8 \
		>/dev/null 2>&1 &
	client=$!
	start=$(stat -c %Y.%y "$MNT/disk")
	until [ "$(stat -c %Y.%y "$MNT/disk")" != "$start" ]; do
		[ "$SECONDS" -lt "$until" ] || fail 'the client does not write'
	done
	if [ "$signal" = KILL ]; then
		kill_rawmap
		expect_status 0 "$RAWMAP" recover "$host"
	else
		kill -s "$signal" "$SERVER"
		wait_for_server 0
		is_mounted "$MNT" && fail "mounted after SIG$signal"
	fi
	wait "$client" && fail 'the client saw no error'
	check_host "$host"
}

new_host
"$RAWMAP" mount -o io_uring "$host" "$MNT" 2>&1 | grep 'built without' &&
	skip 'this rawmap has no io_uring'
mount_rawmap -v -i /disk "$host" "$MNT"
unmount_rawmap
grep -q 'no io_uring' "$LOG" && skip "$(grep -o 'no io_uring.*' "$LOG")"

test_offered
test_not_offered
test_kernel_takes_no_queues
test_threads
test_other_requests
test_verified no
test_verified yes
test_end TERM
test_end KILL
