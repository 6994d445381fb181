# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Common to the lint scripts: each looks at the tree below $root, this one
# unless the script is given another, prints one line per finding and fails
# when there was any. Sourced, never run.

root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}" && pwd) || exit 1
cd "$root" || exit 1
findings=0

complain() {
	printf '%s\n' "$*"
	findings=$((findings + 1))
}

finish() {
	if ((findings)); then
		echo "$findings finding(s)"
		exit 1
	fi
	exit 0
}

need() {
	command -v "$1" >/dev/null && return
	echo "$1 is not installed; see contrib/deps test"
	exit 77
}

# The project's own scripts: by name, or by what they start with.
scripts() {
	local file
	while IFS= read -r file; do
		case $file in
		*.sh) echo "$file" ;;
		*) if head -n 3 "$file" |
			grep -qE "^#!.*\b(ba)?sh\b|^# shellcheck shell="; then
			echo "$file"
		fi ;;
		esac
	done < <(find contrib tests .ci -type f -size -256k | sort)
}
