#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user copies: cp, dd, tar, rsync. What they write into an image is
# there, to debugfs, when the host is at rest, and what they read is what was
# there, with its holes. Where an image cannot be what they want (a new name
# beside it, another mode, a clone) they fail with the error that says so, and
# the image is as it was.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib_user.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_user.sh"
need_fuse
need debugfs tar rsync

host=$TMP/host.img
plain=$TMP/plain
copy=$TMP/copy
size=$(((5 << 20) + 12345))

# Data in islands, one across the end; ten times as much is holes.
make_plain()
{
	make_sparse "$size" "$plain"
	run dd if=/dev/urandom of="$plain" bs=4K count=20 seek=3 conv=notrunc \
		status=none
	run dd if=/dev/urandom of="$plain" bs=777 count=100 seek=3333 \
		conv=notrunc status=none
	run dd if=/dev/urandom of="$plain" bs=5000 count=1 conv=notrunc \
		oflag=seek_bytes seek=$((size - 5000)) status=none
}

sectors()
{
	stat -c %b "$1"
}

# sparse FILE WHAT: no more blocks than $plain, but for a few of the map.
sparse()
{
	[ "$(sectors "$1")" -le $(($(sectors "$plain") + 128)) ] ||
		fail "$2: $(sectors "$1") sectors, $(sectors "$plain") before"
}

# is_copy FILE WHAT: size and bytes of $plain.
is_copy()
{
	expect_equal "$(stat -c %s "$1")" "$size" "$2: size"
	cmp "$1" "$plain" >&2 || fail "$2: other bytes"
}

# unchanged IMAGE WHAT
unchanged()
{
	is_copy "$MNT/$1" "$2"
}

# ---- cp and what is like it ----

test_cp()
{
	run cp --sparse=always "$plain" "$MNT/cp"
	is_copy "$MNT/cp" 'cp --sparse=always'
	sparse "$MNT/cp" 'cp --sparse=always'
	for how in auto always never; do
		run cp --sparse="$how" "$MNT/cp" "$copy"
		is_copy "$copy" "cp --sparse=$how from it"
		[ "$how" = never ] || sparse "$copy" "cp --sparse=$how from it"
	done
	# From one image to another, which a kernel may be asked to do.
	run cp "$MNT/cp" "$MNT/tar"
	is_copy "$MNT/tar" 'cp from image to image'
	sparse "$MNT/tar" 'cp from image to image'
	cat "$plain" >"$MNT/cp" || fail 'cat into it'
	is_copy "$MNT/cp" 'cat'
	run truncate -s 0 "$MNT/cp"
	split -b 100K --filter="cat >>'$MNT/cp'" "$plain" ||
		fail 'appending'
	is_copy "$MNT/cp" 'appending'
}

# The image keeps its mode; times are taken, and the mode that it has.
test_cp_attributes()
{
	local other
	chmod "$(stat -c %a "$MNT/cp")" "$plain"
	touch -d '2001-02-03 04:05:06.789' "$plain"
	for how in -p -a; do
		run cp "$how" "$plain" "$MNT/cp"
		is_copy "$MNT/cp" "cp $how"
		expect_equal "$(stat -c '%a %y' "$MNT/cp")" \
			"$(stat -c '%a %y' "$plain")" "mode and time, cp $how"
	done
	other=$TMP/other
	cp --sparse=always "$plain" "$other"
	chmod 400 "$other"
	expect_status 1 cp -p "$other" "$MNT/cp"
	expect_text "$TMP/err" 'Operation not permitted'
	is_copy "$MNT/cp" 'cp -p of another mode'
	run cp --preserve=timestamps "$other" "$MNT/cp"
	rm -f "$other"
}

test_cp_refusals()
{
	expect_status 1 cp "$plain" "$MNT/new"
	expect_text "$TMP/err" 'Permission denied'
	expect_status 1 mv -f "$plain" "$MNT/new"
	expect_text "$TMP/err" 'Permission denied'
	expect_status 1 mv -f "$MNT/cp" "$TMP/moved"
	expect_text "$TMP/err" 'Permission denied'
	rm -f "$TMP/moved"
	expect_status 1 install "$plain" "$MNT/cp"
	expect_status 1 ln -f "$plain" "$MNT/cp"
	unchanged cp 'what refuses'
	expect_status 1 cp --reflink=always "$MNT/cp" "$copy"
	grep -Eq 'Operation not supported|Invalid cross-device link' \
		"$TMP/err" || fail "cp --reflink: $(cat "$TMP/err")"
	unchanged cp 'cp --reflink from it'
}

# ---- tar ----

test_tar()
{
	run tar -C "$MNT" -cSf "$TMP/a.tar" tar
	[ "$(stat -c %s "$TMP/a.tar")" -lt $((size / 4)) ] ||
		fail 'the archive has the holes'
	mkdir "$TMP/tar"
	run tar -C "$TMP/tar" -xSf "$TMP/a.tar"
	is_copy "$TMP/tar/tar" 'tar -S out of it'

	# Other bytes first; then the archive over them, mode and time too.
	run dd if=/dev/urandom of="$MNT/tar" bs=1M count=6 conv=notrunc \
		status=none
	run tar -C "$MNT" --overwrite -xSf "$TMP/a.tar"
	is_copy "$MNT/tar" 'tar --overwrite into it'
	sparse "$MNT/tar" 'tar --overwrite into it'
	run tar -C "$MNT" -df "$TMP/a.tar"
	tar -xOf "$TMP/a.tar" >"$MNT/tar" || fail 'tar -O'
	is_copy "$MNT/tar" 'tar -O'

	# Without --overwrite tar makes a new file, which is not possible here.
	expect_status 2 tar -C "$MNT" -xSf "$TMP/a.tar"
	expect_text "$TMP/err" 'Cannot open'
	unchanged tar 'tar -x'
}

# ---- rsync ----

# delta WORDS...: some blocks change, and go through rsync so.
delta()
{
	run dd if=/dev/urandom of="$plain" bs=3000 count=30 seek=500 \
		conv=notrunc status=none
	run rsync --ignore-times --inplace --no-whole-file "$@" "$plain" "$MNT/rsync"
	is_copy "$MNT/rsync" "rsync --inplace $*"
}

test_rsync()
{
	local before
	run rsync --inplace --sparse "$plain" "$MNT/rsync"
	is_copy "$MNT/rsync" 'rsync --inplace --sparse'
	sparse "$MNT/rsync" 'rsync --inplace --sparse'
	delta --sparse
	delta --checksum
	run rsync "$MNT/rsync" "$copy"
	is_copy "$copy" 'rsync from it'

	# What became zeros is given back.
	before=$(sectors "$MNT/rsync")
	fallocate -p -o $((2 << 20)) -l $((1 << 20)) "$plain"
	run rsync --ignore-times --inplace --sparse --no-whole-file \
		"$plain" "$MNT/rsync"
	is_copy "$MNT/rsync" 'rsync of zeros'
	[ "$(sectors "$MNT/rsync")" -lt $((before - 128)) ] ||
		fail "rsync of zeros: $before sectors stay"

	# All attributes: the second time there is nothing left to do.
	run rsync -a --inplace "$plain" "$MNT/rsync"
	run rsync -a --inplace --itemize-changes "$plain" "$MNT/rsync" \
		>"$TMP/out"
	expect_equal "$(cat "$TMP/out")" '' 'rsync -a once more'

	run truncate -s 3000001 "$MNT/rsync"
	run rsync --append-verify --inplace "$plain" "$MNT/rsync"
	is_copy "$MNT/rsync" 'rsync --append-verify'
	run truncate -s 0 "$MNT/rsync"
	expect_status 0 rsync --preallocate --inplace "$plain" "$MNT/rsync"
	is_copy "$MNT/rsync" 'rsync --preallocate'
}

test_rsync_refusals()
{
	# A file beside the image, to be renamed: the folder cannot have it.
	expect_status 23 rsync --ignore-times "$plain" "$MNT/rsync"
	expect_text "$TMP/err" 'Permission denied'
	unchanged rsync 'rsync without --inplace'
	chmod 600 "$plain"
	expect_status 23 rsync -a --inplace --ignore-times "$plain" \
		"$MNT/rsync"
	expect_text "$TMP/err" 'failed to set permissions'
	unchanged rsync 'rsync -a of another mode'
	run rsync -a --no-perms --inplace --ignore-times "$plain" "$MNT/rsync"
}

# ---- dd ----

# dd_into FLAGS BLOCK [WORDS...]
dd_into()
{
	local flags=$1 block=$2
	shift 2
	run dd if="$plain" of="$MNT/dd" bs="$block" status=none "$@" \
		${flags:+oflag="$flags"}
	is_copy "$MNT/dd" "dd bs=$block oflag=$flags $*"
	run dd if="$MNT/dd" of="$copy" bs="$block" status=none \
		${flags:+iflag="${flags/,*/}"}
	is_copy "$copy" "dd bs=$block iflag=$flags"
	run truncate -s 0 "$MNT/dd"
}

test_dd()
{
	local block
	for block in 3000 4K 60K 1M 1500001; do
		dd_into '' "$block"
	done
	for block in 1000 4608 64K 1M 3M; do
		dd_into direct "$block"
	done
	dd_into direct,sync 256K
	dd_into direct,dsync 256K
	dd_into '' 64K conv=sparse
	dd_into direct 64K conv=sparse,fsync
	dd_into direct,append 128K conv=notrunc
}

# pieces OFLAG IFLAG OFFSET...: at odd places, in and out.
pieces()
{
	local oflag=$1 iflag=$2 at
	shift 2
	for at; do
		run dd if=/dev/urandom of="$TMP/piece" bs=10007 count=3 \
			status=none
		run dd if="$TMP/piece" of="$MNT/dd" bs=7777 status=none \
			conv=notrunc oflag="seek_bytes$oflag" seek="$at"
		run dd if="$TMP/piece" of="$plain" bs=7777 status=none \
			conv=notrunc oflag=seek_bytes seek="$at"
		run dd if="$MNT/dd" of="$copy" bs=3333 status=none \
			count=30021 \
			iflag="skip_bytes,count_bytes,fullblock$iflag" \
			skip="$at"
		expect_same_bytes "$copy" "$TMP/piece"
	done
	is_copy "$MNT/dd" "pieces with oflag=$oflag"
}

test_dd_pieces()
{
	run cp --sparse=always "$plain" "$MNT/dd"
	pieces '' '' 1 4095 1234567 $((size - 30021))
	pieces ,direct ,direct 511 8192 2345679 $((size - 30022))
	pieces ,direct '' 700001 3000000
	pieces '' ,direct 800001 3500000
}

# ---- around them ----

test_looks()
{
	local used
	expect_equal "$(stat -c '%F %h %u %g' "$MNT/cp")" \
		"regular file 1 $(id -u) $(id -g)" 'stat'
	run ls -la "$MNT" >"$TMP/out"
	expect_equal "$(grep -c " $(id -un) " "$TMP/out")" 6 'ls -la'
	used=$(du --block-size=512 "$MNT/cp" | cut -f 1)
	expect_equal "$used" "$(sectors "$MNT/cp")" 'du'
	run df --output=size,avail,fstype "$MNT" >"$TMP/out"
	expect_text "$TMP/out" fuse.rawmap
	run touch -d '2002-03-04 05:06:07' "$MNT/cp"
	expect_equal "$(stat -c %y "$MNT/cp" | cut -c -19)" \
		'2002-03-04 05:06:07' 'touch -d'
	run touch "$MNT/cp"
	used=$(sectors "$MNT/cp")
	run truncate -s +1G "$MNT/cp"
	expect_equal "$(stat -c '%s %b' "$MNT/cp")" "$((size + (1 << 30))) $used" \
		'truncate -s +1G'
	run truncate -s -1G "$MNT/cp"
	unchanged cp 'truncate -s -1G'
	expect_status 1 lsattr "$MNT/cp"
	expect_status 1 chattr +i "$MNT/cp"
	expect_status 1 chmod 777 "$MNT/cp"
	expect_status 1 chgrp 0 "$MNT/cp"
	run chmod "$(stat -c %a "$MNT/cp")" "$MNT/cp"
	unchanged cp 'chmod'
}

names=(cp tar rsync dd)

# on_host KIND BLOCK
on_host()
{
	local images=() name
	make_host "$1" 48M "$host" -b "$2" -m 0
	make_sparse 100K "$TMP/disk"
	for name in "${names[@]}"; do
		put_file "$host" "$TMP/disk" "/$name"
		images+=(-i "/$name")
	done
	make_plain
	mount_rawmap "${images[@]}" "$host" "$MNT"
	test_cp
	test_cp_attributes
	test_cp_refusals
	test_tar
	test_looks
	test_dd
	test_dd_pieces
	cp --sparse=always "$plain" "$MNT/cp"
	cp --sparse=always "$plain" "$MNT/tar"
	test_rsync
	test_rsync_refusals
	run cp --preserve=timestamps "$plain" "$MNT/cp"
	run tar -C "$TMP" -cSf "$TMP/b.tar" plain
	tar -xOf "$TMP/b.tar" >"$MNT/tar" || fail 'tar -O'
	run dd if="$plain" of="$MNT/dd" oflag=direct bs=96K status=none
	unmount_rawmap
	check_host "$host"
	for name in "${names[@]}"; do
		get_file "$host" "/$name" "$copy"
		is_copy "$copy" "$name, to debugfs"
		rm -f "$copy"
	done
	get_stat "$host" /cp | grep -q "mtime: 0x$(printf %x \
		"$(stat -c %Y "$plain")")" || fail 'the time is not on the host'
	rm -rf "$TMP/tar" "$TMP"/*.tar
}

on_host ext4 4096
on_host ext2 1024

# Not to be written: the error is that of a filesystem that is read-only.
mount_rawmap -r -i /cp "$host" "$MNT"
expect_status 1 cp "$plain" "$MNT/cp"
expect_text "$TMP/err" 'Read-only file system'
expect_status 23 rsync --inplace --ignore-times "$plain" "$MNT/cp"
expect_text "$TMP/err" 'Read-only file system'
expect_status 1 dd if="$plain" of="$MNT/cp"
run cp --sparse=always "$MNT/cp" "$copy"
unchanged cp 'read-only'
unmount_rawmap
