#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A filesystem in an image of a host on a block device, with small and with
# large sectors.

# shellcheck source=tests/mount/lib_inner.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_inner.sh"

# life KIND SECTOR
life()
{
	local source
	make_host "$1" 48M "$TMP/host.img" -b 4096
	make_sparse 24M "$TMP/disk"
	put_file "$TMP/host.img" "$TMP/disk" /disk
	loop_attach "$TMP/host.img" -b "$2"
	source=$LOOP
	inner_life "$source" 24
	loop_detach "$source"
}

for kind in ext2 ext3 ext4; do
	life "$kind" 4096
done
life ext4 512

# Blocks smaller than the device's sectors: no way to write one alone.
make_host ext4 16M "$TMP/small.img" -b 1024
put_file "$TMP/small.img" "$TREE/large1" /disk
loop_attach "$TMP/small.img" -b 4096
source=$LOOP
if "$RAWMAP" mount -i /disk "$source" "$MNT" 2>"$TMP/err"; then
	mounts+=("$MNT")
	expect_same_bytes "$MNT/disk" "$TREE/large1"
	run umount "$MNT"
else
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
fi
