#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What rawmap does not open, or does not open for writing: one sentence, exit
# status 1, nothing mounted, and not a byte of the source changed. Where reading
# is sound, -r reads.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need debugfs

host=$TMP/host.img

# refuse TEXT ARGUMENTS...
refuse()
{
	local text=$1 before=
	shift
	[ -f "$host" ] && before=$(sha256sum <"$host")
	expect_status 1 "$RAWMAP" mount "$@" "$MNT"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	[[ $(cat "$TMP/err") == 'rawmap: '* ]] || fail "$(cat "$TMP/err")"
	is_mounted "$MNT" && fail 'mounted after all'
	[ ! -f "$host" ] ||
		expect_equal "$(sha256sum <"$host")" "$before" 'the host'
}

# With -r, as it stands, and nothing is written.
reads()
{
	local before
	before=$(sha256sum <"$host")
	mount_rawmap -r -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	expect_equal "$(sha256sum <"$host")" "$before" 'the host'
}

# neither TEXT: no writing and no reading.
neither()
{
	refuse "$1" -i /disk "$host"
	refuse "$1" -r -i /disk "$host"
}

# only_read TEXT
only_read()
{
	refuse "$1" -i /disk "$host"
	reads
}

# fresh KIND [mke2fs arguments...]
fresh()
{
	local kind=$1
	shift
	make_host "$kind" 8M "$host" "$@"
	put_file "$host" "$TMP/disk" /disk
}

change()
{
	debugfs -w -f - "$host" >"$TMP/debugfs" 2>&1
}

test_sources()
{
	refuse "$TMP/none" -i /disk "$TMP/none"
	refuse "$TMP" -i /disk "$TMP"
	refuse /dev/null -i /disk /dev/null
	mkfifo "$TMP/pipe"
	refuse "$TMP/pipe" -i /disk "$TMP/pipe"
	head -c 1M /dev/urandom >"$host"
	neither 'no ext2, ext3 or ext4'
	: >"$host"
	neither 'no ext2, ext3 or ext4'
	fresh ext4
	truncate -s 7M "$host"
	neither 'cut short'
	fresh ext4
	chmod 444 "$host"
	reads
	chmod 644 "$host"
}

test_paths()
{
	fresh ext4
	change <<-END_OF_COMMANDS
		mkdir folder
		mknod node c 1 3
		mknod pipe p
		symlink link folder
	END_OF_COMMANDS
	refuse /none -i /none "$host"
	refuse /disk/x -i /disk/x "$host"
	refuse directory -i /folder "$host"
	refuse directory -r -i /link "$host"
	refuse 'device node' -i /node "$host"
	refuse 'pipe' -r -i /pipe "$host"
	expect_status 2 "$RAWMAP" mount -i disk "$host" "$MNT"
	refuse '/disk/' -i /disk/ "$host"
}

# with_flag FLAG: an inode flag of /disk.
with_flag()
{
	fresh ext4
	change <<<"set_inode_field /disk flags $1"
}

test_inode_flags()
{
	with_flag 0x80800
	refuse encrypted -i /disk "$host"
	refuse encrypted -r -i /disk "$host"
	with_flag 0x80204
	neither compressed
	with_flag 0x80010
	only_read immutable
	with_flag 0x80020
	only_read append-only
	with_flag 0x180000
	only_read fs-verity
	with_flag 0x84000
	only_read journalled

	make_host ext4 8M "$host" -O inline_data
	echo small >"$TMP/small"
	put_file "$host" "$TMP/small" /disk
	refuse 'inline data' -i /disk "$host"
}

test_features()
{
	local name
	for name in FEATURE_R31 FEATURE_R19; do
		fresh ext4
		change <<<"feature $name"
		only_read "$name"
	done
	for name in FEATURE_I31 compression journal_dev dirdata; do
		fresh ext4
		change <<<"feature $name"
		neither "$name"
	done
	fresh ext4
	change <<<"feature FEATURE_C31"
	reads
	mount_rawmap -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap

	fresh ext4 -O quota
	only_read quota
	fresh ext4 -O project,quota
	only_read quota
	fresh ext4 -O bigalloc
	only_read bigalloc
	# Set at last: what opens such a host waits for others to show up.
	fresh ext4
	run tune2fs -O mmp "$host" >"$TMP/out"
	only_read mmp
	fresh ext4 -O fast_commit
	only_read fast_commit
	fresh ext4
	change <<<'feature read-only'
	only_read read-only
}

test_states()
{
	fresh ext4
	change <<<'feature needs_recovery'
	only_read 'e2fsck -p'
	only_read 'rawmap recover'

	fresh ext4
	change <<<'set_super_value state 3'
	only_read 'e2fsck -f'
	fresh ext2
	change <<<'set_super_value state 0'
	only_read 'e2fsck -p'
	fresh ext4
	change <<<'set_super_value last_orphan 12'
	only_read orphan

	fresh ext4 -O ^has_journal
	change <<-END_OF_COMMANDS
		feature has_journal
		set_super_value journal_inum 0
		set_super_value journal_dev 0x0801
	END_OF_COMMANDS
	only_read 'another device'
}

# A copy of a host that the kernel has mounted.
test_copy_of_mounted()
{
	[ "$(id -u)" -eq 0 ] || return 0
	need_loop
	mkdir "$TMP/kernel"
	fresh ext4
	mv "$host" "$TMP/original.img"
	loop_attach "$TMP/original.img"
	mount_inner "$LOOP" "$TMP/kernel"
	run touch "$TMP/kernel/something"
	sync -f "$TMP/kernel"
	cp --sparse=always "$LOOP" "$host"
	only_read 'e2fsck -p'
	run umount "$TMP/kernel"
	loop_detach "$LOOP"
	mv "$TMP/original.img" "$host"
	reads
}

# A damaged superblock is not blamed on something else.
test_damage()
{
	fresh ext4
	printf '\377\377' | dd of="$host" bs=1 seek=1100 conv=notrunc \
		status=none
	neither 'damaged superblock'
	fresh ext2
	printf '\377\377\377\377' |
		dd of="$host" bs=1 seek=$((1024 + 24)) conv=notrunc status=none
	neither 'impossible numbers'
}

run dd if=/dev/urandom of="$TMP/disk" bs=1K count=300 status=none
test_sources
test_paths
test_inode_flags
test_features
test_states
test_copy_of_mounted
test_damage
