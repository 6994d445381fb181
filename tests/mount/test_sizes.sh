#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Images without a byte, and images as large as the host's format allows.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need debugfs

host=$TMP/host.img

test_empty()
{
	make_host "$1" 16M "$host"
	: >"$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	expect_equal "$(stat -c '%s %b' "$MNT/disk")" '0 0' 'size and blocks'
	expect_equal "$(wc -c <"$MNT/disk")" 0 'bytes read'
	printf 'grows' >>"$MNT/disk"
	expect_equal "$(cat "$MNT/disk")" grows 'content'
	run dd if="$TMP/random" of="$MNT/disk" bs=300K seek=7 conv=notrunc \
		status=none
	unmount_rawmap
	check_host "$host"
	mount_rawmap -i /disk "$host" "$MNT"
	expect_equal "$(head -c 5 "$MNT/disk")" grows 'content'
	run cmp -i 5:0 -n $((300 * 7 * 1024 - 5)) "$MNT/disk" /dev/zero
	run cmp -i 2100K:0 "$MNT/disk" "$TMP/random"
	: >"$MNT/disk"
	expect_equal "$(stat -c '%s %b' "$MNT/disk")" '0 0' 'emptied'
	unmount_rawmap
	check_host "$host"
}

# The last block of the largest file, and one byte too many.
test_largest()
{
	local kind=$1 block=$2 max=$3
	make_host "$kind" 32M "$host" -b "$block"
	make_sparse 1M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	run truncate -s "$max" "$MNT/disk"
	expect_equal "$(stat -c %s "$MNT/disk")" "$max" 'size'
	expect_status 1 truncate -s $((max + 1)) "$MNT/disk"
	expect_text "$TMP/err" 'File too large'
	expect_equal "$(stat -c %s "$MNT/disk")" "$max" 'size'
	run dd if="$TMP/random" of="$MNT/disk" bs=64K count=1 conv=notrunc \
		oflag=seek_bytes seek=$((max - 65536)) status=none
	run dd if="$TMP/random" of="$MNT/disk" bs=64K count=1 conv=notrunc \
		oflag=seek_bytes seek=$((max / 2)) status=none
	expect_status 1 dd if="$TMP/random" of="$MNT/disk" bs=64K count=1 \
		conv=notrunc oflag=seek_bytes seek="$max"
	unmount_rawmap
	check_host "$host"

	mount_rawmap -i /disk "$host" "$MNT"
	run cmp -n 64K -i $((max - 65536)):0 "$MNT/disk" "$TMP/random"
	run cmp -n 64K -i $((max / 2)):0 "$MNT/disk" "$TMP/random"
	run cmp -n 1M -i $((max / 2 - (1 << 20))):0 "$MNT/disk" /dev/zero
	run truncate -s 0 "$MNT/disk"
	unmount_rawmap
	check_host "$host"
}

# An inner filesystem of 15 TiB in 200 MiB.
test_inner_of_many_terabytes()
{
	[ "$(id -u)" -eq 0 ] || return 0
	need_loop
	make_host ext4 200M "$host" -b 4096
	make_sparse 1M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	run truncate -s 15T "$MNT/disk"
	loop_attach "$MNT/disk" --direct-io=on
	run mkfs.ext4 -q -O ^has_journal,sparse_super2,^resize_inode \
		-G 4096 -T largefile4 -E lazy_itable_init=1,nodiscard \
		-N 100000 "$LOOP"
	mkdir "$TMP/inner"
	mount_inner "$LOOP" "$TMP/inner" -o noinit_itable
	run cp "$TMP/random" "$TMP/inner"
	run umount "$TMP/inner"
	mount_inner "$LOOP" "$TMP/inner" -o ro
	expect_same_bytes "$TMP/inner/random" "$TMP/random"
	run umount "$TMP/inner"
	loop_detach "$LOOP"
	unmount_rawmap
	check_host "$host"
}

run dd if=/dev/urandom of="$TMP/random" bs=1K count=300 status=none
for kind in ext2 ext3 ext4; do
	test_empty "$kind"
done
# 2^32 - 1 blocks by extents; what four levels of block numbers reach, and what
# i_blocks can count.
test_largest ext4 4096 17592186040320
test_largest ext4 1024 4398046510080
test_largest ext2 1024 17247252480
test_inner_of_many_terabytes
