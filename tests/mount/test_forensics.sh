#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# docs/forensics.md is run as it stands, block by block; its hashes must agree.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need sfdisk debugfs mmls fls icat jq split

page=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/docs/forensics.md
mkdir "$TMP/bin" "$TMP/work"
ln -s "$RAWMAP" "$TMP/bin/rawmap"
mounts+=("$TMP"/work/{running,inner,host,ewf,parts,changed})

# What stands between ```sh and ```, with the word behind it if there is one.
awk -v ewf="$("$RAWMAP" --version | grep -c EWF)" '
	/^```sh/ { on = ($2 != "ewf" || ewf) ; next }
	/^```/ { on = 0 }
	on' "$page" >"$TMP/page.sh"
[ "$(grep -c rawmap "$TMP/page.sh")" -gt 10 ] || fail 'the page has no commands'

(cd "$TMP/work" && PATH=$TMP/bin:$PATH bash -eux -o pipefail "$TMP/page.sh") \
	>"$TMP/out" 2>"$TMP/err" || {
	tail -n 20 "$TMP/out" "$TMP/err" >&2
	mapfile -t loops < <(losetup -n -O NAME,BACK-FILE |
		awk -v at="$TMP/" 'index($2, at) == 1 { print $1 }')
	fail 'the page does not run'
}

# sums NAME...: the hashes that were printed for these files are one.
sums()
{
	local name all=
	for name; do
		all+=$(grep -E "^[0-9a-f]{64}  $name\$" "$TMP/out" | cut -c -64)$'\n'
	done
	expect_equal "$(printf %s "$all" | sort -u | wc -l)" 1 "hashes of $*"
	expect_equal "$(printf %s "$all" | grep -c .)" $# "hashes of $*"
}

sums host/disk.img vm.raw parts/disk.img
sums inner/letter.txt inside/letter.txt -
grep -q EWF <("$RAWMAP" --version) && sums vm.raw ewf/disk.img
expect_text "$TMP/out" 'replayed in memory'
expect_equal "$(grep -c '^evidence.raw: OK$' "$TMP/out")" 2 'the evidence'
expect_text "$TMP/out" '"bytes_written":0'
