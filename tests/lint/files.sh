#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every source says its licence in its first lines and ends in a newline; none
# in src and include is longer than 600 lines.

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

licence='SPDX-License-Identifier: LGPL-2.1-or-later'
longest=600

sources() {
	find src include tests \( -name '*.c' -o -name '*.h' -o \
		-name '*.h.in' \) | sort
}

while IFS= read -r file; do
	[[ $(head -n 1 "$file") == "/* $licence */" ]] ||
		complain "$file: the first line is not '/* $licence */'"
	[[ -z $(tail -c 1 "$file") ]] || complain "$file: no newline at the end"
	lines=$(wc -l <"$file")
	if [[ $file != tests/* ]] && ((lines > longest)); then
		complain "$file: $lines lines, more than $longest; split it"
	fi
done < <(sources)

while IFS= read -r file; do
	[[ $(head -n 2 "$file") == *"# $licence"* ]] ||
		complain "$file: no '# $licence' in the first two lines"
done < <(scripts; find . -name CMakeLists.txt -not -path './build/*')

# What says which shell runs it is there to be run; what is sourced does not.
while IFS= read -r file; do
	if [[ $(head -c 2 "$file") == '#!' && ! -x $file ]]; then
		complain "$file: is not executable"
	fi
done < <(scripts)

finish
