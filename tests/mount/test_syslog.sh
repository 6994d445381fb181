#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A server in the background speaks to syslog, which the journal of systemd hears
# by the same socket: under its name and process, at the level of each message,
# and only when it is in the background. Here a program of the test has /dev/log,
# in a /dev of its own.
# RAWMAP_TEST_ONCE

if [ "${1-}" != in-namespace ] && [ "$(id -u)" -eq 0 ]; then
	exec unshare -m -- "$0" in-namespace
fi

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need python3 fallocate strace

host=$TMP/host.img
heard=$TMP/heard
listener=''
server=''
daemon=24		# 3, the facility, times 8

# What the tests use of /dev, by the nodes themselves; the socket is not there
# for others.
own_dev()
{
	local node
	mkdir "$TMP/dev"
	run mount -t tmpfs -o mode=755 rawmap-test "$TMP/dev"
	for node in null zero full random urandom tty fuse; do
		[ -e "/dev/$node" ] || continue
		: >"$TMP/dev/$node"
		run mount --bind "/dev/$node" "$TMP/dev/$node"
	done
	ln -s /proc/self/fd "$TMP/dev/fd"
	run mount --move "$TMP/dev" /dev
}

leave()
{
	local status=$?
	kill "$listener" 2>/dev/null
	(exit "$status")
	cleanup
}

listen()
{
	cat >"$TMP/listen.py" <<-'END_OF_LISTEN'
		import socket, sys
		log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		log.bind("/dev/log")
		print("ready", flush=True)
		while True:
		    text = log.recv(65536).decode(errors="replace")
		    print(text.rstrip("\0\n"), flush=True)
	END_OF_LISTEN
	: >"$heard"
	python3 "$TMP/listen.py" >>"$heard" 2>&1 &
	listener=$!
	trap leave EXIT
	wait_for_text '^ready$'
}

wait_for_text()
{
	timeout "$limit" grep -Eqm1 -- "$1" \
		< <(tail -n +1 --pid=$$ -s 0.01 -f "$heard" 2>/dev/null) ||
		fail "'$1' is not heard: $(cat "$heard")"
}

# expect_heard LEVEL TEXT: as RFC 3164 has it, from the server.
expect_heard()
{
	wait_for_text "^<$((daemon + $1))>[A-Z][a-z]{2} .* rawmap\[$server\]: $2"
}

released()
{
	run timeout "$limit" flock "$host" true
}

# What comes before goes to the caller, what comes behind to syslog.
# A source that is cut off meanwhile is as good as one that fails.
test_levels()
{
	local short=$TMP/short.img
	cp --sparse=always "$host" "$short"
	: >"$heard"
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -v -o on-error=zero,ro -i /disk \
		"$short" "$MNT"
	server_is_up
	expect_text "$TMP/err" 'is shown in'
	grep -q 'is mounted on' "$TMP/err" && fail 'said to the caller'
	grep -q 'is shown in' "$heard" && fail 'said twice'
	expect_heard 6 "'$short' is mounted on '$MNT', read-only, engine="

	run truncate -s 1M "$short"
	run dd if="$MNT/disk" of=/dev/null bs=64K status=none
	expect_heard 4 'bytes [0-9]* to [0-9]* of the source cannot be read'
	kill -USR1 "$server"
	expect_heard 5 "'/disk' on '$MNT': server: up "
	expect_heard 5 "'/disk' on '$MNT': source: "
	kill -TERM "$server"
	expect_heard 6 "signal 15: unmounting '$MNT'"
	run timeout "$limit" flock "$short" true
}

# The one that was mounted last, by its own word; it obeys signals to that.
server_is_up()
{
	wait_for_text " is mounted on '$MNT'"
	server=$(sed -n "s/.* rawmap\[\([0-9]*\)\]: .* is mounted on .*/\1/p" \
		"$heard" | tail -n 1)
	[ -n "$server" ] || fail "no process: $(cat "$heard")"
}

# A map that is damaged is an error of the server's, not of the command's.
test_errors()
{
	: >"$heard"
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -v -r -i /deep "$host" "$MNT"
	server_is_up
	dd if="$MNT/deep" of=/dev/null bs=64K status=none 2>/dev/null &&
		fail 'a damaged map is read'
	expect_heard 3 "'/deep': .*, in block [0-9]* of '$host'"
	run umount "$MNT"
	released
}

# A server that cannot go on has nobody else to tell.
test_last_words()
{
	local tracer
	: >"$heard"
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -v -r -o engine=uring -i /disk "$host" \
		"$MNT"
	server_is_up
	: >"$TMP/tracer"
	strace -f -o /dev/null -p "$server" -e trace=io_uring_enter \
		-e inject=io_uring_enter:error=EBADF 2>"$TMP/tracer" &
	tracer=$!
	until grep -q attached "$TMP/tracer"; do
		kill -0 "$tracer" 2>/dev/null || fail "$(cat "$TMP/tracer")"
	done
	dd if="$MNT/disk" of=/dev/null bs=64K status=none 2>/dev/null &&
		fail 'it goes on'
	expect_heard 2 'io_uring_enter fails, and the mount with it; '
	wait "$tracer" 2>/dev/null
	run umount "$MNT"
	released
}

# Without anybody who listens the server serves.
test_nobody_listens()
{
	kill "$listener"
	wait "$listener" 2>/dev/null
	rm -f /dev/log
	mounts+=("$MNT")
	expect_status 0 "$RAWMAP" mount -r -v -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	run umount "$MNT"
	released
}

# /deep has more extents than its inode holds; the block behind gets nonsense.
make_deep()
{
	local i block
	make_sparse 4M "$TMP/deep"
	for i in {0..30}; do
		printf x | dd of="$TMP/deep" bs=1 seek=$((i * 2 * 4096)) \
			conv=notrunc status=none
	done
	put_file "$host" "$TMP/deep" /deep
	block=$(debugfs -R 'ex /deep' "$host" 2>/dev/null |
		awk '$1 == "0/" { print $8; exit }')
	[ -n "$block" ] || fail 'no tree'
	run dd if=/dev/urandom of="$host" bs=4096 seek="$block" count=1 \
		conv=notrunc status=none
}

make_host ext4 32M "$host" -b 4096
run dd if=/dev/urandom of="$TMP/disk" bs=1M count=4 status=none
put_file "$host" "$TMP/disk" /disk
make_deep
own_dev
listen
test_levels
test_errors
test_last_words
test_nobody_listens
