#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Maps in the formats of other tools, compared with what those tools say
# themselves: qemu-img of the exposed image, fiwalk and debugfs of the host.
#
# RAWMAP_DFXML_XSD, if set: the public schema, to validate with it as well.
# RAWMAP_TEST_ONCE

# shellcheck source=tests/mount/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fuse
need debugfs jq qemu-img xmllint fiwalk

host=$TMP/host.img
data=$(cd "$(dirname "${BASH_SOURCE[0]}")/../data" && pwd)

map()
{
	expect_status 0 "$RAWMAP" map "$@" "$host" /disk
}

# piece SEEK COUNT: in blocks of 4096 of the local disk.
piece()
{
	yes "piece at $1" | dd of="$TMP/disk" bs=4096 seek="$1" count="$2" \
		iflag=fullblock conv=notrunc 2>/dev/null
}

# A sparse image of 12 MiB, of whole sectors but not of whole blocks: some long
# runs, and every other of a hundred blocks. No more: sleuthkit 4.11 does not read
# an extent tree that has more than one leaf.
build_host()
{
	local i
	make_host "$1" 64M "$host" -b "$2"
	make_sparse $((12 * 1024 * 1024 - 3584)) "$TMP/disk"
	piece 0 300
	piece 512 256
	for ((i = 1000; i < 1100; i += 2)); do
		piece "$i" 1
	done
	piece 3070 1
	truncate -s $((12 * 1024 * 1024 - 3584)) "$TMP/disk"
	put_file "$host" "$TMP/disk" /disk
	[ "$1" = ext2 ] || debugfs -w -R "fallocate /disk $3 $4" "$host" \
		>/dev/null 2>&1
	get_file "$host" /disk "$TMP/now"
}

# ---- qemu ----

# Entries that differ in nothing but their place become one.
joined()
{
	jq -c 'reduce (.[] | del(.offset, .compressed)) as $e ([];
		if length > 0 and
			(.[-1] | del(.start, .length)) ==
			($e | del(.start, .length))
		then .[-1].length += $e.length else . + [$e] end)' "$1"
}

compare_with_qemu()
{
	expect_status 0 "$RAWMAP" map --format qemu "$host" "/$1"
	mv "$TMP/out" "$TMP/ours"
	run qemu-img map --output=json -f raw "$MNT/$1" >"$TMP/theirs"
	expect_equal "$(joined "$TMP/ours")" "$(joined "$TMP/theirs")" \
		"the map of $1 beside that of qemu-img"
}

test_qemu()
{
	local start length offset n=0
	printf 'not a sector' >"$TMP/odd"
	truncate -s 10000 "$TMP/odd_hole"
	: >"$TMP/empty"
	put_file "$host" "$TMP/odd" /odd
	put_file "$host" "$TMP/odd_hole" /odd_hole
	put_file "$host" "$TMP/empty" /empty
	mount_rawmap -r -i /disk -i /odd -i /odd_hole -i /empty "$host" "$MNT"
	compare_with_qemu odd
	compare_with_qemu odd_hole
	compare_with_qemu empty
	compare_with_qemu disk
	unmount_rawmap
	expect_equal "$(jq -c '.[0] | del(.length, .offset) | keys' \
		"$TMP/ours")" "$(jq -c '.[0] |
		del(.length, .offset, .compressed) | keys' "$TMP/theirs")" \
		'the members'
	while read -r start length offset; do
		cmp -n "$length" -i "$start:$offset" "$TMP/now" "$host" ||
			fail "byte $start is not at byte $offset"
		n=$((n + 1))
	done < <(jq -r '.[] | select(.data) |
		"\(.start) \(.length) \(.offset)"' "$TMP/ours")
	[ "$n" -gt 50 ] || fail "only $n entries with data"
}

# ---- DFXML ----

# runs_of XML: start, place and length of each run of /disk that has data, runs
# that follow each other made one. fiwalk knows no unwritten runs but as holes.
runs_of()
{
	local is='local-name()='
	xmllint --xpath "//*[${is}'fileobject'][*[${is}'filename']='disk']
		/*[${is}'byte_runs']/*[${is}'byte_run'][@img_offset]
		[not(@fill)]" "$1" | tr '\n' ' ' | sed 's/<byte_run/\n&/g' |
		sed -n "s/.*file_offset=[\"']\([0-9]*\).*/\1 &/
			s/\([0-9]* \).*img_offset=[\"']\([0-9]*\).*/\1\2 &/
			s/\([0-9]* [0-9]* \).* len=[\"']\([0-9]*\).*/\1\2/p" |
		awk 'function out() { if (n) print at, place, n }
			n && at + n == $1 && place + n == $2 { n += $3; next }
			{ out(); at = $1; place = $2; n = $3 }
			END { out() }'
}

test_dfxml()
{
	map --format dfxml
	mv "$TMP/out" "$TMP/ours.xml"
	run xmllint --noout "$TMP/ours.xml"
	xmllint --noout --relaxng "$data/dfxml.rng" "$TMP/ours.xml" \
		2>"$TMP/err" || fail "not DFXML: $(cat "$TMP/err")"
	[ -z "${RAWMAP_DFXML_XSD:-}" ] ||
		xmllint --noout --schema "$RAWMAP_DFXML_XSD" \
			"$TMP/ours.xml" 2>"$TMP/err" ||
		fail "not DFXML: $(cat "$TMP/err")"
	run fiwalk -g -z -x "$host" >"$TMP/theirs.xml" 2>/dev/null
	runs_of "$TMP/ours.xml" >"$TMP/ours.runs"
	runs_of "$TMP/theirs.xml" >"$TMP/theirs.runs"
	[ "$(wc -l <"$TMP/ours.runs")" -gt 50 ] ||
		fail "few runs: $(cat "$TMP/ours.runs")"
	diff "$TMP/ours.runs" "$TMP/theirs.runs" >&2 ||
		fail 'the runs are not those that fiwalk finds'
}

# ---- svg ----

test_svg()
{
	local shapes
	map --format svg
	run xmllint --noout "$TMP/out"
	shapes=$(xmllint --xpath 'count(//*)' "$TMP/out")
	[ "$shapes" -le 2000 ] || fail "$shapes elements"
	[ "$shapes" -ge 100 ] || fail "$shapes elements only"
	! grep -Eq 'href|<script|@import|url\([^#]' "$TMP/out" ||
		fail 'the picture needs something from elsewhere'
	if command -v rsvg-convert >/dev/null; then
		run rsvg-convert -o "$TMP/out.png" "$TMP/out"
		[ -s "$TMP/out.png" ] || fail 'rsvg-convert drew nothing'
	fi
}

# ---- one place ----

# Block by block as debugfs has it, there and back.
test_places()
{
	local bs=$1 block there
	shift
	for block; do
		there=$(debugfs -R "bmap /disk $block" "$host" 2>/dev/null)
		there=${there% (*}
		map --at $((block * bs + 7)) --format json
		if [ "$there" -eq 0 ]; then
			expect_equal "$(jq -r .state "$TMP/out")" hole \
				"block $block"
			continue
		fi
		expect_equal "$(jq .device_block "$TMP/out")" "$there" \
			"where block $block lies"
		expect_equal "$(jq .device_byte "$TMP/out")" \
			$((there * bs + 7)) "where block $block lies"
		map --device-block "$there" --format json
		expect_equal "$(jq .byte "$TMP/out")" $((block * bs)) \
			"what lies in block $there"
		map --device-block "$there"
		expect_text "$TMP/out" "image block:  $block, byte 0 of it"
	done
	map --device-block 0
	expect_text "$TMP/out" "device block 0 holds no block of '/disk'"
	map --at 100T
	expect_text "$TMP/out" 'nothing, beyond the end'
	map --at 1K
	expect_text "$TMP/out" 'image byte:   1024'
}

# ---- what makes no sense ----

refuse()
{
	local status=$1 text=$2
	shift 2
	expect_status "$status" "$RAWMAP" map "$@" "$host" /disk
	expect_text "$TMP/err" "$text"
	[ ! -s "$TMP/out" ] || fail "standard output of: $*"
}

test_refusals()
{
	local format
	refuse 2 'one at a time' --at 5 --device-block 5
	refuse 2 'not a size' --at 1.5K
	refuse 2 'not a size' --at -1
	refuse 2 'not a whole number' --device-block 1K
	for format in qemu dfxml dm svg; do
		refuse 2 "not as $format" --at 5 --format "$format"
		refuse 2 "not as $format" --device-block 5 --format "$format"
	done
	refuse 2 'table, json, qemu, dfxml, dm, svg' --format xml
	refuse 1 'there is no block' --device-block 99999999
	refuse 1 'not a block device' --format dm
}

test_on()
{
	build_host "$@"
	test_qemu
	test_dfxml
	test_svg
	test_refusals
}

test_on ext4 4096 2000 2099
test_places 4096 0 299 300 512 767 1000 1001 1098 2000 2099 2100 3070 3071
test_on ext4 1024 8000 8299
test_places 1024 0 1199 1200 8000 8299 8300 12283
test_on ext2 1024 0 0
test_places 1024 0 11 12 267 268 1199 1200 4000 4001 4004 12283
test_on ext3 2048 0 0
