#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a server says when the kernel, or a disk, refuses what it seldom does:
# strace(1) answers in their place. The whole sentence and the exit status, and
# that nothing stays mounted.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/mount/lib_faulty.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_faulty.sh"
need_root
need_fuse
need strace flock

unset RAWMAP_TEST_ENGINE RAWMAP_TEST_OPTIONS
host=$TMP/host.img

# says SENTENCE: one of the lines of the command before.
says()
{
	grep -Fqx -- "rawmap: $1" "$TMP/err" ||
		fail "'$1' is not what is said: $(cat "$TMP/err")"
}

# provoke STATUS SENTENCE ARGUMENTS OF FAULTY...: the mount ends, with these
# words among others, and lets go of the host.
provoke()
{
	local status=$1 sentence=$2
	shift 2
	mounts+=("$MNT")
	expect_status "$status" faulty -f "$@"
	says "$sentence"
	is_mounted "$MNT" && fail 'it is mounted'
	run flock -n "$host" true
}

test_no_signal_handlers()
{
	provoke 1 "cannot set the signal handlers for the reason above; no\
 sandbox may forbid sigaction(2)" \
		-e inject=rt_sigaction:error=EPERM -- mount -i /disk "$host" \
		"$MNT"
	expect_text "$TMP/err" 'fuse: cannot get old signal handler: Operation'
	check_host "$host"
}

# Root has no limit, so that the kernel has to be the one to refuse. The command
# still waits for the server, and is told.
test_no_thread()
{
	provoke 1 "cannot start the thread that commits '$host'; raise the limit\
 of processes (ulimit -u): Resource temporarily unavailable" \
		-e inject=clone3,clone:error=EAGAIN -- \
		mount -f -i /disk "$host" "$MNT"
	check_host "$host"
}

test_connection()
{
	provoke 1 "the mount on '$MNT' ended before it began; try again, -d\
 shows what the kernel said" -P /dev/fuse \
		-e inject=read:error=ENODEV -- mount -i /disk "$host" "$MNT"
	check_host "$host"
	provoke 1 "the connection of '$MNT' to the kernel broke; mount it again:\
 Input/output error" -P /dev/fuse -e inject=read:error=EIO:when=2+ -- \
		mount -f -o engine=uring -i /disk "$host" "$MNT"
	check_host "$host"
}

# The process ends in the middle of it, as by a signal.
test_io_uring_fails()
{
	local status=0
	mounts+=("$MNT")
	# The shell, too, tells that it was killed.
	{
		faulty -f -e trace=io_uring_enter \
			-e inject=io_uring_enter:error=EBADF -- mount -f \
			-o engine=uring -i /disk "$host" "$MNT" \
			2>"$TMP/err" || status=$?
	} 2>"$TMP/killed"
	expect_text "$TMP/err" 'io_uring_enter fails, and the mount with it;'\
' -o engine=threads does without: Bad file descriptor'
	[ "$status" -gt 128 ] || fail "exit status $status"
	run umount "$MNT"
	run timeout "$limit" flock "$host" true
}

# There is room for a part of the line, which cannot be taken back.
test_part_of_a_line()
{
	local record=$TMP/small/record
	mkdir "$TMP/small"
	run mount -t tmpfs -o size=4k rawmap-test "$TMP/small"
	mounts+=("$TMP/small")
	yes | head -c 4000 >"$record"
	provoke 1 "'$record': a part of a line stays at its end; cut it off by\
 hand: Operation not permitted" -P "$record" \
		-e inject=ftruncate:error=EPERM -- \
		mount -r -o "audit=$record" -i /disk "$host" "$MNT"
	says "cannot write the record '$record': No space left on device"
	expect_equal "$(stat -c %s "$record")" 4096 'size of the record'
}

# First the commit, and then giving back.
test_allocated_blocks_stay()
{
	provoke 1 "blocks that were allocated in '$host' stay so, and hold\
 zeros: Read-only file system" -P "$host" \
		-e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO -- \
		mount -f -o pin=alloc -i /disk "$host" "$MNT"
	says "cannot fill the holes of '/disk' of '$host': Input/output error"
}

make_host ext4 32M "$host"
make_sparse 4M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk
test_no_signal_handlers
test_no_thread
test_connection
test_io_uring_fails
test_part_of_a_line
test_allocated_blocks_stay
