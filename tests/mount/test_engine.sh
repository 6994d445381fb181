#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o engine=: what is chosen, what happens where io_uring is forbidden, and that
# the engines tell the same errors and keep the same promises.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need python3

unset RAWMAP_TEST_ENGINE
host=$TMP/host.img
server=$RAWMAP

# Runs the program where io_uring_setup(2) answers $FORBIDDEN, an errno, as a
# container's filter does.
cat >"$TMP/forbid.py" <<'END_OF_FORBID'
import ctypes, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
error = int(os.environ["FORBIDDEN"])
code = struct.pack("HBBI" * 4,
                   0x20, 0, 0, 0,                   # load the call's number
                   0x15, 0, 1, 425,                 # not io_uring_setup: skip
                   0x06, 0, 0, 0x00050000 | error,  # the error
                   0x06, 0, 0, 0x7fff0000)          # allow
program = ctypes.create_string_buffer(code)
filter = ctypes.create_string_buffer(
    struct.pack("HxxxxxxP", 4, ctypes.addressof(program)))
arg = ctypes.c_ulong
if libc.prctl(38, arg(1), arg(0), arg(0), arg(0)):
    sys.exit("prctl: no new privileges")
if libc.prctl(22, arg(2), ctypes.byref(filter)):
    sys.exit("prctl: seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
END_OF_FORBID

cat >"$TMP/forbidden" <<END_OF_FORBIDDEN
#!/bin/bash
exec python3 "$TMP/forbid.py" "$server" "\$@"
END_OF_FORBIDDEN
chmod +x "$TMP/forbidden"

new_host()
{
	make_host ext4 32M "$host" "$@"
	run dd if=/dev/urandom of="$TMP/disk" bs=1M count=8 status=none
	put_file "$host" "$TMP/disk" /disk
}

# engine: what the last mount said that it has.
engine()
{
	grep -o 'engine=[a-z]*$' "$LOG" | tail -n 1
}

test_choice()
{
	local asked
	for asked in auto uring threads; do
		: >"$LOG"
		mount_rawmap -v -o "engine=$asked" -i /disk "$host" "$MNT"
		expect_same_bytes "$MNT/disk" "$TMP/disk"
		unmount_rawmap
		expect_equal "$(engine)" "engine=${asked/auto/uring}" \
			"the engine for $asked"
		check_host "$host"
	done
}

# EPERM, and ENOSYS as an old kernel has it.
test_forbidden()
{
	local asked
	for FORBIDDEN in 1 38; do
		export FORBIDDEN
		RAWMAP=$TMP/forbidden
		for asked in auto threads; do
			: >"$LOG"
			mount_rawmap -v -o "engine=$asked" -i /disk "$host" \
				"$MNT"
			expect_same_bytes "$MNT/disk" "$TMP/disk"
			unmount_rawmap
			expect_equal "$(engine)" engine=threads \
				"the engine for $asked"
			expect_equal "$(grep -c 'no io_uring' "$LOG")" \
				"$([ "$asked" = auto ] && echo 1 || echo 0)" 'times it is said'
		done
		expect_status 1 "$RAWMAP" mount -o engine=uring -i /disk \
			"$host" "$MNT"
		expect_text "$TMP/err" 'engine=uring cannot be had'
		expect_text "$TMP/err" 'use engine=auto'
		expect_equal "$(wc -l <"$TMP/err")" 1 'lines of error'
		is_mounted "$MNT" && fail 'mounted after all'
		RAWMAP=$server
	done
}

# counter NAME: of the image that is mounted.
counter()
{
	"$RAWMAP" stats --json "$MNT/disk" |
		python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"
}

# Whoever moves the bytes, they are counted.
test_counters()
{
	local reads writes flushes
	mount_rawmap -o "engine=$1" -i /disk "$host" "$MNT"
	# A writer that stays keeps the host from coming to rest meanwhile.
	exec 7<>"$MNT/disk"
	# The map is known then, and the guard complete.
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	run dd if="$TMP/disk" of="$MNT/disk" bs=4K count=4 conv=notrunc,fsync \
		status=none
	reads=$(counter dev_read_bytes) writes=$(counter dev_write_bytes)
	flushes=$(counter dev_flushes)
	run dd if="$MNT/disk" of=/dev/null iflag=direct bs=64K count=7 \
		status=none
	run dd if="$TMP/disk" of="$MNT/disk" oflag=direct bs=64K count=5 \
		conv=notrunc status=none
	run sync "$MNT/disk"
	expect_equal $(($(counter dev_read_bytes) - reads)) $((7 << 16)) \
		"$1: bytes read"
	expect_equal $(($(counter dev_write_bytes) - writes)) $((5 << 16)) \
		"$1: bytes written"
	[ "$(counter dev_flushes)" -gt "$flushes" ] || fail "$1: no flush"
	expect_equal "$(counter dev_errors)" 0 "$1: errors"
	exec 7>&-
	unmount_rawmap
	check_host "$host"
}

test_read_only()
{
	local before
	before=$(sha256sum <"$host"; stat -c '%x %y %z' "$host")
	mount_rawmap -r -o "engine=$1" -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_status 1 dd if=/dev/zero of="$MNT/disk" count=1 conv=notrunc
	run sync "$MNT/disk"
	unmount_rawmap
	expect_equal "$(sha256sum <"$host"; stat -c '%x %y %z' "$host")" \
		"$before" "$1: bytes and times of the source"
}

# The first device byte of the image's block that holds its byte $1.
place_of()
{
	debugfs -R "bmap /disk $(($1 / 4096))" "$host" 2>/dev/null |
		awk '{ print $1 * 4096 }'
}

# The source is cut off in the middle of what one read asks for, which takes
# several steps as every second block is a hole: that read is an error, never a
# short one, which would be the end of the file.
test_source_cut()
{
	local cut flags
	python3 -c "
import os, sys
out = open('$TMP/disk', 'wb')
for at in range(0, 8 << 20, 8192):
    out.seek(at)
    out.write(os.urandom(4096))
out.truncate(8 << 20)"
	make_host ext4 32M "$host" -b 4096
	put_file "$host" "$TMP/disk" /disk
	cut=$(place_of $((4608 << 10)))
	mount_rawmap -r -o "engine=$1" -i /disk "$host" "$MNT"
	truncate -s "$cut" "$host"
	# Past the page cache one read is one request.
	for flags in '' 'iflag=direct count=1'; do
		# shellcheck disable=SC2086
		expect_status 1 dd if="$MNT/disk" of=/dev/null bs=1M skip=4 \
			$flags
		expect_text "$TMP/err" 'Input/output error'
		expect_equal "$(stat -c %s "$MNT/disk")" $((8 << 20)) size
		# shellcheck disable=SC2086
		run dd if="$MNT/disk" of="$TMP/start" bs=1M count=4 \
			${flags%count*} status=none
		run cmp -n $((4 << 20)) "$TMP/start" "$TMP/disk"
	done
	unmount_rawmap
}

# A thin source has no room left for blocks that the image does have.
test_source_full()
{
	local first at status
	[ "$(id -u)" -eq 0 ] || return
	mkdir -p "$TMP/thin"
	mount_inner tmpfs "$TMP/thin" -t tmpfs -o size=40M
	new_host -b 4096
	first=$(place_of 0)
	run cp --sparse=never "$host" "$TMP/thin/host.img"
	run fallocate -p -o "$first" -l 1M "$TMP/thin/host.img"
	dd if=/dev/zero of="$TMP/thin/rest" bs=4K 2>/dev/null
	mount_rawmap -o "engine=$1" -i /disk "$TMP/thin/host.img" "$MNT"
	# What is there can be written, before and after that.
	for at in 64 0 65; do
		status=$((at == 0))
		expect_status "$status" dd if="$TMP/disk" of="$MNT/disk" \
			oflag=direct bs=64K seek="$at" skip="$at" count=1 \
			conv=notrunc
		[ "$status" -eq 0 ] || expect_text "$TMP/err" 'No space left'
	done
	rm "$TMP/thin/rest"
	run dd if="$TMP/disk" of="$MNT/disk" oflag=direct bs=64K count=16 \
		conv=notrunc status=none
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	check_host "$TMP/thin/host.img"
	run umount "$TMP/thin"
}

# A write that returned survives a kill, what it allocated included. That each
# overwrite was flushed no kill shows, but the counter does.
test_synced()
{
	local flushes
	new_host
	make_sparse 4M "$TMP/sparse"
	put_file "$host" "$TMP/sparse" /sparse
	mount_rawmap -o "engine=$1,sync,commit=300" -i /disk -i /sparse \
		"$host" "$MNT"
	exec 7<>"$MNT/sparse"
	run dd if=/dev/urandom of="$TMP/disk" bs=64K count=4 conv=notrunc \
		status=none
	# The first one completes the guard.
	run dd if="$TMP/disk" of="$MNT/disk" oflag=direct bs=64K count=1 \
		conv=notrunc status=none
	flushes=$(counter dev_flushes)
	run dd if="$TMP/disk" of="$MNT/disk" oflag=direct bs=64K count=4 \
		conv=notrunc status=none
	[ "$(counter dev_flushes)" -ge $((flushes + 4)) ] ||
		fail "$1: a write that was not flushed"
	run dd if="$TMP/disk" of="$MNT/sparse" oflag=direct bs=64K count=4 \
		seek=9 conv=notrunc status=none
	run dd if="$TMP/disk" of="$TMP/sparse" bs=64K count=4 seek=9 \
		conv=notrunc status=none
	kill_rawmap
	exec 7>&-
	expect_status 0 "$RAWMAP" recover "$host"
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
	get_file "$host" /sparse "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/sparse"
}

new_host
mount_rawmap -v -o engine=auto -i /disk "$host" "$MNT"
unmount_rawmap
[ "$(engine)" = engine=uring ] || skip "$(grep -o 'no io_uring.*' "$LOG")"

test_choice
test_forbidden
for engine in uring threads; do
	new_host
	test_counters "$engine"
	test_read_only "$engine"
	test_source_cut "$engine"
	test_source_full "$engine"
	test_synced "$engine"
done
