#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The calls that programs make beside read(2) and write(2), by an ordinary user:
# locks, appending from several sides, synchronous writes, copying in the kernel,
# io_uring, watches; and those that an image has no answer to, which fail with
# the error that programs know.

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need debugfs python3 fio

host=$TMP/host.img

new_host()
{
	make_host "$1" 32M "$host" -b "$2" -m 0
	make_sparse 2M "$TMP/disk"
	run dd if=/dev/urandom of="$TMP/disk" bs=4K seek=9 count=99 \
		conv=notrunc status=none
	put_file "$host" "$TMP/disk" /disk
	put_file "$host" "$TMP/disk" /other
}

mount_both()
{
	mount_rawmap "$@" -i /disk -i /other "$host" "$MNT"
}

# ---- what has no answer ----

cat >"$TMP/refusals.py" <<'END'
import ctypes, errno, fcntl, os, struct, sys

image, other, folder, local = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(image, os.O_RDWR)
src = os.open(local, os.O_RDONLY)
sibling = os.open(other, os.O_RDWR)
before = os.pread(fd, 1 << 22, 0)


def fails(what, allowed, call):
    try:
        result = call()
    except OSError as e:
        if e.errno not in allowed:
            sys.exit(f"{what}: {e}")
    else:
        sys.exit(f"{what}: it gave {result!r}")


def raw(name, *args):
    result = getattr(libc, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def fallocate(mode, at, length):
    return raw("fallocate64", fd, mode, ctypes.c_int64(at),
               ctypes.c_int64(length))


FICLONE, FIDEDUPERANGE, FIEMAP, FIBMAP = 0x40049409, 0xc0189436, 0xc020660b, 1
FS_IOC_SETFLAGS, FS_IOC_GETFLAGS = 0x40086602, 0x80086601
unsupported = errno.EOPNOTSUPP,
no_clone = errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.EINVAL
for name, source in ("a file", src), ("an image", sibling):
    fails(f"FICLONE of {name}", no_clone, lambda: fcntl.ioctl(fd, FICLONE, source))
dedupe = struct.pack("QQHHI", 0, 4096, 1, 0, 0) + struct.pack("qQQiI", sibling, 0, 0, 0, 0)
reply = None
try:
    reply = fcntl.ioctl(fd, FIDEDUPERANGE, dedupe)
except OSError as e:
    assert e.errno in no_clone, e
if reply:
    assert struct.unpack_from("i", reply, 48)[0] < 0, "deduplicated"
fails("FIEMAP", unsupported, lambda: fcntl.ioctl(fd, FIEMAP, bytes(32)))
fails("flags", (errno.ENOTTY,), lambda: fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
fails("setting flags", (errno.ENOTTY, errno.EOPNOTSUPP),
      lambda: fcntl.ioctl(fd, FS_IOC_SETFLAGS, bytes(8)))
fails("collapsing", unsupported, lambda: fallocate(8, 0, 4096))
fails("inserting", unsupported, lambda: fallocate(32, 0, 4096))
fails("unsharing", unsupported, lambda: fallocate(64, 0, 4096))
fails("allocating behind the end", unsupported, lambda: fallocate(1, 1 << 22, 4096))
fails("a range below zero", (errno.EINVAL,), lambda: fallocate(0, -1, 10))
fails("a range of nothing", (errno.EINVAL,), lambda: fallocate(0, 10, 0))
fails("too large", (errno.EFBIG, errno.EINVAL), lambda: os.ftruncate(fd, 1 << 62))
fails("behind all", (errno.EFBIG, errno.EINVAL), lambda: os.pwrite(fd, b"x", 1 << 62))
acl = struct.pack("I", 2) + b"".join(
    struct.pack("HHI", tag, 6, 0xffffffff) for tag in (1, 4, 32))
for name, value in (("user.mime", b"x"), ("security.selinux", b"x"),
                    ("system.posix_acl_access", acl)):
    fails(name, unsupported + (errno.EPERM,), lambda: os.setxattr(image, name, value))
fails("getxattr", unsupported, lambda: os.getxattr(image, "user.mime"))
try:
    assert os.listxattr(image) in ([], ["security.selinux"])
except OSError as e:
    assert e.errno == errno.EOPNOTSUPP, e
fails("chmod", (errno.EPERM,), lambda: os.fchmod(fd, 0o4755))
fails("chown", (errno.EPERM,), lambda: os.fchown(fd, os.getuid() + 1, -1))
nowhere = errno.EACCES, errno.EPERM
fails("a new file", nowhere, lambda: os.open(folder + "/new", os.O_CREAT | os.O_RDWR))
fails("O_TMPFILE", nowhere + unsupported + (errno.EISDIR,),
      lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR))
fails("rename", nowhere, lambda: os.rename(image, folder + "/new"))
fails("exchange", nowhere + (errno.EINVAL,), lambda: raw(
    "renameat2", -100, image.encode(), -100, other.encode(), 2))
fails("link", nowhere, lambda: os.link(image, folder + "/new"))
fails("SEEK_DATA behind the end", (errno.ENXIO,),
      lambda: os.lseek(fd, 1 << 30, os.SEEK_DATA))
assert os.fchmod(fd, os.fstat(fd).st_mode & 0o7777) is None
assert os.fchown(fd, os.getuid(), os.getgid()) is None
if os.pread(fd, 1 << 22, 0) != before:
    sys.exit("the image has changed")
END

test_refusals()
{
	mount_both
	run python3 "$TMP/refusals.py" "$MNT/disk" "$MNT/other" "$MNT" "$TMP/disk"
	unmount_rawmap
	check_host "$host"
}

# ---- copying in the kernel ----

cat >"$TMP/copies.py" <<'END'
import os, shutil, sys

image, other, local, scratch = sys.argv[1:]
want = open(local, "rb").read()
size = len(want)


def all_of(step):
    done = 0
    while done < size:
        n = step(done, size - done)
        assert n > 0, (done, n)
        done += n


def same(what, path):
    if open(path, "rb").read() != want:
        sys.exit(f"{what}: other bytes")


def opened(path, flags):
    if os.path.exists(path):
        os.truncate(path, 0)
    return os.open(path, flags | os.O_CREAT)


# From image to image, the other way round, out, and in.
for what, source, target in (
        ("image to image", other, image), ("out", image, scratch),
        ("in", local, image), ("back", image, other)):
    a, b = os.open(source, os.O_RDONLY), opened(target, os.O_RDWR)
    try:
        all_of(lambda at, n: os.copy_file_range(a, b, min(n, 300001), at, at))
        same(f"copy_file_range {what}", target)
    except OSError as e:
        assert source == local or target == scratch, e
    os.ftruncate(b, 0)
    all_of(lambda at, n: os.sendfile(b, a, at, n))
    same(f"sendfile {what}", target)
    os.ftruncate(b, 0)
    r, w = os.pipe()

    def through_pipe(at, n):
        n = os.splice(a, w, min(n, 60000), offset_src=at)
        done = 0
        while done < n:
            done += os.splice(r, b, n - done, offset_dst=at + done)
        return n

    all_of(through_pipe)
    same(f"splice {what}", target)
    os.close(a)
    os.close(b)
    shutil.copyfile(source, target)
    same(f"shutil.copyfile {what}", target)

# A part over another part of the same image.
fd = os.open(image, os.O_RDWR)
os.copy_file_range(fd, fd, 100000, 40000, 1000000)
want = want[:1000000] + want[40000:140000] + want[1100000:]
same("within one image", image)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
os.preadv(fd, [bytearray(5000), bytearray(5000)], 12345)
os.pwritev(fd, [want[7:5000], want[5000:12000]], 7)
same("vectors", image)
END

test_copies()
{
	mount_both
	run python3 "$TMP/copies.py" "$MNT/disk" "$MNT/other" "$TMP/disk" \
		"$TMP/scratch"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /other "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
}

# ---- locks ----

# Of one process against another: whole files and ranges, of the process and of
# the open file, as qemu takes them.
cat >"$TMP/locks.py" <<'END'
import errno, fcntl, os, struct, sys

image, other = sys.argv[1:]
F_OFD_GETLK, F_OFD_SETLK = 36, 37


def lock(fd, how, kind, at, length):
    return fcntl.fcntl(fd, how, struct.pack("hhqqi4x", kind, 0, at, length, 0))


def in_child(what, call, wanted):
    pid = os.fork()
    if not pid:
        fd = os.open(image, os.O_RDWR)
        try:
            call(fd)
            got = 0
        except OSError as e:
            got = e.errno
        os._exit(0 if got in wanted else 1 + got)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        sys.exit(f"{what}: error {status - 1} instead of {wanted}")


busy, free = (errno.EAGAIN, errno.EACCES), (0,)
fd = os.open(image, os.O_RDWR)
for name, how in ("POSIX", fcntl.F_SETLK), ("OFD", F_OFD_SETLK):
    lock(fd, how, fcntl.F_RDLCK, 100, 1)
    lock(fd, how, fcntl.F_WRLCK, 200, 3)
    in_child(name + ": shared", lambda c: lock(c, F_OFD_SETLK, fcntl.F_RDLCK, 100, 1), free)
    in_child(name + ": beside", lambda c: lock(c, F_OFD_SETLK, fcntl.F_WRLCK, 101, 99), free)
    in_child(name + ": for writing", lambda c: lock(c, F_OFD_SETLK, fcntl.F_WRLCK, 100, 1), busy)
    in_child(name + ": across", lambda c: lock(c, fcntl.F_SETLK, fcntl.F_RDLCK, 0, 0), busy)

    def who(c):
        kind = struct.unpack_from("h", lock(c, F_OFD_GETLK, fcntl.F_WRLCK, 200, 1))[0]
        if kind != fcntl.F_WRLCK:
            raise OSError(errno.EIO, "nobody")

    in_child(name + ": who has it", who, free)
    lock(fd, how, fcntl.F_UNLCK, 0, 0)
    in_child(name + ": given up", lambda c: lock(c, F_OFD_SETLK, fcntl.F_WRLCK, 0, 0), free)

fcntl.flock(fd, fcntl.LOCK_EX)
in_child("flock", lambda c: fcntl.flock(c, fcntl.LOCK_SH | fcntl.LOCK_NB), busy)
fcntl.flock(os.open(other, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
os.close(fd)
in_child("flock, closed", lambda c: fcntl.flock(c, fcntl.LOCK_EX | fcntl.LOCK_NB), free)
END

test_locks()
{
	mount_both
	run python3 "$TMP/locks.py" "$MNT/disk" "$MNT/other"
	exec 8<>"$MNT/disk"
	run flock 8
	expect_status 1 flock --nonblock "$MNT/disk" true
	exec 8>&-
	run flock --nonblock "$MNT/disk" true
	unmount_rawmap
}

# ---- appending, watching ----

cat >"$TMP/append.py" <<'END'
import ctypes, mmap, os, struct, sys

image = sys.argv[1]
records, size = 60, 4096
libc = ctypes.CDLL(None, use_errno=True)
os.truncate(image, 0)
watch = libc.inotify_init1(os.O_NONBLOCK)
assert libc.inotify_add_watch(watch, image.encode(), 2) > 0    # IN_MODIFY

writers = [(0, 0), (os.O_DIRECT, 0), (os.O_SYNC, 0), (None, os.RWF_APPEND)]
pids = []
for number, (flags, per_call) in enumerate(writers):
    pid = os.fork()
    if not pid:
        more = os.O_APPEND | flags if flags is not None else 0
        fd = os.open(image, os.O_WRONLY | more)
        page = mmap.mmap(-1, size)
        for i in range(records):
            page[:] = struct.pack("II", number, i) * (size // 8)
            if per_call:
                assert os.pwritev(fd, [page], 0, per_call) == size
            else:
                assert os.write(fd, page) == size
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
assert os.read(watch, 4096), "inotify saw nothing"

seen = {number: 0 for number in range(len(writers))}
data = open(image, "rb").read()
assert len(data) == len(writers) * records * size, len(data)
for at in range(0, len(data), size):
    number, i = struct.unpack_from("II", data, at)
    assert data[at:at + size] == struct.pack("II", number, i) * (size // 8)
    assert i == seen[number], f"{number} has {i} in place of {seen[number]}"
    seen[number] += 1
END

test_appending()
{
	mount_both
	run python3 "$TMP/append.py" "$MNT/disk"
	run cp "$MNT/disk" "$TMP/copy"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/copy"
}

# ---- synchronous writes ----

# Into a hole and behind the end, without fsync(2); the sync is in the flags.
cat >"$TMP/synchronous.py" <<'END'
import mmap, os, sys

how, image, local = sys.argv[1:]
flags, per_call = {
    "plain": (0, 0), "direct": (os.O_DIRECT, 0),
    "dsync": (os.O_DSYNC, 0), "sync": (os.O_SYNC, 0),
    "direct,dsync": (os.O_DIRECT | os.O_DSYNC, 0),
    "direct,sync": (os.O_DIRECT | os.O_SYNC, 0),
    "rwf_dsync": (0, os.RWF_DSYNC),
    "direct,rwf_dsync": (os.O_DIRECT, os.RWF_DSYNC),
    "direct,rwf_sync": (os.O_DIRECT, os.RWF_SYNC),
}[how]
data = mmap.mmap(-1, 8192)
data[:] = bytes(range(256)) * 32
for path, more in (local, 0), (image, flags):
    fd = os.open(path, os.O_RDWR | more)
    for at in 1 << 20, 3 << 20:
        assert os.pwritev(fd, [data], at, per_call if more == flags else 0) == 8192
END

# killed_after HOW: what the host has then, when the server is killed behind it.
killed_after()
{
	local status=0
	cp --sparse=always "$TMP/disk" "$TMP/want"
	mount_both -o commit=300
	# Else the last one who closes it brings the host to rest.
	exec 7<>"$MNT/disk"
	run python3 "$TMP/synchronous.py" "$1" "$MNT/disk" "$TMP/want"
	kill_rawmap
	exec 7>&-
	e2fsck -fy "$host" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -fy: $status: $(cat "$TMP/fsck")"
	get_file "$host" /disk "$TMP/now"
}

# lasts KIND ENGINE WAY...
lasts()
{
	local kind=$1 RAWMAP_TEST_ENGINE=$2 how
	shift 2
	for how; do
		new_host "$kind" 4096
		killed_after "$how"
		cmp "$TMP/now" "$TMP/want" >&2 ||
			fail "$kind, $how, engine $RAWMAP_TEST_ENGINE: lost"
	done
}

# Without, it may be lost: else the above would show nothing.
test_synchronous_writes()
{
	local how
	lasts ext4 auto dsync sync direct,dsync direct,sync rwf_dsync \
		direct,rwf_dsync direct,rwf_sync
	lasts ext4 threads dsync direct,dsync
	lasts ext2 auto direct,dsync
	for how in plain direct; do
		new_host ext4 4096
		killed_after "$how"
		cmp -s "$TMP/now" "$TMP/want" &&
			fail "$how: committed though nobody asked"
	done
	return 0
}

# ---- io_uring ----

test_io_uring()
{
	local how
	mount_both
	# Else fio wants to make another file of this name.
	run truncate -s 4M "$MNT/disk"
	for how in '--direct=1' '--direct=1 --fixedbufs --registerfiles' \
		'--direct=0' '--direct=1 --sync=dsync --number_ios=200' \
		'--direct=1 --rwmixread=40 --rw=randrw --verify_backlog=16'; do
		# shellcheck disable=SC2086
		run fio --name=uring --filename="$MNT/disk" --ioengine=io_uring \
			--iodepth=16 --rw=randwrite --size=4M \
			--bssplit=512/20:4K/40:7K/20:256K/20 --blockalign=512 \
			--verify=crc32c --verify_fatal=1 --end_fsync=1 \
			--verify_state_save=0 --minimal --output="$TMP/fio" $how
	done
	unmount_rawmap
	check_host "$host"
}

for kind in ext4 ext2; do
	new_host "$kind" 1024
	test_refusals
	test_copies
	test_locks
	test_appending
	test_io_uring
done
test_synchronous_writes
