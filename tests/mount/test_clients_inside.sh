#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user works inside an image: makes a filesystem there, mounts it with
# fuse2fs, grows and checks it, looks into it with debugfs, 7-Zip and The Sleuth
# Kit; the same in a partition. Nothing of it takes root, and when the host is at
# rest another reader finds what was put there.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need debugfs fuse2fs sfdisk resize2fs mmls fls icat

host=$TMP/host.img
tree=$TMP/tree
inner=$TMP/inner
mkdir "$tree" "$tree/folder" "$inner"
run dd if=/dev/urandom of="$tree/folder/random" bs=1000 count=777 status=none
seq 100000 >"$tree/numbers"
echo 'a letter' >"$tree/folder/letter"

seven=
for tool in 7z 7zz 7za; do
	[ -n "$seven" ] || ! command -v "$tool" >/dev/null || seven=$tool
done
[ -n "$seven" ] || skip 'no 7z'

# debugfs_cat IMAGE NAME LOCAL: what debugfs reads there.
same_to_debugfs()
{
	debugfs -R "cat $2" "$1" 2>/dev/null >"$TMP/out"
	expect_same_bytes "$TMP/out" "$3"
}

check_inner()
{
	local out
	out=$(e2fsck -fn "$1" 2>&1) || fail "e2fsck -fn $1: $out"
}

# inode OFFSET IMAGE NAME: its number, says fls.
inode()
{
	fls -o "$1" -r -p "$2" | sed -n "s|^r/r \([0-9]*\):\t$3\$|\1|p"
}

# same_to_sleuthkit OFFSET IMAGE NAME LOCAL
same_to_sleuthkit()
{
	local number
	number=$(inode "$1" "$2" "$3")
	[ -n "$number" ] || fail "fls finds no $3: $(fls -o "$1" -r -p "$2")"
	run icat -o "$1" "$2" "$number" >"$TMP/out"
	expect_same_bytes "$TMP/out" "$4"
}

# ---- a filesystem ----

# The server stays in front, so that its end can be waited for.
mount_fuse2fs()
{
	fuse2fs -f -o fakeroot "$1" "$inner" >"$TMP/fuse2fs" 2>&1 &
	fuse2fs=$!
	mounts+=("$inner")
	until is_mounted "$inner"; do
		kill -0 "$fuse2fs" 2>/dev/null ||
			fail "fuse2fs: $(cat "$TMP/fuse2fs")"
		wait_for_mount_change
	done
}

unmount_fuse2fs()
{
	run umount "$inner"
	wait "$fuse2fs" || fail "fuse2fs ended so: $?"
}

test_made_and_read()
{
	run mkfs.ext4 -q -F -d "$tree" "$MNT/disk"
	same_to_debugfs "$MNT/disk" folder/random "$tree/folder/random"
	same_to_sleuthkit 0 "$MNT/disk" numbers "$tree/numbers"
	run "$seven" l "$MNT/disk" >"$TMP/out"
	for name in numbers folder/letter folder/random; do
		expect_text "$TMP/out" "$name"
	done
	run "$seven" x -so "$MNT/disk" folder/random >"$TMP/out"
	expect_same_bytes "$TMP/out" "$tree/folder/random"
	check_inner "$MNT/disk"
}

test_fuse2fs()
{
	mount_fuse2fs "$MNT/disk"
	run diff -r --exclude=lost+found "$tree" "$inner"
	run cp "$tree/folder/random" "$inner/copy"
	run mkdir "$inner/made"
	run tar -C "$tree" -cf "$TMP/tree.tar" .
	run tar -C "$inner/made" -xf "$TMP/tree.tar"
	run rm "$inner/numbers"
	run diff -r "$tree" "$inner/made"
	unmount_fuse2fs
	check_inner "$MNT/disk"
	same_to_debugfs "$MNT/disk" copy "$tree/folder/random"
	same_to_debugfs "$MNT/disk" made/numbers "$tree/numbers"
	debugfs -R 'stat numbers' "$MNT/disk" >"$TMP/out" 2>&1
	expect_text "$TMP/out" 'File not found'
}

test_grown()
{
	run truncate -s +8M "$MNT/disk"
	expect_status 0 e2fsck -fp "$MNT/disk"
	expect_status 0 resize2fs "$MNT/disk"
	check_inner "$MNT/disk"
	expect_status 0 tune2fs -L grown -O ^has_journal "$MNT/disk"
	expect_status 0 e2fsck -fy "$MNT/disk"
	expect_status 0 e2image -r "$MNT/disk" "$TMP/metadata"
	expect_status 0 dumpe2fs -h "$MNT/disk"
	expect_text "$TMP/out" 'grown'
	mount_fuse2fs "$MNT/disk"
	run cp "$tree/numbers" "$inner/late"
	unmount_fuse2fs
	same_to_debugfs "$MNT/disk" late "$tree/numbers"
}

# ---- a disk with partitions ----

test_partitions()
{
	local part="$MNT/parts?offset=$((2048 * 512))"
	expect_status 0 sfdisk -q --label gpt "$MNT/parts" <<-END
		start=2048, size=16384, name=first
		start=20480, size=4096, name=second
	END
	expect_status 0 mkfs.ext4 -q -F -E offset=$((2048 * 512)) -d "$tree" \
		"$MNT/parts" 8M
	run mmls "$MNT/parts" >"$TMP/out"
	expect_text "$TMP/out" first
	expect_text "$TMP/out" 0000020480
	same_to_sleuthkit 2048 "$MNT/parts" folder/random "$tree/folder/random"
	same_to_debugfs "$part" numbers "$tree/numbers"
	check_inner "$part"
	run "$seven" l "$MNT/parts" >"$TMP/out"
	expect_text "$TMP/out" first
	run "$RAWMAP" info "$MNT/parts" >"$TMP/out"
	expect_text "$TMP/out" second
	mkdir -p "$TMP/letter"
	run "$RAWMAP" map -o partition=1 "$MNT/parts" /folder/letter >"$TMP/out"
}

on_host()
{
	make_host "$1" 48M "$host" -b "$2"
	make_sparse 16M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	put_file "$host" "$TMP/disk" /parts
	mount_rawmap -i /disk -i /parts "$host" "$MNT"
	test_made_and_read
	test_fuse2fs
	test_grown
	test_partitions
	unmount_rawmap

	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	check_inner "$TMP/now"
	same_to_debugfs "$TMP/now" made/folder/random "$tree/folder/random"
	same_to_debugfs "$TMP/now" late "$tree/numbers"
	get_file "$host" /parts "$TMP/now"
	same_to_sleuthkit 2048 "$TMP/now" numbers "$tree/numbers"
	rm "$TMP/now" "$TMP/metadata"
}

on_host ext4 4096
on_host ext3 1024

# Only to be looked at: as root does it, and with nothing of the host changed.
sum=$(sha256sum <"$host")
mount_rawmap -r -i /disk -i /parts "$host" "$MNT"
same_to_debugfs "$MNT/disk" late "$tree/numbers"
run "$seven" l "$MNT/parts" >"$TMP/out"
run mmls "$MNT/parts" >"$TMP/out"
fuse2fs -f -o fakeroot,ro "$MNT/disk" "$inner" >"$TMP/fuse2fs" 2>&1 &
fuse2fs=$!
mounts+=("$inner")
until is_mounted "$inner"; do
	kill -0 "$fuse2fs" 2>/dev/null || fail "$(cat "$TMP/fuse2fs")"
	wait_for_mount_change
done
run diff -r "$tree/folder" "$inner/made/folder"
unmount_fuse2fs
unmount_rawmap
expect_equal "$(sha256sum <"$host")" "$sum" 'the host'
