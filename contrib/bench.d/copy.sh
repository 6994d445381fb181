# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# The steady copy: an image that is sparse at first, an ext4 on a loop device
# over it, and a tree of thousands of small files and some large ones copied
# into that by cpio, then by rsync, then synced. What is asked is not only how
# long it takes but for how long nothing moves: copy.py watches.
#
# The inner filesystem may hold 64 MiB of dirty pages, so that the copy has to
# wait for the server and not only for memory. What a server keeps dirty below
# that, a buffered loop device above all, is its own choice and not limited.

copy_inner='' copy_bdi=''

# A loop device is used again, and would keep what was written there.
copy_down() {
	[[ -n $copy_inner ]] || return 0
	{ echo 0 >"$copy_bdi/strict_limit" ; echo 100 >"$copy_bdi/max_ratio" ; } 2>/dev/null
	umount "$copy_inner" 2>/dev/null || umount -l "$copy_inner" 2>/dev/null
	copy_inner=''
}

copy_tree() {
	[[ ! -d $work/tree ]] || return 0
	progress "making the tree that is copied"
	python3 -B "$here/bench.d/copy.py" tree "$work/tree" $((size * 45 / 100))
}

limit_dirty() {
	copy_bdi=/sys/class/bdi/$(cat "/sys/block/${loop#/dev/}/dev")
	{ echo 1 >"$copy_bdi/strict_limit" &&
		echo $((64 << 20)) >"$copy_bdi/max_bytes" ; } 2>/dev/null ||
		note copy_dirty_limit none
}

on_copy() { # WORKLOAD SERVER ROUND
	local quantity value busy0 busy
	sparse_host $((size * 3 / 2))
	if ! server_up "$2"; then
		record "$@" failed 1
		return 0
	fi
	if ! quiet mkfs.ext4 -q -E nodiscard "$loop" ||
		! quiet mount "$loop" "$work/inner"; then
		record "$@" failed 1
		server_down
		return 0
	fi
	copy_inner=$work/inner
	limit_dirty
	busy0=$(busy_ticks)
	if python3 -B "$here/bench.d/copy.py" watch "$work/tree" "$work/inner" \
		"/sys/block/${dev#/dev/}/stat" "$out/copy-$2-$3.tsv" \
		>"$work/copy.tsv" 2>"$work/copy.err"; then
		busy=$(($(busy_ticks) - busy0))
		while IFS=$'\t' read -r quantity value; do
			record "$@" "$quantity" "$value"
		done <"$work/copy.tsv"
		record "$@" cpu_seconds "$(calc "$busy / $ticks")"
		((${#pids[@]} == 0)) || record "$@" rss_kib "$(kib_of "${pids[@]}")"
	else
		warn "copy, $2: $(tail -n 1 "$work/copy.err")"
		record "$@" failed 1
	fi
	copy_down || true
	server_down
	value=1
	e2fsck -fn "$dev" >/dev/null 2>&1 || value=0
	record "$@" sound "$value"
}

run_copies() {
	have_word "${workloads[*]}" copy || return 0
	[[ -n $dry ]] || { device_up ; rm -f "$out"/copy-*.tsv ; copy_tree ; }
	turns copy 'fill loop' on_copy
	[[ -n $dry ]] || rm -rf "$work/tree"
}
