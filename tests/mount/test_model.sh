#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Random operations through a mount, for each engine, against the bytes that a
# program keeps in memory (tool_model.c): past the page cache, through it and
# through a mapping, at once. After the unmount e2fsck finds nothing, and the
# file as debugfs reads it is the model. RAWMAP_FULL makes it long. Under the
# thread sanitizer, too: RAWMAP_TEST_CONCURRENT.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

tools=${RAWMAP_TOOLS:?the folder of the programs that tests run}
unset RAWMAP_TEST_ENGINE
host=$TMP/host.img
steps=${RAWMAP_FULL:+20000}

# model ENGINE KIND BLOCK [mke2fs arguments]: free blocks are full of what nobody
# may see.
model()
{
	local engine=$1 kind=$2 block=$3
	shift 3
	yes 'stale bytes' | head -c $((24 << 20)) >"$host"
	run mke2fs -q -F -t "$kind" -b "$block" -E nodiscard "$@" "$host"
	make_sparse 3M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	mount_rawmap -o "engine=$engine,commit=1" -i /disk "$host" "$MNT"
	say "# engine=$engine, $kind -b $block $*"
	run "$tools/tool_model" "$MNT/disk" "${steps:-480}" "$TMP/model"
	unmount_rawmap
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/model"
}

blocks=(1024 4096)
for engine in uring threads; do
	first=$((RANDOM % 2))
	model "$engine" ext2 "${blocks[first]}"
	model "$engine" ext3 "${blocks[1 - first]}"
	model "$engine" ext4 1024
	model "$engine" ext4 4096
done
