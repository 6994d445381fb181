#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Changes that live in a file of their own: a dirty host is recovered, its image
# mounted, grown and filled, and the source stays as it is. What was changed is
# there again the next time, for this source and no other.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need debugfs

host=$TMP/host.img
source=$TMP/source.img
cow=$TMP/changes
kernel=$TMP/kernel
inner=$TMP/inner
mkdir "$kernel" "$inner"

# A host that needs recovery, with an image that has a filesystem in it.
make_host ext4 128M "$host"
loop_attach "$host"
mount_inner "$LOOP" "$kernel" -o commit=300
truncate -s 48M "$kernel/disk"
run mke2fs -q -F -t ext4 "$kernel/disk"
sync "$kernel/disk"
cp --sparse=always "$host" "$source"
run umount "$kernel"
loop_detach "$LOOP"
sum=$(sha256sum <"$source")
chmod 0444 "$source"

untouched()
{
	expect_equal "$(sha256sum <"$source")" "$sum" 'the source'
}

say 'the inner filesystem is mounted and written'
for engine in threads uring; do
	mount_rawmap -o "cow=$cow,engine=$engine" -i /disk "$source" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
	mount_inner "$LOOP" "$inner"
	dd if=/dev/urandom of="$TMP/file.$engine" bs=64K count=60 status=none
	run cp "$TMP/file.$engine" "$inner/$engine"
	run umount "$inner"
	loop_detach "$LOOP"
	unmount_rawmap
	untouched
done

say 'and is there again, with all that was written'
mount_rawmap -o "cow=$cow" -i /disk "$source" "$MNT"
loop_attach "$MNT/disk"
run e2fsck -fn "$LOOP" >"$TMP/out" 2>&1
mount_inner "$LOOP" "$inner" -o ro
expect_same_bytes "$TMP/file.threads" "$inner/threads"
expect_same_bytes "$TMP/file.uring" "$inner/uring"
run umount "$inner"
loop_detach "$LOOP"

say 'the image grows'
run truncate -s 80M "$MNT/disk"
dd if=/dev/urandom of="$TMP/tail" bs=1M count=8 status=none
run dd if="$TMP/tail" of="$MNT/disk" bs=1M seek=70 conv=notrunc,fsync status=none
sync -f "$MNT"

say 'killed: what was flushed is there'
kill_rawmap
untouched
mount_rawmap -o "cow=$cow" -i /disk "$source" "$MNT"
expect_equal "$(stat -c %s "$MNT/disk")" $((80 << 20)) 'size'
dd if="$MNT/disk" of="$TMP/got" bs=1M skip=70 count=8 status=none
expect_same_bytes "$TMP/tail" "$TMP/got"

say 'one user at a time'
expect_status 1 "$RAWMAP" mount -o "cow=$cow" -i /disk "$source" "$kernel"
unmount_rawmap
untouched

say 'sparse'
[ $(($(stat -c '%b' "$cow") * 512)) -lt $((64 << 20)) ] ||
	fail "$(stat -c '%b blocks' "$cow") for some 20 MiB of changes"

say 'read-only contradicts'
expect_status 2 "$RAWMAP" mount -r -o "cow=$cow" -i /disk "$source" "$MNT"

say 'another source, a changed source, no cow file at all'
cp --sparse=always "$source" "$TMP/other.img"
chmod 0644 "$TMP/other.img"
run debugfs -w -R 'mkdir /new' "$TMP/other.img" >/dev/null 2>&1
expect_status 1 "$RAWMAP" mount -o "cow=$cow" -i /disk "$TMP/other.img" "$MNT"
echo 'not a file of changes' >"$TMP/text"
expect_status 1 "$RAWMAP" mount -o "cow=$TMP/text" -i /disk "$source" "$MNT"
expect_equal "$(cat "$TMP/text")" 'not a file of changes' 'the file'
expect_status 2 "$RAWMAP" mount -o "cow=$source" -i /disk "$source" "$MNT"
expect_status 1 "$RAWMAP" mount -o "cow=$TMP/no/such" -i /disk "$source" "$MNT"
# The limit of file sizes, in KiB.
# shellcheck disable=SC2016
expect_status 1 bash -c 'ulimit -f 1000; exec "$@"' - \
	"$RAWMAP" mount -o "cow=$TMP/large" -i /disk "$source" "$MNT"
expect_text "$TMP/err" 'even a sparse one'
[ ! -e "$TMP/large" ] || fail 'it left a file behind'
untouched

say 'the host as it is now is sound'
mount_rawmap -o "cow=$cow" -i /disk "$source" "$MNT"
run dd if=/dev/zero of="$MNT/disk" bs=1M count=1 seek=1 conv=notrunc,fsync \
	status=none
unmount_rawmap
untouched
