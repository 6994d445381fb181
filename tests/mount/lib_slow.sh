# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A source that takes its time, and what a terminal sees meanwhile. Behind lib.sh.

need script nbdkit nbdfuse

SLOW=$TMP/slow/source
nbd=

# slow_serve ARGUMENT...: what an nbdkit of these has is shown as $SLOW.
slow_serve()
{
	mkdir -p "$TMP/slow"
	nbdkit -f --exit-with-parent -U "$TMP/socket" "$@" \
		>"$TMP/nbdkit" 2>&1 &
	nbd=$!
	until [ -S "$TMP/socket" ]; do
		kill -0 "$nbd" 2>/dev/null ||
			fail "nbdkit: $(cat "$TMP/nbdkit")"
	done
	nbdfuse "$SLOW" --unix "$TMP/socket" >"$TMP/nbdfuse" 2>&1 &
	mounts+=("$TMP/slow")
	until is_mounted "$TMP/slow"; do
		kill -0 $! 2>/dev/null ||
			fail "nbdfuse: $(cat "$TMP/nbdfuse")"
		wait_for_mount_change
	done
}

# slow_begin FILE DELAY: the file; DELAY is delay-read= or delay-write=.
slow_begin()
{
	slow_serve --filter=delay file "$1" "$2"
}

# Who let go of it a moment ago, as he ended, may still be on his way out:
# the kernel drops a lock before it drops the file.
slow_end()
{
	# shellcheck disable=SC2154 # lib.sh has the limit
	local until=$((SECONDS + limit))
	until umount "$TMP/slow" 2>"$TMP/busy"; do
		[ "$SECONDS" -lt "$until" ] || fail "$(cat "$TMP/busy")"
	done
	kill "$nbd"
	wait "$nbd" 2>/dev/null
	rm -f "$TMP/socket"
}

# on_terminal COMMAND...: what the terminal got is in $TMP/tty; what is typed comes
# from standard input. A shell without job control ignores SIGINT for what it puts
# behind. The command is a child of script(1), whatever the shell of the user is.
on_terminal()
{
	SHELL=/bin/sh script -qefc "exec env --default-signal=INT $(printf '%q ' "$@")" \
		"$TMP/tty" >"$TMP/script"
}
