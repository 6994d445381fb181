#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Openers of one image see each other's bytes at once: through the page cache,
# past it (O_DIRECT), and mapped into memory.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_fuse
need python3

cat >"$TMP/openers.py" <<'END'
import mmap, os, sys

path = sys.argv[1]
block = 4096
cached = os.open(path, os.O_RDWR)
direct = os.open(path, os.O_RDWR | os.O_DIRECT)
aligned = mmap.mmap(-1, block)
mapped = mmap.mmap(cached, 16 * block)
views = {
    "cached": lambda at: os.pread(cached, block, at),
    "direct": lambda at: (os.preadv(direct, [aligned], at), aligned[:])[1],
    "mapped": lambda at: mapped[at:at + block],
}


def write_direct(at, data):
    aligned[:] = data
    assert os.pwritev(direct, [aligned], at) == block


def write_mapped(at, data):
    mapped[at:at + block] = data
    mapped.flush()


writers = {
    "cached": lambda at, data: os.pwrite(cached, data, at),
    "direct": write_direct,
    "mapped": write_mapped,
}

fill = 0
for at in (0, 5 * block):
    for writer, write in writers.items():
        for view in views.values():
            view(at)        # whatever may be cached is
        fill += 1
        write(at, bytes([fill]) * block)
        for reader, view in views.items():
            got = view(at)
            if got != bytes([fill]) * block:
                sys.exit(f"{writer} wrote {fill}, {reader} sees {got[0]}")
os.ftruncate(cached, 2 * block)
os.ftruncate(direct, 8 * block)
for reader, view in views.items():
    if any(view(5 * block)):
        sys.exit(f"{reader} sees what was cut off")
os.fsync(direct)
END

make_host ext4 32M "$TMP/host.img"
make_sparse 64K "$TMP/disk"
put_file "$TMP/host.img" "$TMP/disk" /disk
mount_rawmap -i /disk "$TMP/host.img" "$MNT"
run python3 "$TMP/openers.py" "$MNT/disk"
unmount_rawmap
check_host "$TMP/host.img"

# The same on an image that is a mountpoint itself.
touch "$TMP/naked"
mount_rawmap -i /disk "$TMP/host.img" "$TMP/naked"
expect_equal "$(stat -c '%F %s' "$TMP/naked")" 'regular file 32768' 'naked'
run truncate -s 64K "$TMP/naked"
run python3 "$TMP/openers.py" "$TMP/naked"
unmount_rawmap
check_host "$TMP/host.img"

# Read-only: nobody opens it for writing.
mount_rawmap -r -i /disk "$TMP/host.img" "$TMP/naked"
expect_equal "$(stat -c %a "$TMP/naked")" 444 'mode'
expect_status 1 truncate -s 0 "$TMP/naked"
expect_text "$TMP/err" 'Read-only file system'
expect_status 1 touch "$TMP/naked"
unmount_rawmap
