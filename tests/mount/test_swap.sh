#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Swap in an image: -o pin=alloc, a loop device with direct I/O, a program that
# needs more memory than it may have. What it wrote comes back, nothing was
# allocated meanwhile, and the server itself was not swapped out.
#
# A swap device whose server is gone, or waits for itself, takes the machine along.
# So, whatever becomes of this script:
#
#   the server    runs in the background, where nobody who ends the script and its
#                 children finds it, and in a group without a limit: only the
#                 program has too little memory
#   the watcher   is nobody's child either; when the script has ended in the middle
#                 it takes down what that has put up
#   taking down   waits for nothing longer than a minute or two: a server that lets
#                 neither the program end nor the device be switched off is cut off
#                 from the kernel, and then both can
#   memory        the machine has plenty, so nobody else has to swap; and when the
#                 device cannot be switched off all that is below it stays

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
need mkswap swapon swapoff jq pgrep
tool=${RAWMAP_TOOLS:?}/tool_hog

host=$TMP/host.img
# MiB, of the image, of the program. When swap is full nobody waits for what is still
# being written to it, and the program is killed: so it never is.
swap=192 need=112
room=40M    # what it may have of memory
plenty=1024 # MiB that must be left on this machine
connections=$TMP/connections
small='' large='' # groups: the program's, the server's
# What is to be taken down, also in the file of that name for the watcher.
state=$TMP/state
hog='' swapped='' connection=''

# ---- the end, in this order ----

save_state()
{
	declare -p hog swapped connection LOOP >"$state.new"
	mv "$state.new" "$state"
}

is_swapped_to()
{
	[ -n "$1" ] && grep -q "^$1 " /proc/swaps
}

# ended PID SECONDS: it has, though perhaps nobody has buried it.
ended()
{
	local i
	for ((i = 0; i < $2; i++)); do
		# A bare return in a trap means what was before the trap.
		timeout 1 tail --pid="$1" -s 0.02 -f /dev/null && return 0
		grep -qs '^State:[[:space:]]*Z' "/proc/$1/status" &&
			return 0
	done
	return 1
}

# Each request fails from now on, and who waits for one goes on.
cut_off()
{
	say "the server of $MNT is cut off"
	echo 1 >"$connections/$connection/abort"
}

end_hog()
{
	[ -n "$hog" ] || return 0
	kill -KILL "$hog" 2>/dev/null
	ended "$hog" 60
}

# In the background: who waits for a device cannot be killed.
switch_off()
{
	is_swapped_to "$swapped" || return 0
	swapoff "$swapped" &
	ended $! 120
	! is_swapped_to "$swapped"
}

# False: something hangs, or is still swapped to.
take_down()
{
	if ! end_hog || ! switch_off; then
		cut_off
		if ! end_hog || ! switch_off; then
			return 1
		fi
	fi
	hog='' swapped=''
	save_state
}

end_groups()
{
	[ -z "$small" ] || rmdir "$small"
	[ -z "$large" ] || rmdir "$large"
	small='' large=''
}

leave()
{
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	if ! take_down; then
		say "'$swapped' is swapped to and stays; so does what it needs:" \
			"$TMP"
		exit 1
	fi
	exec 8>&- 9>&-
	[ "$status" -eq 0 ] || detach_all
	end_groups
	(exit "$status")
	cleanup
}
trap leave EXIT
trap 'exit 129' HUP

# What the end of a life does, for one that was cut short.
detach_all()
{
	local server at=/sys/block/${LOOP#/dev/}/loop/backing_file
	server=$(pgrep -f -- "$host $MNT")
	# It may be somebody else's by now.
	if [ -n "$LOOP" ] && [ "$(cat "$at" 2>/dev/null)" = "$MNT/swap" ]; then
		losetup -d "$LOOP" 2>/dev/null
	fi
	loops=()
	umount -l "$MNT" 2>/dev/null
	[ -n "$server" ] || return 0
	# Nothing is swapped to any more, so it may be killed.
	ended "$server" 60 || kill -KILL "$server"
	ended "$server" 10
}

# watch_over SCRIPT
watch_over()
{
	trap '' INT TERM HUP
	trap - EXIT
	tail --pid="$1" -s 0.2 -f /dev/null
	[ -e "$state" ] || return
	# shellcheck source=/dev/null
	source "$state"
	take_down || return
	detach_all
	end_groups
	umount "$connections"
	rm -rf "$TMP"
}

# ---- groups ----

is_unlimited() # GROUP FILE: or there is no such file
{
	local value
	value=$(cat "$1/$2" 2>/dev/null) || return 0
	[ "$value" = max ] || [ "$value" -gt $((1 << 60)) ]
}

make_groups()
{
	local top limit_file left
	top=$(findmnt -rnt cgroup2 -o TARGET | head -n 1)
	if [ -n "$top" ] && grep -qw memory "$top/cgroup.controllers"; then
		# It may have to be handed down first.
		echo +memory >"$top/cgroup.subtree_control" 2>/dev/null
		limit_file=memory.max
	else
		top=$(findmnt -rnt cgroup -O memory -o TARGET | head -n 1)
		limit_file=memory.limit_in_bytes
	fi
	[ -n "$top" ] || skip 'no cgroups with the memory controller'
	is_unlimited "$top" "$limit_file" || skip "all of $top is limited"
	left=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' \
		/proc/meminfo)
	[ "$left" -ge "$plenty" ] || skip "only $left MiB of memory are left"
	mkdir "$top/rawmap-swap-$$" 2>/dev/null ||
		skip "cannot make a group in $top"
	small=$top/rawmap-swap-$$
	mkdir "$small-server" || fail "cannot make a second group in $top"
	large=$small-server
	echo "$room" >"$small/$limit_file" 2>/dev/null ||
		skip "cannot limit memory in $small"
}

# in_group GROUP COMMAND...: becomes COMMAND, so it goes into a process of its own.
in_group()
{
	echo "$BASHPID" >"$1/cgroup.procs" || exit
	shift
	exec "$@"
}

# ---- one life ----

counter() # NAME
{
	"$RAWMAP" stats --json "$MNT/swap" | jq ".$1"
}

of_status() # PID NAME: kB
{
	awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"
}

swapped_out() # pages, of the whole system
{
	awk '$1 == "pswpout" { print $2 }' /proc/vmstat
}

# Sanitizers lock nothing.
locks_memory()
{
	! grep -q -e __asan_init -e __tsan_init "$RAWMAP"
}

# hear WORD: the program's next line, as long as there is a program.
hear()
{
	local line='' i
	for ((i = 0; i < 120; i++)); do
		kill -0 "$hog" 2>/dev/null || i=120
		read -r -t 1 -u 9 line && break
	done
	expect_equal "$line" "$1" 'what the program says'
}

swap_to_it()
{
	swapped=$LOOP
	save_state
	swapon -p 0 "$LOOP" 2>"$TMP/err" && return
	grep -q 'not permitted' "$TMP/err" && skip 'may not swap'
	fail "swapon: $(cat "$TMP/err")"
}

# The program is at work with more than it may have.
press_memory()
{
	local used out
	rm -f "$TMP/go" "$TMP/said"
	mkfifo "$TMP/go" "$TMP/said"
	exec 8<>"$TMP/go" 9<>"$TMP/said"
	out=$(swapped_out)
	in_group "$small" "$tool" "$need" 2 <"$TMP/go" >"$TMP/said" \
		2>>"$LOG" 8>&- 9>&- &
	hog=$!
	save_state
	hear filled
	used=$(awk -v dev="$swapped" '$1 == dev { print $4 }' /proc/swaps)
	[ "$used" -ge $((32 << 10)) ] || fail "only $used KiB are swapped"
	echo >&8
	hear verified
	ended "$hog" 60 || fail 'the program does not end'
	wait "$hog" || fail 'the program has found something'
	hog=
	save_state
	exec 8>&- 9>&-
	[ $(($(swapped_out) - out)) -ge 16384 ] ||
		fail "only $(($(swapped_out) - out)) pages went out"
}

expect_unchanged() # NAME BEFORE
{
	expect_equal "$(counter "$1")" "$2" "$1 after swapping"
}

# It is there, with blocks for all of the image, and memory of its own.
start_server() # ENGINE
{
	mounts+=("$MNT")
	(in_group "$large" "$RAWMAP" mount \
		-o "pin=alloc,engine=$1,threads=4" -i /swap "$host" "$MNT") \
		2>"$TMP/err" || fail "no mount: $(cat "$TMP/err")"
	[ "$(stat -c %b "$MNT/swap")" -ge $((swap * 2048)) ] ||
		fail 'there are holes left'
	server=$(pgrep -f -- "$host $MNT") || fail 'no server is to be found'
	grep -q "/rawmap-swap-$$-server\$" "/proc/$server/cgroup" ||
		fail 'the server is not in its group'
	connection=$(findmnt -rno MAJ:MIN --mountpoint "$MNT")
	connection=${connection#*:}
	[ -e "$connections/$connection/abort" ] ||
		fail 'no way to cut the server off'
	if locks_memory; then
		[ "$(of_status "$server" VmLck)" -ge 32768 ] ||
			fail "VmLck: $(of_status "$server" VmLck)"
	fi
}

# life KIND ENGINE
life()
{
	local kind=$1 engine=$2 server before writes name loop
	say "$kind, engine=$engine"
	make_host "$kind" 256M "$host"
	make_sparse "${swap}M" "$TMP/swap"
	put_file "$host" "$TMP/swap" /swap
	start_server "$engine"

	loop_attach "$MNT/swap" --direct-io=on
	run mkswap "$LOOP" >/dev/null
	swap_to_it
	before=$(for name in fills commits cache_loads errors dev_errors; do
		echo "$name $(counter "$name")"
	done)
	writes=$(counter write_bytes)
	press_memory
	[ $(($(counter write_bytes) - writes)) -ge $((64 << 20)) ] ||
		fail "only $(($(counter write_bytes) - writes)) bytes came"
	while read -r name writes; do
		expect_unchanged "$name" "$writes"
	done <<<"$before"
	expect_equal "$(of_status "$server" VmSwap)" 0 "the server's VmSwap"

	take_down || fail "swapoff $LOOP"
	loop=$LOOP LOOP=
	save_state
	loop_detach "$loop"
	run umount "$MNT"
	ended "$server" "$limit" || fail 'the server does not end'
	check_host "$host"
}

make_groups
mkdir "$connections"
mount -t fusectl none "$connections" 2>/dev/null ||
	skip 'no fusectl: a server that hangs could not be cut off'
mounts+=("$connections")
save_state
(watch_over "$$" </dev/null >/dev/null 2>&1 &)
for engine in uring threads; do
	life ext4 "$engine"
	life ext2 "$engine"
done
