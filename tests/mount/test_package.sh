#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian package that cpack makes of this build: what is in it, what it
# depends on, and that lintian has nothing to say.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cpack dpkg-deb dpkg-shlibdeps lintian scdoc clang

build=$(dirname "$RAWMAP")
if grep -qa -e __asan_init -e __tsan_init -e __gcov_ "$RAWMAP"; then
	skip 'an instrumented program is not for a package'
fi

make_package()
{
	run cpack --config "$build/CPackConfig.cmake" -B "$TMP/pack" \
		>"$TMP/cpack" 2>&1
	deb=$(echo "$TMP"/pack/*.deb)
	[ -f "$deb" ] || fail "no package: $(cat "$TMP/cpack")"
	run dpkg-deb -x "$deb" "$TMP/root"
}

test_contents()
{
	local path
	for path in bin/rawmap sbin/mount.rawmap sbin/mount.fuse.rawmap \
		sbin/umount.fuse.rawmap \
		libexec/rawmap/rawmap-unit \
		lib/systemd/system/rawmap@.service \
		lib/udev/rules.d/70-rawmap.rules \
		include/rawmap/ioctl.h \
		share/bash-completion/completions/rawmap \
		share/man/man1/rawmap.1.gz \
		share/man/man8/mount.rawmap.8.gz \
		share/man/man8/mount.fuse.rawmap.8.gz \
		share/man/man8/umount.fuse.rawmap.8.gz \
		share/doc/rawmap/copyright share/doc/rawmap/changelog.gz \
		share/doc/rawmap/examples/disk.conf; do
		[ -e "$TMP/root/usr/$path" ] || fail "no /usr/$path"
	done
	expect_equal "$(cd "$TMP/root" && echo *)" usr 'top of the package'
	dpkg-deb -c "$deb" >"$TMP/list"
	grep -v ' root/root ' "$TMP/list" >&2 && fail 'files not of root'
	expect_status 0 "$TMP/root/usr/sbin/mount.rawmap" -h
	expect_status 0 "$TMP/root/usr/sbin/umount.fuse.rawmap" -h
}

# A program needs no more of the sources than that.
test_header()
{
	local language
	echo '#include <rawmap/ioctl.h>' >"$TMP/client.h"
	for language in c c++; do
		run clang -x "$language" -fsyntax-only -Wall -Wextra -Werror \
			-I "$TMP/root/usr/include" "$TMP/client.h"
	done
}

# The unit says where the program is when the package is installed.
test_paths()
{
	local unit=$TMP/root/usr/lib/systemd/system/rawmap@.service path
	while read -r path; do
		[ -x "$TMP/root$path" ] || fail "the unit runs $path"
	done < <(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$unit")
	grep -rl -e /usr/local -e "$build" "$TMP/root/usr/lib" \
		"$TMP/root/usr/libexec" >&2 && fail 'paths of the build'
	return 0
}

test_depends()
{
	local depends word
	depends=$(dpkg-deb -f "$deb" Depends)
	for word in fuse3 libfuse3- libext2fs2 libglib2 libc6; do
		[[ $depends == *$word* ]] || fail "no $word in: $depends"
	done
	expect_equal "$(dpkg-deb -f "$deb" Package Version | tr '\n' ' ')" \
		"Package: rawmap Version: $("$RAWMAP" --version |
			sed -n 's/^rawmap //p') " 'name and version'
}

test_lintian()
{
	lintian --allow-root --fail-on error,warning "$deb" >"$TMP/lintian" \
		2>&1 || fail "lintian: $(cat "$TMP/lintian")"
	grep '^[EW]:' "$TMP/lintian" >&2 && fail 'lintian has something to say'
	return 0
}

make_package
test_contents
test_header
test_paths
test_depends
test_lintian
