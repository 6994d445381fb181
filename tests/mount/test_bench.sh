#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# contrib/bench, small and short: the table, the JSON and a plot come out, with
# figures in them, and nothing is left behind, neither after a run nor after one
# that was interrupted.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_root
need_fuse
need_loop
need fio jq gnuplot python3 debugfs

BENCH=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../contrib/bench")
OUT=$TMP/report
mkdir "$TMP/work"

bench()
{
	TMPDIR=$TMP/work "$BENCH" --quick --size 64M --servers raw,rawmap \
		--out "$OUT" "$@"
}

nothing_left()
{
	local left
	left=$(find "$TMP/work" -mindepth 1)
	[ -z "$left" ] || fail "left behind: $left"
	! findmnt -n | grep -F "$TMP/work" || fail 'still mounted'
	! losetup -a | grep -F "$TMP/work" || fail 'still attached'
}

prints_table_json_and_plot()
{
	bench --only randread4k-qd32,fill-seq,setup >"$TMP/table" ||
		fail 'the benchmark failed'
	expect_text "$TMP/table" '### Input and output'
	expect_text "$TMP/table" '| randread4k-qd32 '
	expect_text "$TMP/table" 'most extents: whole map hot'
	cmp <(grep '^|' "$TMP/table") <(grep '^|' "$OUT/table.md") ||
		fail 'table.md is not what was printed'
	run jq -e '.figures["randread4k-qd32"] |
		.raw.iops.median > 0 and .rawmap.iops.median > 0 and
		.rawmap.rss_kib.median > 0' "$OUT/results.json" >/dev/null
	run jq -e '.figures["fill-seq"].rawmap | .mibs.median > 0 and
		.sound.median == 1' "$OUT/results.json" >/dev/null
	run jq -e '.figures["setup-1000000"].rawmap.hot_extents.median >= 15000' \
		"$OUT/results.json" >/dev/null
	nothing_left
}

draws_what_kernel_is_measured_with()
{
	TMPDIR=$TMP/work "$BENCH" --quick --size 64M --servers kernel,rawmap \
		--only randread4k-qd1 --out "$OUT" >"$TMP/table" ||
		fail 'the benchmark failed'
	expect_text "$TMP/table" "randread4k-qd1, against the kernel's loop"
	expect_text "$OUT/speed.svg" '<svg'
	nothing_left
}

cleans_up_when_interrupted()
{
	local pid status=0 until=$((SECONDS + limit))
	env --default-signal=INT TMPDIR="$TMP/work" "$BENCH" --quick --size 64M \
		--seconds 30 --servers rawmap --only randread4k-qd32 \
		--out "$OUT" >/dev/null 2>"$TMP/err" &
	pid=$!
	until findmnt -n | grep -q "$TMP/work/.*/exposed"; do
		[ "$SECONDS" -lt "$until" ] || fail 'the benchmark mounts nothing'
		wait_for_mount_change
	done
	pkill -INT -P "$pid" -x fio
	kill -INT "$pid"
	wait "$pid" || status=$?
	[ "$status" -eq 130 ] || cat "$TMP/err" >&2
	expect_equal "$status" 130 'exit status'
	nothing_left
}

refuses_unknown_words()
{
	expect_status 2 bench --only nothing
	expect_text "$TMP/err" "there is no workload 'nothing'"
	expect_status 2 bench --servers nothing
	expect_text "$TMP/err" "there is no server 'nothing'"
}

refuses_unknown_words
prints_table_json_and_plot
draws_what_kernel_is_measured_with
cleans_up_when_interrupted
