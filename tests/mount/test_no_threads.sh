#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A server that has no threads yet, and one that gets no more of them, by a limit of
# its user or its container. What that has serves on; the kernel's io_uring has none
# for what may wait, and says so to each request.

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need prlimit strace

host=$TMP/host.img
expect_in_log 'do not swap to what is mounted here'

new_host()
{
	make_host ext4 32M "$host"
	make_sparse 8M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

limit_threads() # NUMBER
{
	run prlimit --pid "$SERVER" --nproc="$1:"
}

# serves_on OPTIONS
serves_on()
{
	say "$1"
	new_host
	mount_rawmap -o "$1" -i /disk "$host" "$MNT"
	limit_threads 1
	run dd if=/dev/urandom of="$TMP/disk" bs=64K count=48 seek=16 \
		conv=notrunc status=none
	run dd if="$TMP/disk" of="$MNT/disk" bs=64K count=48 seek=16 skip=16 \
		conv=notrunc,fsync status=none
	# Again: these have blocks, and go straight to the device.
	run dd if=/dev/urandom of="$TMP/disk" bs=64K count=48 seek=16 \
		conv=notrunc status=none
	run dd if="$TMP/disk" of="$MNT/disk" bs=64K count=48 seek=16 skip=16 \
		conv=notrunc,fsync status=none
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	run dd if="$MNT/disk" of="$TMP/now" bs=64K iflag=direct status=none
	expect_same_bytes "$TMP/now" "$TMP/disk"
	# What looks for leaks at the end is one.
	limit_threads "$(ulimit -H -u)"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
}

# A child of who has threads may wait for ever, for a lock that one of them held.
begins_alone()
{
	local rawmap=$RAWMAP
	say 'fusermount3 is begun without threads'
	new_host
	cat >"$TMP/traced" <<-END
		#!/bin/sh
		export ASAN_OPTIONS=\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}detect_leaks=0
		exec strace --quiet=all -e trace=clone,clone3,fork,vfork \
			-o $TMP/trace $rawmap "\$@"
	END
	chmod +x "$TMP/traced"
	RAWMAP=$TMP/traced mount_rawmap -i /disk "$host" "$MNT"
	unmount_rawmap
	grep -q CLONE_THREAD "$TMP/trace" || fail "threads: $(cat "$TMP/trace")"
	head -n 1 "$TMP/trace" | grep -v CLONE_THREAD |
		grep -Eq 'clone|fork' || fail "$(cat "$TMP/trace")"
}

begins_alone
unset RAWMAP_TEST_ENGINE
for engine in uring threads; do
	serves_on "engine=$engine"
	serves_on "engine=$engine,pin=alloc"
done
