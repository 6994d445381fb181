#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A database on a filesystem on a loop device on a sparse image. SQLite commits,
# in both kinds of journal, and is killed; then the server is killed below it. A
# COMMIT that was answered is there each time, and every level is sound: host,
# inner filesystem, database.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
need sqlite3 mkfs.ext4

host=$TMP/host.img
inner=$TMP/inner
mkdir "$inner"

# Rows that can be judged alone. One transaction each, answered by its number.
statements()
{
	local i
	echo "PRAGMA journal_mode=$1; PRAGMA synchronous=EXTRA;"
	echo 'CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler BLOB,
		twice INTEGER); CREATE INDEX IF NOT EXISTS i ON t (twice);'
	for ((i = $2; ; i++)); do
		echo "BEGIN; INSERT INTO t VALUES ($i, randomblob(1500), 2 * $i);
			UPDATE t SET filler = randomblob(700) WHERE n = $i - 7;
			COMMIT; SELECT 'done $i';"
	done
}

# write_until FIRST COUNT MODE COMMAND...: so many were answered, then COMMAND,
# with sqlite3 still at work; the last answer goes to $answered.
write_until()
{
	local first=$1 count=$2 mode=$3 line sql pid
	shift 3
	coproc SQL { statements "$mode" "$first" 2>/dev/null |
		exec stdbuf -oL sqlite3 -bail "$inner/data.db" 2>&1; }
	pid=$SQL_PID
	# Bash closes its own when the other side ends.
	exec {sql}<&"${SQL[0]}"
	answered=0
	while read -r -t "$limit" -u "$sql" line; do
		case $line in
		"done "*) answered=${line#done } ;;
		*rror*) break ;;
		esac
		[ "$answered" -lt $((first + count)) ] || break
	done
	if [ "$answered" -lt $((first + count)) ]; then
		kill_sqlite
		fail "sqlite3 answered up to $answered, then: $line"
	fi
	"$@"
	# What it had answered meanwhile.
	while read -r -t "$limit" -u "$sql" line; do
		case $line in
		"done "*) answered=${line#done } ;;
		esac
	done
	exec {sql}<&-
	wait "$pid" 2>/dev/null
}

kill_sqlite()
{
	# shellcheck disable=SC2046
	kill -KILL $(sqlite_pids) 2>/dev/null
}

# Who has the database open: of those that this test started.
sqlite_pids()
{
	local fd
	for fd in /proc/[0-9]*/fd/*; do
		[ "$(readlink "$fd")" != "$inner/data.db" ] || echo "$fd"
	done 2>/dev/null | cut -d / -f 3 | sort -u
}

# check_database FILE: whole, and with every row up to $answered.
check_database()
{
	expect_equal "$(sqlite3 "$1" 'PRAGMA integrity_check')" ok \
		'integrity_check'
	expect_equal "$(sqlite3 "$1" "SELECT count(*) FROM t
		WHERE n <= $answered AND twice = 2 * n")" "$answered" \
		'rows that were answered'
}

put_up()
{
	mount_rawmap -o commit=300 -i /disk "$host" "$MNT"
	loop_attach "$MNT/disk" --direct-io=on
}

new_host()
{
	make_host "$1" 64M "$host"
	make_sparse 40M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	put_up
	run mkfs.ext4 -q "$LOOP"
	mount_inner "$LOOP" "$inner"
}

take_down()
{
	run umount "$inner"
	expect_status 0 e2fsck -fn "$LOOP"
	loop_detach "$LOOP"
	unmount_rawmap
	check_host "$host"
}

# judge: by the kernel, without rawmap.
judge()
{
	mkdir -p "$TMP/kernel"
	mount_inner "$host" "$TMP/kernel" -o ro
	cp --sparse=always "$TMP/kernel/disk" "$TMP/now"
	run umount "$TMP/kernel"
	mount_inner "$TMP/now" "$inner" -o loop
	check_database "$inner/data.db"
	run umount "$inner"
	expect_status 0 e2fsck -fn "$TMP/now"
	rm "$TMP/now"
}

test_sqlite_killed()
{
	local mode next=1
	new_host "$1"
	for mode in delete wal; do
		write_until "$next" 60 "$mode" kill_sqlite
		check_database "$inner/data.db"
		next=$(($(sqlite3 "$inner/data.db" 'SELECT max(n) FROM t') + 1))
		answered=$((next - 1))
	done
	take_down
	judge
}

# The loop device has nothing behind it any more, and the inner filesystem is as
# after a power loss.
kill_server()
{
	kill_rawmap
	kill_sqlite
}

test_server_killed()
{
	local status=0
	new_host "$1"
	write_until 1 80 "$2" kill_server
	umount -l "$inner"
	loop_detach "$LOOP"
	e2fsck -fy "$host" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -fy: $status: $(cat "$TMP/fsck")"
	check_host "$host"

	put_up
	mount_inner "$LOOP" "$inner"
	check_database "$inner/data.db"
	take_down
	judge
}

test_sqlite_killed ext4
test_server_killed ext4 wal
test_server_killed ext3 delete
test_server_killed ext2 wal
