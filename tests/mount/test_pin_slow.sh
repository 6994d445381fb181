#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# -o pin=alloc on a source that takes its time, or fails: the line that a terminal
# shows, and nothing else does; and that nothing is left of what was interrupted,
# and nobody who serves it.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/mount/lib_pin.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_pin.sh"
# shellcheck source=tests/mount/lib_slow.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_slow.sh"
need_root
need_fuse
need jq pgrep

make_thin_host()
{
	make_host ext4 64M "$host" -b 4096
	make_sparse 24M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

thin_begin()
{
	make_thin_host
	slow_begin "$host" delay-write=120ms
}

# scripted_begin COMMANDS: of each flush.
scripted_begin()
{
	local parts='status=none conv=notrunc'
	make_thin_host
	slow_serve eval get_size="stat -c %s $host" \
		pread="dd if=$host iflag=skip_bytes,count_bytes skip=\$4 \
			count=\$3 $parts" \
		pwrite="dd of=$host oflag=seek_bytes seek=\$4 $parts" \
		flush="$1"
}

released()
{
	run timeout "$limit" flock "$SLOW" true
}

test_terminal_sees_progress()
{
	thin_begin
	on_terminal "$RAWMAP" mount -o pin=alloc -i /disk "$SLOW" "$MNT" \
		</dev/null || fail "$(cat "$TMP/tty")"
	grep -Eaq 'rawmap: filling holes: [0-9]+%, [0-9.]+ MiB of 24 MiB' \
		"$TMP/tty" || fail "the terminal has: $(cat -v "$TMP/tty")"
	grep -Eaq 'filling holes:.*/s, 0:00:[0-9]+ left' "$TMP/tty" ||
		fail "nothing about the time: $(cat -v "$TMP/tty")"
	# Each is taken away again, by blanks.
	expect_equal "$(tr '\r' '\n' <"$TMP/tty" | grep -Eacx ' {20,}')" \
		"$(tr '\r' '\n' <"$TMP/tty" | grep -ac 'filling holes:')" \
		'lines that are taken away'
	run umount "$MNT"
	released
	slow_end
	check_host "$host"
}

test_pipe_sees_nothing()
{
	thin_begin
	expect_status 0 "$RAWMAP" mount -o pin=alloc -i /disk "$SLOW" "$MNT"
	expect_equal "$(grep -v "$unmarked" "$TMP/out" "$TMP/err")" '' \
		'what a pipe gets'
	run umount "$MNT"
	released
	slow_end
}

# begin_filling [-f]: a program is in the middle of it, $program, on $terminal; it
# is typed to by descriptor 9.
begin_filling()
{
	local until=$((SECONDS + limit))
	thin_begin
	rm -f "$TMP/tty" "$TMP/keys"
	mkfifo "$TMP/keys"
	exec 9<>"$TMP/keys"
	on_terminal "$RAWMAP" mount "$@" -o pin=alloc -i /disk "$SLOW" "$MNT" \
		<"$TMP/keys" &
	terminal=$!
	until grep -aq 'filling holes' "$TMP/tty" 2>/dev/null; do
		[ "$SECONDS" -lt "$until" ] || fail 'nothing is filled'
	done
	program=$(pgrep -P "$(pgrep -d, -x script)" \
		-f "^$RAWMAP mount .*$MNT\$") || fail 'no program'
}

# end_filling [STATUS]
end_filling()
{
	local status=0
	wait "$terminal" || status=$?
	exec 9>&-
	[ "$status" -ne 0 ] || fail 'it went on'
	expect_equal "$status" "${1-$status}" 'exit status'
	is_mounted "$MNT" && fail 'mounted after all'
	return 0
}

test_interrupted()
{
	begin_filling -f
	run kill -INT "$program"
	end_filling 1
	released
	slow_end
	grep -aq 'rawmap: interrupted; nothing is mounted' "$TMP/tty" ||
		fail "$(cat -v "$TMP/tty")"
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

# interrupt_command STATUS COMMAND...: by that. Who waits for the command waits for
# the server, which was not told to stay in the foreground.
interrupt_command()
{
	begin_filling
	run "${@:2}"
	end_filling "$1"
	flock -n "$SLOW" true || fail 'a server is still there'
	grep -aq 'rawmap: interrupted; nothing is mounted' "$TMP/tty" ||
		fail "$(cat -v "$TMP/tty")"
	slow_end
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

press_interrupt() { printf '\003' >&9 ; }
terminate() { kill -TERM "$program" ; }

# As timeout(1) does, and more often.
terminate_at_once()
{
	local -a many
	mapfile -t many < <(yes "$program" | head -n 3000)
	kill -TERM "${many[@]}"
}

# Who does not want to wait, as the server hangs, says it twice.
test_second_signal()
{
	local server until=$((SECONDS + limit))
	begin_filling
	server=$(pgrep -P "$program") || fail 'there is one process'
	run kill -STOP "$server"
	terminate
	# SIGTERM was passed on.
	until grep -q '^ShdPnd:.*4...$' "/proc/$server/status"; do
		[ "$SECONDS" -lt "$until" ] || fail 'it was not passed on'
	done
	kill -0 "$program" || fail 'the command did not wait'
	while terminate 2>"$TMP/gone"; do
		[ "$SECONDS" -lt "$until" ] || fail 'the command still waits'
	done
	end_filling 143
	run kill -CONT "$server"
	released
	slow_end
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

# The terminal is gone: the kernel tells the leader of its session, no other.
test_hangup()
{
	local until=$((SECONDS + limit))
	begin_filling
	expect_equal "$(ps -o sid= -p "$program" | tr -d ' ')" "$program" \
		'the leader of the session'
	run kill -KILL "$(ps -o ppid= -p "$program")"
	end_filling 137
	until flock -n "$SLOW" true; do
		is_mounted "$MNT" && fail 'mounted after all'
		[ "$SECONDS" -lt "$until" ] || fail 'the server goes on'
	done
	slow_end
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

# What is ignored, as behind nohup(1), ends nobody, however often it comes.
test_ignored()
{
	local command server status=0 until=$((SECONDS + limit))
	thin_begin
	env --ignore-signal=HUP "$RAWMAP" mount -o pin=alloc -i /disk \
		"$SLOW" "$MNT" 2>"$TMP/err" &
	command=$!
	until server=$(pgrep -P "$command"); do
		[ "$SECONDS" -lt "$until" ] || fail 'no server'
	done
	run kill -STOP "$server"
	for _ in {1..100}; do
		kill -HUP "$command" || break
	done
	run kill -CONT "$server"
	until is_mounted "$MNT"; do
		kill -HUP "$command" 2>/dev/null
		[ "$SECONDS" -lt "$until" ] || fail 'not mounted'
	done
	wait "$command" || status=$?
	expect_equal "$status" 0 'exit status'
	run umount "$MNT"
	released
	slow_end
	check_host "$host"
}

# Too late for the server to say that it was interrupted: it is unmounted again.
test_ready_meanwhile()
{
	local command server status=0 until=$((SECONDS + limit))
	thin_begin
	"$RAWMAP" mount -o pin=alloc -i /disk "$SLOW" "$MNT" 2>"$TMP/err" &
	command=$!
	until server=$(pgrep -P "$command"); do
		[ "$SECONDS" -lt "$until" ] || fail 'no server'
	done
	run kill -STOP "$command"
	until [ "$(ps -o sid= -p "$server" | tr -d ' ')" = "$server" ]; do
		[ "$SECONDS" -lt "$until" ] || fail 'not ready'
	done
	run kill -TERM "$command"
	run kill -CONT "$command"
	wait "$command" 2>"$TMP/killed" || status=$?
	expect_equal "$status" 143 'exit status'
	is_mounted "$MNT" && fail 'it stays mounted'
	flock -n "$SLOW" true || fail 'a server is still there'
	slow_end
	check_host "$host"
}

# Nothing is left to be filled then: the signal comes with the first flush.
test_interrupted_at_the_commit()
{
	: >"$TMP/first"
	scripted_begin "rm $TMP/first &&
		pkill -INT -f '^$RAWMAP mount .*$MNT\$'; true"
	expect_status 1 env --default-signal=INT "$RAWMAP" mount -f \
		-o pin=alloc -i /disk "$SLOW" "$MNT"
	expect_text "$TMP/err" 'interrupted; nothing is mounted'
	released
	slow_end
	check_host "$host"
	all_are hole || fail 'not all of it was given back'
}

# The host is read-only then, and nothing can be given back. Either is sound.
test_commit_fails()
{
	scripted_begin 'echo EIO >&2; exit 1'
	expect_status 1 "$RAWMAP" mount -o pin=alloc -i /disk "$SLOW" "$MNT"
	expect_text "$TMP/err" "cannot fill the holes of '/disk'"
	expect_text "$TMP/err" "blocks that were allocated in '$SLOW' stay so,\
 and hold zeros: Read-only"
	released
	slow_end
	e2fsck -fp "$host" >"$TMP/e2fsck" 2>&1
	[ $? -le 1 ] || fail "e2fsck -fp: $(cat "$TMP/e2fsck")"
	check_host "$host"
	get_file "$host" /disk "$TMP/now"
	expect_same_bytes "$TMP/now" "$TMP/disk"
}

# Nobody is left to give anything back: the next one completes it.
test_killed()
{
	begin_filling -f
	run kill -KILL "$program"
	end_filling
	released
	slow_end
	run "$RAWMAP" recover "$host" >"$TMP/recover"
	mount_rawmap -o pin=alloc -i /disk "$host" "$MNT"
	expect_same_bytes "$MNT/disk" "$TMP/disk"
	unmount_rawmap
	check_host "$host"
	all_are mapped || fail 'not all of it is mapped'
}

mounts+=("$MNT")
test_terminal_sees_progress
test_pipe_sees_nothing
test_interrupted
interrupt_command 130 press_interrupt
interrupt_command 143 terminate
interrupt_command 143 terminate_at_once
test_second_signal
test_hangup
test_ignored
test_ready_meanwhile
test_interrupted_at_the_commit
test_commit_fails
test_killed
