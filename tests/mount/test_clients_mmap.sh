#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Programs that map an image into memory and write there, by an ordinary user:
# over data, holes and the end, from several processes, with msync and without,
# and killed in the middle. What they wrote is what read(2) sees at once, and what
# debugfs finds when the host is at rest.

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need debugfs python3

host=$TMP/host.img

# Writes the same at random places of two files, one of them mapped.
cat >"$TMP/mapped.py" <<'END'
import mmap, os, random, signal, sys

how, image, plain, seed = sys.argv[1:]
random.seed(int(seed))
fd = os.open(image, os.O_RDWR)
size = os.fstat(fd).st_size
mapped = mmap.mmap(fd, size)
other = os.open(image, os.O_RDONLY)
model = open(plain, "r+b")


def write(at, data):
    mapped[at:at + len(data)] = data
    model.seek(at)
    model.write(data)


def somewhere(most):
    length = min(random.choice((1, 3, 511, 4096, 5000, 70000)), most)
    return random.randrange(size - length + 1), random.randbytes(length)


def page_of(at):
    return at // mmap.PAGESIZE * mmap.PAGESIZE


def read_is_write():
    for i in range(60):
        at, data = somewhere(size)
        write(at, data)
        if os.pread(other, len(data), at) != data:
            sys.exit(f"read(2) at {at} is not what was written there")


def synced():
    direct = os.open(image, os.O_RDONLY | os.O_DIRECT)
    block = mmap.mmap(-1, mmap.PAGESIZE)
    for i in range(30):
        at, data = somewhere(4096)
        write(at, data)
        mapped.flush(page_of(at), min(2 * mmap.PAGESIZE, size - page_of(at)))
        os.preadv(direct, [block], page_of(at))
        first = data[:page_of(at) + mmap.PAGESIZE - at]
        if block[at - page_of(at):][:len(first)] != first:
            sys.exit(f"O_DIRECT does not see what was synced at {at}")


def last_bytes():
    write(size - 1, b"z")
    write(0, b"a")


def children():
    pids = []
    for child in range(4):
        writes = [somewhere(70000) for i in range(20)]
        # Each has its own quarter.
        writes = [(child * size // 4 + at % (size // 4 - len(data)), data)
                  for at, data in writes]
        pid = os.fork()
        if not pid:
            for at, data in writes:
                mapped[at:at + len(data)] = data
            os._exit(0)
        pids.append(pid)
        for at, data in writes:
            model.seek(at)
            model.write(data)
    for pid in pids:
        if os.waitpid(pid, 0)[1]:
            sys.exit("a child failed")


def advice():
    at, length = 40 * mmap.PAGESIZE, 30 * mmap.PAGESIZE
    for what in mmap.MADV_RANDOM, mmap.MADV_WILLNEED, mmap.MADV_DONTNEED:
        mapped.madvise(what)
    # A punch, by its name for memory.
    before = os.fstat(fd).st_blocks
    mapped.madvise(mmap.MADV_REMOVE, at, length)
    model.seek(at)
    model.write(bytes(length))
    if any(mapped[at:at + length]):
        sys.exit("MADV_REMOVE left something")


def killed():
    for i in range(60):
        write(*somewhere(size))
    model.flush()
    os.kill(os.getpid(), signal.SIGKILL)


for step in how.split(","):
    locals()[step]()
model.flush()
if "flush" in how:
    mapped.flush()
END

# mapped HOW: and afterwards the image is what it has to be.
mapped()
{
	local status=0
	seed=$((seed + 1))
	python3 "$TMP/mapped.py" "$1" "$MNT/disk" "$TMP/plain" "$seed" ||
		status=$?
	case $1 in
	*killed) expect_equal "$status" 137 'exit status of who is killed' ;;
	*) expect_equal "$status" 0 "exit status: $1, seed $seed" ;;
	esac
	cmp "$MNT/disk" "$TMP/plain" >&2 || fail "$1, seed $seed"
}

at_rest()
{
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	cmp "$TMP/now" "$TMP/plain" >&2 || fail "to debugfs, seed $seed"
	rm "$TMP/now"
}

test_mapped()
{
	local how
	make_host "$1" 32M "$host" -b "$2" -m 0
	make_sparse $(((3 << 20) + 1234)) "$TMP/plain"
	run dd if=/dev/urandom of="$TMP/plain" bs=4K seek=100 count=100 \
		conv=notrunc status=none
	put_file "$host" "$TMP/plain" /disk
	for how in read_is_write synced last_bytes children advice killed \
		read_is_write,advice,children,killed; do
		mount_rawmap -i /disk "$host" "$MNT"
		mapped "$how"
		at_rest
	done
}

# In use as long as it is mapped, whatever was closed.
test_busy()
{
	mount_rawmap -i /disk "$host" "$MNT"
	coproc HOLDER { exec python3 -c "
import mmap, os, sys
fd = os.open('$MNT/disk', os.O_RDWR)
mapped = mmap.mmap(fd, 0)
os.close(fd)
mapped[5000] = 77
print('mapped', flush=True)
sys.stdin.read()
" 2>&1; }
	holder=$HOLDER_PID
	read -r -t "$limit" -u "${HOLDER[0]}" line || fail 'no word from python'
	expect_equal "$line" mapped 'who maps it'
	expect_status 1 umount "$MNT"
	expect_text "$TMP/err" 'busy'
	eval "exec ${HOLDER[1]}>&-"
	wait "$holder" || fail 'who had it mapped failed'
	printf M | dd of="$TMP/plain" bs=1 seek=5000 conv=notrunc status=none
	at_rest
}

# Cut off below the mapping: a signal, as with any file; nothing comes back.
test_cut_off()
{
	mount_rawmap -i /disk "$host" "$MNT"
	run python3 - "$MNT/disk" <<-'END'
		import mmap, os, signal, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		mapped = mmap.mmap(fd, 0)
		mapped[:] = b"x" * len(mapped)
		os.ftruncate(fd, 100001)
		pid = os.fork()
		if not pid:
		    mapped[200000] = 1
		    os._exit(0)
		status = os.waitpid(pid, 0)[1]
		assert os.WTERMSIG(status) == signal.SIGBUS, status
		os.ftruncate(fd, 300000)
		assert mapped[:100001] == b"x" * 100001
		assert not any(mapped[100001:300000])
	END
	head -c 100001 /dev/zero | tr '\0' x >"$TMP/plain"
	truncate -s 300000 "$TMP/plain"
	at_rest
}

# No space: msync(2) says so, and the host is sound.
test_full()
{
	make_host ext4 12M "$host" -m 0
	make_sparse 32M "$TMP/plain"
	put_file "$host" "$TMP/plain" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	run python3 - "$MNT/disk" <<-'END'
		import errno, mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		mapped = mmap.mmap(fd, 0)
		mapped[:1 << 20] = b"y" * (1 << 20)
		mapped.flush(0, 1 << 20)
		mapped[1 << 20:] = b"z" * (len(mapped) - (1 << 20))
		try:
		    mapped.flush()
		except OSError as e:
		    assert e.errno in (errno.ENOSPC, errno.EIO), e
		else:
		    sys.exit("32 MiB in 12 MiB")
	END
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	head -c 1M /dev/zero | tr '\0' y | cmp -n 1M - "$TMP/now" >&2 ||
		fail 'what was synced is not there'
	tail -c +1048577 "$TMP/now" | tr -d 'z\0' | cmp - /dev/null >&2 ||
		fail 'bytes that nobody wrote'
	rm "$TMP/now"
}

# Privately anything may be written, and nothing comes of it.
test_read_only()
{
	local sum
	sum=$(sha256sum <"$host")
	mount_rawmap -r -i /disk "$host" "$MNT"
	run python3 - "$MNT/disk" <<-'END'
		import errno, mmap, os, sys
		try:
		    os.open(sys.argv[1], os.O_RDWR)
		    sys.exit("opened for writing")
		except OSError as e:
		    assert e.errno == errno.EROFS, e
		fd = os.open(sys.argv[1], os.O_RDONLY)
		shared = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
		own = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE,
		                prot=mmap.PROT_READ | mmap.PROT_WRITE)
		first = shared[0]
		own[0] = first ^ 255
		assert shared[0] == first
		try:
		    mmap.mmap(fd, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)
		    sys.exit("mapped for writing")
		except PermissionError:
		    pass
	END
	unmount_rawmap
	expect_equal "$(sha256sum <"$host")" "$sum" 'the host'
}

seed=${RAWMAP_SEED:-$((RANDOM * 1000))}
say "RAWMAP_SEED=$seed"
test_mapped ext4 4096
test_mapped ext2 1024
test_mapped ext4 1024
test_busy
test_cut_off
test_full
test_read_only
