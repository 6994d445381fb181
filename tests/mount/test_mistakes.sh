#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Wrong ways to say it: each is refused in a line, with the status that is
# documented, and nothing is mounted or made.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need debugfs

host=$TMP/host.img
gone=rawmap-test-gone.$$	# what must not appear in "/"

# refuse STATUS TEXT ARGUMENTS...: one line, with TEXT, without control characters.
refuse()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$RAWMAP" "$@"
	expect_text "$TMP/err" "$text"
	expect_equal "$(wc -l <"$TMP/err")" 1 "lines on standard error of: $*"
	grep -q '[[:cntrl:]]' "$TMP/err" && fail "control characters: $*"
	grep -q ' $' "$TMP/err" && fail "a blank at the end: $*"
	[ ! -s "$TMP/out" ] || fail "standard output of: $*"
	expect_equal "$(grep -c "^$TMP" /proc/self/mounts)" 0 'mounts'
}

test_empty_words()
{
	refuse 2 'empty' mount -i /disk '' "$MNT"
	refuse 2 'empty' mount -i /disk "$host" ''
	refuse 1 "''" map '' /disk
	refuse 1 "''" info ''
	refuse 1 "''" recover ''
	refuse 1 "''" detach ''
	refuse 1 "''" stats ''
	refuse 2 "''" map "$host" ''
	refuse 2 "''" mount -i '' "$host" "$MNT"
	refuse 2 "''" help ''
	refuse 2 "'cow' needs a value" mount -i /disk -o cow= "$host" "$MNT"
}

test_slash_at_the_end()
{
	: >"$TMP/naked"
	refuse 1 "'$host/': Not a dir" mount -i /disk "$host/" "$MNT"
	refuse 1 "'$TMP/naked/': Not a dir" mount -i /disk "$host" "$TMP/naked/"
	refuse 1 "'$MNT/' is neither" mount -i /disk "$MNT/" "$MNT"
	run "$RAWMAP" mount -i /disk "$host" "$MNT//"
	mounts+=("$MNT")
	is_mounted "$MNT" || fail 'not mounted'
	run "$RAWMAP" detach "$MNT/"
}

# Of a folder that is not there any more nothing is below "/".
test_removed_folder()
{
	mkdir "$TMP/folder"
	cd "$TMP/folder" || fail cd
	rmdir "$TMP/folder"
	refuse 1 "'$gone' starts from is gone" mount -i /disk "$gone" "$MNT"
	refuse 1 "'$gone' starts from is gone" mount -i /disk "$host" "$gone"
	refuse 1 "'.' starts from is gone" mount -i /disk "$host" .
	refuse 1 "'$gone' starts" mount -i /disk -o "cow=$gone" "$host" "$MNT"
	refuse 1 "'$gone' starts" mount -i /disk -o "audit=$gone" "$host" "$MNT"
	refuse 1 "'$gone': No such" info "$gone"
	[ ! -e "/$gone" ] || fail "made: /$gone"
	run "$RAWMAP" mount -i /disk "$host" "$MNT"
	expect_equal "$(stat -c %s "$MNT/disk")" 4194304 'size'
	run "$RAWMAP" detach "$MNT"
	cd "$TMP" || fail cd
}

test_root()
{
	refuse 2 "the mountpoint is '/'" mount -i /disk "$host" /
	refuse 2 "the mountpoint is '/'" mount -i /disk "$host" /..
	grep -qF "$host" /proc/self/mounts && fail 'mounted on /'
	return 0
}

test_values()
{
	refuse 2 "'--json' takes no value" list --json=x
	refuse 2 "'--read-only' takes no value" mount --read-only=no \
		-i /disk "$host" "$MNT"
	refuse 2 "'--json' takes no value; see 'rawmap stats --help'" stats \
		--json=x "$host"
	refuse 2 'Missing argument' mount -o
	refuse 2 'usage: rawmap list [OPTION...]' list more
	run "$RAWMAP" info -- "$host" >"$TMP/info"
}

# A value may stand behind its letter.
test_joined_values()
{
	local ino
	ino=$(debugfs -R 'stat /disk' "$host" 2>/dev/null |
		sed -n 's/^Inode: \([0-9]*\) .*/\1/p')
	refuse 2 "'commit='" mount "-i<$ino>" -oro,commit=5 "$host" "$MNT"
	run "$RAWMAP" mount "-i<$ino>" -oro "$host" "$MNT"
	mounts+=("$MNT")
	[[ $(findmnt -n -o OPTIONS --mountpoint "$MNT") == ro,* ]] ||
		fail 'not read-only'
	run "$RAWMAP" stats -c1 "$MNT/inode-$ino" >"$TMP/stats"
	expect_equal "$(wc -l <"$TMP/stats")" 2 'lines'
	run "$RAWMAP" detach "$MNT"
	refuse 2 'Unknown option -rx' mount -rx -i/disk "$host" "$MNT"
	refuse 1 'cannot open' map -- -oro /disk
}

# What another command takes is not unknown.
test_options_of_others()
{
	refuse 2 "'allow_other' means nothing" info -o allow_other "$host"
	refuse 2 "'max_read=' means nothing" map -o max_read=4096 "$host" /disk
	refuse 2 "'commit=' means nothing" recover -o commit=1 "$host"
	refuse 2 'rawmap-mount(1)' info -o nosuch "$host"
}

# It would be a mount that neither list nor detach knows.
test_type()
{
	refuse 2 "'subtype='" mount -i /disk -o ro,subtype=other "$host" "$MNT"
}

# One line is one message, and a terminal does nothing but show it.
test_strange_names()
{
	local name
	for name in $'a\nrawmap: b' $'\e[2J' $'\r\b\a'; do
		refuse 1 'No such file' info "$name"
		refuse 1 'No such file' mount -i /disk "$name" "$MNT"
		refuse 1 'No such file' mount -i /disk "$host" "$name"
		refuse 1 'there is no' mount -i "/$name" "$host" "$MNT"
		refuse 2 'there is no command' "$name"
		refuse 2 'unknown option' mount -i /disk -o "$name" "$host" "$MNT"
		refuse 1 'neither' detach "$name"
	done
}

# What is called like that is used all the same.
test_strange_files()
{
	local name
	cd "$TMP" || fail cd
	for name in $'new\nline' 'a blank' $'\xff\xfe' -dash; do
		cp -- "$host" "$name.img"
		mkdir -- "$name"
		mounts+=("$TMP/$name")
		run "$RAWMAP" mount -i /disk -- "$name.img" "$name"
		expect_equal "$(stat -c %s "./$name/disk")" 4194304 'size'
		run "$RAWMAP" detach -- "$name"
		check_host "./$name.img"
	done
}

# It is out of sight then, and is written all the same.
test_source_below_its_mountpoint()
{
	mkdir "$TMP/in"
	mounts+=("$TMP/in")
	cp "$host" "$TMP/in/host.img"
	cd "$TMP/in" || fail cd
	run "$RAWMAP" mount -o cow=changes -i /disk host.img .
	expect_equal "$(cd "$TMP/in" && echo *)" disk 'names'
	printf x | dd of="$TMP/in/disk" conv=notrunc status=none
	cd "$TMP" || fail cd
	run "$RAWMAP" detach in
	expect_equal "$(cd "$TMP/in" && echo *)" 'changes host.img' 'names'
	expect_same_bytes "$TMP/in/host.img" "$host"
}

make_host ext4 16M "$host"
make_sparse 4M "$TMP/disk"
put_file "$host" "$TMP/disk" /disk

test_empty_words
test_slash_at_the_end
test_removed_folder
test_root
test_values
test_joined_values
test_options_of_others
test_type
test_strange_names
test_strange_files
test_source_below_its_mountpoint
check_host "$host"
