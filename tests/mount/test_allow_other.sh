#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Whether root, and so losetup, gets into an ordinary user's mount: what
# /etc/fuse.conf allows, and what is said where it does not.
# RAWMAP_TEST_ONCE

# The file of this machine is left alone: a namespace has its own.
# shellcheck source=tests/mount/lib_private.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_private.sh"
# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
need_fuse
need setpriv fusermount3 debugfs

uid=65534
home=$TMP/home
program=$home/rawmap

as_user()
{
	setpriv --reuid "$uid" --regid "$uid" --clear-groups \
		--inh-caps=-all -- "$@"
}

prepare()
{
	mknod "$TMP/fuse" c 10 229
	chmod 666 "$TMP/fuse"
	mount --bind "$TMP/fuse" /dev/fuse
	: >"$TMP/fuse.conf"
	[ -e /etc/fuse.conf ] || skip 'no /etc/fuse.conf'
	mount --bind "$TMP/fuse.conf" /etc/fuse.conf
	chmod 755 "$TMP"
	mkdir "$home" "$home/mnt"
	cp "$RAWMAP" "$program"
	make_host ext4 16M "$home/host.img"
	head -c 102400 /dev/urandom >"$TMP/disk"
	put_file "$home/host.img" "$TMP/disk" /disk
	chown -R "$uid:$uid" "$home"
	as_user sh -c ': <>/dev/fuse' || skip 'no way to open /dev/fuse'
	as_user "$program" --version >/dev/null ||
		skip 'an ordinary user cannot run rawmap here'
	mounts+=("$home/mnt")
}

# conf TEXT: what stands in the file, and who may read it.
conf()
{
	printf '%b' "$1" >"$TMP/fuse.conf"
	chmod "${2:-644}" "$TMP/fuse.conf"
}

# mount_as OPTION [WHO...]: what it says is in $TMP/err.
mount_as()
{
	local option=$1
	shift
	expect_status 0 "$@" "$program" mount -i /disk -o "$option" \
		"$home/host.img" "$home/mnt"
}

unmount()
{
	run umount "$home/mnt"
	run timeout "$limit" flock "$home/host.img" true
}

others_get_in()
{
	expect_same_bytes "$home/mnt/disk" "$TMP/disk"
	[[ ,$(findmnt -n -o OPTIONS --mountpoint "$home/mnt"), == \
		*,allow_other,* ]] || fail 'no allow_other in the mount'
	[ ! -s "$TMP/err" ] || fail "it says: $(cat "$TMP/err")"
}

# The owner as before; root is told what the page says.
only_the_user_gets_in()
{
	as_user cmp "$home/mnt/disk" "$TMP/disk" || fail 'not for its owner'
	expect_status 1 cat "$home/mnt/disk"
	expect_text "$TMP/err" 'Permission denied'
}

# One sentence, of rawmap.
says() # TEXT...
{
	local text
	expect_equal "$(wc -l <"$TMP/err")" 1 'lines on standard error'
	[[ $(cat "$TMP/err") == 'rawmap: '* ]] ||
		fail "not rawmap's: $(cat "$TMP/err")"
	for text in losetup /etc/fuse.conf "'user_allow_other'" "$@"; do
		expect_text "$TMP/err" "$text"
	done
}

test_auto()
{
	local text
	for text in 'user_allow_other\n' '  user_allow_other # so be it\n' \
		'mount_max = 9\nuser_allow_other\n'; do
		conf "$text"
		mount_as allow_other=auto as_user
		others_get_in
		unmount
	done
	for text in '' '#user_allow_other\n' 'user_allow_other=1\n' \
		'user_allow_other'; do
		conf "$text"
		mount_as allow_other=auto as_user
		says 'only you'
		only_the_user_gets_in
		unmount
	done
}

test_file_that_is_not_for_users()
{
	conf 'user_allow_other\n' 600
	mount_as allow_other=auto as_user
	says 'only you'
	only_the_user_gets_in
	unmount
}

test_losetup()
{
	need_loop
	conf ''
	mount_as allow_other=auto as_user
	expect_status 1 losetup --find --show "$home/mnt/disk"
	expect_text "$TMP/err" 'Permission denied'
	unmount
	conf 'user_allow_other\n'
	mount_as allow_other=auto as_user
	loop_attach "$home/mnt/disk"
	loop_detach "$LOOP"
	unmount
}

test_by_all_means()
{
	local option
	conf 'user_allow_other\n'
	mount_as allow_other as_user
	others_get_in
	unmount
	conf ''
	for option in allow_other allow_root; do
		expect_status 1 as_user "$program" mount -i /disk \
			-o "$option" "$home/host.img" "$home/mnt"
		says "'$option'" 'mount as root'
		is_mounted "$home/mnt" && fail 'mounted after all'
	done
	return 0
}

# Nobody asks the file when root mounts, and one line more changes nothing.
test_root()
{
	conf ''
	mount_as allow_other=auto
	others_get_in
	as_user cmp "$home/mnt/disk" "$TMP/disk" 2>"$TMP/cmp" ||
		grep -q 'Permission denied' "$TMP/cmp" ||
		fail "the user: $(cat "$TMP/cmp")"
	unmount
	mount_as allow_other
	others_get_in
	unmount
}

# Nor who may mount without being root, unless fusermount3 does it for him.
test_capable()
{
	local capable
	conf ''
	printf '#!/bin/sh\nexec setpriv --reuid %s --regid %s --clear-groups \
		--inh-caps=+sys_admin --ambient-caps=+sys_admin -- "$@"\n' \
		"$uid" "$uid" >"$TMP/capable"
	chmod +x "$TMP/capable"
	capable=$TMP/capable
	mount_as allow_other "$capable"
	others_get_in
	unmount
	expect_status 1 "$capable" "$program" mount -i /disk \
		-o allow_other,auto_unmount "$home/host.img" "$home/mnt"
	says "'allow_other'"
}

prepare
test_auto
test_file_that_is_not_for_users
test_losetup
test_by_all_means
test_root
test_capable
