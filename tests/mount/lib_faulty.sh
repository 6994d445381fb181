# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A program whose system calls fail where a test says. Behind lib.sh.

need strace

# faulty ARGUMENTS OF STRACE... -- ARGUMENTS OF RAWMAP...
# Without -f what the program starts is left alone.
faulty()
{
	local how=()
	while [ "$1" != -- ]; do
		how+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2154 # lib.sh has the limit
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		timeout "$limit" strace --quiet=all -o "$TMP/trace" \
		"${how[@]}" "$RAWMAP" "$@"
}
