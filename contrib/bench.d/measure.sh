# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# One fio run against what server_up left in $target, and what is recorded of
# it: operations and MiB a second, the 99th percentile of the time that one took,
# CPU seconds for each GiB, peak resident memory.
#
# CPU time is that of the whole system in the meantime less fio's own: what a
# server makes the kernel do for it (loop workers, FUSE, interrupts) counts. So
# nothing else may run beside; cpu_server is what the processes of a server used.

ticks=$(getconf CLK_TCK)

busy_ticks() { # user, nice, system, irq, softirq
	awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 ; exit }' /proc/stat
}

server_ticks() {
	local pid stat sum=0
	for pid in "${pids[@]}"; do
		read -r stat <"/proc/$pid/stat" || continue
		# shellcheck disable=SC2086
		set -- ${stat##*) }
		sum=$((sum + ${12} + ${13}))
	done
	echo "$sum"
}

fio_args() { # WORKLOAD
	local ms
	ms=$(awk -v s="$seconds" 'BEGIN { print int(s * 1000) }')ms
	local timed="--time_based --runtime=$ms"
	case ${1#ram-} in
	randread4k-qd1) echo "--rw=randread --bs=4k --iodepth=1 $timed" ;;
	randread4k-qd32) echo "--rw=randread --bs=4k --iodepth=32 $timed" ;;
	randwrite4k-qd1) echo "--rw=randwrite --bs=4k --iodepth=1 $timed" ;;
	randwrite4k-qd32) echo "--rw=randwrite --bs=4k --iodepth=32 $timed" ;;
	seqread1m) echo "--rw=read --bs=1M --iodepth=4 $timed" ;;
	seqwrite1m) echo "--rw=write --bs=1M --iodepth=4 $timed" ;;
	mix4k-qd32) echo "--rw=randrw --rwmixread=70 --bs=4k --iodepth=32 $timed" ;;
	overwrite-fsync) echo "--rw=randwrite --bs=4k --iodepth=1 --fsync=1 $timed" ;;
	fill-seq) echo "--rw=write --bs=1M --iodepth=4 --end_fsync=1" ;;
	# Each block once; the end of the time, or of the image.
	fill-rand) echo "--rw=randwrite --bs=4k --iodepth=32 --end_fsync=1 --runtime=$ms" ;;
	fill-fsync) echo "--rw=randwrite --bs=4k --iodepth=1 --fsync=1 --runtime=$ms" ;;
	# Where the frag workload finds extents of one block, or one long one.
	frag-*) echo "--rw=randread --bs=4k --iodepth=32 $timed" ;;
	esac
	case $1 in ram-*) echo --zero_buffers ;; esac
}

measure() { # WORKLOAD SERVER ROUND [fio arguments...]
	local workload=$1 server=$2 round=$3 args own busy0 server0 busy server_cpu
	local bytes TIMEFORMAT='%U %S'
	shift 3
	read -r -d '' -a args < <(fio_args "$workload" ; printf '\0')
	# The first access finds out where things are; it is not what is measured.
	dd if="$target" of=/dev/null bs=64k count=16 iflag=direct \
		skip=$((offset / 65536)) status=none 2>/dev/null || true
	busy0=$(busy_ticks) server0=$(server_ticks)
	if ! { time fio --name=bench --filename="$target" --offset="$offset" \
		--size="$image_size" --ioengine=libaio --direct=1 --randrepeat=0 \
		--allow_file_create=0 --output-format=json \
		--output="$work/fio.json" "${args[@]}" "$@" \
		>"$work/fio.out" 2>&1 ; } 2>"$work/fio.time"; then
		warn "$workload, $server: $(head -n 1 "$work/fio.out")"
		record "$workload" "$server" "$round" failed 1
		return 0
	fi
	busy=$(($(busy_ticks) - busy0)) server_cpu=$(($(server_ticks) - server0))
	own=$(awk '{ print $1 + $2 }' "$work/fio.time")
	# Remarks of fio may stand before its JSON.
	jq -r '.jobs[0] | [.read, .write] | map(select(.io_bytes > 0)) |
		{ iops: map(.total_ios) | add, bytes: map(.io_bytes) | add,
		  ms: map(.runtime) | max,
		  p99: map(.clat_ns.percentile["99.000000"] // 0) | max } |
		"iops\t\(.iops * 1000 / .ms)", "mibs\t\(.bytes / .ms * 1000 / 1048576)",
		"p99_us\t\(.p99 / 1000)", "bytes\t\(.bytes)"' \
		< <(sed -n '/^{/,$p' "$work/fio.json") >"$work/fio.tsv" || { record "$workload" "$server" "$round" failed 1 ; return 0 ; }
	local quantity value
	while IFS=$'\t' read -r quantity value; do
		[[ $quantity != bytes ]] || bytes=$value
		record "$workload" "$server" "$round" "$quantity" "$value"
	done <"$work/fio.tsv"
	record "$workload" "$server" "$round" cpu \
		"$(calc "($busy / $ticks - $own) / ($bytes / 1073741824)")"
	if ((${#pids[@]})); then
		record "$workload" "$server" "$round" cpu_server \
			"$(calc "$server_cpu / $ticks / ($bytes / 1073741824)")"
		record "$workload" "$server" "$round" rss_kib "$(kib_of "${pids[@]}")"
	fi
}
