#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What rawmap mount put up: detach unmounts it and waits until it is written,
# list shows it, for root and for an ordinary user.

# Where only root may open /dev/fuse, a namespace has a node for everybody. In one of
# processes nobody else mounts anything while detach looks who has a mount.
if [ "${1-}" != in-namespace ] && [ "$(id -u)" -eq 0 ]; then
	# shellcheck disable=SC2016 # the inner shell expands it
	exec unshare -m -p -f --kill-child --mount-proc -- \
		sh -c '"$0" in-namespace; exit $?' "$0"
fi

# shellcheck source=tests/mount/lib_attach.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_attach.sh"
# shellcheck source=tests/mount/lib_slow.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_slow.sh"
need setpriv fusermount3

uid=65534
home=$TMP/home
program=$home/rawmap

as_user()
{
	XDG_RUNTIME_DIR=$home/runtime setpriv --reuid "$uid" --regid "$uid" \
		--clear-groups --inh-caps=-all -- "$@"
}

# change FOLDER: something is left to be committed.
change()
{
	dd if=/dev/urandom of="$TMP/data" bs=64K count=9 status=none
	run dd if="$TMP/data" of="$1" bs=64K seek=7 conv=notrunc status=none
}

expect_changed()
{
	get_file "$host" /disk "$TMP/now"
	run cmp -n $((9 << 16)) -i $((7 << 16)):0 "$TMP/now" "$TMP/data"
}

test_folder()
{
	new_host ext4
	mounts+=("$MNT")
	run "$RAWMAP" mount -o commit=300 -i /disk "$host" "$MNT"
	change "$MNT/disk"
	cd "$TMP" || fail cd
	detach_rawmap mnt
	is_mounted "$MNT" && fail 'still mounted'
	[ -d "$MNT" ] || fail 'the mountpoint is gone'
	expect_at_rest "$host"
	expect_changed
}

# change_slowly DELAY: of each write of the source, from now on.
change_slowly()
{
	slow_begin "$host" "delay-write=$1"
	mounts+=("$MNT")
	run "$RAWMAP" mount -o commit=300 -i /disk "$SLOW" "$MNT"
	change "$MNT/disk"
}

test_terminal_sees_that_it_waits()
{
	new_host ext4
	change_slowly 600ms
	on_terminal "$RAWMAP" detach "$MNT" </dev/null || fail "$(cat "$TMP/tty")"
	grep -Eaq 'rawmap: writing what is left: [1-9][0-9]* s' "$TMP/tty" ||
		fail "the terminal has: $(cat -v "$TMP/tty")"
	slow_end
	expect_changed

	change_slowly 300ms
	detach_rawmap "$MNT"
	slow_end
	expect_changed
}

test_naked()
{
	new_host ext2
	: >"$TMP/naked"
	mounts+=("$TMP/naked")
	run "$RAWMAP" mount -o commit=300 -i /disk "$host" "$TMP/naked"
	change "$TMP/naked"
	listed "$host" >"$TMP/listed"
	expect_equal "$(of .file)" "$TMP/naked" 'the file'
	detach_rawmap "$TMP/naked"
	expect_at_rest "$host"
	expect_changed
	expect_equal "$(stat -c %s "$TMP/naked")" 0 'what was below'
}

# A device on a mount that was there before goes alone.
test_own_loop_device()
{
	run "$RAWMAP" mount -i /disk "$host" "$MNT"
	loop_attach "$MNT/disk"
	refuse "losetup -d $LOOP" "$RAWMAP" detach "$MNT"
	detach_rawmap "$LOOP"
	loops=()
	is_mounted "$MNT" || fail 'the mount went with it'
	detach_rawmap "$MNT"
	expect_at_rest "$host"
}

# Names that a table of mounts, of people or of JSON could trip over.
test_list()
{
	local folder=$TMP/'a "folder" \ here'
	mkdir "$folder"
	mounts+=("$folder")
	make_host ext4 32M "$TMP/the host.img"
	make_sparse 4M "$TMP/disk"
	put_file "$TMP/the host.img" "$TMP/disk" /one
	put_file "$TMP/the host.img" "$TMP/disk" /two
	run "$RAWMAP" mount -r -o engine=threads -i /one -i /two \
		"$TMP/the host.img" "$folder"
	listed "$TMP/the host.img" >"$TMP/listed"
	expect_equal "$(jq length <"$TMP/listed")" 2 'images'
	expect_equal "$(jq -r '.[] | .image' <"$TMP/listed" | xargs)" \
		'/one /two' 'their paths'
	expect_equal "$(of .file)" "$folder/one" 'the file'
	expect_equal "$(of .mountpoint)" "$folder" 'the mountpoint'
	expect_equal "$(of '| "\(.mode) \(.state) \(.engine) \(.loops)"')" \
		'ro ok threads []' 'the rest'
	expect_status 0 "$RAWMAP" list
	grep -q '^SOURCE *IMAGE *FILE *LOOP *MODE *STATE$' "$TMP/out" ||
		fail 'no titles'
	grep -F "$folder/two" "$TMP/out" | grep -q ' - *ro *ok$' ||
		fail "$(cat "$TMP/out")"
	expect_equal "$(awk '{ print match($0, /(ro|rw|MODE) +[a-zA-Z]+$/) }' \
		"$TMP/out" | sort -u | wc -l)" 1 'columns'
	detach_rawmap "$folder"
	expect_status 2 "$RAWMAP" list more
	"$RAWMAP" list --json >/dev/full 2>"$TMP/err"
	expect_equal $? 1 'exit status of list to a full disk'
}

prepare_user()
{
	mknod "$TMP/fuse" c 10 229
	chmod 666 "$TMP/fuse"
	mount --bind "$TMP/fuse" /dev/fuse
	chmod 755 "$TMP"
	mkdir "$home" "$home/mnt" "$home/runtime"
	chmod 700 "$home/runtime"
	cp "$RAWMAP" "$program"
	host=$home/host.img
	new_host ext4
	chown -R "$uid:$uid" "$home"
	as_user sh -c ': <>/dev/fuse' || skip 'no way to open /dev/fuse'
	as_user "$program" --version >/dev/null ||
		skip 'an ordinary user cannot run rawmap here'
}

# Root may not look into it, and is told about it all the same.
test_user()
{
	mounts+=("$home/mnt")
	run as_user "$program" mount -o commit=300 -i /disk "$host" "$home/mnt"
	dd if=/dev/urandom of="$TMP/data" bs=64K count=9 status=none
	run as_user dd of="$home/mnt/disk" bs=64K seek=7 conv=notrunc \
		status=none <"$TMP/data"
	expect_status 0 as_user "$program" list --json
	expect_equal "$(jq -r --arg s "$host" \
		'.[] | select(.source == $s) | .state' <"$TMP/out")" ok \
		'the state, as the user sees it'
	listed "$host" >"$TMP/listed"
	expect_equal "$(of '| "\(.state) \(.image)"')" 'ok /disk' \
		'the state, as root sees it'

	expect_status 0 as_user "$program" detach "$home/mnt"
	expect_equal "$(cat "$TMP/out" "$TMP/err")" '' 'what detach says'
	expect_at_rest "$host"
	expect_changed
}

# Who may not have loop devices is told so, before anything is mounted.
test_user_attach()
{
	refuse 'loop devices are for root' as_user "$program" attach "$host" \
		/disk
	[ -z "$(ls "$home/runtime")" ] || fail 'a folder is left'
	run flock -n "$host" true
}

# Root ends what a user began.
test_user_by_root()
{
	run as_user "$program" mount -i /disk "$host" "$home/mnt"
	detach_rawmap "$home/mnt"
	expect_at_rest "$host"
}

# Who may use loop devices needs nothing else. Here everybody may.
test_user_with_devices()
{
	local i
	mkdir "$TMP/dev"
	run mount -t tmpfs tmpfs "$TMP/dev"
	run cp -a /dev/null /dev/zero /dev/urandom "$TMP/dev"
	mknod "$TMP/dev/fuse" c 10 229
	mknod "$TMP/dev/loop-control" c 10 237
	for ((i = 0; i < 256; i++)); do
		mknod "$TMP/dev/loop$i" b 7 "$i"
	done
	chmod 666 "$TMP"/dev/*
	ln -s /proc/self/fd "$TMP/dev/fd"
	run mount --move "$TMP/dev" /dev

	expect_status 0 as_user "$program" attach -o commit=300 "$host" /disk
	know "$(cat "$TMP/out")"
	[[ $WHERE == "$home"/runtime/rawmap/?????? ]] || fail "on '$WHERE'"
	LOOP=$(of '.loops[0].device')
	run as_user dd if=/dev/urandom of="$LOOP" bs=64K seek=7 count=9 \
		oflag=direct status=none
	run dd if="$LOOP" of="$TMP/data" bs=64K skip=7 count=9 status=none
	expect_status 0 as_user "$program" detach "$LOOP"
	expect_equal "$(cat "$TMP/out" "$TMP/err")" '' 'what detach says'
	expect_gone "$LOOP" "$WHERE"
	expect_at_rest "$host"
	expect_changed
}

test_folder
test_terminal_sees_that_it_waits
test_naked
test_own_loop_device
test_list
prepare_user
test_user
test_user_attach
test_user_by_root
test_user_with_devices
