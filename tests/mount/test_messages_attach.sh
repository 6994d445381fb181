#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What attach and detach say when something happens that seldom does: the whole
# sentence, the exit status, and that nothing is left. A system that has not
# what they need is a namespace with other folders; a kernel that refuses is
# strace(1), which answers in its place.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_attach.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_attach.sh"
# shellcheck source=tests/mount/lib_faulty.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_faulty.sh"
need strace setpriv unshare mknod fuser

unset RAWMAP_TEST_ENGINE RAWMAP_TEST_OPTIONS
uid=65534

# provoke STATUS SENTENCE COMMAND...: one of the lines that it says.
provoke()
{
	local status=$1 sentence=$2
	shift 2
	expect_status "$status" "$@"
	grep -Fqx -- "rawmap: $sentence" "$TMP/err" ||
		fail "'$sentence' is not what is said: $(cat "$TMP/err")"
}

# alone STATUS SENTENCE COMMAND...: and nothing else.
alone()
{
	provoke "$@"
	[ "$(wc -l <"$TMP/err")" -eq 1 ] ||
		fail "more than one line: $(cat "$TMP/err")"
}

# nameless COMMAND...: names that nobody could know are taken out of what it
# says.
nameless()
{
	local status=0
	"$@" 2>"$TMP/named" || status=$?
	sed -E "s|$run/......|$run/XXXXXX|g; s|loop[0-9]+|loopN|g" \
		"$TMP/named" >&2
	return "$status"
}

# elsewhere COMMAND PROGRAM...: the shell's COMMAND comes first, in a namespace
# of mounts, out of which everything goes that is unmounted here.
elsewhere()
{
	local first=$1
	shift
	unshare -m --propagation slave sh -c "$first"' && exec "$@"' sh "$@"
}

# Nothing is left of an attach that failed.
expect_nothing()
{
	expect_equal "$(listed "$host")" '[]' 'what is listed'
	expect_at_rest "$host"
}

# ---- the folder ----

test_no_folder()
{
	local hint="'rawmap mount' takes one that you name"
	alone 1 "cannot make the folder '$run' for the mount; $hint: Read-only\
 file system" elsewhere 'mount -t tmpfs -o ro none /run' \
		"$RAWMAP" attach "$host" /disk
	alone 1 "cannot make a folder for the mount in '$run'; $hint: Read-only\
 file system" elsewhere "mount -t tmpfs none /run && mkdir -m 700 $run &&
		mount -o remount,ro /run" "$RAWMAP" attach "$host" /disk
	alone 1 "'$run' is not a folder of this user's own; remove it" \
		elsewhere "mount -t tmpfs none /run && mkdir $run &&
		chown $uid $run" "$RAWMAP" attach "$host" /disk

	# A user who may have loop devices, and no folder.
	run mknod "$TMP/control" c 10 237
	chmod 666 "$TMP/control"
	chmod 711 "$TMP"
	run cp "$RAWMAP" "$TMP/program"
	alone 1 "there is no folder for the mount: XDG_RUNTIME_DIR does not\
 name one; $hint" elsewhere \
		"mount --bind '$TMP/control' /dev/loop-control" \
		env -u XDG_RUNTIME_DIR setpriv --reuid "$uid" --regid "$uid" \
		--clear-groups -- "$TMP/program" attach "$host" /disk
	expect_nothing
}

test_folder_stays()
{
	attach_rawmap "$host" /disk
	provoke 0 "cannot remove the folder '$WHERE'; remove it by hand: Device\
 or resource busy" faulty -e inject=rmdir:error=EBUSY -- detach "$LOOP"
	run rmdir "$WHERE"
	expect_gone "$LOOP" "$WHERE"
	expect_nothing
}

# ---- the mount ----

test_mount_goes_away()
{
	local where
	provoke 1 "the mount on '$run/XXXXXX' went away at once; try again" \
		nameless faulty -P /proc/self/mountinfo \
		-e inject=openat:error=EACCES -- attach "$host" /disk
	# It did not really.
	where=$(findmnt -rno TARGET -S "$host")
	detach_rawmap "$where"
	expect_nothing
}

test_server_that_does_not_tell()
{
	provoke 1 "the server of '$host' does not tell what it shows on\
 '$run/XXXXXX'; its messages may say why" nameless faulty -f \
		-e inject=ioctl:error=ENOTTY -- attach "$host" /disk
	grep -qFx "rawmap: the server of '$host' cannot be waited for; it may\
 have the source for a moment" "$TMP/err" || fail "$(cat "$TMP/err")"
	run timeout "$limit" flock "$host" true
	expect_nothing
}

test_mounted_over()
{
	mounts+=("$MNT")
	run "$RAWMAP" mount -i /disk "$host" "$MNT"
	run mount -t tmpfs none "$MNT"
	alone 1 "'$MNT' cannot be looked at; it is another user's mount, or\
 something is mounted over it: unmount that first" "$RAWMAP" detach "$MNT"
	run umount "$MNT"

	# Below it, where nobody looks before.
	run mount --bind "$TMP/disk" "$MNT/disk"
	alone 1 "cannot unmount '$MNT'; 'fuser -vm' and 'findmnt' may tell who\
 uses it: Device or resource busy" "$RAWMAP" detach "$MNT"
	run umount "$MNT/disk"
	detach_rawmap "$MNT"
	expect_nothing
}

# ---- the end of the server ----

test_waiting()
{
	attach_rawmap "$host" /disk
	# Ten looks around, of no time.
	alone 0 "waiting for the server of '$host', process $PID, to end" \
		faulty -P 'anon_inode:[pidfd]' -e trace=poll,ppoll \
		-e inject=poll,ppoll:retval=0:when=1..10 -- detach "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	expect_nothing

	attach_rawmap "$host" /disk
	alone 1 "cannot wait for the server of '$host', which may have it for a\
 moment: Cannot allocate memory" faulty -P 'anon_inode:[pidfd]' \
		-e trace=poll,ppoll -e inject=poll,ppoll:error=ENOMEM -- \
		detach "$LOOP"
	run timeout "$limit" flock "$host" true
	expect_gone "$LOOP" "$WHERE"
	expect_nothing

	attach_rawmap "$host" /disk
	alone 0 "the server of '$host' cannot be waited for; it may have the\
 source for a moment" faulty -e inject=pidfd_open:error=ENOSYS -- \
		detach "$LOOP"
	run timeout "$limit" flock "$host" true
	expect_gone "$LOOP" "$WHERE"
	expect_nothing
}

test_not_written()
{
	attach_rawmap "$host" /disk
	alone 1 "not all that was written to the loop device has reached\
 '$host'; check what is in the image: Input/output error" \
		faulty -e inject=fsync:error=EIO -- detach "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	expect_nothing
}

# Killed by its last flush.
test_killed_at_the_end()
{
	local killer pid
	mounts+=("$MNT")
	run "$RAWMAP" mount -o engine=threads,commit=300 -i /disk "$host" "$MNT"
	run dd if=/dev/urandom of="$MNT/disk" bs=64K count=4 conv=notrunc \
		status=none
	pid=$(listed "$host" | jq '.[0].pid')
	: >"$TMP/killer"
	strace -f -o /dev/null -p "$pid" -P "$host" -e trace=fsync,fdatasync \
		-e inject=fsync,fdatasync:signal=KILL 2>"$TMP/killer" &
	killer=$!
	until grep -q attached "$TMP/killer"; do
		kill -0 "$killer" 2>/dev/null || fail "$(cat "$TMP/killer")"
	done
	alone 1 "the server of '$host' ended before it had written the last\
 changes; check it with e2fsck -f" "$RAWMAP" detach "$MNT"
	wait "$killer"
	is_mounted "$MNT" && fail 'still mounted'
	run "$RAWMAP" recover "$host" >"$TMP/recover"
	expect_nothing
}

# ---- the loop device ----

test_kernel_without_loop_devices()
{
	alone 1 "the kernel has no loop devices to give; 'modprobe loop' may\
 bring them (/dev/loop-control): No such file or directory" \
		elsewhere 'mount -t tmpfs none /dev' \
		"$RAWMAP" attach "$host" /disk
}

# undisturbed COMMAND...: an attach that gets the first device that it asks for;
# for another one there are more calls than are counted on.
undisturbed()
{
	local status until=$((SECONDS + limit))
	while status=0; do
		"$@" >"$TMP/device" 2>"$TMP/again" || status=$?
		grep -q EBUSY "$TMP/trace" || break
		[ "$SECONDS" -lt "$until" ] || fail 'others take all devices'
		[ "$status" -ne 0 ] ||
			run "$RAWMAP" detach "$(cat "$TMP/device")"
	done
	cat "$TMP/device"
	cat "$TMP/again" >&2
	return "$status"
}

# refused_by PATH CALL WHAT SENTENCE [ARGUMENTS OF ATTACH]: WHAT is injected
# into CALL on the paths PATH; and all is taken back.
refused_by()
{
	local paths=() call=$2 what=$3 sentence=$4 path
	for path in $1; do
		paths+=(-P "$path")
	done
	shift 4
	alone 1 "$sentence" undisturbed nameless faulty "${paths[@]}" \
		-e "trace=$call" -e "inject=$call:$what" -- \
		attach "$@" "$host" /disk
	[ ! -s "$TMP/out" ] || fail 'the name of a device'
	expect_nothing
}

# Any of them may be the free one, and has to be there now. The flags of struct
# loop_info64 end at byte 56.
test_loop_device_refuses()
{
	local control=/dev/loop-control flags
	flags=poke_exit=@arg3=$(printf '00%.0s' {1..56})
	losetup -f >/dev/null || fail 'no loop device'
	refused_by "$control" ioctl error=ENOSPC "cannot attach a loop device\
 (there is none free) to '$run/XXXXXX/disk'; try again, or detach one that\
 losetup lists: No space left on device"
	refused_by "$(echo /dev/loop[0-9]*)" ioctl error=EIO:when=1 "cannot\
 attach a loop device (loopN) to '$run/XXXXXX/disk'; try again, or detach one\
 that losetup lists: Input/output error"
	refused_by "$(echo /dev/loop[0-9]*)" ioctl error=EIO:when=2 "cannot\
 learn what '/dev/loopN' is; try again: Input/output error"
	refused_by "$(printf '%s/loop/backing_file ' /sys/block/loop*)" openat \
		error=ENOENT "'/dev/loopN' was detached as soon as it was\
 attached; try again"
	refused_by "$(echo /dev/loop[0-9]*)" ioctl "$flags:when=2" "this kernel\
 does not look for partitions on loop devices; go without -P, and use\
 'partx -a'" -P
}

# No refusal.
test_loop_device_without_direct_io()
{
	local flags paths=() path
	flags=poke_exit=@arg3=$(printf '00%.0s' {1..56})
	for path in /dev/loop[0-9]*; do
		paths+=(-P "$path")
	done
	provoke 0 "'/dev/loopN' goes through the page cache: the kernel has no\
 direct I/O for it" undisturbed nameless faulty "${paths[@]}" \
		-e trace=ioctl -e "inject=ioctl:$flags:when=2" -- \
		attach -v "$host" /disk
	LOOP=$(cat "$TMP/out")
	know "$LOOP"
	detach_rawmap "$LOOP"
	expect_nothing
}

# The name of the file is not known before: it is the Nth that is opened.
test_file_that_cannot_be_opened()
{
	local nth
	expect_status 0 faulty -e trace=openat -- attach "$host" /disk
	detach_rawmap "$(cat "$TMP/out")"
	nth=$(grep openat "$TMP/trace" | grep -n "\"$run/.*/disk\".*O_DIRECT" |
		cut -d : -f 1)
	alone 1 "cannot open '$run/XXXXXX/disk' for a loop device; try again:\
 Input/output error" nameless faulty \
		-e "inject=openat:error=EIO:when=$nth" -- attach "$host" /disk
	expect_nothing
}

test_loop_device_stays()
{
	attach_rawmap "$host" /disk
	alone 1 "'$LOOP' is in use: mounted, or held by another program; end\
 that first" faulty -P "$LOOP" -e inject=openat:error=EBUSY -- detach "$LOOP"
	still_attached
	alone 1 "cannot detach '$LOOP'; try 'losetup -d': Input/output error" \
		faulty -P "$LOOP" -e inject=ioctl:error=EIO -- detach "$LOOP"
	still_attached
	detach_rawmap "$LOOP"
	expect_nothing
}

new_host ext4
test_no_folder
test_folder_stays
test_mount_goes_away
test_server_that_does_not_tell
test_mounted_over
test_waiting
test_not_written
test_killed_at_the_end
test_kernel_without_loop_devices
test_loop_device_refuses
test_loop_device_without_direct_io
test_file_that_cannot_be_opened
test_loop_device_stays
