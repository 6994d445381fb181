#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawmap recover on hosts that the kernel left dirty: copies of them, made while
# they were mounted. The kernel's own mount, e2fsck and debugfs' replay judge.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_loop
need debugfs e2fsck dumpe2fs

dirty=$TMP/dirty.img
kernel=$TMP/kernel
mkdir "$kernel"

recover()
{
	expect_status 0 "$RAWMAP" recover "$@"
	[ ! -s "$TMP/err" ] || fail "recover says: $(cat "$TMP/err")"
}

# refuse TEXT [-n] SOURCE: one sentence; a file is not changed.
refuse()
{
	local text=$1 source=${*: -1} before
	shift
	before=$(sha256sum <"$source")
	expect_status 1 "$RAWMAP" recover "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	[ ! -s "$TMP/out" ] || fail "standard output of recover $*"
	expect_equal "$(sha256sum <"$source")" "$before" "$source"
}

needs_recovery()
{
	dumpe2fs -h "$1" 2>/dev/null | grep -q '^Filesystem feat.*needs_recov'
}

# Some hundred files: written, synced one by one, cut, renamed and removed.
work()
{
	local i
	mkdir "$1/a" "$1/b"
	for ((i = 0; i < 150; i++)); do
		head -c $((i * 613 % 20000)) /dev/urandom >"$1/a/$i"
		[ $((i % 25)) -ne 0 ] || sync "$1/a/$i"
	done
	for ((i = 0; i < 150; i += 3)); do
		truncate -s $((i * 40)) "$1/a/$i"
		mv "$1/a/$i" "$1/b/moved-$i"
	done
	sync -f "$1"
	for ((i = 1; i < 150; i += 3)); do
		rm "$1/a/$i"
	done
	mkdir "$1/b/folder"
	for ((i = 0; i < 100; i++)); do
		head -c $((i * 97)) /dev/urandom >"$1/b/folder/$i"
	done
	sync -f "$1"
	rm -r "$1/b/folder"
	for ((i = 2; i < 150; i += 6)); do
		head -c 3000 /dev/urandom >>"$1/a/$i"
		ln "$1/a/$i" "$1/b/link-$i"
		sync "$1/a/$i"
	done
}

# mount_host FILE [mount arguments...]
mount_host()
{
	local file=$1
	shift
	loop_attach "$file"
	mount_inner "$LOOP" "$kernel" "$@"
}

unmount_host()
{
	run umount "$kernel"
	loop_detach "$LOOP"
}

# The journal's commits come when they are asked for, so that the copy is that
# of one moment.
make_dirty()
{
	local options=$1
	mount_host "$TMP/host.img" -o "commit=300,$options"
	work "$kernel"
	cp --sparse=always "$TMP/host.img" "$dirty"
	unmount_host
	needs_recovery "$dirty" || fail 'the copy needs no recovery'
}

# Everything below a host's root, as the kernel reads it.
tree_of()
{
	mount_host "$1" -o ro
	(cd "$kernel" && tar --sort=name -c .) | sha256sum
	unmount_host
}

# Blocks of 1 KiB in which two images differ.
differences()
{
	cmp -l "$1" "$2" | awk '{ print int(($1 - 1) / 1024) }' | uniq
}

# The same bytes as debugfs' replay, but for the two superblocks: that of the
# journal counts other transactions, the other other times.
expect_replayed()
{
	local ours=$1 bs=$2 journal block
	cp --sparse=always "$dirty" "$TMP/replayed.img"
	run debugfs -w -R journal_run "$TMP/replayed.img" >/dev/null 2>&1
	journal=$(debugfs -R 'bmap <8> 0' "$dirty" 2>/dev/null)
	for block in $(differences "$ours" "$TMP/replayed.img"); do
		[ "$block" -eq 1 ] || [ "$block" -eq $((journal * bs / 1024)) ] ||
			fail "1 KiB block $block is not as debugfs replays it"
	done
}

# test_dirty KIND BLOCKSIZE MOUNT_OPTIONS [MKE2FS_ARGUMENT...]
test_dirty()
{
	local kind=$1 bs=$2 options=$3 want before
	shift 3
	say "$kind, blocks of $bs, $options $*"
	make_host "$kind" 48M "$TMP/host.img" -b "$bs" "$@"
	make_dirty "$options"
	cp --sparse=always "$dirty" "$TMP/ours.img"
	cp --sparse=always "$dirty" "$TMP/theirs.img"
	cp --sparse=always "$dirty" "$TMP/fsck.img"

	before=$(sha256sum <"$TMP/ours.img")
	recover -n "$TMP/ours.img"
	expect_equal "$(sha256sum <"$TMP/ours.img")" "$before" 'the dry run'
	grep -Eq ': [0-9]+ transactions? to be replayed, [0-9]+ blocks? to be written$' \
		"$TMP/out" || fail "$(cat "$TMP/out")"
	want=$(sed 's/ to be//g' "$TMP/out")
	recover "$TMP/ours.img"
	expect_equal "$(cat "$TMP/out")" "$want" 'what recover says'
	needs_recovery "$TMP/ours.img" && fail 'it still needs recovery'
	expect_replayed "$TMP/ours.img" "$bs"
	check_host "$TMP/ours.img"
	e2fsck -fn "$TMP/ours.img" 2>&1 | grep -i 'wrong' &&
		fail 'e2fsck -fn has something to say'
	recover "$TMP/ours.img"
	expect_text "$TMP/out" "'$TMP/ours.img': nothing to recover"

	mount_host "$TMP/theirs.img"
	unmount_host
	e2fsck -p "$TMP/fsck.img" >/dev/null 2>&1
	want=$(tree_of "$TMP/theirs.img")
	expect_equal "$(tree_of "$TMP/fsck.img")" "$want" "e2fsck's tree"
	expect_equal "$(tree_of "$TMP/ours.img")" "$want" "rawmap's tree"
}

# An open file without a name: the kernel's work, or e2fsck's.
# test_orphans [MKE2FS_ARGUMENT...]
test_orphans()
{
	make_host ext4 48M "$TMP/host.img" "$@"
	mount_host "$TMP/host.img" -o commit=300
	exec 7>"$kernel/open"
	head -c 50000 /dev/urandom >&7
	sync "$kernel/open"
	rm "$kernel/open"
	sync -f "$kernel"
	cp --sparse=always "$TMP/host.img" "$dirty"
	exec 7>&-
	unmount_host
	refuse orphan "$dirty"
	refuse orphan -n "$dirty"
	e2fsck -p "$dirty" >/dev/null 2>&1
	recover "$dirty"
	check_host "$dirty"
}

test_mounted()
{
	make_host ext4 16M "$TMP/host.img"
	mount_host "$TMP/host.img"
	expect_status 1 "$RAWMAP" recover "$LOOP"
	expect_text "$TMP/err" 'mounted'
	expect_status 1 "$RAWMAP" recover "$TMP/host.img"
	expect_text "$TMP/err" "is mounted on '$kernel'"
	expect_status 1 "$RAWMAP" recover -n "$TMP/host.img"
	expect_text "$TMP/err" "is mounted on '$kernel'"
	unmount_host
	recover "$TMP/host.img"
}

# On a block device, and then what the recovery is for.
test_device()
{
	make_host ext4 48M "$TMP/host.img"
	make_dirty data=ordered
	loop_attach "$dirty"
	recover "$LOOP"
	expect_text "$TMP/out" "'$LOOP': "
	loop_detach "$LOOP"
	check_host "$dirty"
	mount_rawmap -i /a/2 "$dirty" "$MNT"
	run dd if=/dev/urandom of="$MNT/2" bs=1M count=1 status=none
	unmount_rawmap
	check_host "$dirty"
}

test_held()
{
	make_host ext4 16M "$TMP/host.img"
	make_sparse 1M "$TMP/disk"
	put_file "$TMP/host.img" "$TMP/disk" /disk
	mount_rawmap -i /disk "$TMP/host.img" "$MNT"
	refuse 'another' "$TMP/host.img"
	refuse 'another' -n "$TMP/host.img"
	unmount_rawmap
	mount_rawmap -r -i /disk "$TMP/host.img" "$MNT"
	refuse 'another' "$TMP/host.img"
	recover -n "$TMP/host.img"
	expect_text "$TMP/out" 'nothing to recover'
	unmount_rawmap
}

test_dirty ext4 4096 data=ordered
test_dirty ext4 1024 data=ordered
test_dirty ext4 4096 data=journal
test_dirty ext3 4096 data=ordered
test_dirty ext3 1024 data=ordered
test_dirty ext3 1024 data=journal
# The kernel says orphan_present with every mount of such a host.
test_dirty ext4 1024 data=ordered -O orphan_file
test_orphans
test_orphans -O orphan_file
test_mounted
test_device
test_held
