# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# Who is measured with what, in which order. For each workload all servers take
# their turn, then all again, round after round: what changes on the machine in
# the meantime meets all of them. Each turn starts its server anew.

declare -A groups=(
	[io]='randread4k-qd1 randread4k-qd32 randwrite4k-qd1 randwrite4k-qd32 seqread1m seqwrite1m mix4k-qd32 overwrite-fsync'
	[fills]='fill-seq fill-rand fill-fsync'
	[copies]='copy'
	[maps]='frag setup'
	[ram]='ram-randread4k-qd1 ram-randread4k-qd32 ram-randwrite4k-qd32 ram-seqread1m'
	[sizes]='mounts layout'
)
workloads=()

choose_workloads() {
	local all name group
	all="${groups[io]} ${groups[fills]} ${groups[copies]} ${groups[maps]}"
	all+=" ${groups[ram]} ${groups[sizes]}"
	if [[ -z $only ]]; then
		read -ra workloads <<<"$all"
		return
	fi
	for name in ${only//,/ }; do
		if [[ -n ${groups[$name]:-} ]]; then
			read -ra group <<<"${groups[$name]}"
			workloads+=("${group[@]}")
		elif have_word "$all" "$name"; then
			workloads+=("$name")
		else
			die 2 "there is no workload '$name'; there are: $all"
		fi
	done
}

chosen_of() { # WORDS: those of them that are to be measured
	local name
	for name in $1; do
		! have_word "${workloads[*]}" "$name" || echo "$name"
	done
}

# turns WORKLOAD NEEDS COMMAND...: COMMAND WORKLOAD SERVER ROUND for each server
# that can do all of NEEDS. With $dry it only counts what is to come.
dry=''
turns() {
	local workload=$1 needs=$2 round server need
	shift 2
	for ((round = 1; round <= rounds; round++)); do
		for server in "${servers[@]}"; do
			for need in $needs; do
				server_can "$server" "$need" || continue 2
			done
			if [[ -n $dry ]]; then
				all_steps=$((all_steps + 1))
			else
				progress_step "$workload, $server, round $round"
				"$@" "$workload" "$server" "$round"
			fi
		done
	done
}

on_image() { # WORKLOAD SERVER ROUND
	if server_up "$2"; then
		measure "$@"
		server_down
	else
		record "$@" failed 1
	fi
}

# Every fill has a host of its own, as mke2fs made it; e2fsck judges what the
# server leaves.
on_sparse() { # WORKLOAD SERVER ROUND
	sparse_host "$size"
	on_image "$@"
	local sound=1
	e2fsck -fn "$dev" >/dev/null 2>&1 || sound=0
	record "$@" sound "$sound"
}

run_io() {
	local workload
	[[ -n $(chosen_of "${groups[io]}") ]] || return 0
	[[ -n $dry ]] || { device_up ; full_host "$size" ; }
	for workload in $(chosen_of "${groups[io]}"); do
		turns "$workload" '' on_image
	done
}

run_fills() {
	local workload
	[[ -n $(chosen_of "${groups[fills]}") ]] || return 0
	[[ -n $dry ]] || device_up
	for workload in $(chosen_of "${groups[fills]}"); do
		turns "$workload" fill on_sparse
	done
}

run_ram() {
	local workload
	[[ -n $(chosen_of "${groups[ram]}") ]] || return 0
	if [[ -z $dry ]]; then
		if ! ram_up; then
			warn "this kernel has no zram: nothing measured on memory"
			return 0
		fi
		full_host $((size / 4))
	fi
	for workload in $(chosen_of "${groups[ram]}"); do
		turns "$workload" '' on_image
	done
}

run_all() {
	run_io
	run_fills
	run_copies
	run_maps
	run_ram
	run_sizes
}

run_rounds() {
	dry=yes
	run_all
	dry=''
	run_all
}
