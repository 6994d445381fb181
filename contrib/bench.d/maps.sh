# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What fragments cost. /disk.img of this host has two halves with as many written
# blocks each: in the first every second block was punched out, so that each
# block is an extent, a million of them at 4G; the second is as contiguous as
# ext4 makes it. Random reads of blocks that exist, in the one and in the other,
# differ by the map alone. Beside it lie /1.img and /1000.img.
#
# setup: from the mount command to the mount, to a byte of the image's last part,
# then to the whole map in memory, read-only, with and without a cache.

frag_bytes=0 frag_host=''

fragmented_host() {
	local blocks=$((size * 1000000 / (4 << 30)))
	[[ -z $frag_host ]] || return 0
	progress "making a fragmented image"
	frag_host=yes
	frag_bytes=$((blocks * 8192))
	tail=0
	mkhost "$(blockdev --getsize64 "$dev")" -J size=16
	mount "$dev" "$work/host"
	fallocate -l $((frag_bytes * 3 / 2)) "$work/host/disk.img"
	quiet fio --name=fill --filename="$work/host/disk.img" --rw=write --bs=1M \
		--size=$((frag_bytes * 3 / 2)) --ioengine=libaio --direct=1 \
		--iodepth=8 --end_fsync=1
	quiet fio --name=punch --filename="$work/host/disk.img" --ioengine=falloc \
		--rw=trim:4k --bs=4k --size="$frag_bytes" --fallocate=none
	fallocate -l 4M "$work/host/1.img"
	fallocate -l 8000K "$work/host/1000.img"
	quiet fio --name=punch --filename="$work/host/1000.img" --ioengine=falloc \
		--rw=trim:4k --bs=4k --size=8000K --fallocate=none
	image_size=$((frag_bytes * 3 / 2))
	umount "$work/host"
}

on_fragments() { # WORKLOAD SERVER ROUND
	read_only=yes
	if server_up "$2"; then
		# fio punches the even blocks; the odd ones are there.
		measure frag-fragmented "$2" "$3" --blockalign=8k --offset=4k \
			--size=$((frag_bytes - 4096))
		measure frag-contiguous "$2" "$3" --offset="$frag_bytes" \
			--size=$((frag_bytes / 2))
		server_down
	else
		record frag-fragmented "$2" "$3" failed 1
	fi
	read_only=''
}

# ---- setting up
first_byte() {
	dd if="$target" of=/dev/null bs=4k count=1 skip="$1" iflag=direct status=none
}

stat_of() { # QUANTITY
	"$rawmap" stats --json "$target" |
		jq -r --arg q "$1" '[.. | .[$q]? // empty][0] // 0'
}

# The whole map, by the shortest way that this program knows: milliseconds.
heat() {
	local t0
	if "$rawmap" advise --help >/dev/null 2>&1; then
		t0=$(now_us)
		"$rawmap" advise populate "$target"
		calc "($(now_us) - $t0) / 1000"
	else
		python3 -B "$here/bench.d/touch.py" "$target"
	fi
}

on_setup() { # WORKLOAD SERVER ROUND
	local n blocks t0 t1 opts=(-r)
	[[ $2 != *-nocache* ]] || opts+=(-o cache=0)
	for n in 1 1000 1000000; do
		image_path=/$n.img blocks=$n
		((n < 1000000)) || image_path=/disk.img blocks=$((frag_bytes / 8192))
		cold
		t0=$(now_us)
		serve_daemon "${opts[@]}" || { record "setup-$n" "$2" "$3" failed 1 ; continue ; }
		t1=$(now_us)
		record "setup-$n" "$2" "$3" mount_ms "$(calc "($t1 - $t0) / 1000")"
		first_byte "$blocks"
		record "setup-$n" "$2" "$3" first_byte_ms "$(calc "($(now_us) - $t0) / 1000")"
		record "setup-$n" "$2" "$3" first_extents "$(stat_of cache_extents)"
		if [[ $2 != *-nocache* ]]; then
			record "setup-$n" "$2" "$3" hot_ms "$(heat)"
			record "setup-$n" "$2" "$3" hot_extents "$(stat_of cache_extents)"
			record "setup-$n" "$2" "$3" hot_bytes "$(stat_of cache_bytes)"
		fi
		record "setup-$n" "$2" "$3" rss_kib "$(kib_of "${pids[@]}")"
		server_down
	done
	if [[ $2 != *-nocache* ]]; then
		t0=$(now_us)
		n=$("$rawmap" map "$dev" /disk.img | wc -l)
		record setup-1000000 "$2" "$3" map_command_ms \
			"$(calc "($(now_us) - $t0) / 1000")"
		record setup-1000000 "$2" "$3" map_lines "$n"
	fi
	image_path=/disk.img
}

run_maps() {
	local all=("${servers[@]}") server first=''
	[[ -n $(chosen_of "${groups[maps]}") ]] || return 0
	for server in "${all[@]}"; do
		[[ $server != rawmap* || -n $first ]] || first=${server%-file}
	done
	[[ -n $dry ]] || { device_up ; frag_host='' ; fragmented_host ; }
	# One rawmap stands for its engines: the map is the same.
	if have_word "${workloads[*]}" frag; then
		[[ -z $first ]] || servers+=("$first-nocache")
		turns frag map on_fragments
	fi
	if have_word "${workloads[*]}" setup && [[ -n $first ]]; then
		servers=(rawmap rawmap-nocache)
		turns setup map on_setup
	fi
	servers=("${all[@]}")
}
