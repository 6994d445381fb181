#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A host that is full: the writer is told, what was written stays, and space
# that is given back can be used.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

host=$TMP/host.img

# write_until_full FROM ARGUMENTS...: until ENOSPC; $written bytes fitted.
write_until_full()
{
	expect_status 1 dd if="$TMP/random" of="$MNT/disk" conv=notrunc "$@"
	expect_text "$TMP/err" 'No space left'
	written=$(sed -n 's/^\([0-9]*\) bytes.*/\1/p' "$TMP/err")
}

test_full_host()
{
	local written space
	make_host "$1" 16M "$host" -b "$2"
	make_sparse 64M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"

	write_until_full bs=1000
	[ "$written" -gt 8000000 ] || fail "only $written bytes fitted"
	run cmp -n "$written" "$MNT/disk" "$TMP/random"
	expect_equal "$(stat -c %s "$MNT/disk")" 67108864 'size'
	run sync "$MNT/disk"
	run cmp -n "$written" "$MNT/disk" "$TMP/random"
	space=$(stat -f -c %a "$MNT")
	[ "$space" -lt 16 ] || fail "$space blocks left"

	# Once more at once, and what is there can be overwritten.
	expect_status 1 dd if=/dev/zero of="$MNT/disk" bs=64K seek=900 count=1 \
		conv=notrunc
	run dd if="$TMP/random" of="$MNT/disk" bs=64K count=100 conv=notrunc \
		status=none

	# Given back, flushed, used again.
	run fallocate -p -o 1M -l 4M "$MNT/disk"
	run sync "$MNT/disk"
	run dd if="$TMP/random" of="$MNT/disk" bs=1M skip=1 seek=1 count=3 \
		conv=notrunc status=none
	unmount_rawmap
	check_host "$host"

	get_file "$host" /disk "$TMP/now"
	run cmp -n 4M "$TMP/now" "$TMP/random"
	run cmp -n 1M -i 4M:0 "$TMP/now" /dev/zero
	run cmp -n $((written - (5 << 20))) -i 5M "$TMP/now" "$TMP/random"
	rm "$TMP/now"
}

# Punched and rewritten without a flush: what a discard frees is found again.
test_reuse_without_flush()
{
	local i
	make_host ext4 16M "$host"
	make_sparse 8M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	for i in 1 2 3 4 5; do
		run dd if="$TMP/random" of="$MNT/disk" bs=64K count=128 \
			conv=notrunc status=none
		run fallocate -p -o 0 -l 8M "$MNT/disk"
	done
	run cmp -n 8M "$MNT/disk" /dev/zero
	unmount_rawmap
	check_host "$host"
}

# The inner filesystem sees an error of its disk, not wrong bytes.
test_loop_on_full_host()
{
	local status=0
	[ "$(id -u)" -eq 0 ] || return 0
	need_loop
	make_host ext4 16M "$host"
	make_sparse 64M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
	dd if="$TMP/random" of="$LOOP" bs=64K oflag=direct 2>"$TMP/err" ||
		status=$?
	[ "$status" -ne 0 ] || fail 'a full host took it all'
	run blkdiscard "$LOOP"
	run dd if="$TMP/random" of="$LOOP" bs=64K count=64 seek=3 oflag=direct \
		status=none
	loop_detach "$LOOP"
	run cmp -n 4M -i 192K:0 "$MNT/disk" "$TMP/random"
	unmount_rawmap
	check_host "$host"
}

run dd if=/dev/urandom of="$TMP/random" bs=1M count=20 status=none
test_full_host ext4 4096
test_full_host ext4 1024
test_full_host ext2 1024
test_full_host ext3 4096
test_reuse_without_flush
test_loop_on_full_host
