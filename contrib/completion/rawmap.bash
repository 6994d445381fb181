# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Bash completion for rawmap(1).

# The options of -o, the last piece behind a comma.
_rawmap_mount_options()
{
	local before="" cur=$1 option
	local names='image= ro rw commit= sync discard cache= direct=auto
		direct=on direct=off engine=auto engine=uring engine=threads
		io_uring threads= allow_other allow_root auto_unmount fsname=
		max_read='

	[[ $cur == *,* ]] && before=${cur%,*},
	compopt -o nospace
	while IFS= read -r option; do
		COMPREPLY+=("$before$option")
	done < <(compgen -W "$names" -- "${cur##*,}")
}

_rawmap_words()
{
	local word
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -W "$1" -- "$2")
}

_rawmap_files()
{
	local file
	compopt -o filenames
	while IFS= read -r file; do
		COMPREPLY+=("$file")
	done < <(compgen -f -- "$1")
}

_rawmap()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_rawmap_words 'mount map info recover advise stats help
			--help --version' "$cur"
		return
	fi
	case ${COMP_WORDS[1]} in
	help)
		_rawmap_words 'mount map info recover advise stats' "$cur"
		return
		;;
	mount)
		case $prev in
		-o | --options)
			_rawmap_mount_options "$cur"
			return
			;;
		-i | --image)
			return
			;;
		esac
		[[ $cur == -* ]] && _rawmap_words '-i --image -r --read-only
			-o --options -f --foreground -d --debug -v --verbose
			-h --help' "$cur"
		;;
	map)
		if [[ $prev == --format ]]; then
			_rawmap_words 'table json' "$cur"
			return
		fi
		[[ $cur == -* ]] && _rawmap_words '--format -h --help' "$cur"
		;;
	info)
		[[ $cur == -* ]] && _rawmap_words '-h --help' "$cur"
		;;
	recover)
		[[ $cur == -* ]] && _rawmap_words '-n --dry-run -h --help' \
			"$cur"
		;;
	advise)
		if ((COMP_CWORD == 2)); then
			_rawmap_words 'populate drop pin unpin -h --help' "$cur"
			return
		fi
		[[ $cur == -* ]] && _rawmap_words '-h --help' "$cur"
		;;
	stats)
		[[ $cur == -* ]] && _rawmap_words '--json -h --help' "$cur"
		;;
	esac
	[[ $cur == -* ]] || _rawmap_files "$cur"
}

complete -F _rawmap rawmap
