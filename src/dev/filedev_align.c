/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What direct I/O on a regular file needs of positions and memory. The kernel
 * says it, or it is found by trying.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool filedev_align_is_usable(uint64_t align)
{
	return is_power_of_two(align) && align <= SECTOR_MAX;
}

static bool can_read(int fd, void *buf, size_t len, uint64_t pos)
{
	ssize_t n;

	do {
		n = pread(fd, buf, len, (off_t)pos);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

/*
 * Find the alignment by trying, at the file's first data: a read of a hole
 * never meets the disk and succeeds with any alignment. Returns 0 for none.
 */
static uint32_t probe_align(int fd)
{
	uint32_t align = SECTOR_MIN;
	off_t data = lseek(fd, 0, SEEK_DATA);
	uint64_t pos = data < 0 ? 0 : align_floor((uint64_t)data, SECTOR_SAFE);
	void *buf = bytes_aligned_new(SECTOR_SAFE, SECTOR_SAFE);

	if (data < 0 || !can_read(fd, buf, SECTOR_MIN, pos))
		align = can_read(fd, buf, SECTOR_SAFE, pos) ? SECTOR_SAFE : 0;
	bytes_aligned_free(buf);
	return align;
}

uint32_t filedev_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx sx;
	uint32_t align;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) &&
	    (sx.stx_mask & STATX_DIOALIGN)) {
		align = (uint32_t)u64_max(sx.stx_dio_mem_align,
					  sx.stx_dio_offset_align);
		return sx.stx_dio_offset_align && filedev_align_is_usable(align)
			       ? align
			       : 0;
	}
#endif
	return probe_align(fd);
}
