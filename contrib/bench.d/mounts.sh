# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What should not depend on the size of the host: mounting and memory, on hosts
# in sparse files (mounts). And how many extents a sequential fill leaves, beside
# what the kernel leaves (layout).

run_sizes() {
	if have_word "${workloads[*]}" mounts; then sized mounts run_mounts ; fi
	if have_word "${workloads[*]}" layout; then sized layout run_layout ; fi
}

sized() { # NAME COMMAND
	if [[ -n $dry ]]; then
		all_steps=$((all_steps + 1))
	else
		progress_step "$1"
		dev=$work/host.img
		"$2"
		rm -f "$work/host.img"
	fi
}

mke2fs_file() { # KIND SIZE [mke2fs arguments...]
	rm -f "$dev"
	truncate -s "$2" "$dev"
	quiet mke2fs -q -F -t "$1" -E lazy_itable_init=1,lazy_journal_init=1,nodiscard \
		-d "$work/seed" "${@:3}" "$dev"
}

run_mounts() {
	local kind host how round sizes=(8G 4T)
	[[ -z $quick ]] || sizes=(1G 16G)
	rm -f "$work"/seed/*
	truncate -s 64M "$work/seed/disk.img"
	for kind in ext3 ext4; do
		for host in "${sizes[@]}"; do
			progress "mounts: $kind $host"
			mke2fs_file "$kind" "$host" -N 100000
			for how in -r ''; do
				for ((round = 1; round <= rounds; round++)); do
					one_mount "mount-$kind-$host${how:+-readonly}" "$round" $how
				done
			done
		done
	done
}

one_mount() { # WORKLOAD ROUND [-r]
	local t0
	t0=$(now_us)
	serve_daemon "${@:3}"
	record "$1" rawmap "$2" mount_ms "$(calc "($(now_us) - $t0) / 1000")"
	[[ ${3:-} == -r ]] || dd if=/dev/urandom of="$target" bs=4k count=1 \
		conv=notrunc,fsync status=none
	record "$1" rawmap "$2" rss_kib "$(kib_of "${pids[@]}")"
	server_down
}

count_extents() {
	mount -o ro,loop "$dev" "$work/host"
	filefrag "$work/host/disk.img" |
		sed -n 's/.*: \([0-9]*\) extents\{0,1\} found.*/\1/p'
	umount "$work/host"
}

run_layout() {
	local kind who mib=1024 t0
	((size >= 2 << 30)) || mib=$((size / 2097152))
	rm -f "$work"/seed/*
	truncate -s "${mib}M" "$work/seed/disk.img"
	for kind in ext2 ext3 ext4; do
		for who in kernel rawmap; do
			progress "layout: $kind, $who"
			mke2fs_file "$kind" $((mib * 2))M -b 4096
			if [[ $who == kernel ]]; then
				mount -o loop "$dev" "$work/host"
				dd if=/dev/zero of="$work/host/disk.img" bs=1M count="$mib" \
					conv=notrunc,fsync status=none
				umount "$work/host"
			else
				serve_daemon
				t0=$(now_us)
				dd if=/dev/zero of="$target" bs=1M \
					count="$mib" conv=notrunc,fsync status=none
				record "layout-$kind" rawmap 1 mibs \
					"$(calc "$mib / (($(now_us) - $t0) / 1e6)")"
				server_down
				quiet e2fsck -fn "$dev"
			fi
			record "layout-$kind" "$who" 1 extents "$(count_extents)"
		done
	done
}
