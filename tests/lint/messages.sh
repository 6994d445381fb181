#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# docs/messages.md has every message of the sources, and none that they have
# not; and each names a test that asks for it. What is missing is printed as the
# row to be added.

# shellcheck source=tests/lint/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need python3
python3 -B tests/lint/messages.py check . || complain 'docs/messages.md'

finish
