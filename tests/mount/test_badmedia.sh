#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Disks that do not give all of their sectors: what a ddrescue map says, and a
# source that fails itself (nbdkit's ddrescue filter, as a file through nbdfuse).

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need debugfs jq nbdkit nbdfuse

host=$TMP/host.img
map=$TMP/disk.map
dd if=/dev/urandom of="$TMP/data" bs=64K count=48 status=none
make_host ext4 32M "$host" -b 4096
put_file "$host" "$TMP/data" /disk

# Image block 100 and the second half of block 301 are bad.
at() # IMAGE-BYTE: its place on the source
{
	"$RAWMAP" map --format json "$host" /disk |
		jq "map(select(.start <= $1 and $1 < .start + .length))[0] |
			.physical + $1 - .start"
}
first=$(at $((100 * 4096)))
second=$(($(at $((301 * 4096))) + 2048))
[ "$first" -lt "$second" ] || fail 'the blocks do not ascend'
cat >"$map" <<-END
	# Mapfile. Created by a test
	0x00000000     +               1
	0x0 $first +
	$first 4096 -
	$((first + 4096)) $((second - first - 4096)) +
	$second 2048 -
	$((second + 2048)) $((32 * 1048576 - second - 2048)) +
END
cp "$TMP/data" "$TMP/zeroed"
dd if=/dev/zero of="$TMP/zeroed" bs=4096 seek=100 count=1 conv=notrunc status=none
dd if=/dev/zero of="$TMP/zeroed" bs=2048 seek=603 count=1 conv=notrunc status=none

fails() # BYTE LENGTH
{
	dd if="$MNT/disk" of=/dev/null bs="$2" skip="$1" count=1 \
		iflag=skip_bytes,direct status=none 2>"$TMP/err" &&
		fail "byte $1 can be read"
	expect_text "$TMP/err" 'Input/output error'
}

right() # BYTE LENGTH
{
	dd if="$MNT/disk" bs="$2" skip="$1" count=1 iflag=skip_bytes,direct \
		status=none >"$TMP/part" || fail "byte $1 cannot be read"
	cmp "$TMP/part" <(tail -c "+$(($1 + 1))" "$TMP/data" | head -c "$2") >&2 ||
		fail "byte $1 is wrong"
}

judge_errors()
{
	fails $((100 * 4096)) 4096
	right $((99 * 4096)) 4096
	right $((101 * 4096)) 4096
	fails $((301 * 4096 + 2048)) 512
	right $((301 * 4096 + 1536)) 512
	right $((302 * 4096)) 4096
	right 0 262144
}

recorded() # the record of the last mount has exactly these ranges
{
	jq -es ".[-1].bad_ranges == [
		{ offset: $first, length: 4096 },
		{ offset: $second, length: 2048 }]" "$TMP/record" >/dev/null ||
		fail "the record says: $(tail -n 1 "$TMP/record")"
}

for engine in threads uring; do
	say "a map of ddrescue, engine=$engine"
	mount_rawmap -r -o "ddrescue=$map,engine=$engine" -i /disk "$host" "$MNT"
	judge_errors
	unmount_rawmap
	mount_rawmap -r -o "ddrescue=$map,on-error=zero,engine=$engine,audit=$TMP/record" \
		-i /disk "$host" "$MNT"
	expect_same_bytes "$TMP/zeroed" "$MNT/disk"
	unmount_rawmap
	recorded
done

say 'a map that is none'
echo 'not a map' >"$TMP/none.map"
expect_status 1 "$RAWMAP" mount -r -o "ddrescue=$TMP/none.map" -i /disk "$host" "$MNT"
expect_text "$TMP/err" 'line 1'
expect_status 1 "$RAWMAP" mount -r -o "ddrescue=$TMP/gone.map" -i /disk "$host" "$MNT"

say 'a source that fails'
mkdir "$TMP/nbd"
nbdkit -r -U "$TMP/socket" --filter=ddrescue file "$host" \
	ddrescue-mapfile="$map" >>"$TMP/nbdkit" 2>&1 || fail 'nbdkit does not start'
nbdfuse -r -o allow_other "$TMP/nbd/source" --unix "$TMP/socket" \
	>>"$TMP/nbdfuse" 2>&1 &
mounts+=("$TMP/nbd")
until is_mounted "$TMP/nbd"; do
	kill -0 $! 2>/dev/null || fail "nbdfuse: $(cat "$TMP/nbdfuse")"
	wait_for_mount_change
done
for engine in threads uring; do
	mount_rawmap -r -o "engine=$engine" -i /disk "$TMP/nbd/source" "$MNT"
	fails $((100 * 4096)) 4096
	right $((99 * 4096)) 4096
	right $((101 * 4096)) 4096
	unmount_rawmap
	expect_in_log 'cannot be read'
	mount_rawmap -r -o "on-error=zero,engine=$engine,audit=$TMP/record" \
		-i /disk "$TMP/nbd/source" "$MNT"
	dd if="$MNT/disk" bs=4096 of="$TMP/got" status=none
	# The filter may fail for the whole block around 2048 bad bytes.
	cp "$TMP/zeroed" "$TMP/zeroed4k"
	dd if=/dev/zero of="$TMP/zeroed4k" bs=4096 seek=301 count=1 \
		conv=notrunc status=none
	cmp -s "$TMP/got" "$TMP/zeroed" || expect_same_bytes "$TMP/zeroed4k" "$TMP/got"
	unmount_rawmap
	jq -es ".[-1].bad_ranges | length == 2 and .[0].offset == $first" \
		"$TMP/record" >/dev/null ||
		fail "the record says: $(tail -n 1 "$TMP/record")"
done
umount "$TMP/nbd"
