#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a server knows of an image's map, as it is told: read at once, kept,
# forgotten. On a map of thousands of extents, and with no room for it.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/mount/lib_slow.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_slow.sh"
need_fuse
need_root
need_loop
need fio jq

host=$TMP/host.img
kernel=$TMP/kernel
mkdir "$kernel"

# Every second block of 64 MiB: 8192 extents, then 16 MiB in one.
make_host ext4 160M "$host"
loop_attach "$host"
mount_inner "$LOOP" "$kernel"
run fallocate -l 80M "$kernel/disk"
run fio --name=punch --filename="$kernel/disk" --ioengine=falloc --rw=trim:4k \
	--bs=4k --size=64M --fallocate=none --output="$TMP/fio"
run umount "$kernel"
loop_detach "$LOOP"

extents()
{
	"$RAWMAP" stats --json "$MNT/disk" | jq .cache_extents
}

between() # NUMBER LEAST MOST
{
	[ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}

for engine in threads uring; do
	say "engine=$engine"
	mount_rawmap -r -o "engine=$engine" -i /disk "$host" "$MNT"
	expect_equal "$(extents)" 0 'known at first'
	run "$RAWMAP" advise populate "$MNT/disk" 0 4M
	some=$(extents)
	between "$some" 512 4095 || fail "$some extents after a part of them"
	run "$RAWMAP" advise populate "$MNT/disk"
	[ "$(extents)" -ge 8192 ] || fail "$(extents) extents after all of them"
	loads=$("$RAWMAP" stats --json "$MNT/disk" | jq .cache_loads)
	dd if="$MNT/disk" of=/dev/null bs=1M status=none
	expect_equal "$("$RAWMAP" stats --json "$MNT/disk" | jq .cache_loads)" \
		"$loads" 'loads, after the whole file was read'
	run "$RAWMAP" advise drop "$MNT/disk" 32M
	rest=$(extents)
	between "$rest" 4096 4200 ||
		fail "$rest extents after half of them was dropped"
	run "$RAWMAP" advise drop "$MNT/disk"
	expect_equal "$(extents)" 0 'known after all was dropped'
	cp "$MNT/disk" "$TMP/read"
	unmount_rawmap
done
loop_attach "$host" --read-only
mount_inner "$LOOP" "$kernel" -o ro,noload
expect_same_bytes "$kernel/disk" "$TMP/read"
run umount "$kernel"
loop_detach "$LOOP"

say 'no room: what is pinned stays, what is not goes'
mount_rawmap -r -o cache=16K -i /disk "$host" "$MNT"
run "$RAWMAP" advise populate "$MNT/disk"
[ "$(extents)" -lt 2000 ] || fail "$(extents) extents in 16 KiB"
run "$RAWMAP" advise pin "$MNT/disk"
[ "$(extents)" -ge 8192 ] || fail "$(extents) extents though they are pinned"
run "$RAWMAP" advise unpin "$MNT/disk"
dd if="$MNT/disk" of=/dev/null bs=1M status=none
run "$RAWMAP" advise populate "$MNT/disk"
[ "$(extents)" -lt 2000 ] || fail "$(extents) extents in 16 KiB again"
unmount_rawmap

say 'what is wrong'
mount_rawmap -r -i /disk "$host" "$MNT"
expect_status 2 "$RAWMAP" advise keep "$MNT/disk"
expect_text "$TMP/err" populate
expect_status 2 "$RAWMAP" advise pin
expect_status 2 "$RAWMAP" advise pin "$MNT/disk" x
expect_status 2 "$RAWMAP" advise pin "$MNT/disk" 0 0
expect_status 1 "$RAWMAP" advise pin "$host"
expect_text "$TMP/err" 'not a file that rawmap shows'
run "$RAWMAP" advise pin "$MNT/disk" 1T 1T
run "$RAWMAP" advise drop "$MNT/disk" 1T
unmount_rawmap

# A terminal sees how far it is, a pipe sees nothing.
say 'what takes long'
slow_begin "$host" delay-read=300ms
mount_rawmap -r -i /disk "$SLOW" "$MNT"
expect_status 0 "$RAWMAP" advise populate "$MNT/disk"
expect_equal "$(cat "$TMP/out" "$TMP/err")" '' 'what a pipe gets'
known=$(extents)
run "$RAWMAP" advise drop "$MNT/disk"
on_terminal "$RAWMAP" advise pin "$MNT/disk" </dev/null || fail "$(cat "$TMP/tty")"
grep -Eaq 'rawmap: reading the map: [0-9]+%' "$TMP/tty" ||
	fail "the terminal has: $(cat -v "$TMP/tty")"
expect_equal "$(extents)" "$known" 'extents that are known'
unmount_rawmap
slow_end
