#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every header compiles alone: whoever includes it needs nothing before it.
# RAWMAP_BUILD_DIR is where the generated rawmap_config.h lies.

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compiler=${CC:-gcc}
need "$compiler"
need pkg-config
read -ra flags < <(pkg-config --cflags glib-2.0 ext2fs fuse3)
flags+=(-std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Itests
	-Wall -Wextra -Werror -Wno-unused)
if [[ -n ${RAWMAP_BUILD_DIR:-} ]]; then
	flags+=("-I$RAWMAP_BUILD_DIR")
fi

while IFS= read -r header; do
	# Twice, so that a missing include guard shows.
	printf '#include "%s"\n#include "%s"\n' "$root/$header" \
		"$root/$header" |
		"$compiler" "${flags[@]}" -fsyntax-only -x c - ||
		complain "$header does not compile alone"
done < <(find include src -name '*.h' | sort)

finish
