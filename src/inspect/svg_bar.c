/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arithmetic of a bar: columns of equal width, but for a byte of rounding,
 * that cover its range without a gap; and the marks of its axis.
 */
#include "svg_priv.h"

#include <rawmap/base/bytes.h>

#define TICKS_MAX 6

uint64_t svg_column_start(const struct svg_bar *bar, unsigned i)
{
	uint64_t each = bar->len / bar->columns, rest = bar->len % bar->columns;

	return bar->from + each * i + rest * i / bar->columns;
}

/* The column that holds @pos. */
static unsigned column_of(const struct svg_bar *bar, uint64_t pos)
{
	uint64_t each = bar->len / bar->columns;
	unsigned last = bar->columns - 1, i = last;

	/* Never too small a guess: the columns are @each bytes or one more. */
	if (each)
		i = (unsigned)u64_min((pos - bar->from) / each, last);
	while (i && svg_column_start(bar, i) > pos)
		i--;
	return i;
}

void svg_bar_add(struct svg_bar *bar, enum svg_kind kind, uint64_t pos,
		 uint64_t len)
{
	uint64_t end = pos + len;

	for (unsigned i = column_of(bar, pos); pos < end; i++) {
		uint64_t next = i + 1 < bar->columns
					? svg_column_start(bar, i + 1)
					: end;

		if (next <= pos)
			continue;
		next = u64_min(next, end);
		bar->bytes[kind][i] += next - pos;
		pos = next;
	}
}

uint64_t svg_tick_step(const struct svg_bar *bar)
{
	uint64_t step = 1;

	while (bar->len / step > TICKS_MAX)
		step *= 2;
	return step;
}
