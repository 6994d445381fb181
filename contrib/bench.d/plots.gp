# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Draws one plot. report.py sets svg, kind, heading, data and columns:
# bars    data is a file: names in the first line and column, ratios
# scale   the same, where they differ by magnitudes
# lines   data is words NAME=FILE, of lines "second rate"

set terminal svg size 1200,520 enhanced background rgb 'white' font 'sans,12'
set output svg
set title heading noenhanced
set key outside right top noenhanced
set grid ytics
set datafile missing '?'
set datafile separator "\t"
set yrange [0:*]

# A server has one colour in all plots: the yardsticks grey, peers warm, ours
# from blue to green, lighter without a loop device.
servers = 'raw kernel kernel-buffered kernel-file fuse2fs nbdkit qsd rawmap-uring \
	rawmap-uring-file rawmap-threads rawmap-threads-file rawmap-io_uring \
	rawmap-io_uring-file rawmap rawmap-file rawmap-uring-nocache'
colours = '#bbbbbb #444444 #888888 #666666 #e6a817 #d95f02 #b2182b #08519c #6baed6 \
	#238b45 #99d594 #6a3d9a #cab2d6 #08519c #6baed6 #9ecae1'
index_of(name) = sum [k = 1:words(servers)] (word(servers, k) eq name ? k : 0)
colour(name) = index_of(name) ? word(colours, index_of(name)) : '#000000'

if (kind eq 'bars' || kind eq 'scale') {
	if (kind eq 'scale') {
		set logscale y
		set yrange [0.1:*]
	}
	head = system('head -n 1 '.data)
	set style data histograms
	set style histogram clustered gap 1
	set style fill solid 0.8 noborder
	set xtics rotate by -25 noenhanced
	plot for [i = 2:columns] data using i:xtic(1) title columnheader(i) \
		lc rgb colour(word(head, i)), \
		1 with lines lc rgb 'black' dt 2 notitle
} else {
	name(i) = substr(word(data, i), 1, strstrt(word(data, i), '=') - 1)
	file(i) = substr(word(data, i), strstrt(word(data, i), '=') + 1, \
		strlen(word(data, i)))
	set xlabel 'seconds'
	set ylabel 'MiB/s'
	plot for [i = 1:columns] file(i) using 1:2 with lines lw 2 \
		lc rgb colour(name(i)) title name(i)
}
