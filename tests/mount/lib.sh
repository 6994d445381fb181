# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the tests over real mounts share. A test sources it, asks for what it
# needs, and may then leave at any point: the trap takes down what was put up.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   need_root; need_fuse; need_loop
#   make_host ext4 64M "$TMP/host.img"
#   make_sparse 32M "$TMP/disk"; put_file "$TMP/host.img" "$TMP/disk" /disk
#   mount_rawmap -i /disk "$TMP/host.img" "$MNT"
#   loop_attach "$MNT/disk"; mkfs.ext4 -q "$LOOP"; loop_detach "$LOOP"
#   unmount_rawmap; check_host "$TMP/host.img"
#
# The server runs in the foreground, its messages in $LOG. A suspicious word
# there fails the test even when everything else passed; a test that provokes
# one says so first: expect_in_log 'regular expression'.

set -uo pipefail

RAWMAP=${RAWMAP:?the path of the rawmap program}
# RAWMAP_TEST_ENGINE, if set: the engine= of every mount_rawmap.
# RAWMAP_TEST_OPTIONS, if set: more for its -o.
TMP=$(mktemp -d "${TMPDIR:-/tmp}/rawmap-test.XXXXXX")
MNT=$TMP/mnt
LOG=$TMP/log
LOOP=			# what loop_attach attached last
SERVER=			# process of the foreground server
mkdir "$MNT"
: >"$LOG"

loops=()
mounts=()
served=			# where mount_rawmap mounted last
expected='^$'
suspicious='assert|runtime error|sanitizer|corrupt|warning|double free|segfault'
suspicious+='|memory leak|data race|abort|fatal|critical|unexpected|impossible'
limit=30		# seconds until something that should happen has failed

# ---- results ----

say()
{
	printf '%s\n' "$*" >&2
}

fail()
{
	say "FAIL: $*"
	if [ -s "$LOG" ]; then
		say "--- the server's log:"
		cat "$LOG" >&2
	fi
	exit 1
}

skip()
{
	say "SKIP: $*"
	exit 77
}

# run CMD...: a step that must succeed.
run()
{
	"$@" || fail "exit status $? from: $*"
}

# expect_status STATUS CMD...: output goes to $TMP/out and $TMP/err.
expect_status()
{
	local want=$1 got=0
	shift
	"$@" >"$TMP/out" 2>"$TMP/err" || got=$?
	[ "$got" -eq "$want" ] && return
	cat "$TMP/out" "$TMP/err" >&2
	fail "exit status $got instead of $want from: $*"
}

# expect_text FILE TEXT: the fixed TEXT stands in FILE.
expect_text()
{
	grep -qF -- "$2" "$1" && return
	cat "$1" >&2
	fail "'$2' does not stand in $1"
}

expect_equal()
{
	[ "$1" = "$2" ] || fail "${3:-value}: '$1' instead of '$2'"
}

expect_same_bytes()
{
	cmp "$1" "$2" >&2 || fail "$1 and $2 differ"
}

expect_in_log()
{
	expected="$expected|$1"
}

check_log()
{
	local found
	found=$(grep -Ei "$suspicious" "$LOG" | grep -Ev "$expected")
	[ -z "$found" ] || fail "the log has: $found"
}

# ---- what the system must have ----

need()
{
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "no $tool"
	done
}

need_root()
{
	[ "$(id -u)" -eq 0 ] || skip 'not root'
}

need_fuse()
{
	need findmnt
	{ : <>/dev/fuse; } 2>/dev/null || skip 'cannot open /dev/fuse'
}

need_loop()
{
	need losetup
	{ : <>/dev/loop-control; } 2>/dev/null ||
		skip 'cannot open /dev/loop-control'
	losetup -f >/dev/null 2>&1 || skip 'no loop device to be had'
}

# ---- hosts ----

# make_host KIND SIZE FILE [mke2fs arguments...]
make_host()
{
	local kind=$1 size=$2 file=$3
	shift 3
	need mke2fs
	rm -f "$file"
	truncate -s "$size" "$file"
	run mke2fs -q -F -t "$kind" "$@" "$file"
}

make_sparse()
{
	rm -f "$2"
	truncate -s "$1" "$2"
}

# put_file HOST LOCAL NAME: holes stay holes. NAME is absolute in the host.
put_file()
{
	need debugfs
	debugfs -w -f - "$1" >"$TMP/debugfs" 2>&1 <<-END
		cd $(dirname "$3")
		write $2 $(basename "$3")
	END
	get_stat "$1" "$3" >/dev/null ||
		fail "debugfs wrote no $3: $(cat "$TMP/debugfs")"
}

# get_file HOST NAME LOCAL: the file as debugfs reads it.
get_file()
{
	debugfs -R "dump $2 $3" "$1" >/dev/null 2>&1
	[ -e "$3" ] || fail "debugfs cannot dump $2"
}

get_stat()
{
	debugfs -R "stat $2" "$1" 2>/dev/null | grep -A100 '^Inode:'
}

# check_host HOST: consistent, and marked clean.
check_host()
{
	local out
	out=$(e2fsck -fn "$1" 2>&1) || fail "e2fsck -fn: $out"
	dumpe2fs -h "$1" 2>/dev/null | grep -q '^Filesystem state: *clean$' ||
		fail "$1 is not marked clean"
}

# ---- mounts ----

is_mounted()
{
	findmnt -n --mountpoint "$1" >/dev/null
}

# Wakes up by the kernel's word on any change of the mount table; the timeout
# only bounds the gap between the look before and the start of listening.
wait_for_mount_change()
{
	findmnt --poll --first-only --timeout 100 >/dev/null 2>&1
}

# mount_rawmap ARGUMENTS... MOUNTPOINT: as for rawmap mount; the command runs in
# the foreground behind this function, which returns when the mount is there.
mount_rawmap()
{
	local where=${*: -1} until=$((SECONDS + limit))
	where=$(realpath "$where")
	set -- ${RAWMAP_TEST_ENGINE:+-o "engine=$RAWMAP_TEST_ENGINE"} \
		${RAWMAP_TEST_OPTIONS:+-o "$RAWMAP_TEST_OPTIONS"} "$@"
	# A shell without job control ignores SIGINT for what it puts behind.
	env --default-signal=INT "$RAWMAP" mount -f "$@" >>"$LOG" 2>&1 &
	SERVER=$!
	served=$where
	mounts+=("$where")
	until is_mounted "$where"; do
		kill -0 "$SERVER" 2>/dev/null || fail "the server ended: $*"
		[ "$SECONDS" -lt "$until" ] || fail "no mount in time: $*"
		wait_for_mount_change
	done
	stat "$where" >/dev/null || fail "$where cannot be looked at"
}

# wait_for_server STATUS: it has ended, its last commit is on the source.
# Where each of its threads is, and who else may hold the mount.
tell_of_server()
{
	local task
	for task in /proc/"$SERVER"/task/*; do
		say "$(cat "$task/comm" "$task/wchan" "$task/syscall" \
			"$task/stack" 2>&1 | tr '\n' ' ')"
	done
	ls -l "/proc/$SERVER/fd" >&2
	grep rawmap /proc/self/mountinfo >&2
	lsns -t mnt >&2
}

wait_for_server()
{
	local got=0
	timeout "$limit" tail --pid="$SERVER" -s 0.01 -f /dev/null ||
		{
			tell_of_server
			fail "the server does not end"
		}
	wait "$SERVER" || got=$?
	SERVER=
	[ "$got" -eq "$1" ] ||
		fail "the server's exit status is $got instead of $1"
	check_log
}

# What mount_rawmap mounted; the host is at rest when it returns.
unmount_rawmap()
{
	run umount "$served"
	wait_for_server 0
}

# kill_rawmap: as a crash would; the host is left as it happens to be.
kill_rawmap()
{
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null
	SERVER=
	umount -l "$served" 2>/dev/null
	check_log
}

# ---- loop devices ----

# loop_attach FILE [losetup arguments...]: its name goes to $LOOP.
loop_attach()
{
	local file=$1
	shift
	LOOP=$(losetup --show "$@" -f "$file") || fail "losetup $* $file"
	loops+=("$LOOP")
}

# Somebody who looks at the device in this moment keeps it for as long, and so
# the file: when this returns it is free.
loop_detach()
{
	local left=() dev until=$((SECONDS + limit))
	run losetup -d "$1"
	while [ -e "/sys/block/$(basename "$1")/loop/backing_file" ]; do
		[ "$SECONDS" -lt "$until" ] || fail "$1 is still attached"
	done
	for dev in "${loops[@]}"; do
		[ "$dev" = "$1" ] || left+=("$dev")
	done
	loops=("${left[@]}")
}

# mount_inner DEVICE FOLDER [mount arguments...]: taken down with the rest.
mount_inner()
{
	local dev=$1 where=$2
	shift 2
	run mount "$@" "$dev" "$where"
	mounts+=("$where")
}

# ---- the end ----

# Inner mounts before their loop devices before what serves them.
cleanup()
{
	local status=$? i
	trap - EXIT
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		[ -z "${loops[*]}" ] && break
		mountpoint -q "${mounts[i]}" && [ -d "${mounts[i]}" ] &&
			umount "${mounts[i]}" 2>/dev/null
	done
	for i in "${loops[@]}"; do
		# Else they are those of whoever gets the device next.
		[ -e "${i}p1" ] && partx -d "$i" >/dev/null 2>&1
		losetup -d "$i" 2>/dev/null
	done
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		is_mounted "${mounts[i]}" && umount -l "${mounts[i]}"
	done
	if [ -n "$SERVER" ]; then
		kill -KILL "$SERVER" 2>/dev/null
		wait "$SERVER" 2>/dev/null
	fi
	rm -rf "$TMP"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
