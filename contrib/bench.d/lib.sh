# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What all parts of the benchmark share. Results are lines of $results, kept beside the report,
#
#   workload <tab> server <tab> round <tab> quantity <tab> value
#
# in the order in which they were taken; only report.py reads them. What is put
# up is taken down by cleanup(), which the dispatcher runs on every way out.

work='' results='' rawmap=${RAWMAP:-}

die() { # STATUS SENTENCE
	echo "bench: $2" >&2
	exit "$1"
}

quiet() { # COMMAND...: what it printed is shown only if it fails
	local text
	if ! text=$("$@" 2>&1 </dev/null); then
		progress_end
		printf 'bench: this failed: %s\n%s\n' "$*" "$text" >&2
		return 1
	fi
}

# ---- progress: one line on a terminal, nothing in a pipe
done_steps=0 all_steps=0
progress() {
	[[ -t 2 ]] || return 0
	local share=''
	((all_steps == 0)) || printf -v share '[%d/%d] ' "$done_steps" "$all_steps"
	printf '\r\033[K%s%s ...' "$share" "$*" >&2
}
progress_step() {
	done_steps=$((done_steps + 1))
	progress "$@"
}
progress_end() { if [[ -t 2 ]]; then printf '\r\033[K' >&2 ; fi ; }
warn() {
	progress_end
	echo "bench: $*" >&2
}

# ---- results
record() { # WORKLOAD SERVER ROUND QUANTITY VALUE
	printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"
}
note() { record machine - 0 "$@" ; } # QUANTITY VALUE

# ---- small sums
now_us() { echo $((${EPOCHREALTIME/[^0-9]/})) ; }
calc() { awk "BEGIN { printf \"%.6g\", $1 }" ; } # EXPRESSION
have_word() { [[ " $1 " == *" $2 "* ]] ; } # WORDS WORD
kib_of() { # PID...: peak resident memory of all of them
	local pid sum=0 kib
	for pid; do
		kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || true
		sum=$((sum + ${kib:-0}))
	done
	echo "$sum"
}

# ---- what the chosen servers and workloads need, and nothing else
install_needs() {
	local tool missing='' need=(fio jq gnuplot python3 mke2fs debugfs)
	[[ -n $rawmap ]] || need+=(cmake ninja)
	have_word "${workloads[*]}" copy && need+=(cpio rsync)
	have_word "${servers[*]}" fuse2fs && need+=(fuse2fs)
	have_word "${servers[*]}" nbdkit && need+=(nbdkit nbdfuse)
	have_word "${servers[*]}" qsd && need+=(qemu-storage-daemon)
	for tool in "${need[@]}"; do
		command -v "$tool" >/dev/null || missing=yes
	done
	if [[ -n $missing || -z $rawmap ]]; then
		progress "installing what is missing"
		quiet "$here/deps" bench
	fi
}

build_rawmap() {
	if [[ -z $rawmap ]]; then
		progress "building"
		(cd "$top" && quiet cmake --preset release &&
			quiet cmake --build --preset release --target rawmap)
		rawmap=$(find "$top/build/release" -name rawmap -type f -perm -u+x |
			head -n 1)
	fi
	[[ -x $rawmap ]] || die 1 "there is no program '$rawmap'"
}

make_workplace() {
	local tmp=${TMPDIR:-/tmp} free wanted=$((size * 33 / 10 / 1048576 + 512))
	have_word "${workloads[*]}" copy && wanted=$((wanted + size / 2097152))
	free=$(df --output=avail -BM "$tmp" | tail -n 1 | tr -dc 0-9)
	((free >= wanted)) ||
		die 1 "$tmp has $free MiB free, $wanted are wanted; set TMPDIR or --size"
	work=$(mktemp -d "$tmp/rawmap-bench.XXXXXX")
	mkdir "$work"/{host,exposed,inner,seed}
	results=$out/results.tsv
	: >"$results"
}

# How many cores others keep busy: figures taken beside them are worth less.
note_machine() {
	local t0 t1 b0 b1
	progress "looking at how busy the machine is"
	t0=$(now_us) b0=$(busy_ticks)
	sleep "${quick:+0.}2"
	t1=$(now_us) b1=$(busy_ticks)
	note others_busy_cores "$(calc "($b1 - $b0) / $ticks / (($t1 - $t0) / 1e6)")"
	note kernel "$(uname -r)"
	note cores "$(nproc)"
	note memory_mib "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
	note processor "$(awk -F ': *' '/^model name/ { print $2 ; exit }' /proc/cpuinfo)"
	note date "$(date -u +%Y-%m-%d)"
	note fio "$(fio --version)"
	note rawmap "$("$rawmap" --version 2>/dev/null | head -n 1)"
	note size_mib $((size / 1048576))
	note rounds "$rounds"
	note seconds "$seconds"
	note quick "${quick:-no}"
}

# ---- the end
cleanup() {
	local status=$?
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	cd /
	progress_end
	if [[ -n $work ]]; then
		copy_down
		server_down
		device_down
		ram_down
		umount -l "$work/host" 2>/dev/null
		rm -rf --one-file-system "$work"
	fi
	passage_down
	exit "$status"
}
