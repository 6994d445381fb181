#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# qemu's tools on an image: as a raw disk, and as a qcow2 file that grows.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need qemu-img qemu-io

host=$TMP/host.img

# io FORMAT COMMANDS...: past the page cache, asynchronously.
io()
{
	local format=$1 args=() command
	shift
	for command; do
		args+=(-c "$command")
	done
	run qemu-io -t none -i threads -f "$format" "${args[@]}" "$MNT/disk" \
		>"$TMP/io"
	grep -iE 'failed|error|mismatch' "$TMP/io" >&2 && fail 'qemu-io'
	return 0
}

on_host()
{
	make_host "$1" 48M "$host" -b "$2"
	make_sparse 24M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -i /disk "$host" "$MNT"
	io raw 'write -P 1 0 1M' 'write -P 2 5M 3M' 'write -z 6M 64k' \
		'discard 7M 512k' 'aio_write -P 3 12M 2M' 'aio_flush' flush
	io raw 'read -P 1 0 1M' 'read -P 0 1M 4M' 'read -P 2 5M 1M' \
		'read -P 0 6M 64k' 'read -P 2 7680k 512k' 'read -P 3 12M 2M'
	run qemu-img convert -O raw "$MNT/disk" "$TMP/copy"
	expect_same_bytes "$TMP/copy" "$MNT/disk"

	run qemu-img create -q -f qcow2 "$MNT/disk" 1G
	io qcow2 'write -P 4 100M 5M' 'write -P 5 900M 3M' flush
	run qemu-img convert -n -f raw -O qcow2 "$TMP/copy" "$MNT/disk"
	io qcow2 'read -P 1 0 1M' 'read -P 3 12M 2M' 'read -P 5 900M 3M'
	run qemu-img check -q -f qcow2 "$MNT/disk"
	cp "$MNT/disk" "$TMP/copy.qcow2"
	unmount_rawmap

	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/copy.qcow2"
	run qemu-img check -q -f qcow2 "$TMP/now"
	rm "$TMP/now"
}

on_host ext4 4096
on_host ext2 1024
