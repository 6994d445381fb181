#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A host that was in use when its disk was taken, examined with -r: what it
# shows is what the kernel shows after its recovery of a copy, and nothing of
# the source changes: not a bit of it, and no system call tries to.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need debugfs strace jq

host=$TMP/host.img
dirty=$TMP/dirty.img
kernel=$TMP/kernel
mkdir "$kernel"

# Data that only the journal has, behind metadata that only the journal has.
new_dirty() # KIND [mount options]
{
	make_host "$1" 48M "$host"
	loop_attach "$host"
	mount_inner "$LOOP" "$kernel" -o "commit=300${2:+,$2}"
	dd if=/dev/urandom of="$kernel/old" bs=64K count=20 status=none
	sync -f "$kernel"
	dd if=/dev/urandom of="$kernel/disk" bs=64K count=40 status=none
	dd if=/dev/urandom of="$kernel/old" bs=64K count=3 seek=4 conv=notrunc \
		status=none
	sync "$kernel/disk" "$kernel/old"
	cp --sparse=always "$host" "$dirty"
	cp "$kernel/disk" "$TMP/disk.want"
	cp "$kernel/old" "$TMP/old.want"
	run umount "$kernel"
	loop_detach "$LOOP"
	dumpe2fs -h "$dirty" 2>/dev/null | grep -q needs_recovery ||
		fail 'the copy needs no recovery: the test tests nothing'
}

for how in 'ext3' 'ext4' 'ext3 data=journal' 'ext4 data=journal'; do
	say "$how: read through its journal"
	# shellcheck disable=SC2086
	new_dirty $how
	sum=$(sha256sum <"$dirty")
	rm -f "$TMP/record"
	for engine in threads uring; do
		mount_rawmap -r -o "engine=$engine,audit=$TMP/record" -i /disk \
			-i /old "$dirty" "$MNT"
		expect_same_bytes "$TMP/disk.want" "$MNT/disk"
		expect_same_bytes "$TMP/old.want" "$MNT/old"
		unmount_rawmap
		expect_equal "$(sha256sum <"$dirty")" "$sum" 'the source'
		jq -es '.[-2].event == "begin" and
			.[-2].host.journal_replayed and .[-2].read_only and
			.[-2].images[0].path == "/disk" and
			.[-1].event == "end" and .[-1].bytes_written == 0 and
			.[-1].writes == 0 and .[-1].bytes_read > 4000000 and
			.[-1].bad_ranges == []' "$TMP/record" >/dev/null ||
			fail "the record says: $(cat "$TMP/record")"
	done
	expect_equal "$(wc -l <"$TMP/record")" 4 'lines of both mounts'
	expect_status 0 "$RAWMAP" info "$dirty"
	expect_text "$TMP/out" 'replayed in memory'
	expect_status 0 "$RAWMAP" map "$dirty" /disk
	expect_status 1 "$RAWMAP" info -o norecovery "$dirty" /disk
	expect_equal "$(sha256sum <"$dirty")" "$sum" 'the source after info and map'
done

say 'the primary superblock is gone as well'
cp --sparse=always "$dirty" "$TMP/headless.img"
dd if=/dev/zero of="$TMP/headless.img" bs=1024 seek=1 count=1 conv=notrunc \
	status=none
expect_status 1 "$RAWMAP" mount -r -i /disk "$TMP/headless.img" "$MNT"
expect_text "$TMP/err" 'sb=8193'
mount_rawmap -o ro,sb=8193 -i /disk -i /old "$TMP/headless.img" "$MNT"
expect_same_bytes "$TMP/disk.want" "$MNT/disk"
expect_same_bytes "$TMP/old.want" "$MNT/old"
unmount_rawmap
expect_status 1 "$RAWMAP" info -o sb=8193,norecovery "$TMP/headless.img" /disk

say 'norecovery shows what lies on the disk'
mount_rawmap -r -o norecovery -i /old "$dirty" "$MNT"
expect_equal "$(stat -c %s "$MNT/old")" "$(stat -c %s "$TMP/old.want")" size
unmount_rawmap
expect_equal "$(sha256sum <"$dirty")" "$sum" 'the source'

say 'a source that may not be written'
chmod 0444 "$dirty"
before=$(stat -c '%x %y %z' "$dirty")
mount_rawmap -r -o direct=off -i /disk "$dirty" "$MNT"
expect_same_bytes "$TMP/disk.want" "$MNT/disk"
unmount_rawmap
expect_equal "$(stat -c '%y %z' "$dirty")" "${before#* * * }" 'its times'

say 'no system call asks for more than reading'
# No leak check: it does not work under a tracer.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
	strace -f -qq -y -o "$TMP/trace" "$RAWMAP" mount -f -r -o engine=threads \
	-i /disk "$dirty" "$MNT" >>"$LOG" 2>&1 &
SERVER=$!
mounts+=("$MNT")
until is_mounted "$MNT"; do
	kill -0 "$SERVER" || fail 'the server ended'
	wait_for_mount_change
done
expect_same_bytes "$TMP/disk.want" "$MNT/disk"
run umount "$MNT"
wait "$SERVER" || fail 'the server failed'
SERVER=
grep -F "dirty.img" "$TMP/trace" >"$TMP/calls"
grep -q 'O_RDONLY' "$TMP/calls" || fail 'the trace has no open of the source'
grep -E 'O_RDWR|O_WRONLY|O_CREAT|O_TRUNC' "$TMP/calls" >&2 &&
	fail 'the source was opened for more than reading'
grep -E '(^| )(p?write(v|64|v2)?|ftruncate|fallocate|f?chmod|utimensat|fsync|fdatasync)\(' \
	"$TMP/calls" | grep -v 'write.*(2<\|write(1<' >&2 &&
	fail 'something was to be changed'

say 'what contradicts is refused'
refused() # TEXT OPTIONS
{
	expect_status 2 "$RAWMAP" mount -o "$2" -i /disk "$dirty" "$MNT"
	expect_text "$TMP/err" "$1"
}
refused 'read-only' norecovery
refused 'read-only' "journal=$TMP/host.img"
refused 'read-only' deleted
refused 'read-only' unwritten=raw
refused 'read-only' sb=32768
refused 'read-only' on-error=zero
refused 'raw' ro,unwritten=cooked
refused 'zero' ro,on-error=ignore
refused 'sb=' ro,blocksize=4096
refused 'source itself' "ro,audit=$dirty"
expect_equal "$(sha256sum <"$dirty")" "$sum" 'the source'
