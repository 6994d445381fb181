#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawmap@.service, as it is installed: systemd finds nothing wrong with it, and
# what it says to run does run, without a systemd: the lines are taken from the
# unit, words and all, with the environment of the file it names. What only a
# booted systemd does is not here: the order of units, the main process, what
# signals do when something ends. Nor is udev: the unit's program makes the link
# itself where there is none.
# RAWMAP_TEST_ONCE

# An installation of our own lies over /usr/local, and /run and /etc/rawmap are
# ours, too.
# shellcheck source=tests/mount/lib_private.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_private.sh"
# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need_loop
need cmake systemd-analyze debugfs mkfs.ext4

build=$(dirname "$RAWMAP")
name=test$$
link=/dev/rawmap/$name
host=$TMP/host.img

# Nothing but the prefix is the installation's, so that it can be anywhere.
install_all()
{
	local prefix=/usr/local
	run env DESTDIR="$TMP/root" cmake --install "$build" \
		--prefix "$prefix" >"$TMP/install"
	run mount --bind "$TMP/root$prefix" "$prefix"
	[ -x "$prefix/bin/rawmap" ] || fail 'no program'
	[ -x "$prefix/sbin/mount.rawmap" ] || fail 'no mount helper'
	unit=$prefix/lib/systemd/system/rawmap@.service
	[ -e "$unit" ] || fail 'no unit'
	PATH=$prefix/bin:$PATH
	hash -r
}

own_run_and_etc()
{
	run mount -t tmpfs tmpfs /run
	mkdir "$TMP/etc"
	run cp -a /etc/. "$TMP/etc"
	run mkdir -p "$TMP/etc/rawmap"
	run mount --bind "$TMP/etc" /etc
}

test_systemd_reads_it()
{
	systemd-analyze verify --man=no "rawmap@$name.service" \
		>"$TMP/verify" 2>&1 ||
		fail "systemd-analyze: $(cat "$TMP/verify")"
	grep -F rawmap "$TMP/verify" >&2 && fail 'systemd finds something'
	# It does find something where there is something.
	sed 's/^Type=.*/Type=nosuch/; s/^ExecStop=.*/ExecStop=\/nosuch/' \
		"$unit" >"$TMP/rawmap-bad@$name.service"
	systemd-analyze verify --man=no "$TMP/rawmap-bad@$name.service" \
		>"$TMP/verify" 2>&1
	expect_text "$TMP/verify" nosuch
}

# The value of the unit's only KEY, its specifiers resolved.
setting()
{
	local lines
	lines=$(sed -n "s/^$1=//p" "$unit" | sed "s/%i/$name/g")
	[ -n "$lines" ] || fail "the unit has no $1"
	echo "$lines"
}

# As systemd starts it: nothing but the file's variables, and its own PATH.
run_line()
{
	local words environment
	words=$(setting "$1")
	[[ $words != *[\$\'\"\\%]* ]] || fail "$1 has more than words: $words"
	environment=$(setting EnvironmentFile)
	(
		set -a
		# shellcheck source=/dev/null
		. "$environment"
		set +a
		# shellcheck disable=SC2086 # words
		exec env -i SOURCE="${SOURCE-}" IMAGE="${IMAGE-}" \
			OPTIONS="${OPTIONS-}" ARGUMENTS="${ARGUMENTS-}" \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
			ASAN_OPTIONS="${ASAN_OPTIONS-}" $words
	)
}

conf()
{
	printf '%s\n' "$@" >"/etc/rawmap/$name.conf"
}

released()
{
	run timeout "$limit" flock "$host" true
}

test_attach_and_detach()
{
	conf "SOURCE=$host" IMAGE=/disk OPTIONS=discard,commit=1
	run run_line ExecStart
	LOOP=$(readlink -f "$link")
	loops+=("$LOOP")
	[ -b "$LOOP" ] || fail "no block device behind $link"
	run mkfs.ext4 -q "$link"
	mkdir "$TMP/inner"
	mount_inner "$link" "$TMP/inner"
	echo 'to be kept' >"$TMP/inner/file"

	# It is in use: that is said, and nothing is taken away.
	expect_status 1 run_line ExecStop
	[ -s "$TMP/err" ] || fail 'a stop that fails says nothing'
	expect_equal "$(cat "$TMP/inner/file")" 'to be kept' 'the file'
	[ -L "$link" ] || fail 'the link is gone'
	expect_status 1 run_line ExecStart
	expect_text "$TMP/err" 'rawmap detach'

	run umount "$TMP/inner"
	run run_line ExecStop
	loops=()
	[ ! -e "$link" ] || fail 'the link stays'
	[ ! -e "/sys/block/${LOOP##*/}/loop/backing_file" ] ||
		fail "$LOOP is still attached"
	# Its last commit is there when it returns.
	run flock -n "$host" true
	check_host "$host"
	run run_line ExecStop
}

# Arguments are words, and what is written is there the next time.
test_again_read_only()
{
	conf "SOURCE=$host" IMAGE=/disk ARGUMENTS=-r
	run run_line ExecStart
	LOOP=$(readlink -f "$link")
	loops+=("$LOOP")
	expect_equal "$(blockdev --getro "$LOOP")" 1 'read-only'
	mount_inner "$link" "$TMP/inner" -o ro,noload
	expect_equal "$(cat "$TMP/inner/file")" 'to be kept' 'the file'
	run umount "$TMP/inner"
	run run_line ExecStop
	loops=()
	released
	check_host "$host"
}

# Detached by hand: the next start knows.
test_detached_by_hand()
{
	conf "SOURCE=$host" IMAGE=/disk
	run run_line ExecStart
	LOOP=$(readlink -f "$link")
	run rawmap detach "$LOOP"
	run run_line ExecStart
	LOOP=$(readlink -f "$link")
	loops+=("$LOOP")
	run run_line ExecStop
	loops=()
	released
}

test_failures()
{
	conf "SOURCE=$host" IMAGE=/none
	expect_status 1 run_line ExecStart
	expect_text "$TMP/err" /none
	conf IMAGE=/disk
	expect_status 1 run_line ExecStart
	expect_text "$TMP/err" 'no SOURCE='
	[ ! -e "$link" ] || fail 'a link after all'
	released
}

# The names that the page gives for swap and fstab are the ones in the unit.
test_order()
{
	local before
	before=" $(setting Before | tr '\n' ' ') "
	for other in local-fs.target swap.target umount.target \
		"dev-rawmap-$name.swap"; do
		[[ $before == *" $other "* ]] || fail "not before $other"
	done
}

# What is attached when a test fails has a server, which has its source.
take_down()
{
	local status=$? dev
	umount "$TMP/inner" 2>/dev/null
	for dev in "${loops[@]}"; do
		losetup -d "$dev"
	done
	umount -l /run/rawmap/* 2>/dev/null
	rm -f "$link"
	rmdir /dev/rawmap 2>/dev/null
	(exit "$status")
	cleanup
}
trap take_down EXIT

install_all
own_run_and_etc
make_host ext4 64M "$host"
make_sparse 48M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk
test_systemd_reads_it
test_order
test_attach_and_detach
test_again_read_only
test_detached_by_hand
test_failures
