#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# .clang-format decides how the code looks.

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need clang-format
while IFS= read -r file; do
	clang-format --dry-run -Werror "$file" >/dev/null 2>&1 ||
		complain "$file: run clang-format -i $file"
done < <(find src include tests -name '*.[ch]' | sort)

finish
