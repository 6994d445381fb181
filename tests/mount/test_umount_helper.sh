#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# umount(8) and its helper: what is unmounted is written when umount returns, in
# all the ways in which umount calls it; and what it does with what it is not to
# wait for.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_private.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_private.sh"
# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/mount/lib_helpers.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_helpers.sh"
need_root
need_fuse
need debugfs jq nsenter

host=$TMP/host.img
helper=$TMP/sbin/umount.fuse.rawmap
stopped=		# a server that gets no time
other=			# who waits in another namespace

end_others()
{
	local status=$?
	[ -z "$stopped" ] || kill -CONT "$stopped"
	[ -z "$other" ] || kill "$other"
	(exit "$status")
	cleanup
}
trap end_others EXIT

prepare()
{
	use_helpers
	make_host ext4 32M "$host"
	make_sparse 8M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	: >"$TMP/naked"
	ln -s mnt "$TMP/link"
	mounts+=("$MNT" "$TMP/naked")
	cd "$TMP" || fail cd
}

# Mounted on PLACE, and something is left to be committed.
changed() # PLACE [OPTION]
{
	local file=$1
	run mount -t rawmap "$host" "$1" \
		-o "commit=300,image=/disk${2:+,$2}"
	[ -d "$1" ] && file=$1/disk
	change "$file"
}

change() # FILE
{
	dd if=/dev/urandom of="$TMP/data" bs=64K count=9 status=none
	run dd if="$TMP/data" of="$1" bs=64K seek=7 conv=notrunc status=none
}

# Nobody waits here: the server is gone, and all of it is there.
expect_written() # PLACE [HOST]
{
	is_mounted "$1" && fail "still mounted: $1"
	run flock -n "${2-$host}" true
	check_host "${2-$host}"
	get_file "${2-$host}" /disk "$TMP/now"
	run cmp -n $((9 << 16)) -i $((7 << 16)):0 "$TMP/now" "$TMP/data"
}

# refuse TEXT COMMAND...: one sentence, and the status of mount(8).
refuse()
{
	local text=$1
	shift
	expect_status 32 "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines'
}

server_of() # FILE
{
	"$RAWMAP" stats --json "$1" >"$TMP/stats" || fail 'no stats'
	"$RAWMAP" list --json |
		jq -r --arg s "$host" '.[] | select(.source == $s) | .pid' |
		head -n 1
}

test_ways()
{
	local way
	for way in "-c $MNT" "-f $MNT" "-d $MNT" "-cn $MNT" "-cr $MNT" \
		"mnt" "./mnt/" "link" "$host"; do
		changed "$MNT"
		# shellcheck disable=SC2086 # some words
		expect_status 0 umount $way
		expect_equal "$(cat "$TMP/out" "$TMP/err")" '' "umount $way says"
		expect_written "$MNT"
	done
}

# What a line of fstab has for others makes umount(8) look at the type.
test_fstab()
{
	local option
	for option in x-systemd.automount x-wait _netdev; do
		changed "$MNT" "$option"
		run umount "$MNT"
		expect_written "$MNT"
	done
}

test_on_a_file()
{
	changed "$TMP/naked"
	run umount "$TMP/naked"
	expect_written "$TMP/naked"
}

test_of_attach()
{
	local device where
	need_loop
	device=$("$RAWMAP" attach -o commit=300 "$host" /disk) ||
		fail 'attach'
	loops+=("$device")
	where=$(findmnt -n -o TARGET --source "$host")
	refuse "losetup -d $device" umount -c "$where"
	is_mounted "$where" || fail 'unmounted'
	loop_detach "$device"
	change "$where/disk"
	run umount -c "$where"
	expect_written "$where"
	[ ! -e "$where" ] || fail 'the folder stays'
}

test_in_use()
{
	changed "$MNT"
	exec 5<"$MNT/disk"
	refuse "in use by" umount -c "$MNT"
	is_mounted "$MNT" || fail 'unmounted'
	exec 5<&-
	run umount -c "$MNT"
	expect_written "$MNT"
}

# Who has it open goes on; nobody waits for him.
test_lazy()
{
	changed "$MNT"
	exec 5<>"$MNT/disk"
	run umount -l "$MNT"
	is_mounted "$MNT" && fail 'still mounted'
	cmp -n $((9 << 16)) -i $((7 << 16)):0 /proc/self/fd/5 "$TMP/data" ||
		fail 'what is open differs'
	exec 5>&-
	run timeout "$limit" flock "$host" true
	expect_written "$MNT"
}

# The last of several places waits.
test_second_place()
{
	mkdir -p "$TMP/second"
	mounts+=("$TMP/second")
	changed "$MNT"
	run mount --bind "$MNT" "$TMP/second"
	expect_status 0 timeout "$limit" umount -c "$MNT"
	is_mounted "$MNT" && fail 'still mounted'
	run cmp -n 65536 -i $((7 << 16)):0 "$TMP/second/disk" "$TMP/data"
	run umount -c "$TMP/second"
	expect_written "$TMP/second"
}

# Something else is mounted over it: that is not ours.
test_covered()
{
	changed "$MNT"
	run mount -t tmpfs tmpfs "$MNT"
	refuse 'nothing mounted' "$helper" "$MNT"
	refuse 'nothing mounted' "$helper" -l "$MNT"
	expect_equal "$(stat -f -c %T "$MNT")" tmpfs 'on top'
	run umount "$MNT"
	run umount -c "$MNT"
	expect_written "$MNT"
}

test_stopped() # COMMAND
{
	changed "$MNT"
	stopped=$(server_of "$MNT/disk")
	kill -STOP "$stopped"
	refuse 'does not answer' timeout "$limit" umount -c "$MNT"
	is_mounted "$MNT" || fail 'unmounted'
	refuse 'did not answer' timeout "$limit" "$1" -f "$MNT"
	is_mounted "$MNT" && fail 'still mounted'
	kill -CONT "$stopped"
	stopped=
	run timeout "$limit" flock "$host" true
	expect_written "$MNT"
}

test_killed()
{
	changed "$MNT"
	kill -KILL "$(server_of "$MNT/disk")"
	run timeout "$limit" flock "$host" true
	refuse 'rawmap recover' umount -c "$MNT"
	is_mounted "$MNT" && fail 'still mounted'
	run "$RAWMAP" recover "$host" >"$TMP/out" 2>&1
}

test_read_only()
{
	run mount -t rawmap "$host" "$MNT" -o ro,image=/disk
	run umount -c "$MNT"
	run flock -n "$host" true
}

test_namespace()
{
	mkfifo "$TMP/wait"
	# shellcheck disable=SC2016 # the other shell expands it
	unshare -m sh -c 'echo >"$1"; read -r _ <"$1"' sh "$TMP/wait" &
	other=$!
	read -r _ <"$TMP/wait"
	run mount -N "$other" -t rawmap "$host" "$MNT" \
		-o commit=300,image=/disk
	dd if=/dev/urandom of="$TMP/data" bs=64K count=9 status=none
	run nsenter -m -t "$other" dd if="$TMP/data" of="$MNT/disk" bs=64K \
		seek=7 conv=notrunc status=none
	run umount -c -N "$other" "$MNT"
	expect_written "$MNT"
	refuse "$TMP/none" "$helper" "$MNT" -N "$TMP/none"
	echo >"$TMP/wait"
	wait "$other"
	other=
}

test_arguments()
{
	local wrong
	for wrong in '' "$MNT more" "-x $MNT" "$MNT -t"; do
		# shellcheck disable=SC2086 # some words
		expect_status 1 "$helper" $wrong
		expect_text "$TMP/err" 'usage: umount.fuse.rawmap'
	done
	refuse 'nothing mounted' "$helper" "$MNT"
	refuse 'nothing mounted' "$helper" "$TMP/none"
	refuse 'nothing mounted' "$helper" ''
	expect_status 0 "$helper" -h
	expect_text "$TMP/out" 'umount.fuse.rawmap MOUNTPOINT'
	"$helper" -h >/dev/full 2>"$TMP/err"
	expect_equal $? 32 'status of -h to a full disk'

	changed "$MNT"
	expect_status 0 "$helper" "$MNT" -v -n -t fuse.rawmap
	expect_text "$TMP/err" "'$MNT' is unmounted"
	expect_written "$MNT"
}

# What he has mounted himself, by fstab and by rawmap.
test_user()
{
	local theirs=$TMP/theirs mnt=$TMP/theirs/mnt
	use_user "$host"
	mounts+=("$mnt")
	printf '%s %s rawmap noauto,user,commit=300,image=/disk 0 0\n' \
		"$theirs/host.img" "$mnt" >/etc/fstab
	run as_user mount "$mnt"
	run as_user dd if="$TMP/data" of="$mnt/disk" bs=64K seek=7 \
		conv=notrunc status=none
	run as_user umount "$mnt"
	expect_written "$mnt" "$theirs/host.img"

	: >/etc/fstab
	run as_user "$theirs/rawmap" mount -o commit=300 -i /disk \
		"$theirs/host.img" "$mnt"
	run as_user umount "$mnt"
	expect_written "$mnt" "$theirs/host.img"
}

prepare
test_ways
test_fstab
test_on_a_file
test_of_attach
test_in_use
test_lazy
test_second_place
test_covered
test_stopped umount
test_stopped "$helper"
test_killed
test_read_only
test_namespace
test_arguments
test_user
