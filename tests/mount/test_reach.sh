#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Images on hosts of all kinds, and what is left of deleted ones, compared with
# what others read: the kernel's mount, debugfs, and icat of The Sleuth Kit. A
# host that is only looked at stays as it is, to the byte.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need debugfs icat jq
reach=${RAWMAP_TOOLS:?the folder of the tools}/tool_reach

host=$TMP/host.img
disk=$TMP/kernel
mkdir "$disk"

mount_host()
{
	mount_inner "$host" "$disk" -o "loop${1:+,$1}"
}

unmount_host()
{
	run umount "$disk"
}

# number NAME: of the inode, in the mounted host.
number()
{
	stat -c %i "$disk/$1"
}

# By the kernel: holes, preallocated blocks, a file in many pieces.
furnish()
{
	local i
	mkdir "$disk/folder"
	run dd if=/dev/urandom of="$disk/folder/disk" bs=1K count=300 status=none
	run dd if=/dev/urandom of="$disk/folder/disk" bs=1K seek=700 count=100 \
		conv=notrunc status=none
	# ext2 and ext3 have no blocks without content.
	fallocate -o 900K -l 200K "$disk/folder/disk" 2>"$TMP/err"
	: >"$disk/comb"
	for ((i = 0; i < 60; i++)); do
		run dd if=/dev/urandom of="$disk/comb" bs=4K seek=$((2 * i)) \
			count=1 conv=notrunc status=none
	done
	truncate -s 1234567 "$disk/folder/disk"
}

# same_to_icat INODE FILE: where it knows such hosts; not those with bigalloc.
same_to_icat()
{
	if icat "$host" "$1" >"$TMP/icat" 2>"$TMP/err"; then
		expect_same_bytes "$TMP/icat" "$2"
		others=' and icat'
	else
		expect_text "$TMP/err" 'Cannot determine file system type'
		others=' (icat does not know it)'
	fi
}

# compare_readers TITLE: rawmap, by both engines, the kernel, icat, debugfs.
compare_readers()
{
	local title=$1 disk_number comb_number before engine others=
	mount_host ro
	disk_number=$(number folder/disk)
	comb_number=$(number comb)
	run cp "$disk/folder/disk" "$TMP/disk"
	run cp "$disk/comb" "$TMP/comb"
	unmount_host
	before=$(sha256sum <"$host")
	for engine in threads auto; do
		mount_rawmap -r -o "engine=$engine" -i /folder/disk \
			-i "<$comb_number>" "$host" "$MNT"
		expect_same_bytes "$MNT/disk" "$TMP/disk"
		expect_same_bytes "$MNT/inode-$comb_number" "$TMP/comb"
		unmount_rawmap
	done
	same_to_icat "$disk_number" "$TMP/disk"
	same_to_icat "$comb_number" "$TMP/comb"
	get_file "$host" /folder/disk "$TMP/debugfs.out"
	expect_same_bytes "$TMP/debugfs.out" "$TMP/disk"
	expect_equal "$(sha256sum <"$host")" "$before" 'the host'
	say "$title: the same to rawmap, the kernel, debugfs$others"
}

# by_kernel SIZE KIND [mke2fs arguments...]
by_kernel()
{
	local size=$1
	shift
	make_host "$1" "$size" "$host" "${@:2}"
	if ! mount -o loop "$host" "$disk" 2>"$TMP/err"; then
		say "$*: left out, this kernel does not mount it"
		return
	fi
	mounts+=("$disk")
	furnish
	unmount_host
	compare_readers "$*"
}

test_kinds()
{
	by_kernel 16M ext2 -b 1024
	by_kernel 16M ext2 -b 4096 -O ^filetype
	by_kernel 16M ext3 -b 1024
	by_kernel 16M ext4 -b 1024
	by_kernel 32M ext4 -b 2048 -I 512
	by_kernel 64M ext4 -b 4096 -I 1024
	by_kernel 64M ext4 -b 4096 -O bigalloc
	by_kernel 32M ext4 -b 1024 -O bigalloc -C 8192
	by_kernel 32M ext4 -b 1024 -O meta_bg,^resize_inode
	by_kernel 32M ext4 -b 1024 -O sparse_super2,^resize_inode
	by_kernel 32M ext4 -b 1024 -O ^64bit,^flex_bg,^metadata_csum,uninit_bg
	by_kernel 32M ext4 -O encrypt,ea_inode,large_dir,stable_inodes
	by_kernel 32M ext4 -O quota,project
	by_kernel 32M ext4 -O metadata_csum_seed,orphan_file
	by_kernel 32M ext4 -O verity
	by_kernel 32M ext4 -O casefold
	by_kernel 64M ext4 -O fast_commit
}

# ---- inline data ----

test_inline()
{
	local size engine
	local sizes=(0 1 60 61 150 700) images=(-i /grown)
	for size in "${sizes[@]}"; do
		images+=(-i "/inline-$size")
	done
	make_host ext4 16M "$host" -O inline_data -I 1024
	mount_host
	for size in "${sizes[@]}"; do
		head -c "$size" /dev/urandom >"$TMP/inline-$size"
		run cp "$TMP/inline-$size" "$disk/inline-$size"
	done
	# The kernel lets it grow behind what it has room for.
	run cp "$TMP/inline-61" "$disk/grown"
	run truncate -s 3000 "$disk/grown"
	run cp "$disk/grown" "$TMP/grown"
	unmount_host
	get_stat "$host" /inline-700 >"$TMP/stat"
	expect_text "$TMP/stat" 'Flags: 0x10000000'
	for engine in threads auto; do
		mount_rawmap -r -o "engine=$engine" "${images[@]}" "$host" \
			"$MNT"
		for size in "${sizes[@]}"; do
			expect_same_bytes "$MNT/inline-$size" "$TMP/inline-$size"
		done
		expect_same_bytes "$MNT/grown" "$TMP/grown"
		run cp --sparse=always "$MNT/inline-700" "$TMP/copy"
		expect_same_bytes "$TMP/copy" "$TMP/inline-700"
		run dd if="$MNT/inline-700" of="$TMP/part" bs=7 skip=11 \
			count=50 status=none
		dd if="$TMP/inline-700" bs=7 skip=11 count=50 status=none |
			cmp - "$TMP/part" || fail 'a part of inline-700'
		[ "$(stat -c %b "$MNT/inline-700")" -gt 0 ] ||
			fail 'inline-700 looks like a hole'
		unmount_rawmap
	done
	run "$RAWMAP" map --format json "$host" /inline-700 >"$TMP/map"
	expect_equal "$(jq -c . "$TMP/map")" \
		'[{"start":0,"length":700,"state":"inline"}]' 'the map'
	expect_status 1 "$RAWMAP" mount -i /inline-60 "$host" "$MNT"
	expect_text "$TMP/err" '(-r)'
}

# ---- deleted files ----

# of_deleted HOST INODE FIELD: what tool_reach -i says.
of_deleted()
{
	"$reach" -i -d "$1" "<$2>" >"$TMP/info" || fail "no $2 in $1"
	cut -d ' ' -f "$3" "$TMP/info"
}

# What debugfs deletes keeps its map, as with the kernel's old ext2.
test_deleted_with_map()
{
	local kind ino
	for kind in ext2 ext3; do
		make_host "$kind" 16M "$host" -b 1024
		mount_host
		furnish
		ino=$(number folder/disk)
		run cp "$disk/folder/disk" "$TMP/disk"
		unmount_host
		debugfs -w -R 'rm /folder/disk' "$host" >"$TMP/debugfs" 2>&1
		icat "$host" "$ino" >"$TMP/icat"
		run "$reach" -d "$host" "<$ino>" >"$TMP/got"
		expect_same_bytes "$TMP/got" "$TMP/disk"
		expect_same_bytes "$TMP/got" "$TMP/icat"
		expect_equal "$(of_deleted "$host" "$ino" 3)" 0 'blocks in use'
		expect_equal "$(of_deleted "$host" "$ino" 4)" 0 'orphan'
		expect_status 1 "$reach" "$host" "<$ino>"
		expect_text "$TMP/err" 'is deleted'
		say "deleted on $kind: the same to rawmap and icat"
	done
}

# What the kernel leaves depends on which of its drivers it was.
test_deleted_by_kernel()
{
	local kind ino
	for kind in ext2 ext3 ext4; do
		make_host "$kind" 16M "$host" -b 1024
		mount_host
		furnish
		ino=$(number folder/disk)
		run cp "$disk/folder/disk" "$TMP/disk"
		sync -f "$disk"
		run rm "$disk/folder/disk"
		unmount_host
		if "$reach" -d "$host" "<$ino>" >"$TMP/got" 2>"$TMP/err"; then
			icat "$host" "$ino" >"$TMP/icat"
			expect_same_bytes "$TMP/got" "$TMP/icat"
			expect_same_bytes "$TMP/got" "$TMP/disk"
			say "deleted by the kernel on $kind: all there"
		else
			expect_text "$TMP/err" 'its map with it'
			say "deleted by the kernel on $kind: no map is left"
		fi
	done
}

# A host that was left while a deleted file was open. Without a journal, so that
# nothing of it is only there.
test_orphan()
{
	local ino
	make_host ext2 16M "$TMP/live.img" -b 1024
	mount_inner "$TMP/live.img" "$disk" -o loop
	furnish
	ino=$(number folder/disk)
	run cp "$disk/folder/disk" "$TMP/disk"
	exec 9<"$disk/folder/disk"
	run rm "$disk/folder/disk"
	sync -f "$disk"
	LOOP=$(findmnt -n -o SOURCE --mountpoint "$disk")
	run cp --sparse=always "$LOOP" "$host"
	exec 9<&-
	unmount_host
	run "$reach" -d "$host" "<$ino>" >"$TMP/got"
	expect_same_bytes "$TMP/got" "$TMP/disk"
	expect_equal "$(of_deleted "$host" "$ino" 4)" 1 'orphan'
	expect_equal "$(of_deleted "$host" "$ino" 3)" \
		"$(of_deleted "$host" "$ino" 2)" 'blocks in use'
}

# ---- unwritten blocks ----

# All free blocks hold a pattern before the kernel preallocates some.
test_unwritten()
{
	local before
	make_host ext4 32M "$host" -b 4096 -O ^has_journal
	mount_host
	yes stale | tr -d '\n' | dd of="$disk/filler" bs=1M status=none \
		iflag=fullblock 2>"$TMP/err"
	sync -f "$disk"
	run rm "$disk/filler"
	run fallocate -l 8M "$disk/disk"
	run dd if=/dev/urandom of="$disk/disk" bs=4K seek=100 count=5 \
		conv=notrunc status=none
	run cp --sparse=never "$disk/disk" "$TMP/disk"
	unmount_host
	before=$(sha256sum <"$host")
	run "$reach" "$host" /disk >"$TMP/got"
	expect_same_bytes "$TMP/got" "$TMP/disk"
	run "$reach" -u "$host" /disk >"$TMP/raw"
	expect_raw "$TMP/raw"
	run "$RAWMAP" map --format json "$host" /disk >"$TMP/map"
	expect_equal "$(jq -r '[.[].state] | unique | join(" ")' "$TMP/map")" \
		'mapped unwritten' 'states'
	expect_equal "$(sha256sum <"$host")" "$before" 'the host'
}

# expect_raw FILE: each run of /disk as the source has it where debugfs says.
expect_raw()
{
	local logical length physical
	: >"$TMP/want"
	"$RAWMAP" map --format json "$host" /disk |
		jq -r '.[] | "\(.start) \(.length) \(.physical)"' >"$TMP/runs"
	while read -r logical length physical; do
		run dd if="$host" of="$TMP/want" bs=4K conv=notrunc status=none \
			skip=$((physical / 4096)) seek=$((logical / 4096)) \
			count=$((length / 4096))
	done <"$TMP/runs"
	expect_same_bytes "$1" "$TMP/want"
	grep -q stalestalestale "$1" || fail 'no stale bytes were seen'
	grep -q stalestalestale "$TMP/got" && fail 'stale bytes without -u'
}

# ---- copies of the superblock ----

test_super()
{
	make_host ext4 512M "$host" -b 4096
	mount_host
	furnish
	run cp "$disk/folder/disk" "$TMP/disk"
	unmount_host
	dd if=/dev/zero of="$host" bs=1K count=8 conv=notrunc status=none
	expect_status 1 "$RAWMAP" map "$host" /folder/disk
	expect_text "$TMP/err" "'-o ro,sb=32768'"
	run "$reach" -s 32768 "$host" /folder/disk >"$TMP/got"
	expect_same_bytes "$TMP/got" "$TMP/disk"
	run "$reach" -s 98304 -b 4096 "$host" /folder/disk >"$TMP/got"
	expect_same_bytes "$TMP/got" "$TMP/disk"
	# Without the bitmaps: the checksums are older than they are.
	debugfs -c -b 4096 -s 32768 -R "dump /folder/disk $TMP/by-copy" \
		"$host" >"$TMP/debugfs" 2>&1
	expect_same_bytes "$TMP/got" "$TMP/by-copy"
}

test_kinds
test_inline
test_deleted_with_map
test_deleted_by_kernel
test_orphan
test_unwritten
test_super
