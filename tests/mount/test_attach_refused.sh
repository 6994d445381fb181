#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What attach and detach will not do: each time with a sentence, and with
# everything as it was. And what a server that ends in between leaves.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_attach.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_attach.sh"
need swapon mkswap

swap=
stopped=
other=
leave()
{
	local status=$?
	[ -z "$swap" ] || swapoff "$swap"
	[ -z "$stopped" ] || kill -CONT "$stopped"
	[ -z "$other" ] || kill "$other"
	(exit "$status")
	leave_nothing
}
trap leave EXIT

# not_attached STATUS TEXT ARGUMENTS...: and nothing is left.
not_attached()
{
	local status=$1 text=$2 before
	shift 2
	before=$(ls "$run" 2>/dev/null)
	expect_status "$status" "$RAWMAP" attach "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 "lines on standard error of: $*"
	[ ! -s "$TMP/out" ] || fail "standard output of: $*"
	expect_equal "$(ls "$run" 2>/dev/null)" "$before" "folders after: $*"
	expect_equal "$(listed "$host")" "${kept-[]}" 'what is listed'
	losetup -nO BACK-FILE | grep -F "$host" >&2 && fail 'a loop device'
	return 0
}

test_attach_fails()
{
	new_host ext4
	not_attached 1 /none "$host" /none
	not_attached 1 "$TMP/nothing" "$TMP/nothing" /disk
	not_attached 2 nosuchoption -o nosuchoption "$host" /disk
	not_attached 2 "'image='" -o image=/other "$host" /disk
	not_attached 2 'power of two' -b 513 "$host" /disk
	not_attached 2 'too few' "$host"
	run flock -n "$host" true

	# A device whose name could not be told is not kept.
	"$RAWMAP" attach "$host" /disk >/dev/full 2>"$TMP/err"
	expect_equal $? 1 'exit status of attach to a full disk'
	expect_text "$TMP/err" 'standard output'
	expect_equal "$(listed "$host")" '[]' 'what is listed'
	expect_at_rest "$host"
}

test_source_busy()
{
	attach_rawmap "$host" /disk
	kept=$(listed "$host")
	not_attached 1 'in use' "$host" /disk
	unset kept
	still_attached
	detach_rawmap "$LOOP"
}

test_mounted()
{
	mkdir -p "$TMP/inner"
	attach_rawmap "$host" /disk
	run mkfs.ext4 -q "$LOOP"
	mount_inner "$LOOP" "$TMP/inner"
	refuse "'$LOOP' is mounted on '$TMP/inner'" "$RAWMAP" detach "$LOOP"
	refuse "'$LOOP' is mounted on '$TMP/inner'" "$RAWMAP" detach "$WHERE"
	still_attached
	run umount "$TMP/inner"
}

# The device of test_mounted.
test_swap()
{
	run mkswap "$LOOP" >/dev/null 2>&1
	if ! swapon "$LOOP"; then
		say 'no swap on this kernel: not tested'
		return
	fi
	swap=$LOOP
	refuse 'in use as swap' "$RAWMAP" detach "$LOOP"
	still_attached
	run swapoff "$LOOP"
	swap=
}

test_open()
{
	exec 7<"$LOOP"
	refuse "is in use by '" "$RAWMAP" detach "$LOOP"
	expect_text "$TMP/err" "(process $$)"
	exec 7<&-
	still_attached

	# The file itself: the device could go, the mount not.
	exec 7<"$(of .file)"
	refuse "'$WHERE' is in use by '" "$RAWMAP" detach "$WHERE"
	exec 7<&-
	still_attached
	detach_rawmap "$WHERE"
	expect_gone "$LOOP" "$WHERE"
	expect_at_rest "$host"
}

test_second_device()
{
	local first other
	attach_rawmap "$host" /disk
	first=$LOOP
	loop_attach "$(of .file)"
	other=$LOOP
	refuse "'$other' is attached" "$RAWMAP" detach "$first"
	LOOP=$first
	still_attached
	loop_detach "$other"
	detach_rawmap "$first"
}

test_foreign()
{
	refuse 'neither a loop device' "$RAWMAP" detach /dev/null
	refuse "'$TMP/nothing'" "$RAWMAP" detach "$TMP/nothing"
	refuse 'neither a loop device' "$RAWMAP" detach "$TMP"
	loop_attach "$host"
	refuse 'losetup -d' "$RAWMAP" detach "$LOOP"
	loop_detach "$LOOP"
	refuse 'nothing is attached' "$RAWMAP" detach "$LOOP"
	expect_status 2 "$RAWMAP" detach
}

# kill_and_see STATE: what list says of it, once it has noticed.
kill_and_see()
{
	local until=$((SECONDS + limit))
	kill -KILL "$PID"
	until know "$LOOP"; [ "$(of .state)" = dead ]; do
		[ "$SECONDS" -lt "$until" ] || fail "state: $(of .state)"
	done
	expect_equal "$(of .file)" null 'the file'
}

test_killed()
{
	new_host ext4
	attach_rawmap -o commit=300 "$host" /disk
	run dd if=/dev/urandom of="$LOOP" bs=64K count=16 oflag=direct \
		status=none
	kill_and_see
	expect_status 0 "$RAWMAP" list
	grep -F "$host" "$TMP/out" | grep -F "$LOOP" | grep -q 'rw *dead$' ||
		fail "$(cat "$TMP/out")"
	refuse "the server of '$host' was gone" "$RAWMAP" detach "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	expect_status 0 "$RAWMAP" recover "$host"
	check_host "$host"

	# With nothing to write nothing is lost.
	attach_rawmap -r "$host" /disk
	kill_and_see
	detach_rawmap "$LOOP"
	expect_gone "$LOOP" "$WHERE"
}

# A server that does not get to answer is waited for, but not for ever.
test_stopped()
{
	attach_rawmap "$host" /disk
	stopped=$PID
	kill -STOP "$PID"
	expect_status 0 timeout "$limit" "$RAWMAP" list --json
	expect_equal "$(jq -r --arg loop "$LOOP" \
		'.[] | select(.loops[].device == $loop) | .state' \
		<"$TMP/out")" silent 'the state'
	refuse 'does not answer' timeout "$limit" "$RAWMAP" detach "$LOOP"
	kill -CONT "$PID"
	stopped=
	still_attached
	detach_rawmap "$LOOP"
	expect_at_rest "$host"
}

# The source has no room for what is committed last.
test_last_commit_fails()
{
	local small=$TMP/small
	mkdir "$small"
	run mount -t tmpfs -o size=8M tmpfs "$small"
	mounts+=("$small")
	host=$small/host.img
	new_host ext4
	attach_rawmap -o commit=300 "$host" /disk
	run dd if=/dev/urandom of="$LOOP" bs=64K count=16 oflag=direct \
		status=none
	dd if=/dev/zero of="$small/rest" bs=4K 2>"$TMP/dd" &&
		fail 'the source is not full'
	refuse 'the last changes could not be written' "$RAWMAP" detach "$LOOP"
	expect_gone "$LOOP" "$WHERE"
	rm "$small/rest"
	run umount "$small"
	host=$TMP/host.img
}

# copy_mounts: another process, $other, has a table of mounts of its own.
copy_mounts()
{
	unshare -m sleep 1000 >/dev/null 2>&1 &
	other=$!
	until [ "$(readlink "/proc/$other/exe")" = "$(readlink -f \
		"$(command -v sleep)")" ]; do :; done
	grep -qF "$1" "/proc/$other/mountinfo" || fail "no copy of $1"
}

end_copy()
{
	kill "$other"
	wait "$other" 2>/dev/null
	other=
}

# As long as somebody else has the mount the server has to go on.
test_mounted_elsewhere()
{
	new_host ext4
	mounts+=("$MNT")
	run "$RAWMAP" mount -i /disk "$host" "$MNT"
	copy_mounts "$MNT"
	refuse "(process $other)" timeout "$limit" "$RAWMAP" detach "$MNT"
	is_mounted "$MNT" && fail 'it is mounted'
	end_copy
	run timeout "$limit" flock "$host" true
	check_host "$host"

	# The folder of attach goes, and with it every copy of the mount.
	attach_rawmap "$host" /disk
	copy_mounts "$WHERE"
	detach_rawmap "$LOOP"
	expect_at_rest "$host"
	end_copy
}

test_bound_elsewhere()
{
	attach_rawmap "$host" /disk
	: >"$TMP/bound"
	run mount --bind "$(of .file)" "$TMP/bound"
	refuse "'$TMP/bound'" "$RAWMAP" detach "$LOOP"
	still_attached
	run umount "$TMP/bound"
	detach_rawmap "$LOOP"
}

test_attach_fails
test_source_busy
test_mounted
test_swap
test_open
test_second_device
test_foreign
test_killed
test_stopped
test_last_commit_fails
test_mounted_elsewhere
test_bound_elsewhere
