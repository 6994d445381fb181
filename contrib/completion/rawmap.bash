# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Bash completion for rawmap(1). It knows no command and no option: it asks the
# program that is being typed, which says so in its --help. What it reads there:
#
#   a line of a command      "  mount   Show images ..."
#   a line of an option      "  -i, --image=PATH       Show this ..."
#   lines about -o           "Options for -o ...:" and below it, indented, maybe
#                            behind a word or two, "image=PATH, ro, ..."
#   words to choose from     auto|on|off: lower case, with bars between them
#   a file, or another value in upper case: FILE, DEVICE, PATH; BYTES, N

# Lower-case words of a|b|C, a line each.
_rawmap_choices()
{
	local word
	local -a words
	IFS='|' read -ra words <<<"$1"
	for word in "${words[@]}"; do
		[[ $word == [[:lower:]]* ]] && printf '%s\n' "$word"
	done
}

# What -o may be given: "name", "name=", or "name=choice", a line each.
_rawmap_mount_options() # HELP
{
	local item name value word
	local -a items
	IFS=, read -ra items <<<"$(sed -En '/^Options for -o/,/^$/ {
		s/^  [a-z]+( [a-z]+)*  +/ /
		s/^ +/,/p
	}' <<<"$1" | tr -d '\n')"
	for item in "${items[@]# }"; do
		[[ $item ]] || continue
		name=${item%%=*}
		[[ $item == *=* ]] || {
			printf '%s\n' "$name"
			continue
		}
		value=${item#*=}
		for word in $(_rawmap_choices "$value"); do
			printf '%s=%s\n' "$name" "$word"
		done
		[[ $value == *[[:upper:]]* ]] && printf '%s=\n' "$name"
	done
}

_rawmap_offer() # WORDS CURRENT [WHAT STANDS BEFORE IT]
{
	local word
	while IFS= read -r word; do
		COMPREPLY+=("${3-}$word")
	done < <(compgen -W "$1" -- "$2")
}

_rawmap_offer_files() # CURRENT [WHAT STANDS BEFORE IT]
{
	local file
	compopt -o "$([[ ${2-} ]] && echo nospace || echo filenames)"
	while IFS= read -r file; do
		COMPREPLY+=("${2-}$file")
	done < <(compgen -f -- "$1")
}

# The last piece behind a comma; a file where the option takes one.
_rawmap_complete_mount() # HELP CURRENT
{
	local before='' last=${2##*,} name

	[[ $2 == *,* ]] && before=${2%,*},
	name=${last%%=*}
	if [[ $last == *=* && $1 == *[\ ,]"$name"=@(FILE|DEVICE)* ]]; then
		_rawmap_offer_files "${last#*=}" "$before$name="
		return
	fi
	compopt -o nospace
	_rawmap_offer "$(_rawmap_mount_options "$1")" "$last" "$before"
}

# The value of an option that takes one; false when it takes none.
_rawmap_complete_value() # HELP OPTION CURRENT
{
	local value

	value=$(awk -v option="$2" '/^  -/ {
		long = $1 ~ /,$/ ? $2 : $1
		at = index(long, "=")
		if (at && (substr(long, 1, at - 1) == option || $1 == option ","))
			print substr(long, at + 1)
	}' <<<"$1")
	case $value in
	'') return 1 ;;
	OPTS) _rawmap_complete_mount "$1" "$3" ;;
	FILE | DEVICE) _rawmap_offer_files "$3" ;;
	*) _rawmap_offer "$(_rawmap_choices "$value")" "$3" ;;
	esac
}

_rawmap_complete() # PROGRAM WORDS... (the last one is being typed)
{
	local program=$1 cur=${*: -1} prev=${*: -2:1} help commands first

	commands=$("$program" --help 2>/dev/null |
		sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
	if (($# == 2)); then
		_rawmap_offer "$commands --help --version" "$cur"
		return
	fi
	if [[ $2 == help ]]; then
		(($# == 3)) && _rawmap_offer "$commands" "$cur"
		return
	fi
	grep -qxF -- "$2" <<<"$commands" || return
	help=$("$program" "$2" --help 2>/dev/null)
	if [[ $cur == --*=* ]]; then
		_rawmap_complete_value "$help" "${cur%%=*}" "${cur#*=}"
		COMPREPLY=("${COMPREPLY[@]/#/${cur%%=*}=}")
		return
	fi
	_rawmap_complete_value "$help" "$prev" "$cur" && return
	if [[ $cur == -* ]]; then
		_rawmap_offer "$(sed -n '/^[A-Za-z ]*Options:/,$p' <<<"$help" |
			grep -Eo -- '^  (-., )? *--[a-z-]+' |
			grep -Eo -- '--?[a-z-]+')" "$cur"
		return
	fi
	# The first operand, where it is one of some words.
	first=$(sed -n '2s/.*\] \([a-z|]*\) .*/\1/p' <<<"$help")
	if (($# == 3)) && [[ $first == *'|'* ]]; then
		_rawmap_offer "$(_rawmap_choices "$first")" "$cur"
		return
	fi
	_rawmap_offer_files "$cur"
}

# bash takes a word to begin behind each "=" and ":"; here it does not, so what
# stands before the last of them is taken off again in the end.
_rawmap()
{
	local line=${COMP_LINE:0:COMP_POINT} cur before
	local -a words

	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=('')
	cur=${words[*]: -1}
	[[ ${words[0]} == '~'/* ]] && words[0]=$HOME/${words[0]#'~/'}

	COMPREPLY=()
	_rawmap_complete "${words[@]}"
	if [[ $COMP_WORDBREAKS == *=* && $cur == *[=:]* ]]; then
		before=${cur%"${cur##*[=:]}"}
		COMPREPLY=("${COMPREPLY[@]#"$before"}")
	fi
}

complete -F _rawmap rawmap
