#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# layers.sh finds what it is there to find: each violation, put into a small
# tree of its own, makes it fail, and what is allowed does not.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0

# The file is alone in a tree with the real list of layers.
verdict() { # FILE INCLUDE -> exit status of the lint, its output in $said
	rm -rf "${tree:?}"/*
	mkdir -p "$tree/include/rawmap" "$tree/src/map" \
		"$(dirname "$tree/$1")"
	cp "$here/../../src/LAYERS" "$tree/src/"
	touch "$tree/src/map/map_priv.h"
	printf '%s\n' "$2" >"$tree/$1"
	said=$("$here/layers.sh" "$tree")
}

refused() {
	if verdict "$1" "$2"; then
		echo "not found: $2 in $1"
		failures=$((failures + 1))
	elif [[ $said != "$1:1: "* ]]; then
		echo "found for another reason: $2 in $1: $said"
		failures=$((failures + 1))
	fi
}

allowed() {
	if ! verdict "$1" "$2"; then
		echo "complained about $2 in $1: $said"
		failures=$((failures + 1))
	fi
}

allowed src/image/a.c '#include <rawmap/image/image.h>'
allowed src/image/a.c '#include <rawmap/base/units.h>'
allowed src/image/a.c '#include <stdio.h>'
allowed src/map/a.c '#include "map_priv.h"'
allowed src/hostfs/a.c '#include <ext2fs/ext2fs.h>'
allowed src/fuse/a.c '#include <fuse_lowlevel.h>'
allowed src/dev/a.c '#include <libewf.h>'
allowed include/rawmap/dev/a.h '#include <rawmap/base/units.h>'
allowed include/rawmap/ioctl.h '#include <linux/ioctl.h>'

# Upwards, and sideways among layers of one rank.
refused src/base/a.c '#include <rawmap/dev/blkdev.h>'
refused src/dev/a.c '#include <rawmap/map/extmap.h>'
refused src/map/a.c '#include <rawmap/dev/blkdev.h>'
refused src/image/a.c '#include <rawmap/inspect/mapreport.h>'
refused src/image/a.c '  #  include <rawmap/cli/command.h>'
refused include/rawmap/dev/a.h '#include <rawmap/hostfs/hostfs.h>'

# What belongs to one layer.
refused src/image/a.c '#include <ext2fs/ext2fs.h>'
refused src/image/a.c '#include <et/com_err.h>'
refused src/hostfs/a.c '#include <libewf.h>'
refused src/image/a.c '#include <fuse_lowlevel.h>'
refused src/cli/a.c '#include <fuse3/fuse.h>'
refused src/image/a.c '#include <linux/fuse.h>'
refused src/image/a.c '#include "hostfs_priv.h"'
refused src/image/a.c '#include "../hostfs/hostfs_priv.h"'

# What is not there, and what cannot be read.
refused src/map/a.c '#include "nothere.h"'
refused src/map/a.c '#include <rawmap/nolayer/a.h>'
refused src/map/a.c '#include HEADER'

if ((failures)); then
	echo "$failures failure(s)"
	exit 1
fi
