#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A host that the kernel left dirty, mounted with -r as it is: the image is what
# the kernel showed when it had committed last, though its data, its map or the
# file as a whole are in the journal only, and the host is not changed.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need debugfs

host=$TMP/host.img
dirty=$TMP/dirty.img
kernel=$TMP/kernel
mkdir "$kernel"

# Two mebibytes, and a part of them once more: some of it is at home, maybe, some
# in the log once, some twice.
fill_image()
{
	head -c 2M /dev/urandom >"$kernel/disk"
	sync -f "$kernel"
	head -c 700K /dev/urandom >"$TMP/part"
	dd if="$TMP/part" of="$kernel/disk" bs=1000 seek=333 conv=notrunc \
		status=none
	sync -f "$kernel"
	truncate -s 3M "$kernel/disk"
	head -c 100K /dev/urandom >>"$kernel/disk"
	sync -f "$kernel"
	cp "$kernel/disk" "$TMP/disk"
}

# make_dirty BLOCK OPTIONS: commits come when they are asked for.
make_dirty()
{
	make_host ext4 64M "$host" -b "$1" -J size=8
	loop_attach "$host"
	mount_inner "$LOOP" "$kernel" -o "commit=300,$2"
	fill_image
	cp --sparse=always "$host" "$dirty"
	run umount "$kernel"
	loop_detach "$LOOP"
	dumpe2fs -h "$dirty" 2>/dev/null |
		grep -q '^Filesystem feat.*needs_recov' ||
		fail 'the copy needs no recovery'
}

check_image()
{
	local before
	before=$(sha256sum <"$dirty")
	mount_rawmap -r -i /disk "$dirty" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	for size in 4K 64K 1M; do
		dd if="$MNT/disk" of="$TMP/copy" bs="$size" iflag=direct \
			status=none || fail "reading $size at once"
		expect_same_bytes "$TMP/copy" "$TMP/disk"
	done
	unmount_rawmap
	expect_status 0 "$RAWMAP" info "$dirty" /disk
	expect_equal "$(sha256sum <"$dirty")" "$before" 'the host'
}

for block in 1024 4096; do
	for options in data=ordered data=journal; do
		make_dirty "$block" "$options"
		say "$block $options"
		check_image
	done
done
