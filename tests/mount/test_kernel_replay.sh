#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One journal, three that replay it: the kernel, when it mounts, e2fsck -p, and
# rawmap recover. They get copies of a host whose server was killed, and must end
# with the same image on a sound host. With the journals of mke2fs, which have no
# features, and with those that the kernel gives them when it mounts first.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need python3

# shellcheck source=tests/mount/lib_load.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_load.sh"

host=$TMP/host.img
replayers=(kernel e2fsck rawmap)

# What dumpe2fs -h says of the journal: field FILE NAME.
field()
{
	dumpe2fs -h "$1" 2>/dev/null | sed -n "s/^$2: *//p"
}

# The kernel sets them with the first thing that it writes.
let_kernel_write()
{
	mkdir -p "$TMP/kernel"
	run mount -o loop "$host" "$TMP/kernel"
	run mkdir "$TMP/kernel/folder"
	run umount "$TMP/kernel"
}

# new_host KIND BLOCK FEATURES
new_host()
{
	make_host "$1" 24M "$host" -b "$2"
	[ "$3" = plain ] || let_kernel_write
	make_sparse 2M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	new_base 2M
	case $1-$3 in
	ext4-kernel) expect_equal "$(field "$host" 'Journal features')" \
		'journal_64bit journal_checksum_v3' 'journal features' ;;
	ext4-plain) expect_equal "$(field "$host" 'Journal features')" \
		'(none)' 'journal features' ;;
	esac
}

# So many KiB, so that what is freed is soon used again, as something else.
leave_free()
{
	local free
	free=$(($(field "$host" 'Free blocks') * $(field "$host" 'Block size')))
	yes filler | head -c $((free - ($1 << 10))) >"$TMP/filler"
	put_file "$host" "$TMP/filler" /filler
}

# Each takes the first of the load's bases, and the notes.
compare_replays()
{
	local who sum first=
	cp "$TMP/base" "$TMP/base.kept"
	for who in "${replayers[@]}"; do
		cp --sparse=always "$host" "$TMP/$who.img"
		"recover_by_$who" "$TMP/$who.img"
		check_host "$TMP/$who.img"
		get_file "$TMP/$who.img" /disk "$TMP/now"
		sum=$(sha256sum <"$TMP/now")
		expect_equal "$sum" "${first:=$sum}" "$what: content by $who"
	done
	judge "$TMP/now" 0
	say "$what: $(cat "$TMP/judged")"
}

sequence()
{
	echo $(($(field "$host" 'Journal sequence')))
}

# one WORKLOAD FROM TO: the versions until the kill, chosen between these.
one()
{
	local seed before
	pick 0 1000000
	seed=$picked
	pick "$2" "$3"
	before=$(sequence)
	mount_rawmap -o commit=1 -i /disk "$host" "$MNT"
	load "$MNT/disk" "$1" "$seed" "ack $picked"
	end_server
	field "$host" 'Filesystem features' | grep -q needs_recovery ||
		fail "$what: nothing to replay"
	# The tail moves when a lap of the log is over.
	restarted=$((restarted + ($(sequence) > before + 1)))
	compare_replays
	mv "$TMP/kernel.img" "$host"
}

rounds=1
[ -z "${RAWMAP_FULL-}" ] || rounds=10
for kind in ext3 ext4; do
	for block in 1024 4096; do
		for features in plain kernel; do
			restarted=0
			new_host "$kind" "$block" "$features"
			for ((i = 0; i < rounds; i++)); do
				for load in fill punch grow; do
					what="$kind $block $features $load"
					one "$load" 10 120
				done
			done
			# Writers share commits: how many there are of them for
			# so many versions depends on the machine.
			what="$kind $block $features much"
			for ((n = 800; !restarted && n <= 30000; n *= 2)); do
				one much "$n" $((n + 200))
			done
			[ "$restarted" -gt 0 ] ||
				fail "$what: the log never started over"
			what="$kind $block $features reuse"
			new_host "$kind" "$block" "$features"
			leave_free 2200
			one reuse 3000 6000
		done
	done
done
