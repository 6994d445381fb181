#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sources in pieces and containers: split raw images and EWF (E01), alone and
# with what lies above them: a partition, a journal to be replayed, a file of
# changes. split(1), ewfacquire and ewfverify are the strangers.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need debugfs sfdisk split

# A whole disk, a host in its second partition, dirty, an image in the host.
disk=$TMP/disk.img
kernel=$TMP/kernel
inner=$TMP/inner
mkdir "$kernel" "$inner"
truncate -s 100M "$disk"
run sfdisk -q --label gpt "$disk" >"$TMP/sfdisk" 2>&1 <<-END
	start=1MiB, size=10MiB
	start=20MiB, size=64MiB
END
loop_attach "$disk" --offset 20MiB --sizelimit 64MiB
run mke2fs -q -t ext4 "$LOOP"
mount_inner "$LOOP" "$kernel" -o commit=300
truncate -s 16M "$kernel/vm"
run mke2fs -q -F -t ext4 -d "$(dirname "${BASH_SOURCE[0]}")" "$kernel/vm"
sync "$kernel/vm"
sync -f "$disk"
cp "$kernel/vm" "$TMP/vm.want"
cp --sparse=always "$disk" "$TMP/taken.img"
run umount "$kernel"
loop_detach "$LOOP"
disk=$TMP/taken.img

reads_right() # SOURCE
{
	for engine in threads uring; do
		mount_rawmap -r -o "partition=2,engine=$engine" -i /vm "$1" \
			"$MNT"
		expect_same_bytes "$TMP/vm.want" "$MNT/vm"
		unmount_rawmap
	done
}

say 'split raw'
(cd "$TMP" && split -b 33000000 -a 3 --numeric-suffixes=1 taken.img part.)
sums=$(cat "$TMP"/part.* | sha256sum)
expect_equal "$sums" "$(sha256sum <"$disk")" 'the parts'
reads_right "$TMP/part.001"
expect_equal "$(cat "$TMP"/part.* | sha256sum)" "$sums" 'the parts'
expect_status 0 "$RAWMAP" info -o partition=2 "$TMP/part.001"
expect_text "$TMP/out" 'split raw'
expect_status 2 "$RAWMAP" mount -r -o "partition=2,audit=$TMP/part.002" -i /vm \
	"$TMP/part.001" "$MNT"
expect_text "$TMP/err" 'a part of what is mounted'
expect_equal "$(cat "$TMP"/part.* | sha256sum)" "$sums" 'the parts'

say 'written through the parts'
run "$RAWMAP" recover -o partition=2 "$TMP/part.001" >"$TMP/out"
mount_rawmap -o partition=2 -i /vm "$TMP/part.001" "$MNT"
dd if=/dev/urandom of="$TMP/more" bs=1M count=12 status=none
run dd if="$TMP/more" of="$MNT/vm" bs=1M seek=10 conv=notrunc,fsync status=none
cp "$MNT/vm" "$TMP/vm.now"
unmount_rawmap
cat "$TMP"/part.* >"$TMP/whole"
dd if="$TMP/whole" of="$TMP/host.img" bs=1M skip=20 count=64 status=none
check_host "$TMP/host.img"
get_file "$TMP/host.img" /vm "$TMP/got"
expect_same_bytes "$TMP/vm.now" "$TMP/got"

say 'a part is missing'
mv "$TMP/part.002" "$TMP/gone"
expect_status 1 "$RAWMAP" mount -r -o partition=2 -i /vm "$TMP/part.001" "$MNT"
expect_text "$TMP/err" 002

say 'EWF'
"$RAWMAP" --version | grep -q EWF || skip 'this rawmap was built without libewf'
need ewfacquire
run ewfacquire -u -q -t "$TMP/evidence" -f encase6 -S 20971520 -c none \
	"$disk" >"$TMP/ewf" 2>&1
[ -e "$TMP/evidence.E02" ] || fail 'ewfacquire made one segment only'
sums=$(cat "$TMP"/evidence.E* | sha256sum)
reads_right "$TMP/evidence.E01"
expect_status 0 "$RAWMAP" info -o partition=2 "$TMP/evidence.E01"
expect_text "$TMP/out" 'EWF'
expect_status 1 "$RAWMAP" mount -o partition=2 -i /vm "$TMP/evidence.E01" "$MNT"
expect_text "$TMP/err" '-r'
expect_status 2 "$RAWMAP" mount -r -o "partition=2,audit=$TMP/evidence.E02" \
	-i /vm "$TMP/evidence.E01" "$MNT"
expect_equal "$(cat "$TMP"/evidence.E* | sha256sum)" "$sums" 'the evidence'

say 'EWF with changes beside it, a filesystem in an image in a partition'
mount_rawmap -o "partition=2,cow=$TMP/changes" -i /vm "$TMP/evidence.E01" "$MNT"
loop_attach "$MNT/vm" --direct-io=on
mount_inner "$LOOP" "$inner"
expect_same_bytes "${BASH_SOURCE[0]}" \
	"$inner/$(basename "${BASH_SOURCE[0]}")"
run touch "$inner/new"
run umount "$inner"
loop_detach "$LOOP"
unmount_rawmap
expect_equal "$(cat "$TMP"/evidence.E* | sha256sum)" "$sums" 'the evidence'
