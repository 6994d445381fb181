# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The life of a filesystem inside an image: made through a loop device, filled,
# thinned out, trimmed; afterwards the kernel reads it without rawmap.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TREE=$TMP/tree

# A few megabytes: many small files, some large ones, one with holes.
make_tree()
{
	local top i
	top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	mkdir "$TREE"
	run cp -r "$top/src" "$top/include" "$top/docs" "$TREE"
	for i in 1 2 3; do
		run dd if=/dev/urandom of="$TREE/large$i" bs=1M count=1 \
			status=none
	done
	run dd if=/dev/urandom of="$TREE/holes" bs=4K count=3 seek=100 \
		status=none
}

# sums FOLDER: of all files in it.
sums()
{
	(cd "$1" && find . -path ./lost+found -prune -o -type f -print0 |
		sort -z | xargs -0 sha256sum)
}

# through_the_kernel SOURCE PATH COMMAND...: with the image as the kernel has
# it, at the end of COMMAND's line.
through_the_kernel()
{
	local source=$1 path=$2 status=0
	shift 2
	mkdir -p "$TMP/kernel"
	run mount -o ro "$source" "$TMP/kernel"
	"$@" "$TMP/kernel$path" || status=$?
	run umount "$TMP/kernel"
	return "$status"
}

# check_inner SUMS IMAGE: consistent, and with these files.
check_inner()
{
	local out
	out=$(e2fsck -fn "$2" 2>&1) || fail "e2fsck -fn of the inner: $out"
	mkdir -p "$TMP/inner"
	run mount -o ro "$2" "$TMP/inner"
	sums "$TMP/inner" >"$TMP/sums.now"
	run umount "$TMP/inner"
	diff "$1" "$TMP/sums.now" >&2 || fail 'files of the inner differ'
}

# inner_life SOURCE SIZE: SOURCE, a file or device, has the host with an image
# /disk of SIZE, a number of MiB.
inner_life()
{
	local source=$1 blocks
	mkdir -p "$TMP/inner"
	mount_rawmap -i /disk "$source" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
	expect_equal "$(losetup -nO DIO "$LOOP" | tr -d ' ')" 1 'direct I/O'
	run mkfs.ext4 -q "$LOOP"
	mount_inner "$LOOP" "$TMP/inner"
	run cp -r "$TREE/." "$TMP/inner"
	sync -f "$TMP/inner"
	rm -r "$TMP/inner/src" "$TMP/inner/large2"
	run fstrim "$TMP/inner"
	run cp -r "$TREE/include" "$TMP/inner/again"
	run dd if=/dev/urandom of="$TMP/inner/large1" bs=777 seek=500 \
		count=100 conv=notrunc status=none
	sums "$TMP/inner" >"$TMP/sums"
	run umount "$TMP/inner"
	check_inner "$TMP/sums" "$LOOP"
	loop_detach "$LOOP"
	blocks=$(stat -c %b "$MNT/disk")
	[ "$blocks" -lt $(($2 * 2048)) ] || fail "not sparse: $blocks sectors"
	unmount_rawmap

	check_host "$source"
	through_the_kernel "$source" /disk check_inner "$TMP/sums"
	say "ok: $source"
}

need_root
need_fuse
need_loop
need fstrim
make_tree
