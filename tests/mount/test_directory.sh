#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The directory of images is as it is: nothing can be made, removed or renamed
# there, and whoever tries is told that it is not permitted. Reading it piece by
# piece, from any offset, ends.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse

make_host ext4 16M "$TMP/host.img"
make_sparse 1M "$TMP/local"
for name in one two three; do
	put_file "$TMP/host.img" "$TMP/local" "/$name"
done
mount_rawmap -i /one -i /two -i /three "$TMP/host.img" "$MNT"

not_permitted()
{
	expect_status 1 "$@"
	expect_text "$TMP/err" 'Operation not permitted'
}

test_names_are_fixed()
{
	not_permitted rm -f "$MNT/one"
	not_permitted mv "$MNT/one" "$MNT/two"
	not_permitted mkdir "$MNT/new"
	not_permitted mkfifo "$MNT/new"
	not_permitted ln -s one "$MNT/new"
	not_permitted ln "$MNT/one" "$MNT/new"
	expect_status 1 touch "$MNT/new"
	expect_equal "$(cd "$MNT" && echo *)" 'one three two' 'the names'
}

test_reading_from_any_offset_ends()
{
	need python3
	run timeout "$limit" python3 - "$MNT" <<-'END'
		import ctypes, os, sys
		libc = ctypes.CDLL(None)
		getdents = lambda fd, buf: libc.getdents64(fd, buf, len(buf))
		fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
		small = ctypes.create_string_buffer(32)
		found = 0
		while getdents(fd, small) > 0:
		    found += 1
		assert found == 5, found
		for far in 5, 6, 2**31, 2**32, 2**32 + 1, 2**62:
		    os.lseek(fd, far, os.SEEK_SET)
		    assert getdents(fd, small) == 0, far
	END
}

test_names_are_fixed
test_reading_from_any_offset_ends
unmount_rawmap
check_host "$TMP/host.img"
