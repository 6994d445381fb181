#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every #include obeys src/LAYERS: a file of a layer includes headers of its own
# layer and of lower ranks, no private header but its own, and the libraries
# that belong to one layer stay there.
#
# usage: layers.sh [TREE]

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

declare -A rank
while read -r number name; do
	rank[$name]=$number
done < <(grep -E '^[0-9]' src/LAYERS)
((${#rank[@]})) || complain "src/LAYERS names no layer"

check_rawmap() { # PLACE LAYER HEADER
	local other=${3%%/*}

	# A header directly in rawmap/ belongs to users, not to a layer.
	[[ $3 == */* ]] || return 0
	if [[ -z ${rank[$other]:-} ]]; then
		complain "$1: <rawmap/$3>: no layer '$other' in src/LAYERS"
	elif [[ $other != "$2" ]] && ((rank[$other] >= rank[$2])); then
		complain "$1: <rawmap/$3>: $2 (rank ${rank[$2]}) must not" \
			"see $other (rank ${rank[$other]})"
	fi
}

check_include() { # PLACE LAYER INCLUDE
	case $3 in
	'<rawmap/'*) check_rawmap "$1" "$2" "${3:8:-1}" ;;
	'<ext2fs/'* | '<et/'* | '<e2p/'*)
		[[ $2 == hostfs ]] || complain "$1: $3 only in hostfs" ;;
	'<fuse'* | '<linux/fuse.h>')
		[[ $2 == fuse ]] || complain "$1: $3 only in fuse" ;;
	'<libewf'*)
		[[ $2 == dev ]] || complain "$1: $3 only in dev" ;;
	'"'*/*)
		complain "$1: $3: name it <rawmap/layer/module.h>" ;;
	'"'*)
		[[ -f src/$2/${3:1:-1} ]] ||
			complain "$1: $3 is not a header of src/$2" ;;
	esac
}

while IFS=: read -r file line text; do
	case $file in
	src/*) layer=${file#src/} ;;
	include/rawmap/*/*) layer=${file#include/rawmap/} ;;
	*) continue ;;
	esac
	layer=${layer%%/*}
	if [[ -z ${rank[$layer]:-} ]]; then
		complain "$file: '$layer' is not in src/LAYERS"
		continue
	fi
	if [[ $text =~ include[[:blank:]]*(\<[^>]*\>|\"[^\"]*\") ]]; then
		check_include "$file:$line" "$layer" "${BASH_REMATCH[1]}"
	else
		complain "$file:$line: an #include that cannot be read"
	fi
done < <(grep -rnE --include='*.[ch]' '^[[:blank:]]*#[[:blank:]]*include' \
	src include)

finish
