#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# fio writes at random and verifies, on a loop device and on the image itself,
# past the page cache and mapped, with each engine; what is mixed is verified
# while other writes are on their way, too. After a remount, with a host in which
# e2fsck has found nothing, all is verified once more.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
need fio

fio_run()
{
	run fio --output="$TMP/fio" --verify_state_save=0 --size=16M --rw=randwrite --verify=crc32c \
		--verify_fatal=1 --randseed=4711 --end_fsync=1 --minimal "$@"
}

direct=(--ioengine=libaio --iodepth=32 --direct=1)
jobs=(loop aligned mixed mapped)

# job NAME MORE...: one of the jobs, on its own image.
job()
{
	local name=$1
	shift
	case $name in
	loop)
		loop_attach "$MNT/loop" --direct-io=on
		fio_run --name=loop --filename="$LOOP" "${direct[@]}" \
			--bssplit=512/20:3K/20:4K/20:60K/20:1M/20 \
			--blockalign=512 "$@"
		loop_detach "$LOOP"
		;;
	aligned)
		fio_run --name=aligned --filename="$MNT/aligned" \
			"${direct[@]}" --bs=4K "$@"
		;;
	mixed)
		fio_run --name=mixed --filename="$MNT/mixed" "${direct[@]}" \
			--bssplit=512/20:3K/20:4K/20:60K/20:1M/20 \
			--blockalign=512 --verify_backlog=32 "$@"
		;;
	mapped)
		fio_run --name=mapped --filename="$MNT/mapped" \
			--ioengine=mmap --bs=4K "$@"
		;;
	esac
}

# verify_all ENGINE KIND BLOCK
verify_all()
{
	local RAWMAP_TEST_ENGINE=$1 kind=$2 block=$3 images=() name
	make_host "$kind" 96M "$TMP/host.img" -b "$block"
	make_sparse 16M "$TMP/disk"
	for name in "${jobs[@]}"; do
		put_file "$TMP/host.img" "$TMP/disk" "/$name"
		images+=(-i "/$name")
	done
	mount_rawmap "${images[@]}" "$TMP/host.img" "$MNT"
	for name in "${jobs[@]}"; do
		job "$name"
	done
	unmount_rawmap
	check_host "$TMP/host.img"
	mount_rawmap "${images[@]}" "$TMP/host.img" "$MNT"
	for name in "${jobs[@]}"; do
		job "$name" --verify_only=1
	done
	unmount_rawmap
	check_host "$TMP/host.img"
}

verify_all uring ext4 4096
verify_all uring ext2 1024
verify_all threads ext4 1024
verify_all threads ext2 4096
