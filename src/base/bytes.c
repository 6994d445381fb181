/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of bytes.h that are more than a line of arithmetic. */
#include <rawmap/base/bytes.h>

#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* Looked at one by one; the rest is compared with itself, shifted by this. */
#define HEAD 16

/*
 * A buffer whose first bytes are zero and which equals itself moved by that
 * many bytes is zero throughout. libc's memcmp() uses the widest registers the
 * machine has, and it reads unaligned buffers at full speed.
 */
bool bytes_are_zero(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t head = MIN(len, HEAD);

	for (size_t i = 0; i < head; i++)
		if (p[i])
			return false;
	return len <= HEAD || !memcmp(p, p + HEAD, len - HEAD);
}

void *bytes_aligned_new(size_t len, size_t align)
{
	void *buf = NULL;

	g_assert(is_power_of_two(align) && is_aligned(len, align));
	/* posix_memalign() wants at least a pointer's alignment, and a byte. */
	if (posix_memalign(&buf, MAX(align, sizeof(void *)), MAX(len, 1)))
		g_error("cannot allocate %zu bytes: the machine, or a limit "
			"(ulimit -v), is short of memory",
			len);
	memset(buf, 0, len);
	return buf;
}

void bytes_aligned_free(void *buf)
{
	free(buf);
}
