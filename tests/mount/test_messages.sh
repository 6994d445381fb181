#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Messages that no other test asks for: those of docs/messages.md whose row names
# this one. What is said in all of it is kept, and in the end each of those rows
# must have been said. Decisions (-v) are a great part of them.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

unset RAWMAP_TEST_ENGINE RAWMAP_TEST_OPTIONS
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
host=$TMP/host.img
said=$TMP/said
: >"$said"

# refuse STATUS TEXT COMMAND...: one line, that says so.
refuse()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$RAWMAP" "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 "lines of error of: $*"
	cat "$TMP/err" >>"$said"
}

# decides TEXT... -- ARGUMENTS OF MOUNT...: what -v says, and then it ends.
decides()
{
	local texts=() text
	while [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	shift
	: >"$LOG"
	mount_rawmap -v "$@" "$MNT"
	unmount_rawmap
	for text in "${texts[@]}"; do
		expect_text "$LOG" "$text"
	done
	cat "$LOG" >>"$said"
}

# ---- what was decided, and why ----

test_decisions_of_a_writer()
{
	decides 'is shown in' 'may take 32 MiB of memory' 'in units of' \
		'has a clean journal: changes are committed through its' \
		'io_uring serves requests' 'durable after an fsync, or 5 s' \
		'only root may use the images' 'is mounted on' \
		-- -i /disk "$host"
	decides 'through the page cache: direct=off asks for it' \
		'engine=threads asks for them' \
		'each change is durable before its call returns' \
		'blocks that are freed are discarded' \
		'as far as their permissions go: allow_other' \
		-- -o direct=off,engine=threads,sync,discard,allow_other \
		-i /disk "$host"
	decides 'or 60 s' 'may take 1 MiB of memory' 'allow_root' \
		-- -o commit=60,cache=1M,allow_root -i /disk "$host"
	decides 'has no journal: a crash will leave work for e2fsck' \
		-- -i /disk "$TMP/ext2.img"
}

test_decisions_of_a_reader()
{
	decides 'nothing is written, neither images' \
		'has a clean journal: there is nothing to replay' \
		-- -r -i /disk "$host"
	decides 'has no journal: there is nothing to replay' \
		-- -r -i /disk "$TMP/ext2.img"
	decides 'norecovery leaves its journal aside' \
		-- -r -o norecovery -i /disk "$host"
	decides "has the feature 'quota' and can only be read: quota" \
		-- -r -i /disk "$TMP/quota.img"
	decides 'opened by the copy of its superblock in block 8193' \
		-- -r -o sb=8193 -i /disk "$TMP/ext2.img"
}

# What a journal has is told apart: replayed in memory, into a file of changes,
# left where it is.
test_decisions_about_a_journal()
{
	local state
	cp --sparse=always "$host" "$TMP/dirty.img"
	mount_rawmap -i /disk "$TMP/dirty.img" "$MNT"
	# A writer that stays keeps the host from coming to rest.
	exec 7<>"$MNT/disk"
	run dd if=/dev/zero of="$MNT/disk" bs=64K seek=40 count=1 \
		conv=notrunc,fsync status=none
	kill_rawmap
	exec 7>&-
	decides 'was not unmounted cleanly: it is shown with the' \
		-- -r -i /disk "$TMP/dirty.img"
	decides 'are replayed into the file of changes' \
		'is only read: changes go to' \
		-- -o "cow=$TMP/changes" -i /disk "$TMP/dirty.img"
	# As if a kernel had unmounted it and an old journal had come back.
	run debugfs -w -R 'feature -needs_recovery' "$TMP/dirty.img" \
		>/dev/null 2>&1
	state=$(dumpe2fs -h "$TMP/dirty.img" 2>/dev/null |
		grep -c needs_recovery)
	expect_equal "$state" 0 'still to be recovered'
	decides 'they are ignored' -- -r -i /disk "$TMP/dirty.img"
}

test_decisions_about_a_source()
{
	local disk=$TMP/parts.img
	truncate -s 40M "$disk"
	run sfdisk -q "$disk" <<-END
		label: gpt
		start=2048, size=65536
	END
	run dd if="$host" of="$disk" bs=1M seek=1 conv=notrunc status=none
	decides 'the filesystem is in partition 1, the only one that has' \
		'from byte 1048576 on' \
		-- -o partition=auto -i /disk "$disk"
	decides 'the filesystem is looked for in 39 MiB from byte 1048576' \
		-- -o offset=1M -i /disk "$disk"

	printf '0x0 ? 1\n0x0 0x%x +\n' $((32 << 20)) >"$TMP/map"
	decides 'what cannot be read reads as zeros' \
		-- -r -o "on-error=zero,ddrescue=$TMP/map" -i /disk "$host"
	decides 'what cannot be read is an error' \
		-- -r -o "ddrescue=$TMP/map" -i /disk "$host"

	run split -b 16M -d -a 3 --numeric-suffixes=1 "$host" "$TMP/part."
	truncate -s 8M "$TMP/small"
	decides 'an image in the format split raw' \
		-- -r -i /disk "$TMP/part.001"
}

# Without -v nothing of it is said.
test_silence()
{
	: >"$LOG"
	mount_rawmap -i /disk "$host" "$MNT"
	unmount_rawmap
	expect_equal "$(cat "$LOG")" '' 'what is said without -v'
}

# ---- failures ----

# fails STATUS TEXT COMMAND...: as refuse, of any program and with lines around.
fails()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$@"
	expect_text "$TMP/err" "$text"
	cat "$TMP/err" >>"$said"
}

# bad_map BYTE LENGTH FILE: a map file that calls these bytes of a source bad.
bad_map()
{
	printf '0x0 ? 1\n0x0 %#x +\n%#x %#x -\n%#x %#x +\n' "$1" "$1" "$2" \
		$(($1 + $2)) $((1 << 40)) >"$3"
}

# The journal has a place for the error that aborted it.
test_a_journal_with_an_error()
{
	local block
	make_host ext4 32M "$TMP/error.img" -b 4096 -O ^metadata_csum
	put_file "$TMP/error.img" "$TMP/disk" /disk
	mount_rawmap -i /disk "$TMP/error.img" "$MNT"
	exec 7<>"$MNT/disk"
	run dd if=/dev/zero of="$MNT/disk" bs=64K seek=40 count=1 \
		conv=notrunc,fsync status=none
	kill_rawmap
	exec 7>&-
	block=$(debugfs -R 'bmap <8> 0' "$TMP/error.img" 2>/dev/null)
	printf '\0\0\0\5' | dd of="$TMP/error.img" bs=1 \
		seek=$((block * 4096 + 32)) conv=notrunc status=none
	fails 0 'had recorded an error; run' "$RAWMAP" recover \
		"$TMP/error.img"
}

test_sources_that_cannot_be_read()
{
	bad_map 1024 1024 "$TMP/super"
	refuse 1 'cannot read the superblock: Input/output error' \
		info -o "ddrescue=$TMP/super" "$TMP/ext2.img"
	bad_map $((8193 * 1024)) 1024 "$TMP/copy"
	refuse 1 'cannot read the superblock in block 8193: Input/output' \
		info -o "sb=8193,blocksize=1024,ddrescue=$TMP/copy" \
		"$TMP/ext2.img"
}

# In a namespace, so that the list of swap names a device and nothing else is
# touched; and ramfs has neither direct I/O nor holes that can be made.
test_sources_of_a_kind()
{
	local dev
	mkdir "$TMP/ram"
	run mount -t ramfs rawmap-test "$TMP/ram"
	mounts+=("$TMP/ram")
	run cp "$host" "$TMP/ram/host.img"
	refuse 1 'has no direct I/O; use -o direct=auto' \
		info -o direct=on "$TMP/ram/host.img"
	loop_attach "$TMP/ram/host.img"
	dev=$LOOP
	decides 'cannot discard: '"'discard' has no effect" \
		-- -o discard -i /disk "$dev"
	# As swapon(8) does, somebody has it for himself.
	mkfifo "$TMP/hold"
	python3 -c 'import os, sys; os.open(sys.argv[1], os.O_EXCL); \
		open(sys.argv[2], "w"); open(sys.argv[2]).read()' \
		"$dev" "$TMP/hold" &
	cat "$TMP/hold" >/dev/null
	printf 'Filename\tType\tSize\tUsed\tPriority\n%s partition 9 0 -2\n' \
		"$dev" >"$TMP/swaps"
	# shellcheck disable=SC2016
	fails 1 'is in use as swap; run swapoff first' unshare -m sh -c \
		'mount --bind "$1" /proc/swaps && exec "$2" info "$3"' sh \
		"$TMP/swaps" "$RAWMAP" "$dev"
	: >"$TMP/hold"
	wait $!
	loop_detach "$dev"

	loop_attach "$host" --read-only
	dev=$LOOP
	fails 1 "-r opens it read-only" "$RAWMAP" mount -i /disk "$dev" "$MNT"
	refuse 1 '-n looks what there is to recover' recover "$dev"
	loop_detach "$dev"
}

# Sizes that a filesystem in memory can have and others cannot.
test_sources_of_a_size()
{
	local parts=$TMP/huge
	mkdir "$parts"
	run mount -t tmpfs rawmap-test "$parts"
	mounts+=("$parts")
	truncate -s 5E "$parts/a.001"
	truncate -s 5E "$parts/a.002"
	refuse 1 'are larger than a file can be' info "$parts/a.001"
	truncate -s 9223372036854775807 "$parts/whole"
	refuse 1 'is too large for a copy-on-write file' \
		mount -o "cow=$TMP/none" -i /disk "$parts/whole" "$MNT"
	truncate -s 17T "$parts/much"
	refuse 1 'cannot hold a file of' \
		mount -o "cow=$TMP/none" -i /disk "$parts/much" "$MNT"
	run umount "$parts"

	run split -b 8M -d -a 3 --numeric-suffixes=1 "$host" "$TMP/cut."
	truncate -s 4M "$TMP/cut.002"
	fails 1 "'$TMP/cut.002' is smaller than '$TMP/cut.001'" \
		"$RAWMAP" mount -v -r -i /disk "$TMP/cut.001" "$MNT"
}


# A link to itself with 4000 bytes behind it, which add up.
test_a_path_too_long()
{
	local tail
	tail=$(printf 'a%.0s' {1..4000})
	cp --sparse=always "$host" "$TMP/links.img"
	debugfs -w -R "symlink l l/$tail" "$TMP/links.img" >/dev/null 2>&1
	refuse 1 'symbolic links make the path too long' \
		map "$TMP/links.img" /l
}

test_a_server_in_the_background()
{
	local command server
	fails 1 'cannot make a pipe to the server: Too many open files' \
		python3 -c 'import os, resource, sys; os.closerange(3, 100); \
		resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)); \
		os.execv(sys.argv[1], sys.argv[1:])' \
		"$RAWMAP" mount -i /disk "$host" "$MNT"
	# Root has no such limit.
	fails 1 'cannot start the server: ' prlimit --nproc=1 \
		setpriv --reuid 54321 --regid 54321 --clear-groups \
		"$program" mount -i /disk "$host" "$MNT"

	# It waits for a FIFO when it is killed.
	mkfifo "$TMP/fifo"
	"$RAWMAP" mount -r -o "ddrescue=$TMP/fifo" -i /disk "$host" "$MNT" \
		2>"$TMP/err" &
	command=$!
	exec 8>"$TMP/fifo"
	server=$(pgrep -P "$command")
	kill -KILL "$server"
	wait "$command" && fail 'a server that was killed is ready'
	exec 8>&-
	expect_text "$TMP/err" 'was killed by signal 9 (Killed) before the'
	cat "$TMP/err" >>"$said"
}

test_mounting()
{
	local folder=$public/folder
	refuse 1 "cannot open the record '$TMP/none/record': No such file" \
		mount -r -o "audit=$TMP/none/record" -i /disk "$host" "$MNT"
	# A folder that is somebody else's, for who needs fusermount3.
	mkdir "$folder"
	fails 1 "cannot mount on '$folder' for the reason above" \
		setpriv --reuid 54321 --regid 54321 --clear-groups \
		"$program" mount -f -r -i /disk "$public/host.img" \
		"$folder"
}

test_mounted_images()
{
	local block
	truncate -s 4M "$TMP/deep"
	for i in {0..30}; do
		printf x | dd of="$TMP/deep" bs=1 seek=$((i * 2 * 4096)) \
			conv=notrunc status=none
	done
	cp --sparse=always "$host" "$TMP/damaged.img"
	put_file "$TMP/damaged.img" "$TMP/deep" /deep
	block=$(debugfs -R 'ex /deep' "$TMP/damaged.img" 2>/dev/null |
		awk '$1 == "0/" { print $8; exit }')
	run dd if=/dev/urandom of="$TMP/damaged.img" bs=4096 seek="$block" \
		count=1 conv=notrunc status=none
	mount_rawmap -r -i /deep "$TMP/damaged.img" "$MNT"
	refuse 1 "is damaged; its server's messages say where" \
		advise populate "$MNT/deep"
	kill -USR1 "$SERVER"
	wait_for_text "$LOG" "'/deep' on '.*': source: "
	cat "$LOG" >>"$said"
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null
	SERVER=
	refuse 1 "'fusermount3 -u' removes a mount whose server is gone" \
		stats "$MNT/deep"
	run umount -l "$MNT"
	: >"$LOG"
}

wait_for_text()
{
	timeout "$limit" grep -qm1 -- "$2" \
		< <(tail -n +1 --pid=$$ -s 0.01 -f "$1" 2>/dev/null) ||
		fail "'$2' does not come: $(cat "$1")"
}

test_inline()
{
	make_host ext4 16M "$TMP/inline.img" -I 256 -O inline_data
	printf 'a few bytes' >"$TMP/few"
	put_file "$TMP/inline.img" "$TMP/few" /few
	refuse 1 'lies inside its inode and has no blocks that the format' \
		map --format dm "$TMP/inline.img" /few
}

need_root
need_fuse
need sfdisk debugfs dumpe2fs setpriv prlimit pgrep
make_host ext4 32M "$host" -b 4096
run dd if=/dev/urandom of="$TMP/disk" bs=1M count=2 status=none
truncate -s 4M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk
make_host ext2 32M "$TMP/ext2.img" -b 1024
put_file "$TMP/ext2.img" "$TMP/disk" /disk
make_host ext4 32M "$TMP/quota.img" -O quota
put_file "$TMP/quota.img" "$TMP/disk" /disk


# For those who may not look into $TMP.
public=$(mktemp -d /tmp/rawmap-public.XXXXXX)
leave()
{
	local status=$?
	rm -rf "$public"
	(exit "$status")
	cleanup
}
trap leave EXIT
chmod 755 "$public"
program=$public/rawmap
run cp "$RAWMAP" "$program"
run cp --sparse=always "$host" "$public/host.img"

test_silence
test_decisions_of_a_writer
test_decisions_of_a_reader
test_decisions_about_a_journal
test_decisions_about_a_source
test_a_journal_with_an_error
test_sources_that_cannot_be_read
test_sources_of_a_kind
test_sources_of_a_size
test_a_path_too_long
test_a_server_in_the_background
test_mounting
test_mounted_images
test_inline

run python3 -B "$top/tests/lint/messages.py" provoked "$top" \
	tests/mount/test_messages.sh "$said"
