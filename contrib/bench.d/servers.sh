# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# One server at a time: server_up NAME exposes /disk.img of the host on $dev and
# leaves in $target what fio opens, in $offset where the image starts there, in
# $pids the processes that serve. All but the bare device and the names that end
# in -file are measured through a loop device, $loop.
#
#   raw               the device itself: the limit
#   kernel            ext4 mounted, loop device with direct I/O: the yardstick
#   kernel-buffered   the same, the loop device goes through the page cache
#   kernel-file       the file of the mounted ext4
#   fuse2fs           the file of its mount
#   nbdkit            its ext2 filter, as a file through nbdfuse
#   qsd               qemu-storage-daemon's FUSE export of a range of the device
#   rawmap[-uring|-threads|-io_uring][-nocache][-file]
#
# rawmap-io_uring is the engine uring with the kernel's requests through the ring,
# too. The kernel must be told that it may: as long as the benchmark runs.

known_servers=(raw kernel kernel-buffered kernel-file fuse2fs nbdkit qsd rawmap
	rawmap-file rawmap-uring rawmap-uring-file rawmap-threads
	rawmap-threads-file rawmap-io_uring rawmap-io_uring-file)
servers=()
target='' offset=0 loop='' server_mounts=() image_path=/disk.img read_only=''
passage=/sys/module/fuse/parameters/enable_uring passage_before=''
pids=()		# all that serve
lasting=()	# those of them that do not end with their mount

choose_servers() {
	local name
	if [[ -n $chosen ]]; then
		IFS=, read -ra servers <<<"$chosen"
		for name in "${servers[@]}"; do
			have_word "${known_servers[*]}" "$name" ||
				die 2 "there is no server '$name'; there are: ${known_servers[*]}"
		done
	else
		servers=(raw kernel kernel-buffered fuse2fs nbdkit qsd engines)
	fi
}

# Only the built program says whether engines can be chosen.
settle_servers() {
	local name settled=() engine=''
	! "$rawmap" mount --help | grep -q 'engine=' || engine=yes
	for name in "${servers[@]}"; do
		case $name in
		engines)
			if [[ -n $engine ]]; then
				settled+=(rawmap-uring rawmap-uring-file
					rawmap-threads rawmap-threads-file)
				! passage_up || settled+=(rawmap-io_uring)
			else
				settled+=(rawmap rawmap-file)
			fi
			;;
		rawmap-uring* | rawmap-threads*)
			[[ -n $engine ]] || die 1 "this rawmap has no engine= for $name"
			settled+=("$name")
			;;
		rawmap-io_uring*)
			passage_up || die 1 "this kernel has no FUSE over io_uring for $name"
			settled+=("$name")
			;;
		*) settled+=("$name") ;;
		esac
	done
	servers=("${settled[@]}")
}

passage_up() {
	[[ -z $passage_before ]] || return 0
	[[ -w $passage ]] || return 1
	passage_before=$(cat "$passage")
	echo Y >"$passage"
}

passage_down() {
	[[ -z $passage_before ]] || echo "$passage_before" >"$passage"
	passage_before=''
}

# server_can NAME WHAT: fill (allocate blocks), loop, map (an image of any
# number of extents)
server_can() {
	case $2:$1 in
	fill:raw | fill:qsd | map:raw | map:qsd | loop:raw | loop:*-file) return 1 ;;
	esac
}

# A process that has ended but that nobody has asked about yet is not alive.
alive() { # PID
	local stat
	{ read -r stat <"/proc/$1/stat" ; } 2>/dev/null || return 1
	stat=${stat##*) }
	[[ $stat != Z* ]]
}

# wait_for COMMAND...: until it succeeds, for as long as the server lives.
wait_for() {
	local i pid
	for ((i = 0; i < 1500; i++)); do
		"$@" 2>/dev/null && return 0
		for pid in "${pids[@]}"; do
			alive "$pid" || return 1
		done
		sleep 0.01
	done
	return 1
}

# A server in the foreground, behind us; its words are shown when it fails.
serve() {
	"$@" >>"$work/server.log" 2>&1 </dev/null &
	pids+=($!)
}

serve_mounted() { # FILE COMMAND...: until FILE is there, with its size
	server_mounts+=("$work/exposed")
	serve "${@:2}"
	wait_for mountpoint -q "$work/exposed" && wait_for test -s "$1"
}

# rawmap as people start it: the command returns when the file is there.
serve_daemon() { # [rawmap arguments...]
	target=$work/exposed/${image_path##*/}
	server_mounts+=("$work/exposed")
	"$rawmap" mount "$@" -i "$image_path" "$dev" "$work/exposed" || return 1
	mapfile -t pids < <(pgrep -f "^$rawmap mount .* $work/exposed\$")
}

# What a process completes, as a server's reply does, wakes ksoftirqd on the
# processor where it runs; with this it interrupts the one that asked. Every
# loop device gets it, the kernel's own included.
complete_where_asked() { # LOOP
	echo 2 >"/sys/block/${1#/dev/}/queue/rq_affinity" 2>/dev/null || true
}

attach() { # on|off FILE
	loop=$(losetup --find --show --direct-io="$1" ${read_only:+--read-only} "$2") ||
		return 1
	target=$loop
	complete_where_asked "$loop"
	[[ $(losetup --noheadings --output DIO "$loop" | tr -d ' ') == \
		"$([[ $1 == on ]] && echo 1 || echo 0)" ]]
}

mount_host() {
	mount ${read_only:+-o ro} "$dev" "$work/host" &&
		server_mounts+=("$work/host")
}

up_rawmap() { # NAME
	local file=$work/exposed/${image_path##*/} opts=()
	case $1 in
	*-uring*) opts+=(-o engine=uring) ;;
	*-threads*) opts+=(-o engine=threads) ;;
	*-io_uring*) opts+=(-v -o "engine=uring,io_uring") ;;
	esac
	[[ $1 != *-nocache* ]] || opts+=(-o cache=0)
	serve_mounted "$file" "$rawmap" mount -f ${read_only:+-r} "${opts[@]}" \
		-i "$image_path" "$dev" "$work/exposed" || return 1
	target=$file
	if [[ $1 == *-io_uring* ]]; then
		grep -q 'requests come through io_uring' "$work/server.log" || return 1
	fi
	[[ $1 == *-file ]] || attach on "$file"
}

up_nbdkit() {
	local file=$work/exposed/${image_path##*/}
	rm -f "$work/socket"
	serve nbdkit -f -U "$work/socket" ${read_only:+-r} --filter=ext2 file \
		"$dev" ext2file="$image_path"
	lasting+=("${pids[-1]}")
	wait_for test -S "$work/socket" &&
		serve_mounted "$file" nbdfuse ${read_only:+-r} "$file" \
			--unix "$work/socket" && attach on "$file"
}

up_qsd() {
	: >"$work/export"
	server_mounts+=("$work/export")
	serve qemu-storage-daemon --blockdev "driver=host_device,node-name=dev,`
		`filename=$dev,cache.direct=on,aio=io_uring" \
		--blockdev "driver=raw,node-name=image,file=dev,`
		`offset=$tail,size=$image_size" \
		--export "type=fuse,id=e,node-name=image,`
		`mountpoint=$work/export,writable=on"
	lasting+=("${pids[-1]}")
	wait_for test -s "$work/export" && attach on "$work/export"
}

server_up() { # NAME
	local file=$work/host$image_path status=0
	: >"$work/server.log"
	target='' offset=0
	cold
	case $1 in
	raw) target=$dev offset=$tail ;;
	kernel) mount_host && attach on "$file" || status=1 ;;
	kernel-buffered) mount_host && attach off "$file" || status=1 ;;
	kernel-file) mount_host && target=$file || status=1 ;;
	fuse2fs)
		serve_mounted "$work/exposed$image_path" fuse2fs -f \
			-o "$([[ -n $read_only ]] && echo ro || echo rw)" "$dev" "$work/exposed" &&
			attach on "$work/exposed$image_path" || status=1
		;;
	nbdkit) up_nbdkit || status=1 ;;
	qsd) up_qsd || status=1 ;;
	rawmap*) up_rawmap "$1" || status=1 ;;
	esac
	((status == 0)) && return
	warn "$1 did not come up: $(tail -n 2 "$work/server.log" | tr '\n' ' ')"
	server_down
	return 1
}

# Whoever looks at a loop device in this moment keeps it, and so the file.
detach() {
	local i
	[[ -n $loop ]] || return 0
	losetup -d "$loop" 2>/dev/null
	for ((i = 0; i < 500; i++)); do
		[[ -e /sys/block/${loop#/dev/}/loop/backing_file ]] || break
		sleep 0.01
	done
	loop=''
}

# When it returns the host is at rest. A server that does not end is killed, and
# the host is what it is: the next one to come up says so.
server_down() {
	local where pid i
	detach
	for where in "${server_mounts[@]}"; do
		for ((i = 0; i < 100; i++)); do
			mountpoint -q "$where" || break
			umount "$where" 2>/dev/null && break
			sleep 0.02
		done
		! mountpoint -q "$where" || umount -l "$where" || true
	done
	for pid in "${lasting[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		for ((i = 0; i < 3000; i++)); do
			alive "$pid" || break
			sleep 0.01
		done
		! alive "$pid" || kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	server_mounts=() pids=() lasting=() target=''
}
