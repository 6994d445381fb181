#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# When the last writer has closed the image the host comes to rest: committed
# and marked clean while it stays mounted, so that a crash then is none.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

host=$TMP/host.img

# With a journal the state stays clean, and the features say that it is in use.
state()
{
	dumpe2fs -h "$host" 2>/dev/null >"$TMP/head"
	if grep -q '^Filesystem features:.* needs_recovery' "$TMP/head"; then
		echo 'not clean'
	else
		sed -n 's/^Filesystem state: *//p' "$TMP/head"
	fi
}

# The kernel sends the release of a file without waiting for its end.
wait_for_state()
{
	local until=$((SECONDS + limit))
	until [ "$(state)" = "$1" ]; do
		[ "$SECONDS" -lt "$until" ] || fail "the host is '$(state)', not '$1'"
	done
}

for kind in ext2 ext3 ext4; do
	make_host $kind 32M "$host"
	make_sparse 8M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -o commit=300 -i /disk "$host" "$MNT"

	exec 5<>"$MNT/disk"
	run dd if=/dev/urandom of="$MNT/disk" bs=64K count=40 \
		conv=notrunc,fsync status=none
	expect_equal "$(state)" 'not clean' 'state while it is written'
	run dd if="$MNT/disk" of="$TMP/before" bs=64K status=none
	exec 5>&-
	wait_for_state clean

	# An overwrite needs no metadata but its time.
	run touch -d 2001-02-03 "$MNT/disk"
	run dd if=/dev/zero of="$MNT/disk" bs=64K count=1 conv=notrunc status=none
	run dd if=/dev/zero of="$TMP/before" bs=64K count=1 conv=notrunc status=none
	wait_for_state clean
	kill_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/after"
	expect_same_bytes "$TMP/before" "$TMP/after"
done
