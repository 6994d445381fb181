#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o sync: a call that changes the image returns when the change is on the
# source. Seen twice: in the server's system calls, where the flush stands
# between what was written and the reply; and after a kill, when nothing that
# returned is missing. Each time the same mount without the option is looked at
# too, and is found to do less.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need python3 strace

# The other one's writes are no system calls.
RAWMAP_TEST_ENGINE=threads

host=$TMP/host.img
marker=rawmap-sync-test # 16 bytes, as much as the trace shows
yes "$marker" | tr -d '\n' | head -c 4096 >"$TMP/block"

# The server as $TMP/traced: $TMP/trace has its calls, $STRACE more arguments.
calls=pwrite64,pwritev,pwritev2,fsync,fdatasync,fallocate,io_uring_setup
cat >"$TMP/traced" <<END_OF_TRACED
#!/bin/bash
export ASAN_OPTIONS=\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}detect_leaks=0
# shellcheck disable=SC2086
exec strace -f -y -s 16 -o "$TMP/trace" -e "trace=$calls,read,writev" \
	\$STRACE "$RAWMAP" "\$@"
END_OF_TRACED
chmod +x "$TMP/traced"

# Prints a line for each change that was asked for: what, the error it was
# answered, and what was done to the source between question and answer: D the
# marked data written, W anything else written, F flushed.
cat >"$TMP/requests.py" <<'END_OF_REQUESTS'
import codecs, re, struct, sys

trace, host, marker = sys.argv[1:]
names = {4: "setattr", 16: "write", 43: "fallocate"}
begun, waiting = {}, {}

def first_string(text):
    found = re.search(r'"((?:[^"\\]|\\.)*)"', text)
    plain = codecs.decode(found.group(1), "unicode_escape")
    return plain.encode("latin-1")

def event(line):
    if re.match(r"f(data)?sync", line):
        return "F" if line.endswith(" = 0") else ""
    if line.startswith("pwrite64") and first_string(line) == marker.encode():
        return "D"
    return "W"

for line in open(trace):
    pid, line = line.rstrip("\n").split(None, 1)
    if "io_uring_setup" in line:
        sys.exit("I/O that this test does not see")
    if line.endswith("<unfinished ...>"):
        line = begun[pid] = line[: -len("<unfinished ...>")]
        # A reply counts from its beginning, anything else from its end.
        if not line.startswith("writev("):
            continue
    elif line.startswith("<... "):
        line = begun.pop(pid) + line.split("resumed>", 1)[1]
        if line.startswith("writev("):
            continue
    if not re.match(r"\w+\(\d+<", line):
        continue
    call, path = re.match(r"(\w+)\(\d+<([^>]*)>", line).groups()
    if path == host and call != "read":
        for request in waiting.values():
            request[1] += event(line)
    elif path == "/dev/fuse" and call == "read" and '"' in line:
        _, op, unique = struct.unpack("<IIQ", first_string(line))
        if op in names:
            waiting[unique] = [names[op], ""]
    elif path == "/dev/fuse" and call == "writev":
        _, error, unique = struct.unpack("<IiQ", first_string(line))
        if unique in waiting:
            what, done = waiting.pop(unique)
            print(what, -error, done)
END_OF_REQUESTS

# A host with an image of 1 MiB, of which the first 64 KiB are written.
new_host()
{
	make_host "$1" 16M "$host"
	make_sparse 1M "$TMP/disk"
	run dd if=/dev/urandom of="$TMP/disk" bs=64K count=1 conv=notrunc \
		status=none
	put_file "$host" "$TMP/disk" /disk
}

# Changes FILE in all ways or those that are named, and never syncs it, which
# fallocate(1) does.
cat >"$TMP/change.py" <<'END_OF_CHANGE'
import ctypes, os, sys

file, block = os.open(sys.argv[1], os.O_RDWR), open(sys.argv[2], "rb").read()
libc = ctypes.CDLL(None, use_errno=True)
K = 1024

def write(at):
    if os.pwrite(file, block, at) != len(block):
        sys.exit("a short write")

def fallocate(mode, at, length):
    where = ctypes.c_int64(at), ctypes.c_int64(length)
    if libc.fallocate64(file, mode, *where):
        sys.exit("fallocate: " + os.strerror(ctypes.get_errno()))

changes = {
    "overwrite": lambda: write(16 * K),
    "fill": lambda: write(512 * K),
    "fill-again": lambda: write(204 * K),
    "punch": lambda: fallocate(3, 8 * K, 16 * K),
    "zero": lambda: fallocate(16, 40 * K, 8 * K),
    "allocate": lambda: fallocate(0, 800 * K, 64 * K),
    "shrink": lambda: os.ftruncate(file, 900 * K),
    "grow": lambda: os.ftruncate(file, 2048 * K),
    "times": lambda: os.utime(file, (1, 981173106)),
}
for name in sys.argv[3:] or changes:
    changes[name]()
END_OF_CHANGE

change()
{
	local file=$1
	shift
	python3 "$TMP/change.py" "$file" "$TMP/block" "$@"
}

kinds='3 fallocate
3 setattr
3 write'

# trace_changes OPTIONS: what became of them, to $TMP/requests. A file that
# stays open for writing keeps the host from coming to rest in between; and the
# first change, which has more to do, is over before.
trace_changes()
{
	: >"$TMP/trace"
	RAWMAP=$TMP/traced mount_rawmap -o "commit=300$1" -i /disk "$host" \
		"$MNT"
	exec 7<>"$MNT/disk"
	run dd if=/dev/zero of="$MNT/disk" bs=4K seek=150 count=1 \
		conv=notrunc,fsync status=none
	run change "$MNT/disk"
	exec 7>&-
	unmount_rawmap
	check_host "$host"
	run python3 "$TMP/requests.py" "$TMP/trace" "$host" "$marker" \
		>"$TMP/all"
	tail -n +2 "$TMP/all" >"$TMP/requests"
	expect_equal "$(cut -d ' ' -f 1 "$TMP/requests" | sort | uniq -c |
		sed 's/^ *//')" "$kinds" 'requests by kind'
	grep -v '^[a-z]* 0 ' "$TMP/requests" >&2 && fail 'a request failed'
	expect_equal "$(grep -c '^write 0 .*D' "$TMP/requests")" 3 \
		'writes whose data were seen'
}

# Behind the flush of a journalled commit there is what brings blocks home.
test_flush_before_reply()
{
	local kind=$1 before_reply='[DW].*F'
	[ "$kind" = ext2 ] && before_reply='[DW].*F$'
	new_host "$kind"
	trace_changes ,sync
	grep -v "$before_reply" "$TMP/requests" >&2 &&
		fail "$kind: replied without a flush"
	expect_equal "$(head -n 1 "$TMP/requests")" 'write 0 DF' \
		"$kind: what an overwrite costs"

	new_host "$kind"
	trace_changes ''
	grep F "$TMP/requests" >&2 && fail "$kind: flushed without -o sync"
	return 0
}

# kill_after OPTIONS [CHANGE...]: what the host has then, to $TMP/now.
kill_after()
{
	local options=$1 status=0
	shift
	mount_rawmap -o "commit=300$options" -i /disk "$host" "$MNT"
	exec 7<>"$MNT/disk"
	run change "$MNT/disk" "$@"
	kill_rawmap
	exec 7>&-
	e2fsck -fy "$host" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -fy: $status: $(cat "$TMP/fsck")"
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
}

# The last change of all.
has_time()
{
	get_stat "$host" /disk | grep -q '^ *mtime: 0x3a7b8372'
}

test_killed()
{
	local kind=$1
	new_host "$kind"
	run change "$TMP/disk"
	kill_after ,sync
	expect_same_bytes "$TMP/now" "$TMP/disk"
	has_time || fail "$kind: the time is lost"

	new_host "$kind"
	cp "$TMP/disk" "$TMP/before"
	kill_after '' fill punch grow times
	expect_same_bytes "$TMP/now" "$TMP/before"
	has_time && fail "$kind: the time is there without -o sync"
	return 0
}

blocks()
{
	get_stat "$host" /disk | sed -n 's/.*Blockcount: //p'
}

# Zeros on either side: only the count of blocks tells.
test_allocated_blocks_stay()
{
	local before
	new_host "$1"
	before=$(blocks)
	kill_after '' allocate
	expect_equal "$(blocks)" "$before" "$1: sectors without -o sync"
	new_host "$1"
	kill_after ,sync allocate
	[ "$(blocks)" -ge $((before + 128)) ] || fail "$1: blocks are lost"
}

# A flush that fails is the caller's error, not a message in a log alone.
test_failing_flush()
{
	export STRACE='-e inject=fsync,fdatasync:error=EIO'
	expect_in_log "'$host' is now read-only"
	expect_in_log 'last changes could not be written'
	new_host ext2
	RAWMAP=$TMP/traced mount_rawmap -o commit=300,sync -i /disk "$host" \
		"$MNT"
	exec 7<>"$MNT/disk"
	expect_status 1 python3 "$TMP/change.py" "$MNT/disk" "$TMP/block" \
		overwrite
	expect_text "$TMP/err" 'Input/output error'
	exec 7>&-
	run umount "$MNT"
	wait_for_server 1

	new_host ext2
	RAWMAP=$TMP/traced mount_rawmap -o commit=300 -i /disk "$host" "$MNT"
	exec 7<>"$MNT/disk"
	run change "$MNT/disk" overwrite
	exec 7>&-
	run umount "$MNT"
	wait_for_server 1
	unset STRACE
}

for kind in ext2 ext3 ext4; do
	test_flush_before_reply "$kind"
	test_killed "$kind"
	test_allocated_blocks_stay "$kind"
done
test_failing_flush
