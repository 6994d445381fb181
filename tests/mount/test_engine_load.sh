#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Both engines under many clients at a time: aligned and unaligned writes into
# mapped blocks and holes, by several requests in flight each, while other parts
# of the image are punched and the whole is read; everything is verified, now
# and after a remount. And a server that is told to end, or is killed, in the
# middle of it. Under the thread sanitizer, too: RAWMAP_TEST_CONCURRENT.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need fio python3

unset RAWMAP_TEST_ENGINE
host=$TMP/host.img

# On four slices of the image; the first slice is mapped from the start.
slice=6 # MiB
verified()
{
	fio --output="$TMP/fio" --minimal --verify_state_save=0 \
		--verify=crc32c --verify_fatal=1 --randseed=815 \
		--ioengine=libaio --direct=1 --rw=randwrite \
		--filename="$MNT/disk" --size="${slice}M" "$@" \
		--name=mapped --offset=0 --bs=4K --iodepth=32 \
		--name=holes --offset="${slice}M" --bs=4K --iodepth=32 \
		--name=mixed --offset="$((2 * slice))M" --iodepth=32 \
		--bssplit=512/30:1536/20:4K/20:48K/20:512K/10 \
		--blockalign=512 \
		--name=buffered --offset="$((3 * slice))M" --iodepth=8 \
		--bssplit=4K/50:64K/50 --direct=0
}

# Bytes of any length at any place, by threads that share sectors; the rest of
# the image is punched and filled again meanwhile.
cat >"$TMP/odd.py" <<'END_OF_ODD'
import ctypes, mmap, os, random, sys, threading

path, start, length, seed = sys.argv[1], *map(int, sys.argv[2:5])
libc = ctypes.CDLL(None, use_errno=True)
CLIENTS, STRIPE, PARTS, RACES = 4, 777, 60, 300
fd = os.open(path, os.O_RDWR | os.O_DIRECT)
model = bytearray(length)
errors = []

def punch(rand):
    at, n = rand.randrange(64) * 4096, rand.randrange(1, 16) * 4096
    where = [ctypes.c_int64(start + length + at), ctypes.c_int64(n)]
    if libc.fallocate64(fd, 3, *where):
        raise OSError(ctypes.get_errno(), "fallocate")
    os.pwrite(fd, b"p" * n, start + length + at)

# Client n owns every CLIENTS-th stripe, so that neighbours meet in a sector.
def client(n):
    rand = random.Random(seed * CLIENTS + n)
    try:
        for _ in range(PARTS):
            stripe = rand.randrange(length // STRIPE // CLIENTS) * CLIENTS + n
            data = rand.randbytes(rand.randint(1, STRIPE))
            at = stripe * STRIPE + rand.randint(0, STRIPE - len(data))
            model[at:at + len(data)] = data
            if os.pwrite(fd, data, start + at) != len(data):
                raise OSError("a short write")
            if os.pread(fd, len(data), start + at) != data:
                raise OSError(f"other bytes at {start + at}")
            if n == 0:
                punch(rand)
    except OSError as error:
        errors.append(str(error))

# A whole sector and a byte of it, at once: whichever is last, no other byte of
# the sector may be an older one.
def race():
    memory = mmap.mmap(-1, 4096)
    both = threading.Barrier(2)

    def whole():
        for n in range(RACES):
            memory[:512] = bytes([1 + n % 250]) * 512
            both.wait()
            os.pwrite(fd, memoryview(memory)[:512], start)
            both.wait()
            if set(os.pread(fd, 512, start)) - {1 + n % 250, 0xff}:
                errors.append("older bytes in a sector that was written")
            both.wait()

    def part():
        for _ in range(RACES):
            both.wait()
            os.pwrite(fd, b"\xff", start + 100)
            both.wait()
            both.wait()

    threads = [threading.Thread(target=t) for t in (whole, part)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

race()
if os.pwrite(fd, bytes(length), start) != length:
    errors.append("a short write")
threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
for t in threads:
    t.start()
for t in threads:
    t.join()
if os.pread(fd, length, start) != model:
    errors.append("not what was written")
if errors:
    sys.exit(errors[0])
END_OF_ODD

new_host()
{
	make_host "$@"
	run dd if=/dev/urandom of="$TMP/disk" bs=1M count="$slice" status=none
	truncate -s "$((5 * slice))M" "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

# test_load ENGINE KIND BLOCK [mke2fs arguments]
test_load()
{
	local engine=$1 kind=$2 block=$3 odd readers=() i
	shift 3
	new_host "$kind" 64M "$host" -b "$block" "$@"
	mount_rawmap -o "engine=$engine,commit=1" -i /disk "$host" "$MNT"
	python3 "$TMP/odd.py" "$MNT/disk" $((4 * slice << 20)) $((1 << 20)) \
		"$block" &
	odd=$!
	for i in 1 2 3; do
		cat "$MNT/disk" >"/dev/null" &
		readers+=($!)
	done
	run verified
	wait "$odd" || fail "$engine, $kind: the odd writers"
	for i in "${readers[@]}"; do
		wait "$i" || fail "$engine, $kind: a reader"
	done
	unmount_rawmap
	check_host "$host"
	mount_rawmap -o "engine=$engine" -i /disk "$host" "$MNT"
	run verified --verify_only
	unmount_rawmap
	check_host "$host"
}

# load_host ENGINE: something is flushed; many requests in flight then.
load_host()
{
	new_host ext4 64M "$host"
	mount_rawmap -o "engine=$1" -i /disk "$host" "$MNT"
	run dd if=/dev/urandom of="$TMP/disk" bs=64K count=16 conv=notrunc \
		status=none
	run dd if="$TMP/disk" of="$MNT/disk" bs=64K count=16 \
		conv=notrunc,fsync status=none
	fio --output="$TMP/fio" --ioengine=libaio --direct=1 --iodepth=32 \
		--filename="$MNT/disk" --offset=1M --size="$((4 * slice))M" \
		--rw=randrw --bssplit=4K/70:5K/10:128K/20 --blockalign=512 \
		--time_based --runtime="$limit" --name=load 2>/dev/null &
	writer=$!
	# Some of the holes are filled.
	until [ "$(stat -c %b "$MNT/disk")" -gt $((2 * slice << 11)) ]; do
		kill -0 "$writer" || fail "fio ended: $(cat "$TMP/fio")"
	done
}

# What was flushed before is there.
expect_flushed()
{
	wait "$writer" && fail 'fio saw no error'
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	run cmp -n $((1 << 20)) "$TMP/now" "$TMP/disk"
}

test_ended_under_load()
{
	load_host "$1"
	kill -s "$2" "$SERVER"
	wait_for_server 0
	is_mounted "$MNT" && fail 'still mounted'
	expect_flushed
}

# The kernel lets go of the source when the last I/O is through; who comes at
# once waits for that.
test_killed_under_load()
{
	load_host "$1"
	kill_rawmap
	expect_status 0 "$RAWMAP" recover "$host"
	expect_flushed
}

for engine in uring threads; do
	test_load "$engine" ext4 4096
	test_load "$engine" ext2 1024
	test_ended_under_load "$engine" TERM
	test_ended_under_load "$engine" INT
	test_killed_under_load "$engine"
done
