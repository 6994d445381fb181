#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every example of README.md and of the man pages is run as it stands. One that
# needs what lib_machine.sh does not have for it fails, so that none is written
# which nobody has run.
#
#   README.md         what is indented by four, and what stands between ```sh and
#                     ```; all of one heading together
#   docs/man/*.scd    each block between ``` and ```
#
# An example is one script, without prompts and output, which bash -e runs to its
# end in a home folder: nothing of another example is there. A line `...` stands for
# what the reader does meanwhile, and is left out; /dev/loop0, or another number, for
# the first loop device that is free. Lines in the form of fstab(5) are put there.
# Root runs what mounts, what attaches, and what has to do with /dev, /mnt and /etc;
# an ordinary user runs everything else.
#
# What builds and tests rawmap is run by whoever runs this; of that only the names
# are looked up.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need unshare setpriv debugfs sfdisk mkswap jq qemu-img qemu-io

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
blocks=$TMP/blocks
export MASTERS=$TMP/masters
export RAWMAP
mkdir "$blocks" "$MASTERS" "$TMP/machine"

# ---- what there is to run ----

# blocks_of FILE: each example becomes a file PAGE:LINE.
blocks_of()
{
	local page
	page=$(basename "$1")
	case $page in
	*.scd) awk -v to="$blocks/$page" '
		/^```$/ { on = !on; out = to ":" NR + 1; next }
		on { print >out }' "$1" ;;
	*.md) awk -v to="$blocks/$page" '
		function put(line) {
			if (!out)
				out = to ":" NR
			print line >out
		}
		/^```/ { on = on ? 0 : /^```sh/; fence = !fence; next }
		on { put($0); next }
		fence { next }
		/^#/ { out = "" }
		/^    / && (inside || before ~ /^[ \t]*$/) {
			inside = 1
			put(substr($0, 5))
		}
		/^ ? ? ?[^ \t]/ { inside = 0 }
		{ before = $0 }' "$1" ;;
	esac
}

collect()
{
	local page
	blocks_of "$top/README.md"
	for page in "$top"/docs/man/*.scd; do
		blocks_of "$page"
		! grep -qx '# EXAMPLES' "$page" ||
			compgen -G "$blocks/$(basename "$page"):*" >/dev/null ||
			fail "$page has EXAMPLES, and none is found"
	done
	for page in README.md rawmap.1.scd; do
		compgen -G "$blocks/$page:*" >/dev/null ||
			fail "no example is found in $page"
	done
}

# ---- what is run elsewhere ----

# What is named there is there. False: this line is not about the checkout.
is_about_checkout()
{
	local line=${1%%#*} name
	line=${line%"${line##*[! ]}"}
	case $line in
	contrib/*)
		[ -x "$top/${line%% *}" ] || fail "no '${line%% *}'"
		;;
	'cmake --preset '* | 'ctest --preset '* | 'cmake --build --preset '*)
		grep -Eo 'preset [a-z]+' <<<"$line" >"$TMP/presets"
		while read -r _ name; do
			expect_text "$top/CMakePresets.json" "\"$name\""
		done <"$TMP/presets"
		;;
	'cmake --install build/'*)
		expect_text "$top/CMakePresets.json" \
			"\"${line#cmake --install build/}\""
		;;
	'git clone '* | 'cd rawmap' | 'apt install ./build/'*) ;;
	*) return 1 ;;
	esac
}

# leave_out BLOCK: the lines about the checkout. False: nothing else was there.
leave_out()
{
	local line
	: >"$TMP/rest"
	while IFS= read -r line; do
		is_about_checkout "$line" || printf '%s\n' "$line" >>"$TMP/rest"
	done <"$1"
	mv "$TMP/rest" "$1"
	grep -q '[^ 	]' "$1"
}

# ---- what an example may find ----

# The host has the images that any example names; the first one has the number that
# stands in angle brackets. An image is a filesystem, and has a partition table in
# front of it with another filesystem behind.
make_masters()
{
	local names name
	names=$(cat "$blocks"/* | tr -s " \t=,()\"';" '\n' |
		grep -Ex '/(vm/[A-Za-z0-9._-]+|[A-Za-z0-9_-]+\.(img|swap|qcow2))' |
		grep -vx /vm/disk.img | sort -u)
	mkdir "$TMP/tree"
	seq 10000 >"$TMP/tree/numbers"
	echo 'a letter' >"$TMP/tree/letter.txt"
	truncate -s 8M "$TMP/part"
	run mke2fs -q -F -t ext4 -d "$TMP/tree" "$TMP/part"
	truncate -s 12M "$TMP/inner"
	run mke2fs -q -F -t ext4 -d "$TMP/tree" "$TMP/inner"
	run dd if="$TMP/part" of="$TMP/inner" bs=1M seek=12 conv=notrunc,sparse \
		status=none
	truncate -s 20M "$TMP/inner"
	run sfdisk -q --label dos "$TMP/inner" >"$TMP/sfdisk" 2>&1 \
		<<<'start=12MiB, size=8MiB'
	make_sparse 16M "$MASTERS/swap.img"
	run mkswap -q "$MASTERS/swap.img"
	run qemu-img create -q -f qcow2 "$TMP/qcow2" 64M
	make_host ext4 48M "$MASTERS/host.img"
	{
		printf '%s\n' "write $TMP/inner disk.img" 'mkdir vm' \
			'ln <12> /vm/disk.img' 'unlink disk.img'
		for name in $names; do
			echo "cd $(dirname "$name")"
			case $name in
			*.qcow2) echo "write $TMP/qcow2 $(basename "$name")" ;;
			*swap*) echo "write $MASTERS/swap.img $(basename "$name")" ;;
			*) echo "write $TMP/inner $(basename "$name")" ;;
			esac
		done
	} >"$TMP/commands"
	run debugfs -w -f "$TMP/commands" "$MASTERS/host.img" \
		>"$TMP/debugfs" 2>&1
	check_host "$MASTERS/host.img"

	make_sparse 72M "$MASTERS/disk.img"
	run sfdisk -q --label gpt "$MASTERS/disk.img" >"$TMP/sfdisk" 2>&1 <<-END
		start=1MiB, size=8MiB, name=boot
		start=16MiB, size=48MiB, name=store
	END
	run dd if="$MASTERS/host.img" of="$MASTERS/disk.img" bs=1M seek=16 \
		conv=notrunc,sparse status=none
}

has_ewf()
{
	"$RAWMAP" --version | grep -q EWF && command -v ewfacquire >/dev/null
}

make_evidence()
{
	[ -e "$MASTERS/evidence.E01" ] && return
	run ewfacquire -u -q -t "$MASTERS/evidence" -f encase6 -c none \
		"$MASTERS/disk.img" >"$TMP/ewf" 2>&1
}

# ---- one example ----

# Does it do what only root may?
is_for_root()
{
	local words='losetup|mount|umount|swapon|swapoff|mkswap|dmsetup|fstrim'
	words+='|rawmap (attach|detach)|blkdiscard|systemctl'
	sed -E 's/#.*//; s,/dev/(null|zero|std(in|out|err)),,g' "$1" |
		grep -Eq "(^|[;&|(]) *($words)( |\$)|/dev/|/mnt|/etc/|/run/|^(/|UUID=|\\[[A-Z])"
}

run_example()
{
	local block=$1 owner=user name
	name=$(basename "$block")
	if grep -q '\.E01' "$block"; then
		if ! has_ewf; then
			say "$name: left out, no EWF here"
			return
		fi
		make_evidence
	fi
	! is_for_root "$block" || owner=root
	if unshare -m -p -f --kill-child -- bash "$here/lib_machine.sh" \
		"$TMP/machine" "$block" "$owner" >"$TMP/out" 2>&1; then
		check_output
		say "$name: ok, by $owner"
		return
	fi
	say "--- the example, run by $owner:"
	cat "$block" >&2
	say "--- and what came of it:"
	cat "$TMP/out" >&2
	failed+=("$name")
}

# As lib.sh looks at a server's log.
check_output()
{
	local found
	found=$(grep -Ei "$suspicious" "$TMP/out" |
		grep -Ev '^mkswap: |corrupt: false')
	[ -z "$found" ] || fail "$name prints: $found"
}

collect
failed=()
for block in "$blocks"/*; do
	leave_out "$block" || rm "$block"
done
make_masters
for block in "$blocks"/*; do
	run_example "$block"
done
[ -z "${failed[*]}" ] || fail "examples that do not run: ${failed[*]}"
