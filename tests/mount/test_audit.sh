#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Which file may be the record of a mount, and what becomes of it on a full disk.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need jq split

host=$TMP/host.img
make_host ext4 24M "$host"
make_sparse 1M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk
split -b 8M -d -a 3 --numeric-suffixes=1 "$host" "$TMP/part."

# If one is taken for a record after all.
mounts+=("$MNT")

# refused FILE SOURCE [OPTIONS]: not a byte of it changes.
refused()
{
	local before after
	before=$(sha256sum <"$1")
	expect_status 2 "$RAWMAP" mount -o "audit=$1${3:+,$3}" -i /disk "$2" \
		"$MNT"
	expect_text "$TMP/err" "$1"
	after=$(sha256sum <"$1")
	expect_equal "$after" "$before" "the content of $1"
}

say 'what is read is no record of it'
for part in 001 002 003; do
	refused "$TMP/part.$part" "$TMP/part.001" ro
done
ln "$host" "$TMP/other-name"
refused "$TMP/other-name" "$host" ro
mount_rawmap -o "cow=$TMP/changes" -i /disk "$host" "$MNT"
unmount_rawmap
refused "$TMP/changes" "$host" "cow=$TMP/changes"
printf '0x0 + 1\n0x0 %#x +\n' "$(stat -c %s "$host")" >"$TMP/rescue.map"
refused "$TMP/rescue.map" "$host" "ro,ddrescue=$TMP/rescue.map"

say 'nor is an outside journal, or any device'
make_sparse 8M "$TMP/journal"
run mke2fs -q -F -b 1024 -O journal_dev "$TMP/journal"
loop_attach "$TMP/journal"
journal=$LOOP
make_sparse 24M "$TMP/host2"
loop_attach "$TMP/host2"
run mke2fs -q -F -t ext4 -b 1024 -J "device=$journal" "$LOOP"
put_file "$LOOP" "$TMP/disk" /disk
refused "$journal" "$LOOP" "ro,journal=$journal"
refused "$TMP/journal" "$LOOP" "ro,journal=$TMP/journal"
refused "$LOOP" "$host" ro
mkfifo "$TMP/pipe"
expect_status 1 timeout "$limit" "$RAWMAP" mount -o "ro,audit=$TMP/pipe" \
	-i /disk "$host" "$MNT"

say 'a shell may hold the record for a lock'
exec 9>>"$TMP/record"
mount_rawmap -o "ro,audit=$TMP/record" -i /disk "$host" "$MNT"
unmount_rawmap
exec 9>&-
jq -es 'length == 2' "$TMP/record" >/dev/null ||
	fail "the record says: $(cat "$TMP/record")"

say 'a full disk leaves no half of a line'
small=$TMP/small
mkdir "$small"
run mount -t tmpfs -o size=64k none "$small"
mounts+=("$small")
{
	printf '{ "a": "'
	head -c 3800 /dev/zero | tr '\0' x
	printf '" }\n'
} >"$small/record"
cp "$small/record" "$TMP/before"
dd if=/dev/zero of="$small/fill" bs=4096 status=none 2>/dev/null
expect_status 1 "$RAWMAP" mount -o "ro,audit=$small/record" -i /disk "$host" \
	"$MNT"
expect_text "$TMP/err" 'No space left'
expect_same_bytes "$TMP/before" "$small/record"
rm "$small/fill"
mount_rawmap -o "ro,audit=$small/record" -i /disk "$host" "$MNT"
unmount_rawmap
jq -es 'length == 3' "$small/record" >/dev/null ||
	fail "the record says: $(cat "$small/record")"
run umount "$small"
