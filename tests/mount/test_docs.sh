#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# --help, the man pages and the completion know the same commands and options,
# the program takes every mount option they name, and the man pages render.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
man=$top/docs/man
# shellcheck source=contrib/completion/rawmap.bash
source "$top/contrib/completion/rawmap.bash"

# Only a shell that completes has it.
compopt()
{
	:
}

commands=$("$RAWMAP" --help |
	sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -vx help)

# What completion offers behind the words, the last of which is being typed.
offered()
{
	COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
	COMP_LINE="$RAWMAP $*"
	COMP_POINT=${#COMP_LINE}
	_rawmap
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

# The options that a command's help names, without those for the help itself.
helped()
{
	"$RAWMAP" "$1" --help | sed -n '/^[A-Za-z ]*Options:/,$p' |
		grep -Eo '^  (-., )? *--[a-z-]+' | grep -Eo -- '--?[a-z-]+' |
		grep -vxe -h -e --help | sort
}

# The same of the command's page.
described()
{
	grep -E '^\*-' "$man/rawmap-$1.1.scd" |
		grep -Eo -- '\*--?[a-z-]+\*' | tr -d '*' | sort
}

# The mount options of the man page as they come: as name, name= or name=word.
listed_options()
{
	sed -n '/^# OPTIONS OF MOUNT$/,/^# OWN/p' "$man/rawmap-mount.1.scd" |
		grep -Eo '^\*[a-z_-]+=?[a-z]*\*' | tr -d '*'
}

# The same as name or name=.
mount_options()
{
	listed_options | sed 's/=[a-z]*/=/' | sort -u
}

test_commands()
{
	[ -n "$commands" ] || fail 'the help names no command'
	expect_equal "$(sed -En 's/^[|:] +\*rawmap-([a-z]*)\*\(1\)$/\1/p;
		s/^\|\[ \*rawmap-([a-z]*)\*\(1\)$/\1/p' "$man/rawmap.1.scd" | sort)" \
		"$(sort <<<"$commands")" "the commands of rawmap(1)"
	expect_equal "$(find "$man" -name 'rawmap-*.1.scd' |
		sed 's/.*rawmap-\(.*\)\.1\.scd/\1/' | sort)" \
		"$(sort <<<"$commands")" 'the pages of commands'
	expect_equal "$(offered '' | grep -v '^-' | grep -vx help)" \
		"$(sort <<<"$commands")" "the completion's commands"
}

test_width()
{
	local command
	for command in '' $commands; do
		# shellcheck disable=SC2086 # none, or one
		"$RAWMAP" $command --help >"$TMP/help"
		expect_equal "$(LC_ALL=C.UTF-8 awk 'length > 80' "$TMP/help")" \
			'' "lines of ${command:-rawmap} that are too long"
		grep -q '  $' "$TMP/help" && fail "blanks at an end: $command"
		[ "$(tail -n 1 "$TMP/help")" ] || fail "an empty end: $command"
	done
}

# As the man page sorts them.
test_order_of_mount_options()
{
	expect_equal "$("$RAWMAP" mount --help | sed -n '/for -o/,$p' |
		grep -Eo '[a-z_-]+(=[a-zA-Z|]+)?(,|$)' | grep -v '^-o' |
		sed -E 's/,//; s/=(.*[A-Z|].*)$/=/' | xargs)" \
		"$(listed_options | xargs)" 'order'
	[[ $("$RAWMAP" info --help) == *$'\n  ro, direct='* ]] ||
		fail 'info has groups'
}

# What a page's synopsis says, with and without the marks of scdoc.
test_synopses()
{
	local command page option
	for command in $commands; do
		page=$(sed -n '/^# SYNOPSIS/,/^# DESC/p' \
			"$man/rawmap-$command.1.scd" | tr -d '*_')
		for option in $(helped "$command" | grep -x -- '-.'); do
			grep -q -- "\[$option\|| $option" <<<"$page" ||
				fail "rawmap-$command(1): no $option in the synopsis"
		done
	done
}

test_options()
{
	local command
	for command in $commands; do
		expect_equal "$(described "$command")" "$(helped "$command")" \
			"the man page's options of $command"
		expect_equal "$(offered "$command" - | grep -vxe -h -e --help)" \
			"$(helped "$command")" \
			"the completion's options of $command"
	done
}

# Every one is taken: what is missed in the end is the source.
test_mount_options()
{
	local option value before
	expect_equal "$(offered mount -o '' | sed 's/=.*/=/' | sort -u)" \
		"$(mount_options)" "the completion's mount options"
	for option in $(mount_options); do
		before=
		case $option in
		norecovery | journal= | sb= | deleted | unwritten= | on-error= | \
			ddrescue=) before=ro, ;;
		blocksize=) before=ro,sb=1, ;;
		esac
		case $option in
		image=) value=/disk ;;
		fsname=) value=name ;;
		cache=) value=1M ;;
		direct= | engine= | allow_other=) value=auto ;;
		pin=) value=alloc ;;
		max_read=) value=65536 ;;
		blocksize=) value=4096 ;;
		unwritten=) value=raw ;;
		on-error=) value=zero ;;
		*=) value=3 ;;
		*) value='' ;;
		esac
		expect_status 1 "$RAWMAP" mount -i /disk \
			-o "$before$option$value" "$TMP/none" "$MNT"
		expect_text "$TMP/err" "cannot open '$TMP/none'"
	done
}

# expect_offered WANTED WORDS...: bash is given what follows the last "=".
expect_offered()
{
	local wanted=$1
	shift
	offered "$@" | grep -qxF -- "$wanted" ||
		fail "completion of '$*' does not offer '$wanted' but: \
$(offered "$@" | tr '\n' ' ')"
}

test_completed_values()
{
	local value
	for value in table json qemu dfxml dm svg; do
		expect_offered "$value" map --format ''
		expect_offered "$value" map --format=
		expect_status 1 "$RAWMAP" map --format "$value" "$TMP/none" /x
	done
	expect_offered ro,direct=auto mount -o ro,dir
	expect_offered on mount -o ro,direct=o
	expect_offered populate advise p
	touch "$TMP/changes"
	expect_offered "$TMP/changes" mount -o "ro,cow=$TMP/chan"
	expect_offered "$TMP/changes" info "$TMP/chan"
	expect_equal "$(offered mount -i '')" '' 'completed for PATH'
}

# scdoc puts a paragraph before everything; mandoc remarks on each.
test_man_pages_render()
{
	local page name
	need scdoc mandoc
	for page in "$man"/*.scd; do
		name=$(basename "$page" .scd)
		scdoc <"$page" >"$TMP/$name" || fail "scdoc refuses $page"
		mandoc -Tlint -W warning "$TMP/$name" >"$TMP/lint" 2>&1
		expect_equal "$(grep -v 'skipping paragraph macro' "$TMP/lint")" '' \
			"what mandoc says of $page"
	done
}

# A page that is named has to be there.
test_references()
{
	local name
	for name in $(grep -hoE '\*(rawmap[a-z-]*|mount\.rawmap)\*\([0-9]\)' \
		"$man"/*.scd | tr -d '*' | sort -u); do
		[ -e "$man/${name%(*}.${name//[!0-9]/}.scd" ] ||
			fail "no page $name"
	done
}

test_commands
test_width
test_order_of_mount_options
test_synopses
test_options
test_mount_options
test_completed_values
test_man_pages_render
test_references
