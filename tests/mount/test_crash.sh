#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Power losses under a mount, for each engine: several clients write, punch and
# flush at once, with writes in flight; what the program does to the descriptor
# of its source is recorded below it, and the states that a power loss could
# have left are judged by the crash laboratory, see tool_crash.c. Recordings of
# the last kind with a fault have to be found bad; with RAWMAP_FULL all.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

tools=${RAWMAP_TOOLS:?the folder of the programs that tests run}
unset RAWMAP_TEST_ENGINE

# The next word of the laboratory.
expect_word()
{
	local word=
	read -r -u "${lab[0]}" word
	expect_equal "$word" "$1" 'the laboratory'
}

# power_losses ENGINE KIND BLOCK
power_losses()
{
	local pid faults=${RAWMAP_FULL:+faults}
	[ "$2" = ext4 ] && faults=faults
	: >"$TMP/source"
	mounts+=("$TMP/source")
	coproc lab {
		exec "$tools/tool_crash" "$TMP/source" "$MNT/disk.img" \
			"-t $2 -b $3" "$3" ${faults:+"$faults"}
	}
	# shellcheck disable=SC2154
	pid=$lab_PID
	say "# engine=$1"
	expect_word ready
	mount_rawmap -o "engine=$1,commit=1" -i /disk.img "$TMP/source" "$MNT"
	echo mounted >&"${lab[1]}"
	expect_word 'done'
	unmount_rawmap
	echo unmounted >&"${lab[1]}"
	wait "$pid" || fail "engine=$1, $2 -b $3: see above"
}

blocks=(1024 4096)
for engine in uring threads; do
	for kind in ext2 ext3 ext4; do
		power_losses "$engine" "$kind" "${blocks[RANDOM % 2]}"
	done
done
