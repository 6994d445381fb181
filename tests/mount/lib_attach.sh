# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Attaching and detaching by rawmap's own commands, and what must be left of it:
# nothing.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WHERE=			# where attach_rawmap mounted last
PID=			# of its server
run=/run/rawmap
folders=()		# of attach

# What is left in our folders; a name like /dev/loop0 may be somebody else's by
# now. Then the rest.
leave_nothing()
{
	local status=$? where dev file
	umount "$TMP/inner" 2>/dev/null
	# Also what was not known yet when something failed.
	while read -r where; do
		folders+=("$where")
	done < <(findmnt -rno TARGET,SOURCE | awk -v top="$run/" -v tmp="$TMP/" \
		'index($1, top) == 1 && index($2, tmp) == 1 { print $1 }')
	for where in "${folders[@]}"; do
		while read -r dev file; do
			[[ $file != "$where"/* ]] || losetup -d "$dev"
		done < <(losetup -nO NAME,BACK-FILE)
		is_mounted "$where" && umount -l "$where"
		[ ! -d "$where" ] || rmdir "$where"
	done
	(exit "$status")
	cleanup
}
trap leave_nothing EXIT

# listed SOURCE: the objects of rawmap list for it, as an array.
listed()
{
	expect_status 0 "$RAWMAP" list --json
	jq -c --arg source "$1" '[.[] | select(.source == $source)]' \
		<"$TMP/out" || fail "rawmap list: $(cat "$TMP/out")"
}

# of FILTER: what jq says of the object that know found last.
of()
{
	jq -r ".[0]$1" <"$TMP/listed"
}

# know LOOP: $TMP/listed for of, $WHERE and $PID.
know()
{
	expect_status 0 "$RAWMAP" list --json
	jq -c --arg loop "$1" \
		'[.[] | select(any(.loops[]; .device == $loop))]' \
		<"$TMP/out" >"$TMP/listed" || fail "$(cat "$TMP/out")"
	expect_equal "$(jq length <"$TMP/listed")" 1 "what is listed with $1"
	WHERE=$(of .mountpoint)
	folders+=("$WHERE")
	# shellcheck disable=SC2034 # for the tests
	PID=$(of .pid)
}

# attach_rawmap ARGUMENTS... SOURCE PATH: $LOOP, $WHERE and $PID; it is taken
# down with the rest.
attach_rawmap()
{
	expect_status 0 "$RAWMAP" attach "$@"
	LOOP=$(cat "$TMP/out")
	[ -b "$LOOP" ] || fail "'$LOOP' is no block device"
	know "$LOOP"
	[[ $WHERE == "$run"/?????? ]] || fail "mounted on '$WHERE'"
}

# detach_rawmap OPERAND...: it is said to be down and durable.
detach_rawmap()
{
	expect_status 0 "$RAWMAP" detach "$@"
	expect_equal "$(cat "$TMP/out" "$TMP/err")" '' 'what detach says'
}

# expect_gone LOOP FOLDER: of what attach put up. The device may be somebody
# else's by now.
expect_gone()
{
	local sys
	sys=/sys/block/$(basename "$1")
	[[ $(cat "$sys/loop/backing_file" 2>/dev/null) != "$2"/* ]] ||
		fail "$1 is still attached"
	is_mounted "$2" && fail "$2 is still mounted"
	[ ! -e "$2" ] || fail "$2 is still there"
}

# expect_at_rest IMAGE: a file; its server is gone, at once, and it is clean.
expect_at_rest()
{
	run flock -n "$1" true
	check_host "$1"
}

# refuse TEXT COMMAND...: one sentence.
refuse()
{
	local text=$1
	shift
	expect_status 1 "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	[ ! -s "$TMP/out" ] || fail "standard output of $*: $(cat "$TMP/out")"
}

# still_attached: as it was before a refusal.
still_attached()
{
	local sys
	sys=/sys/block/$(basename "$LOOP")
	expect_equal "$(cat "$sys/loop/autoclear")" 0 'autoclear'
	[[ $(cat "$sys/loop/backing_file") == "$WHERE"/* ]] ||
		fail "$LOOP is not attached any more"
	run dd if="$LOOP" of=/dev/null count=8 status=none
	is_mounted "$WHERE" || fail "$WHERE is not mounted any more"
}

# new_host [KIND [mke2fs arguments...]]: $host, with a sparse /disk.
new_host()
{
	local kind=${1-ext4}
	make_host "$kind" 64M "$host" "${@:2}"
	make_sparse 32M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
}

host=$TMP/host.img
need_root
need_fuse
need_loop
need jq flock
