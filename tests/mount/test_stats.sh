#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawmap stats: the counters once, as a table or as JSON; watching; and the same
# from the server by SIGUSR1, which harms nobody at any time.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need jq

# The engine is named here.
unset RAWMAP_TEST_ENGINE
host=$TMP/host.img
watcher=

new_host()
{
	make_host ext4 32M "$host"
	make_sparse 8M "$TMP/disk"
	run dd if=/dev/urandom of="$TMP/disk" bs=1M count=4 conv=notrunc \
		status=none
	put_file "$host" "$TMP/disk" /disk
	run truncate -s 1M "$TMP/other"
	put_file "$host" "$TMP/other" /other
}

# counter EXPRESSION: of jq, about the image that is mounted.
counter()
{
	"$RAWMAP" stats --json "$MNT/disk" | jq "$1"
}

# The test's own way to wait for what another process writes.
wait_for_text()
{
	local file=$1 text=$2
	timeout "$limit" grep -qm1 -- "$text" \
		< <(tail -n +1 --pid=$$ -s 0.01 -f "$file" 2>/dev/null) ||
		fail "'$text' does not come: $(cat "$file")"
}

# watch ARGUMENTS...: behind the test, into a pipe as a program would have it.
watch()
{
	rm -f "$TMP/lines" "$TMP/pipe"
	: >"$TMP/lines"
	mkfifo "$TMP/pipe"
	cat "$TMP/pipe" >"$TMP/lines" &
	env --default-signal=INT "$RAWMAP" stats "$@" "$MNT/disk" \
		>"$TMP/pipe" 2>"$TMP/watch.err" &
	watcher=$!
}

watch_ends_with()
{
	local got=0
	timeout "$limit" tail --pid="$watcher" -s 0.01 -f /dev/null ||
		fail 'the watcher does not end'
	wait "$watcher" || got=$?
	expect_equal "$got" "$1" "the watcher's exit status"
}

test_counters()
{
	mount_rawmap -o "engine=$1" -i /disk "$host" "$MNT"
	run dd if="$MNT/disk" of=/dev/null bs=64K count=16 iflag=direct \
		status=none
	run dd if=/dev/zero of="$MNT/disk" bs=64K seek=100 count=2 \
		oflag=direct conv=notrunc,fsync status=none
	run fallocate -p -o 0 -l 64K "$MNT/disk"
	expect_equal "$(counter .read_bytes)" $((16 << 16)) 'bytes read'
	expect_equal "$(counter .write_bytes)" $((2 << 16)) 'bytes written'
	expect_equal "$(counter '.fill_bytes == .write_bytes')" true 'fills'
	expect_equal "$(counter .punches)" 1 'punches'
	# 16 reads, 2 writes, a punch; dd and the kernel flush as they like.
	expect_equal "$(counter ".requests - .flushes")" 19 requests
	expect_equal "$(counter .queue_depth)" 0 'requests of a quiet image'
	expect_equal "$(counter '.queue_depth_max >= 1')" true 'depth'
	expect_equal "$(counter '.request_ns_total > 0 and
		.request_ns_total < .uptime_ns')" true 'time of requests'
	expect_equal "$(counter '.commits >= 1 and .commit_ns_mean > 0 and
		.commit_ns_p99 >= .commit_ns_mean and
		.commit_ns_p99 <= .commit_ns_max')" true 'times of commits'
	expect_equal "$(counter .cache_budget)" $((32 << 20)) 'budget'
	unmount_rawmap
}

# Several at a time are seen as such, and none is left behind.
test_depth()
{
	local pids i
	mount_rawmap -o "engine=$1" -i /disk "$host" "$MNT"
	# Whether two meet is chance, that none of many do is not.
	for _ in {1..50}; do
		pids=()
		for i in {0..7}; do
			dd if="$MNT/disk" of=/dev/null bs=1M iflag=direct \
				count=4 status=none &
			pids+=($!)
		done
		run wait "${pids[@]}"
		[ "$(counter .queue_depth_max)" -eq 1 ] || break
	done
	expect_equal "$(counter .queue_depth)" 0 'requests in the end'
	expect_equal "$(counter '.queue_depth_max > 1')" true 'most at a time'
	unmount_rawmap
}

test_table()
{
	mount_rawmap -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_status 0 "$RAWMAP" stats "$MNT/disk"
	expect_equal "$(grep -v '^ ' "$TMP/out" | tr '\n' ' ')" \
		'server image cache host source ' 'groups'
	expect_text "$TMP/out" ' MiB'
	expect_text "$TMP/out" 'on average'
	unmount_rawmap
}

test_watch_lines()
{
	mount_rawmap -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	expect_status 0 "$RAWMAP" stats --watch --count 2 "$MNT/disk"
	expect_equal "$(wc -l <"$TMP/out")" 3 'lines'
	sed -n 1p "$TMP/out" | grep -q 'r/s .*aqu-sz .*hit% .*pending$' ||
		fail "heading: $(cat "$TMP/out")"
	# The first is about all that was, the second about nothing.
	sed -n 2p "$TMP/out" | grep -Eq '^ +0\.0 ' && fail 'no reads at first'
	sed -n 3p "$TMP/out" | grep -Eq '^ +0\.0 +0\.0 +0\.0 .* - ' ||
		fail "an idle second: $(cat "$TMP/out")"
	expect_status 0 "$RAWMAP" stats --json -c 2 "$MNT/disk"
	expect_equal "$(wc -l <"$TMP/out")" 2 'lines of JSON'
	expect_equal "$(jq -s 'map(.reads > 0 and .uptime_ns > 0) | all' \
		"$TMP/out")" true 'objects'
	unmount_rawmap
}

# Each line is there at once, and the end is a clean one.
test_watch_interrupted()
{
	mount_rawmap -i /disk "$host" "$MNT"
	watch --watch -n 3600
	wait_for_text "$TMP/lines" '^ *[0-9.]* '
	kill -INT "$watcher"
	watch_ends_with 0
	expect_equal "$(cat "$TMP/watch.err")" '' 'what is said at the end'
	unmount_rawmap
}

# A watcher keeps nobody from unmounting, and notices.
test_watch_unmounted()
{
	mount_rawmap -i /disk "$host" "$MNT"
	watch -n 1
	wait_for_text "$TMP/lines" '^ *[0-9.]* '
	unmount_rawmap
	watch_ends_with 1
	expect_text "$TMP/watch.err" 'is not served any more'
	expect_equal "$(wc -l <"$TMP/watch.err")" 1 'lines of error'
}

test_watch_usage()
{
	expect_status 2 "$RAWMAP" stats -n 0 "$TMP"
	expect_text "$TMP/err" '--interval: 0 is not between 1 and'
	expect_status 2 "$RAWMAP" stats --count x "$TMP"
	expect_text "$TMP/err" "--count: 'x' is not a whole number"
	expect_status 1 "$RAWMAP" stats --watch "$TMP/disk"
	expect_text "$TMP/err" 'not a file that rawmap shows'
	expect_status 1 "$RAWMAP" stats --watch "$TMP"
}

# Each image has five lines; the server goes on.
test_signal()
{
	mount_rawmap -o "engine=$1" -i /disk -i /other "$host" "$MNT"
	run cat "$MNT/disk" >/dev/null
	: >"$LOG"
	kill -USR1 "$SERVER"
	wait_for_text "$LOG" "'/other' on '.*': source: "
	expect_equal "$(grep -c "^rawmap: '/disk' on '$MNT': " "$LOG")" 5 \
		'lines of an image'
	grep -Eq "'/disk' on .*: image: reads [0-9]+ \(8 MiB\), writes 0 " \
		"$LOG" || fail "log: $(cat "$LOG")"
	expect_same_bytes "$MNT/other" "$TMP/other"
	kill -TERM "$SERVER"
	wait_for_server 0
	check_host "$host"
}

# Before it is ready a server is a process like any other. It cannot be caught in
# that moment by chance, so it inherits a signal that waits for it. (Other shells
# unblock it.)
test_signal_before_ready()
{
	mounts+=("$MNT")
	: >"$LOG"
	# shellcheck disable=SC2016
	env --block-signal=USR1 bash -c 'kill -USR1 $$; exec "$@"' bash \
		"$RAWMAP" mount -f -i /disk "$host" "$MNT" 2>>"$LOG" &
	SERVER=$! served=$MNT
	until is_mounted "$MNT"; do
		kill -0 "$SERVER" 2>/dev/null || fail 'the server ended'
		wait_for_mount_change
	done
	# What came too early is answered when it can be.
	wait_for_text "$LOG" "'/disk' on '.*': source: "
	unmount_rawmap
}

# The command in front, while it waits for its server: it is stopped by a FIFO.
test_signal_to_the_command()
{
	local got=0 command
	mkfifo "$TMP/map"
	"$RAWMAP" mount -r -o "ddrescue=$TMP/map" -i /disk "$host" "$MNT" \
		2>"$TMP/err" &
	command=$!
	# Opening it waits for the server to do so.
	exec 8>"$TMP/map"
	kill -USR1 "$command"
	printf 'nonsense\n' >&8
	exec 8>&-
	wait "$command" || got=$?
	expect_equal "$got" 1 'exit status, as without the signal'
	expect_text "$TMP/err" 'a ddrescue map file begins with'
}

for engine in uring threads; do
	if [ "$engine" = uring ] && ! "$RAWMAP" --version | grep -q io_uring
	then
		continue
	fi
	new_host
	test_counters "$engine"
	test_depth "$engine"
	test_signal "$engine"
done
new_host
test_table
test_watch_lines
test_watch_interrupted
test_watch_unmounted
test_watch_usage
test_signal_before_ready
test_signal_to_the_command
