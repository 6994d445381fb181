# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A machine for one example of the documentation: this one's files under a layer
# that takes all changes, with the devices, folders and disks that the example
# names. It is made, used and taken down in namespaces of mounts and of processes
# that test_examples.sh puts around it, so that nothing of it outlasts that.
#
#   unshare -m -p -f -- bash lib_machine.sh FOLDER EXAMPLE OWNER
#
# FOLDER is empty; OWNER is root or user. $RAWMAP is the program, $MASTERS a folder
# with host.img (an ext4 with the images in it), disk.img (a GPT with that host in
# its second partition), evidence.E01 (the same as EWF) and swap.img.
#
#   an example finds          where it has the word
#   a disk with partitions    /dev/sdX, /dev/vdX, /dev/nvmeXnY, NAME.E01, NAME.001,
#                             and disk.img, disk.raw, when it speaks of partitions
#   swap                      /dev/ANY/swap
#   a host                    /dev/ANY, UUID=ANY, NAME.img, NAME.raw, NAME.backup
#   an empty folder           /mnt/ANY, /tmp/ANY, /run/ANY, ~/ANY, without a dot
#   an image, mounted         /mnt/ANY/NAME.img, ~/ANY/NAME.img, when it mounts
#                             nothing itself
#
# but for what it makes by itself, with touch, mkdir, truncate or > NAME. What is
# missing here is to be added here.
#
# For /dev/loop0, or another number, the example gets the first loop device that is
# free. In the form of fstab(5) it is put there, and mounted line by line. Behind it
# all that it left mounted or attached is taken down, and hosts that it may have
# written to are judged by e2fsck.

set -uo pipefail

machine=$1 example=$2 owner=$3
root=$machine/root
uid=65534
limit=30
hosts=()		# files, or FILE?offset=BYTES, for e2fsck
devices=()		# loop devices below the machine
started=		# the example may have changed something

die()
{
	echo "machine: $*" >&2
	exit 1
}

if [ "$owner" = root ]; then
	home=/root
	as=(env)
else
	home=/home/user
	as=(setpriv --reuid "$uid" --regid "$uid" --clear-groups
		--inh-caps=-all --)
fi

give()
{
	[ "$owner" = root ] || chown -h "$uid:$uid" "$@"
}

# ---- files and devices ----

# layer LOWER WHERE: changes go to memory.
layer()
{
	local name=$machine/layer${1//\//-}
	mkdir -p "$name/changes" "$name/work" "$2"
	mount -t overlay -o "lowerdir=$1,upperdir=$name/changes,workdir=$name/work" \
		machine "$2" || die "no overlay of $1"
}

make_root()
{
	local name
	if ! mount --make-rprivate / ||
		! mount -t tmpfs -o mode=755 machine "$machine"; then
		die 'no file system in memory'
	fi
	layer / "$root"
	# Loop devices, and their partitions, come here while the machine runs.
	layer /dev "$root/dev"
	for name in mnt tmp home root run srv; do
		mkdir -p "$root/$name"
		mount -t tmpfs -o mode=755 machine "$root/$name"
	done
	chmod 1777 "$root/tmp"
	chmod 666 "$root/dev/fuse"
	mkdir -p "$root$home" "$root/run/mount"
	give "$root$home"
	mount -t proc proc "$root/proc" || die 'no /proc'
	mount --rbind /sys "$root/sys" || die 'no /sys'
	: >"$root/etc/fstab"
	rm -f "$root/usr/local/bin/rawmap" "$root"/sbin/mount.rawmap
	cp "$RAWMAP" "$root/usr/local/bin/rawmap"
	ln -s /usr/local/bin/rawmap "$root/sbin/mount.rawmap"
}

in_machine()
{
	chroot "$root" "${as[@]}" env -i HOME="$home" USER="$owner" LANG=C \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		ASAN_OPTIONS="${ASAN_OPTIONS-}" TERM=dumb \
		bash -c 'cd && exec "$@"' in_machine "$@" </dev/null
}

# ---- what has a name in the example ----

words()
{
	sed 's/#.*//' "$example" | tr -s " \t\n\"'();" '\n' | sort -u
}

# Does the example make it?
makes()
{
	local word=${1//./\\.}
	word=${word//\$/\\\$}
	grep -Eq "(touch|mkdir( -p)?|truncate -s [^ ]+|>) *\"?$word\"?( |\$)" \
		"$example"
}

mounts_something()
{
	grep -Eq '(mount|attach) |[ 	]rawmap[ 	]' "$example"
}

# copy_of MASTER FILE
copy_of()
{
	mkdir -p "$(dirname "$2")"
	cp --sparse=always "$MASTERS/$1" "$2" || die "no $1 for '$2'"
	chmod 644 "$2"
	give "$2"
	case $1 in
	host.img) hosts+=("$2") ;;
	disk.img) hosts+=("$2?offset=$((16 << 20))") ;;
	esac
}

# as_device MASTER NODE
as_device()
{
	local file loop
	file=$machine/source${2//\//-}
	copy_of "$1" "$file"
	loop=$(losetup --show -f "$file") || die 'no loop device'
	devices+=("$loop")
	mkdir -p "$root$(dirname "$2")"
	mknod -m 660 "$root$2" b 7 "${loop#/dev/loop}"
}

in_parts()
{
	(cd "$root$home" && split -b 40M -a 3 --numeric-suffixes=1 \
		"$MASTERS/disk.img" "${1%.001}.")
}

folder()
{
	mkdir -p "$root$1"
	give "$root$1"
}

# mounted FILE: of a host that the example does not see.
mounted()
{
	local where
	where=$(dirname "$1")
	folder "$where"
	copy_of host.img "$root/tmp/host.img"
	in_machine rawmap mount -i "/vm/$(basename "$1")" /tmp/host.img "$where" ||
		die "cannot mount on $where"
}

provide()
{
	local word bare=host.img
	! grep -qi partition "$example" || bare=disk.img
	while read -r word; do
		makes "$word" && continue
		# shellcheck disable=SC2016,SC2088
		case $word in
		'$HOME/'* | '~/'*) word=$home/${word#*/} ;;
		esac
		case $word in
		/dev/null | /dev/zero | /dev/full | /dev/fuse | /dev/loop* | \
			/dev/random | /dev/urandom | /dev/std* | /dev/fd*) ;;
		/dev/[sv]d[a-z] | /dev/nvme[0-9]n[0-9])
			as_device disk.img "$word" ;;
		/dev/*swap) as_device swap.img "$word" ;;
		/dev/?*) as_device host.img "$word" ;;
		UUID=?*) as_device host.img "/dev/disk/by-uuid/${word#*=}" ;;
		/mnt/*/*.img | "$home"/*/*.img)
			mounts_something || mounted "$word" ;;
		/mnt/*.* | /tmp/*.* | /run/*.* | "$home"/*.*) ;;
		/mnt/?* | /tmp/?* | /run/?* | /srv/?* | "$home"/?*)
			folder "$word" ;;
		*/* | *=*) ;;
		disk.img | disk.raw)
			copy_of "$bare" "$root$home/$word" ;;
		*.img | *.raw | *.backup) copy_of host.img "$root$home/$word" ;;
		*.E01) copy_of evidence.E01 "$root$home/$word" ;;
		*.001) in_parts "$word" ;;
		esac
	done < <(words)
	[ "$owner" = root ] || chown -R "$uid:$uid" "$root$home"
}

# ---- the example ----

is_fstab()
{
	local field='[^ 	]+[ 	]+'
	grep -Ev '^(#|$)' "$example" | grep -Eq . &&
		! grep -Ev '^(#|$)' "$example" |
		grep -Evq "^($field){4}[0-9]+[ 	]+[0-9]+\$"
}

is_unit()
{
	head -n 1 "$example" | grep -Eqx '\[[A-Z][a-z]+\]'
}

fstab_script()
{
	local what where kind undo=
	printf '%s\n' 'cat >>/etc/fstab <<"END_OF_FSTAB"'
	cat "$example"
	echo 'END_OF_FSTAB'
	while read -r what where kind; do
		if [ "$kind" = swap ]; then
			# Never -a: the kernel's swap is that of the real machine.
			echo "swapon $what"
			undo="swapoff $what; $undo"
		else
			echo "mkdir -p $where; mount $where; findmnt $where"
			undo="umount $where; $undo"
		fi
	done < <(awk '!/^(#|$)/ { print $1, $2, $3 }' "$example")
	echo "$undo"
}

script()
{
	local free
	free=$(losetup -f) || die 'no loop device'
	if is_fstab; then
		fstab_script
		return
	fi
	# What goes on until somebody ends it, who gets an answer first.
	cat <<-'END'
		until_interrupted()
		{
			local status=0
			timeout -s INT 2 "$@" || status=$?
			[ "$status" -eq 124 ]
		}
	END
	# What the reader does meanwhile is left out; and a kernel that was built
	# without partition tables leaves them to partx.
	sed -E -e '/^[ \t]*\.\.\.[ \t]*$/d' -e "s,/dev/loop[0-9]+,$free,g" \
		-e 's/^rawmap stats .*(-n|--interval|--watch)/until_interrupted &/' \
		-e "/rawmap attach .*-P/a [ -e /sys/class/block/${free#/dev/}p1 ] || partx -a $free" \
		"$example"
}

run_example()
{
	if is_unit; then
		(cat "$example"; printf '[Service]\nExecStart=/bin/true\n') \
			>"$machine/example.service"
		command -v systemd-analyze >/dev/null || return 0
		systemd-analyze verify "$machine/example.service"
		return
	fi
	script >"$root/run/example"
	started=yes
	in_machine bash -eu -o pipefail /run/example
}

# ---- the end ----

servers()
{
	grep -lzs '^\(.*/\)\?\(mount\.\)\?rawmap$' "$root"/proc/[0-9]*/cmdline |
		wc -l
}

# fields COLUMNS: of the machine's mounts, the last one first.
fields()
{
	chroot "$root" findmnt -rn -o "$1" | tac
}

# Loop devices on files that rawmap shows here. Of those of others nothing is asked
# that their servers would have to answer.
attached()
{
	local loop file where
	for loop in /sys/block/loop*/loop/backing_file; do
		file=$(chroot "$root" cat "$loop" 2>/dev/null)
		for where in $(fields FSTYPE,TARGET |
			sed -n 's/^fuse.rawmap //p'); do
			case $file in
			"$where" | "$where"/*) cut -d / -f 4 <<<"$loop" ;;
			esac
		done
	done | sort -u | sed 's,^,/dev/,'
}

# until_fewer COUNT: servers than that.
until_fewer()
{
	local until=$((SECONDS + limit))
	while [ "$(servers)" -ge "$1" ]; do
		[ "$SECONDS" -lt "$until" ] || die 'a server does not end'
	done
}

# Swap first: without its server the machine would hang.
take_down()
{
	local device where left until
	for device in $(attached); do
		chroot "$root" swapoff "$device" 2>/dev/null
		for where in $(fields SOURCE,TARGET |
			sed -n "s|^$device\(p[0-9]*\)\? ||p"); do
			chroot "$root" umount "$where" || die "cannot unmount $where"
		done
		losetup -d "$device"
	done
	for where in $(fields FSTYPE,TARGET | sed -n 's/^fuse.rawmap //p'); do
		left=$(servers)
		until=$((SECONDS + limit))
		until chroot "$root" umount "$where" 2>"$machine/busy"; do
			[ "$SECONDS" -lt "$until" ] || die "$(cat "$machine/busy")"
		done
		until_fewer "$left"
	done
	until_fewer 1
}

judge()
{
	local host out
	for host in "${hosts[@]}"; do
		# The example may have removed it.
		[ -e "${host%%\?*}" ] || continue
		out=$(e2fsck -fn "$host" 2>&1) || die "e2fsck -fn $host: $out"
	done
}

leave()
{
	local status=$?
	# The first process of a namespace has its trap in subshells, too.
	[ "$BASHPID" -eq 1 ] || exit "$status"
	trap - EXIT
	[ -z "$started" ] || (take_down)
	[ -z "${devices[*]}" ] || losetup -d "${devices[@]}"
	exit "$status"
}
trap leave EXIT

make_root
provide
run_example || die "exit status $? from the example"
take_down
started=
judge
