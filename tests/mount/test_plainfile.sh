#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An image and a plain file get the same operations and must be the same file.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse

# twice COMMAND...: on both; the word FILE stands for them.
twice()
{
	run "${@/#FILE/$MNT/disk}"
	run "${@/#FILE/$TMP/plain}"
}

# twice_dd ARGUMENTS...: from the same random bytes; flags are the image's only.
twice_dd()
{
	run dd if="$TMP/random" of="$MNT/disk" conv=notrunc status=none \
		"$@" ${flags:+"oflag=$flags"}
	run dd if="$TMP/random" of="$TMP/plain" conv=notrunc status=none "$@"
}

compare()
{
	expect_equal "$(stat -c %s "$MNT/disk")" "$(stat -c %s "$TMP/plain")" \
		"size after $1"
	expect_same_bytes "$MNT/disk" "$TMP/plain"
}

# Allocating does not work on every kind of host, nor need it in the same way.
may_fallocate()
{
	"$@" "$MNT/disk" 2>"$TMP/err" && run "$@" "$TMP/plain"
	if [ -s "$TMP/err" ]; then
		grep -q support "$TMP/err" || fail "$(cat "$TMP/err")"
	fi
}

operations()
{
	local kind=$1 flags=
	twice truncate -s 3000001 FILE
	twice_dd bs=777 count=1000 seek=13
	compare 'odd blocks'
	flags=direct twice_dd bs=512 count=777 seek=1235
	compare 'direct sectors'
	flags=direct twice_dd bs=12K count=33 seek=7
	flags=sync twice_dd bs=1 count=300 seek=1048575
	compare 'direct and synchronous'
	twice truncate -s 1000003 FILE
	compare 'truncation'
	twice truncate -s 2500000 FILE
	compare 'growing again'
	twice_dd bs=100001 count=3 seek=40
	compare 'a write beyond the end'

	twice fallocate -p -o 5000 -l 100 FILE
	twice fallocate -p -o 60001 -l 70000 FILE
	compare 'punching'
	may_fallocate fallocate -z -o 777777 -l 55555
	compare 'zeroing'
	may_fallocate fallocate -z -n -o 4000000 -l 100000
	compare 'zeroing behind the end'
	may_fallocate fallocate -l 4400000
	compare 'allocating'
	may_fallocate fallocate -n -l 6000000
	compare 'allocating behind the end'
	twice_dd bs=333 count=100 seek=15000
	compare 'writes to what was allocated'
	twice truncate -s 5100000 FILE
	twice fallocate -p -o 4096 -l 5000000 FILE
	compare 'punching nearly everything'
	twice_dd bs=4096 count=64 seek=31 conv=notrunc,fsync
	compare 'writes to what was punched'
	[ "$kind" = ext4 ] || return 0
	twice fallocate -z -o 0 -l 5000000 FILE
	compare 'zeroing everything'
}

# What programs do that look for holes.
copies()
{
	run cp --sparse=always "$TMP/plain" "$MNT/disk"
	compare 'cp --sparse=always into it'
	run cp --sparse=always "$MNT/disk" "$TMP/copy"
	expect_same_bytes "$TMP/copy" "$TMP/plain"
	run cp --sparse=auto "$MNT/disk" "$TMP/copy"
	expect_same_bytes "$TMP/copy" "$TMP/plain"
	run truncate -s 0 "$MNT/disk"
	expect_equal "$(stat -c '%s %b' "$MNT/disk")" '0 0' 'emptied'
	run dd if="$TMP/plain" of="$MNT/disk" bs=64K conv=sparse,notrunc \
		status=none
	compare 'dd conv=sparse'
	if command -v rsync >/dev/null; then
		run truncate -s 0 "$MNT/disk"
		run rsync --inplace --sparse "$TMP/plain" "$MNT/disk"
		compare 'rsync --inplace'
	fi
}

on_host()
{
	make_host "$1" 32M "$TMP/host.img" -b "$2"
	make_sparse 3000001 "$TMP/plain"
	put_file "$TMP/host.img" "$TMP/plain" /disk
	mount_rawmap -i /disk "$TMP/host.img" "$MNT"
	operations "$1"
	copies
	unmount_rawmap
	check_host "$TMP/host.img"
	get_file "$TMP/host.img" /disk "$TMP/copy"
	expect_same_bytes "$TMP/copy" "$TMP/plain"
	rm "$TMP/copy"
}

run dd if=/dev/urandom of="$TMP/random" bs=1M count=8 status=none
for kind in ext2 ext3 ext4; do
	on_host "$kind" 1024
	on_host "$kind" 4096
done
