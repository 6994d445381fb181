# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A source that takes its time, and what a terminal sees meanwhile. Behind lib.sh.

need script nbdkit nbdfuse

SLOW=$TMP/slow/source
nbd=

# slow_begin FILE DELAY: it is shown as $SLOW; DELAY is delay-read=, delay-write=.
slow_begin()
{
	mkdir -p "$TMP/slow"
	nbdkit -f --exit-with-parent -U "$TMP/socket" --filter=delay file \
		"$1" "$2" >"$TMP/nbdkit" 2>&1 &
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

slow_end()
{
	run umount "$TMP/slow"
	kill "$nbd"
	wait "$nbd" 2>/dev/null
	rm -f "$TMP/socket"
}

# on_terminal COMMAND...: what the terminal got is in $TMP/tty.
on_terminal()
{
	script -qefc "$(printf '%q ' "$@")" "$TMP/tty" </dev/null >"$TMP/script"
}
