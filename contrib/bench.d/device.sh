# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# The raw device, $dev: a loop device with direct I/O over a preallocated file,
# a little over three times --size long, or zram for the ram workloads. On it
#
#   0                          $tail                      the end
#   | a host, ext4             | as many bytes as the     |
#   | with /disk.img in it     | image has, outside it    |
#
# The last part is for those who cannot read the host: the bare device and the
# FUSE export of qemu-storage-daemon, which takes one contiguous range. Workloads
# that fill make a new host for every measurement, over the whole device.

dev='' tail=0 image_size=0
file_dev='' zram=''

# The inode tables are few and written at once, so that no thread of the kernel
# initialises them during a measurement.
mkhost() { # BYTES [mke2fs arguments...]
	local bytes=$1
	shift
	quiet mke2fs -q -F -t ext4 -b 4096 -m 0 -N 256 \
		-E lazy_itable_init=0,lazy_journal_init=1,nodiscard \
		"$@" "$dev" $((bytes / 4096))
}

# Nothing of the device stays in its own page cache.
cold() {
	sync -f "$work" 2>/dev/null || true
	blockdev --flushbufs "$dev"
}

device_up() {
	if [[ -z $file_dev ]]; then
		progress "making the raw device"
		quiet fallocate -l $((size * 3 + (64 << 20))) "$work/device"
		file_dev=$(losetup --find --show --direct-io=on "$work/device")
		note device_direct_io \
			"$(losetup --noheadings --output DIO "$file_dev" | tr -d ' ')"
		# Blocks that were never written are not read from a disk.
		quiet fio --name=fill --filename="$file_dev" --rw=write --bs=1M \
			--ioengine=libaio --direct=1 --iodepth=8
	fi
	dev=$file_dev
	warm
}

# What lies below may be a cache that has not seen these bytes yet: who came
# first would read them for the others.
warm() {
	quiet fio --name=warm --filename="$dev" --rw=read --bs=1M \
		--ioengine=libaio --direct=1 --iodepth=8
}

device_down() {
	[[ -z $file_dev ]] || losetup -d "$file_dev" 2>/dev/null
	file_dev=''
}

# A device as fast as memory: what a server itself costs shows there. Zeros,
# which zram stores as a word: a real page would be compressed.
ram_up() {
	local name
	if [[ -z $zram ]]; then
		[[ -r /sys/class/zram-control/hot_add ]] || modprobe -q zram || true
		name=$(cat /sys/class/zram-control/hot_add 2>/dev/null) || return 1
		zram=/dev/zram$name
		echo $((size * 3 / 4)) >"/sys/block/zram$name/disksize"
		local wait
		for wait in {1..100}; do
			[[ -b $zram ]] && break
			((wait < 100)) || return 1
			sleep 0.02
		done
	fi
	dev=$zram
}

ram_down() {
	[[ -n $zram ]] || return 0
	echo 1 >"/sys/block/$(basename "$zram")/reset"
	echo "${zram#/dev/zram}" >/sys/class/zram-control/hot_remove
	zram=''
}

# A host with a fully written image on $dev; the rest lies behind it.
full_host() { # IMAGE-BYTES
	progress "making a host with a written image"
	image_size=$1
	tail=$((image_size * 3 / 2))
	mkhost "$tail"
	mount "$dev" "$work/host"
	fallocate -l "$image_size" "$work/host/disk.img"
	quiet fio --name=fill --filename="$work/host/disk.img" --rw=write --bs=1M \
		--size="$image_size" --ioengine=libaio --direct=1 --iodepth=8 \
		--zero_buffers="$([[ $dev == "$zram" ]] && echo 1 || echo 0)" \
		--end_fsync=1
	note "image_extents_$(basename "${dev//[0-9]/}")" \
		"$(filefrag "$work/host/disk.img" | sed -n 's/.*: \([0-9]*\) extent.*/\1/p')"
	umount "$work/host"
	warm
}

# A host with a sparse image, all of $dev.
sparse_host() { # IMAGE-BYTES
	image_size=$1
	tail=0
	rm -f "$work"/seed/*
	truncate -s "$1" "$work/seed/disk.img"
	mkhost "$(blockdev --getsize64 "$dev")" -d "$work/seed"
}
