# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Bash completion for rawmap(1).

_rawmap_of_place='direct=auto direct=on direct=off offset= partition=auto
	partition='
_rawmap_of_source="$_rawmap_of_place journal= norecovery sb= blocksize= deleted
	unwritten=raw on-error=zero ddrescue="
_rawmap_of_mount="$_rawmap_of_source image= ro rw commit= sync discard cache=
	engine=auto engine=uring engine=threads io_uring threads= cow= audit=
	allow_other allow_root auto_unmount fsname= max_read="

# The options of -o, the last piece behind a comma; a file where one is named.
_rawmap_mount_options()
{
	local before="" cur=$1 names=$2 option

	if [[ ${cur##*,} == @(journal|ddrescue|cow|audit)=* ]]; then
		before=${cur%"${cur##*=}"}
		compopt -o nospace
		while IFS= read -r option; do
			COMPREPLY+=("$before$option")
		done < <(compgen -f -- "${cur##*=}")
		return
	fi
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
			_rawmap_mount_options "$cur" "$_rawmap_of_mount"
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
		case $prev in
		--format)
			_rawmap_words 'table json qemu dfxml dm svg' "$cur"
			return
			;;
		--at | --device-block)
			return
			;;
		-o | --options)
			_rawmap_mount_options "$cur" "$_rawmap_of_source"
			return
			;;
		esac
		[[ $cur == -* ]] && _rawmap_words '--format --at --device-block
			-o --options -h --help' "$cur"
		;;
	info)
		if [[ $prev == @(-o|--options) ]]; then
			_rawmap_mount_options "$cur" "$_rawmap_of_source"
			return
		fi
		[[ $cur == -* ]] && _rawmap_words '-o --options -h --help' "$cur"
		;;
	recover)
		if [[ $prev == @(-o|--options) ]]; then
			_rawmap_mount_options "$cur" "$_rawmap_of_place"
			return
		fi
		[[ $cur == -* ]] && _rawmap_words '-n --dry-run -o --options -h
			--help' "$cur"
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
