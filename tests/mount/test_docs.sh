#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# --help, the man page and the completion know the same commands and options,
# the program takes every mount option they name, and the man page renders.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
man=$top/docs/rawmap.1.scd
# shellcheck source=contrib/completion/rawmap.bash
source "$top/contrib/completion/rawmap.bash"

# Only a shell that completes has it.
compopt()
{
	:
}

commands=$("$RAWMAP" --help |
	sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | sort)

# What completion offers behind the words, the last of which is being typed.
offered()
{
	COMP_WORDS=(rawmap "$@")
	COMP_CWORD=$#
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

# The same of the command's section in the man page.
described()
{
	sed -n "/^## $1\$/,/^#/p" "$man" | grep -E '^\*-' |
		grep -Eo -- '\*--?[a-z-]+\*' | tr -d '*' | sort
}

# The mount options of the man page, as name or name=.
mount_options()
{
	sed -n '/^# OPTIONS OF MOUNT$/,/^# OWN/p' "$man" |
		grep -Eo '^\*[a-z_-]+=?[a-z]*\*' | sed 's/=[a-z]*/=/' | tr -d '*' | sort
}

test_commands()
{
	[ -n "$commands" ] || fail 'the help names no command'
	expect_equal "$(sed -n 's/^## //p' "$man" | sort)" "$commands" \
		"the man page's commands"
	expect_equal "$(offered '' | grep -v '^-')" "$commands" \
		"the completion's commands"
	expect_equal "$(offered help '')" "$(grep -vx help <<<"$commands")" \
		'what completion offers behind help'
}

test_options()
{
	local command
	for command in $commands; do
		[ "$command" != help ] || continue
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
		direct= | engine=) value=auto ;;
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

test_completed_lists()
{
	local value
	for value in $(offered map --format ''); do
		expect_status 1 "$RAWMAP" map --format "$value" "$TMP/none" /x
	done
	for value in auto on off; do
		offered mount -o 'ro,dir' | grep -qx "ro,direct=$value" ||
			fail "completion behind a comma: no direct=$value"
	done
}

# scdoc puts a paragraph before everything; mandoc remarks on each.
test_man_page_renders()
{
	need scdoc mandoc
	scdoc <"$man" >"$TMP/rawmap.1" || fail 'scdoc refuses the man page'
	mandoc -Tlint -W warning "$TMP/rawmap.1" >"$TMP/lint" 2>&1
	expect_equal "$(grep -v 'skipping paragraph macro' "$TMP/lint")" '' \
		'what mandoc says of the man page'
}

test_commands
test_options
test_mount_options
test_completed_lists
test_man_page_renders
