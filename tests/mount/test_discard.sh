#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Discards through a loop device give blocks back, zeroing keeps bytes zero, and
# holes are where the kernel says that they are.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
need python3 blkdiscard

cat >"$TMP/holes.py" <<'END_OF_HOLES'
import os, sys

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
at = 0
while at < size:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    print(data, at)
END_OF_HOLES

sectors()
{
	stat -c %b "$MNT/disk"
}

# same FROM COUNT: the loop device has there, in MiB, what the copy has.
same()
{
	cmp -n $(($2 << 20)) -i $(($1 << 20)) "$LOOP" "$TMP/copy" >&2 ||
		fail "$LOOP and its copy differ at $1 MiB"
}

discards()
{
	local kind=$1 block=$2 queue before
	make_host "$kind" 48M "$TMP/host.img" -b "$block"
	make_sparse 16M "$TMP/disk"
	put_file "$TMP/host.img" "$TMP/disk" /disk
	mount_rawmap -i /disk "$TMP/host.img" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
	queue=/sys/block/$(basename "$LOOP")/queue
	expect_equal "$(cat "$queue/discard_granularity")" "$block" \
		'discard granularity'

	run dd if=/dev/urandom of="$TMP/copy" bs=1M count=16 status=none
	run dd if="$TMP/copy" of="$LOOP" bs=1M oflag=direct status=none
	before=$(sectors)
	[ "$before" -ge 32768 ] || fail "only $before sectors"

	run blkdiscard -o 2M -l 4M "$LOOP"
	fallocate -p -o 2M -l 4M "$TMP/copy"
	[ "$(sectors)" -le $((before - 8192)) ] ||
		fail "$(sectors) of $before sectors after a discard of 8192"
	same 0 16

	run blkdiscard -z -o 8M -l 2M "$LOOP"
	run blkdiscard -z -o 3M -l 2M "$LOOP"
	fallocate -p -o 8M -l 2M "$TMP/copy"
	same 0 16

	# Less than a block of the host: zeros at most, neighbours stay.
	run blkdiscard -z -o $(((12 << 20) + 512)) -l 512 "$LOOP"
	dd if=/dev/zero of="$TMP/copy" bs=512 seek=$(((12 << 11) + 1)) count=1 \
		conv=notrunc status=none
	same 0 16

	# What was given back takes data again.
	run dd if=/dev/urandom of="$TMP/new" bs=1M count=2 status=none
	run dd if="$TMP/new" of="$TMP/copy" bs=1M seek=3 conv=notrunc \
		status=none
	run dd if="$TMP/new" of="$LOOP" bs=1M seek=3 oflag=direct status=none
	same 0 16
	loop_detach "$LOOP"
	expect_same_bytes "$MNT/disk" "$TMP/copy"
	run python3 "$TMP/holes.py" "$MNT/disk" >"$TMP/holes"
	[ "$(wc -l <"$TMP/holes")" -ge 2 ] || fail 'no hole was seen'
	unmount_rawmap

	check_host "$TMP/host.img"
	mkdir -p "$TMP/kernel"
	mount_inner "$TMP/host.img" "$TMP/kernel" -o ro
	# First: what has been read counts as data there, unwritten or not.
	run python3 "$TMP/holes.py" "$TMP/kernel/disk" >"$TMP/holes.kernel"
	expect_same_bytes "$TMP/holes" "$TMP/holes.kernel"
	expect_same_bytes "$TMP/kernel/disk" "$TMP/copy"
	run umount "$TMP/kernel"
}

discards ext4 4096
discards ext4 1024
discards ext2 2048
discards ext3 4096
