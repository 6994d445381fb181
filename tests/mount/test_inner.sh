#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A filesystem in an image, on every kind of host.

# shellcheck source=tests/mount/lib_inner.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_inner.sh"

for kind in ext2 ext3 ext4; do
	for block in 1024 2048 4096; do
		make_host "$kind" 48M "$TMP/$kind-$block" -b "$block"
		make_sparse 24M "$TMP/disk"
		put_file "$TMP/$kind-$block" "$TMP/disk" /disk
		inner_life "$TMP/$kind-$block" 24
		rm "$TMP/$kind-$block"
	done
done
