#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o discard: the source gets back what an image gave back, and not before that
# is durable. The source is a sparse file, by itself or below a loop device, and
# its own blocks are counted. Without the option it keeps them all.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need python3

host=$TMP/host.img
run dd if=/dev/zero of="$TMP/probe" bs=64K count=1 status=none
fallocate -p -o 0 -l 64K "$TMP/probe" 2>/dev/null ||
	skip "no holes can be made in files of $TMP"

# Without fallocate(1), which syncs what it has done.
cat >"$TMP/punch.py" <<'END_OF_PUNCH'
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
where = [ctypes.c_int64(int(mib) << 20) for mib in sys.argv[2:4]]
if libc.fallocate64(os.open(sys.argv[1], os.O_RDWR), 3, *where):
    sys.exit(os.strerror(ctypes.get_errno()))
END_OF_PUNCH

# punch AT LENGTH: MiB of the image, and of the copy of it.
punch()
{
	run python3 "$TMP/punch.py" "$MNT/disk" "$1" "$2"
	run fallocate -p -o "$1M" -l "$2M" "$TMP/copy"
}

# fill AT LENGTH: the same with random bytes, synced.
fill()
{
	run dd if=/dev/urandom of="$TMP/copy" bs=1M seek="$1" count="$2" \
		conv=notrunc status=none
	run dd if="$TMP/copy" of="$MNT/disk" bs=1M skip="$1" seek="$1" \
		count="$2" conv=notrunc,fsync status=none
}

# What the source occupies, in sectors.
occupied()
{
	stat -c %b "$host"
}

# expect_shrunk BEFORE MIB WHEN: but for journal and metadata, written since.
expect_shrunk()
{
	local now
	now=$(occupied)
	[ "$now" -le $(($1 - $2 * 2048 + 512)) ] ||
		fail "$3: $now sectors of $1, $2 MiB should be gone"
}

expect_kept()
{
	local now
	now=$(occupied)
	[ "$now" -ge "$1" ] || fail "$2: $now sectors of $1"
}

# new_host KIND [mke2fs arguments...]: with an image of 16 MiB, all hole.
new_host()
{
	make_host "$1" 48M "$host" "${@:2}"
	make_sparse 16M "$TMP/copy"
	put_file "$host" "$TMP/copy" /disk
}

expect_content()
{
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/copy"
}

# A file that stays open for writing keeps the host from coming to rest, which
# commits.
test_discard()
{
	local source=$1 before
	mount_rawmap -o commit=300,discard -i /disk "$source" "$MNT"
	exec 7<>"$MNT/disk"
	fill 0 12
	before=$(occupied)
	punch 2 4
	expect_kept "$before" 'freed, not committed'
	run sync "$MNT/disk"
	expect_shrunk "$before" 4 'a punch and fsync'
	expect_same_bytes "$MNT/disk" "$TMP/copy"

	# What is used again is not discarded by what freed it.
	fill 3 2
	expect_same_bytes "$MNT/disk" "$TMP/copy"
	before=$(occupied)
	punch 7 1
	run truncate -s 10M "$MNT/disk" "$TMP/copy"
	exec 7>&-
	unmount_rawmap
	expect_shrunk "$before" 3 'a punch, a truncation and unmount'
	expect_content
}

test_no_discard()
{
	local source=$1 before
	mount_rawmap -o commit=300 -i /disk "$source" "$MNT"
	fill 0 12
	before=$(occupied)
	punch 2 4
	run sync "$MNT/disk"
	expect_kept "$before" 'a punch without -o discard'
	unmount_rawmap
	expect_kept "$before" 'unmount without -o discard'
	expect_content
}

test_file()
{
	new_host "$@"
	test_discard "$host"
	new_host "$@"
	test_no_discard "$host"
}

test_device()
{
	new_host "$1"
	loop_attach "$host"
	test_discard "$LOOP"
	loop_detach "$LOOP"
	new_host "$1"
	loop_attach "$host"
	test_no_discard "$LOOP"
	loop_detach "$LOOP"
}

# From a filesystem inside the image down to the file that holds the host.
test_trim()
{
	local before
	new_host ext4
	mount_rawmap -o discard -i /disk "$host" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
	run mkfs.ext4 -q -E nodiscard "$LOOP"
	mkdir -p "$TMP/inner"
	mount_inner "$LOOP" "$TMP/inner"
	run dd if=/dev/urandom of="$TMP/inner/large" bs=1M count=8 \
		conv=fsync status=none
	before=$(occupied)
	run rm "$TMP/inner/large"
	sync -f "$TMP/inner"
	run fstrim "$TMP/inner"
	run sync "$MNT/disk"
	expect_shrunk "$before" 7 fstrim
	run umount "$TMP/inner"
	loop_detach "$LOOP"
	unmount_rawmap
	check_host "$host"
}

# mount_said OPTIONS: what the command has to say.
mount_said()
{
	expect_status 0 "$RAWMAP" mount -o "commit=300$1" -i /disk "$LOOP" \
		"$MNT"
	cat "$TMP/err"
}

# A loop device on a file of a ramfs, which makes no holes: it is said, once,
# and no reason not to mount.
test_no_such_thing()
{
	local message
	new_host ext4
	mkdir "$TMP/ram"
	run mount -t ramfs none "$TMP/ram"
	mounts+=("$TMP/ram")
	cp "$host" "$TMP/ram/host.img"
	loop_attach "$TMP/ram/host.img"
	expect_equal \
		"$(cat "/sys/block/$(basename "$LOOP")/queue/discard_max_bytes")" \
		0 'what the device can discard'

	message="rawmap: '$LOOP' cannot discard: 'discard' has no effect, "
	message+='blocks that are freed stay allocated on it'
	mounts+=("$MNT")
	expect_equal "$(mount_said ,discard)" "$message" 'the warning'
	fill 0 2
	punch 0 1
	run sync "$MNT/disk"
	expect_same_bytes "$MNT/disk" "$TMP/copy"
	run umount "$MNT"
	released
	expect_equal "$(mount_said '')" '' 'what is said without discard'
	run umount "$MNT"
	released
	check_host "$LOOP"
	loop_detach "$LOOP"
	run umount "$TMP/ram"
}

# The server in the background has let go of the device.
released()
{
	local until=$((SECONDS + limit))
	until python3 -c 'import os, sys
os.open(sys.argv[1], os.O_RDWR | os.O_EXCL)' "$LOOP" 2>/dev/null; do
		[ "$SECONDS" -lt "$until" ] || fail "$LOOP is still in use"
	done
}

test_file ext4
test_file ext4 -b 1024
test_file ext2 -b 4096
test_file ext3
need_root
need_loop
test_device ext4
test_trim
test_no_such_thing
