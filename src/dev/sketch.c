/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sketch of a device: a sparse file in memory of its size, with the parts
 * copied that matter. What works on descriptors only can look at it, whatever
 * the device is, and never touches the device itself.
 *
 * A sector that cannot be read is zeros here: a disk that is examined may have
 * such ones, and one in the wrong place must not hide all others. Memory is
 * what is copied, no more.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK (UINT64_C(256) << 10)
/* Around a bad sector no less than this is given up. */
#define PIECE 4096

bool sketch_open(struct sketch *s, struct blkdev *dev, uint64_t size)
{
	*s = (struct sketch){
		.dev = dev,
		.fd = memfd_create("sketch", MFD_CLOEXEC),
	};
	if (s->fd >= 0 && size <= INT64_MAX && !ftruncate(s->fd, (off_t)size))
		return true;
	s->err = size > INT64_MAX ? EFBIG : errno;
	sketch_close(s);
	return false;
}

void sketch_close(struct sketch *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void sketch_put(struct sketch *s, const void *buf, size_t len, uint64_t pos)
{
	while (len && !s->err) {
		ssize_t n = pwrite(s->fd, buf, len, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->err = n < 0 ? errno : EIO;
			return;
		}
		buf = (const char *)buf + n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
}

/* What cannot be read in one go is read by halves. */
static void copy_piece(struct sketch *s, uint8_t *buf, uint64_t pos, size_t len)
{
	size_t half = align_ceil(len / 2, PIECE);

	if (!blkdev_pread(s->dev, buf, len, dev_off_at(pos))) {
		sketch_put(s, buf, len, pos);
	} else if (len > PIECE) {
		copy_piece(s, buf, pos, half);
		copy_piece(s, buf, pos + half, len - half);
	}
}

void sketch_copy(struct sketch *s, uint64_t pos, uint64_t len)
{
	uint64_t size = blkdev_geometry(s->dev)->size;
	uint8_t *buf;

	if (pos >= size)
		return;
	len = u64_min(len, size - pos);
	buf = bytes_aligned_new(CHUNK, PIECE);
	while (len && !s->err) {
		size_t n = u64_min(len, CHUNK);

		copy_piece(s, buf, pos, n);
		pos += n;
		len -= n;
	}
	bytes_aligned_free(buf);
}
