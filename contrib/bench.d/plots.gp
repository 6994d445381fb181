# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Draws one plot. report.py sets svg, kind, heading, data and columns:
# bars    data is a file: names in the first line and column, ratios
# lines   data is words NAME=FILE, of lines "second rate"

set terminal svg size 1000,480 enhanced background rgb 'white' font 'sans,12'
set output svg
set title heading noenhanced
set key outside right top noenhanced
set grid ytics
set datafile missing '?'
set datafile separator "\t"
set yrange [0:*]

if (kind eq 'bars') {
	set style data histograms
	set style histogram clustered gap 1
	set style fill solid 0.8 noborder
	set xtics rotate by -25 noenhanced
	plot for [i = 2:columns] data using i:xtic(1) title columnheader(i), \
		1 with lines lc rgb 'black' dt 2 notitle
} else {
	name(i) = substr(word(data, i), 1, strstrt(word(data, i), '=') - 1)
	file(i) = substr(word(data, i), strstrt(word(data, i), '=') + 1, \
		strlen(word(data, i)))
	set xlabel 'seconds'
	set ylabel 'MiB/s'
	plot for [i = 1:columns] file(i) using 1:2 with lines lw 2 title name(i)
}
