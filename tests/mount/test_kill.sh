#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The server is killed under load, again and again on the same host: while it
# writes and commits, while it unmounts; and rawmap recover while it recovers.
# Each time the host is brought back by somebody else (the kernel's mount,
# e2fsck -p, rawmap recover), e2fsck -fn finds nothing then, and the image holds
# all that was acknowledged and nothing that nobody wrote.
#
# A host without a journal is not recovered by mounting it: there the kernel
# only reads what e2fsck -p repairs after that.

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need_root
need_loop
need python3 strace

# shellcheck source=tests/mount/lib_load.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_load.sh"

host=$TMP/host.img

# Its free blocks hold what nobody wrote, and nobody may see.
new_host()
{
	local kind=$1 block=$2
	shift 2
	yes 'stale bytes' | head -c $((24 << 20)) >"$host"
	run mke2fs -q -F -t "$kind" -b "$block" -E nodiscard "$@" "$host"
	make_sparse 2M "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	new_base 2M
}

has_journal()
{
	dumpe2fs -h "$host" 2>/dev/null | grep -q '^Filesystem features:.*has_jo'
}

is_dirty()
{
	dumpe2fs -h "$host" 2>/dev/null |
		grep -Eq '^Filesystem (features:.*needs_recovery|state: *not)'
}

# The program, killed at the $NTH system call that writes.
cat >"$TMP/cut" <<END_OF_CUT
#!/bin/bash
export ASAN_OPTIONS=\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}detect_leaks=0
calls=pwrite64,pwritev,fsync,fdatasync,fallocate
exec strace -f -o /dev/null -e trace=\$calls \
	-e "inject=\$calls:signal=KILL:when=\$NTH" "$RAWMAP" "\$@"
END_OF_CUT
chmod +x "$TMP/cut"

cut_recovery()
{
	local status=0
	# The shell, too, tells that it was killed.
	{
		NTH=$1 "$TMP/cut" recover "$host" >"$TMP/out" || status=$?
	} 2>"$TMP/err"
	cuts=$((cuts + (status == 137)))
	[ "$status" -eq 0 ] || [ "$status" -eq 137 ] ||
		fail "a recovery that is killed: $status: $(cat "$TMP/err")"
}

recover_host()
{
	case $1 in
	kernel)
		if has_journal; then
			recover_by_kernel "$host"
		else
			mkdir -p "$TMP/kernel"
			run mount -o loop,ro "$host" "$TMP/kernel"
			run cp "$TMP/kernel/disk" "$TMP/now"
			run umount "$TMP/kernel"
			cp "$TMP/base" "$TMP/base.kept"
			judge "$TMP/now" "$slack"
			mv "$TMP/base.kept" "$TMP/base"
			recover_by_e2fsck "$host"
		fi
		;;
	e2fsck) recover_by_e2fsck "$host" ;;
	rawmap) recover_by_rawmap "$host" ;;
	cut)
		pick 1 8
		cut_recovery "$picked"
		pick 1 8
		cut_recovery "$picked"
		recover_by_rawmap "$host"
		;;
	esac
	check_host "$host"
}

# read_image MEANS: to $TMP/now.
read_image()
{
	if [ "$1" = debugfs ]; then
		get_file "$host" /disk "$TMP/now"
	else
		mount_rawmap -r -i /disk "$host" "$MNT"
		run cp "$MNT/disk" "$TMP/now"
		unmount_rawmap
	fi
}

load_workload()
{
	local loads=(mixed punch grow much)
	load "$MNT/disk" "${loads[RANDOM % 4]}" "$picked" "$1"
}

# In between two acknowledged changes, or in the middle of one.
kill_under_load()
{
	local when=(ack begin)
	mount_rawmap -o commit=1 -i /disk "$host" "$MNT"
	pick 1 300
	load_workload "${when[RANDOM % 2]} $picked"
}

kill_at_call()
{
	pick 1 400
	NTH=$picked RAWMAP=$TMP/cut mount_rawmap -o commit=1 -i /disk \
		"$host" "$MNT"
	load_workload 'dies 0'
}

# The file was closed a moment ago, too.
kill_at_unmount()
{
	mount_rawmap -o commit=300 -i /disk "$host" "$MNT"
	pick 20 80
	load_workload "none $picked"
	until umount "$MNT" 2>"$TMP/busy"; do
		grep -q busy "$TMP/busy" || fail "$(cat "$TMP/busy")"
	done
}

# one_kill HOW RECOVERY READER
one_kill()
{
	"kill_$1"
	end_server
	is_dirty && dirty=$((dirty + 1))
	recover_host "$2"
	read_image "$3"
	judge "$TMP/now" "$slack"
	kills=$((kills + 1))
	say "$what, $1, $2, read by $3: $(cat "$TMP/judged")"
}

# rounds N KIND BLOCK [mke2fs arguments]
rounds()
{
	local n=$1 hows=(under_load at_call at_unmount)
	local readers=(debugfs rawmap)
	local means=(kernel e2fsck rawmap cut) i off
	shift
	what="$*"
	new_host "$@"
	slack=0
	if ! has_journal; then
		means=(kernel e2fsck)
		slack=$2
	fi
	off=$((RANDOM))
	for ((i = 0; i < n; i++)); do
		one_kill "${hows[(i + off) % 3]}" \
			"${means[(i + off / 3) % ${#means[@]}]}" \
			"${readers[(i + off / 12) % 2]}"
	done
	mount_rawmap -i /disk "$host" "$MNT"
	unmount_rawmap
	check_host "$host"
}

kills=0
cuts=0
dirty=0
blocks=(1024 4096)
if [ -n "${RAWMAP_FULL-}" ]; then
	for block in "${blocks[@]}"; do
		rounds 25 ext2 "$block"
		rounds 25 ext3 "$block"
		rounds 25 ext4 "$block"
		rounds 25 ext4 "$block" -O '^metadata_csum'
	done
else
	rounds 2 ext2 "${blocks[RANDOM % 2]}"
	rounds 4 ext3 "${blocks[RANDOM % 2]}"
	rounds 4 ext4 "${blocks[RANDOM % 2]}"
	rounds 2 ext4 "${blocks[RANDOM % 2]}" -O '^metadata_csum'
fi
say "$kills kills, of which $dirty left work, $cuts recoveries cut short"
