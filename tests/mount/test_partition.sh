#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Hosts in partitions of whole disks: GPT and MBR, logical ones, sectors of 512
# and 4096 bytes; by number, by themselves, and by offset. The tables are
# sfdisk's, what was written is judged in the partition by e2fsck and debugfs.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need sfdisk debugfs partx

disk=$TMP/disk.img
host=$TMP/host.img
dd if=/dev/urandom of="$TMP/data" bs=64K count=48 status=none

# new_disk TABLE: 192 MiB; sfdisk's script is on standard input.
new_disk()
{
	rm -f "$disk"
	truncate -s 192M "$disk"
	sfdisk -q --label "$1" "$disk" >"$TMP/sfdisk" 2>&1 ||
		fail "sfdisk: $(cat "$TMP/sfdisk")"
}

# put_host MIB: a host with /disk in it, MIB into the disk.
put_host()
{
	make_host ext4 48M "$host"
	put_file "$host" "$TMP/data" /disk
	dd if="$host" of="$disk" bs=1M seek="$1" conv=notrunc status=none
}

take_host() # MIB
{
	dd if="$disk" of="$host" bs=1M skip="$1" count=48 conv=sparse status=none
}

new_gpt()
{
	new_disk gpt <<-END
		start=1MiB, size=20MiB, name=boot
		start=32MiB, size=48MiB, name=store
		start=100MiB, size=10MiB, name=rest
	END
	put_host 32
}

reads_right() # OPTION SOURCE
{
	mount_rawmap -r -o "$1" -i /disk "$2" "$MNT"
	expect_same_bytes "$TMP/data" "$MNT/disk"
	unmount_rawmap
}

refused() # STATUS TEXT ARGUMENTS...
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$RAWMAP" mount "$@" -i /disk "$disk" "$MNT"
	expect_text "$TMP/err" "$text"
	[ ! -s "$TMP/out" ] || fail "standard output of mount $*"
}

say 'GPT: by number, by itself, by offset'
new_gpt
sum=$(sha256sum <"$disk")
reads_right partition=2 "$disk"
reads_right partition=auto "$disk"
reads_right offset=32M "$disk"
expect_equal "$(sha256sum <"$disk")" "$sum" 'the disk'

say 'written in the partition, nowhere else'
cp --sparse=always "$disk" "$TMP/before.img"
for engine in threads uring; do
	mount_rawmap -o "partition=2,engine=$engine" -i /disk "$disk" "$MNT"
	dd if=/dev/urandom of="$TMP/more" bs=64K count=8 status=none
	run dd if="$TMP/more" of="$MNT/disk" bs=64K seek=20 conv=notrunc,fsync \
		status=none
	run truncate -s 8M "$MNT/disk"
	run dd if="$TMP/more" of="$MNT/disk" bs=64K seek=100 \
		conv=notrunc,fsync status=none
	cp "$MNT/disk" "$TMP/expected"
	unmount_rawmap
	take_host 32
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/expected" "$TMP/now"
done
for range in 0:32 80:112; do
	cmp -n $((${range#*:} << 20)) -i $((${range%:*} << 20)) "$disk" \
		"$TMP/before.img" >&2 || fail "changed outside: $range MiB"
done

say 'what cannot be'
refused 1 'partition' -r -o partition=7
expect_text "$TMP/err" 'store'
refused 2 contradicts -r -o partition=2,offset=1M
refused 2 partition= -r -o partition=0
refused 1 'partition=N' -r
refused 1 'no ext2, ext3 or ext4' -r -o partition=3
refused 1 'no ext2, ext3 or ext4' -r -o offset=1M
refused 1 offset -r -o offset=1T

say 'a list'
expect_status 0 "$RAWMAP" info "$disk"
expect_text "$TMP/out" store
expect_text "$TMP/out" ext4
expect_status 0 "$RAWMAP" info -o partition=2 "$disk" /disk
expect_text "$TMP/out" 'size:'
expect_status 0 "$RAWMAP" map -o partition=2 --format json "$disk" /disk

say 'two of them: which?'
dd if="$TMP/before.img" of="$disk" bs=1M skip=32 seek=100 count=10 conv=notrunc \
	status=none
refused 2 'partition=N' -r -o partition=auto

say 'MBR, logical partitions'
new_disk dos <<-END
	start=1MiB, size=20MiB, type=83
	start=30MiB, size=150MiB, type=5
	start=31MiB, size=20MiB, type=82
	start=60MiB, size=48MiB, type=83
END
put_host 60
reads_right partition=6 "$disk"
reads_right partition=auto "$disk"

say 'sectors of 4096 bytes'
rm -f "$disk"
truncate -s 192M "$disk"
loop_attach "$disk" --sector-size 4096
sfdisk -q --label gpt "$LOOP" >"$TMP/sfdisk" 2>&1 <<-END ||
	start=8192, size=12288
END
	fail "sfdisk: $(cat "$TMP/sfdisk")"
loop_detach "$LOOP"
put_host 32
reads_right partition=1 "$disk"
loop_attach "$disk" --sector-size 4096
reads_right partition=1 "$LOOP"
loop_detach "$LOOP"

say 'the kernel has the partition mounted'
new_gpt
loop_attach "$disk"
run partx -a "$LOOP"
mkdir "$TMP/kernel"
mount_inner "${LOOP}p2" "$TMP/kernel"
expect_status 1 "$RAWMAP" mount -r -o partition=2 -i /disk "$LOOP" "$MNT"
expect_text "$TMP/err" 'is mounted on'
expect_status 1 "$RAWMAP" mount -o partition=2 -i /disk "$LOOP" "$MNT"
run umount "$TMP/kernel"
reads_right partition=2 "$LOOP"
run partx -d "$LOOP"
loop_detach "$LOOP"
