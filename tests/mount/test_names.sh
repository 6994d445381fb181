#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# How images are named and shown: several in a directory, one that is the
# mountpoint, by number, through symbolic links.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need debugfs

host=$TMP/host.img

refuse()
{
	local text=$1 status=$2
	shift 2
	expect_status "$status" "$RAWMAP" mount "$@"
	expect_text "$TMP/err" "$text"
	is_mounted "${*: -1}" && fail 'mounted after all'
	return 0
}

make_names()
{
	local i
	make_host ext4 16M "$host"
	for i in 1 2 3; do
		yes "image $i" | head -c $((i * 100000)) >"$TMP/$i"
	done
	debugfs -w -f - "$host" >"$TMP/debugfs" 2>&1 <<-END_OF_COMMANDS
		mkdir /vm
		mkdir /vm/old
		cd /vm
		write $TMP/1 a.img
		write $TMP/2 b.img
		symlink here.img a.img
		symlink up.img ../vm/old/./a.img
		symlink top.img /vm/b.img
		symlink loop.img loop.img
		symlink nowhere.img /none
		cd /vm/old
		write $TMP/3 a.img
		cd /
		symlink machines vm/old
	END_OF_COMMANDS
	check_host "$host"
}

test_several()
{
	mount_rawmap -i /vm/a.img -i /vm/b.img "$host" "$MNT"
	expect_equal "$(cd "$MNT" && echo *)" 'a.img b.img' 'names'
	expect_same_bytes "$MNT/a.img" "$TMP/1"
	expect_same_bytes "$MNT/b.img" "$TMP/2"
	printf 'changed' | tee "$TMP/1.new" |
		run dd of="$MNT/a.img" status=none
	expect_same_bytes "$MNT/a.img" "$TMP/1.new"
	expect_same_bytes "$MNT/b.img" "$TMP/2"
	expect_status 1 touch "$MNT/more"
	expect_status 1 rm "$MNT/a.img"
	expect_status 1 mkdir "$MNT/folder"
	expect_status 1 mv "$MNT/a.img" "$MNT/c.img"
	expect_status 1 cat "$MNT/none"
	unmount_rawmap
	check_host "$host"
	cp "$TMP/1.new" "$TMP/1"
}

test_links()
{
	mount_rawmap -i /vm/here.img -i /machines/../old/../b.img \
		"$host" "$MNT"
	expect_same_bytes "$MNT"/b.img "$TMP/2"
	unmount_rawmap
	for name in /vm/here.img:1 /vm/up.img:3 /vm/top.img:2 \
		/machines/a.img:3 //vm//./a.img:1; do
		mount_rawmap -r -i "${name%:*}" "$host" "$TMP/naked"
		expect_same_bytes "$TMP/naked" "$TMP/${name#*:}"
		unmount_rawmap
	done
	refuse /vm/loop.img 1 -i /vm/loop.img "$host" "$MNT"
	refuse /vm/nowhere.img 1 -i /vm/nowhere.img "$host" "$MNT"
	refuse /vm/a.img/x 1 -i /vm/a.img/x "$host" "$MNT"
}

test_number()
{
	local ino
	ino=$(debugfs -R 'stat /vm/b.img' "$host" 2>/dev/null |
		sed -n 's/^Inode: \([0-9]*\) .*/\1/p')
	mount_rawmap -i "<$ino>" -i /vm/a.img "$host" "$MNT"
	expect_same_bytes "$MNT/inode-$ino" "$TMP/2"
	unmount_rawmap
	refuse '<0>' 1 -i '<0>' "$host" "$MNT"
	refuse '<99999999>' 1 -i '<99999999>' "$host" "$MNT"
	refuse 'not a regular file' 1 -i '<2>' "$host" "$MNT"
	refuse '<8>' 1 -i '<8>' "$host" "$MNT"
}

test_naked()
{
	mount_rawmap -i /vm/b.img "$host" "$TMP/naked"
	[ -f "$TMP/naked" ] || fail 'the mountpoint is no file'
	expect_same_bytes "$TMP/naked" "$TMP/2"
	run truncate -s 5000 "$TMP/naked"
	run truncate -s 5000 "$TMP/2"
	expect_same_bytes "$TMP/naked" "$TMP/2"
	unmount_rawmap
	expect_equal "$(cat "$TMP/naked")" 'what was here' 'what was covered'
	check_host "$host"
	refuse 'one image only' 2 -i /vm/a.img -i /vm/b.img "$host" \
		"$TMP/naked"
}

test_same_names()
{
	refuse "'a.img'" 2 -i /vm/a.img -i /vm/old/a.img "$host" "$MNT"
	# And one file under two names would have two caches.
	debugfs -w -R 'ln /vm/a.img /vm/hard.img' "$host" >"$TMP/debugfs" 2>&1
	debugfs -w -R 'sif /vm/a.img links_count 2' "$host" \
		>"$TMP/debugfs" 2>&1
	refuse 'hard.img' 1 -i /vm/a.img -i /vm/hard.img "$host" "$MNT"
}

echo 'what was here' >"$TMP/naked"
make_names
test_several
test_links
test_number
test_naked
test_same_names
