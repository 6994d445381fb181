#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# No script gives shellcheck anything to say.

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need shellcheck
while IFS= read -r file; do
	shellcheck -x "$file" || complain "$file: shellcheck complains"
done < <(scripts)

finish
