/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O on a block device or a regular file.
 *
 *   range                   buffered source   direct source
 *   aligned, memory too     pread/pwrite      the same, no copy
 *   anything else           pread/pwrite      through an aligned bounce buffer
 *   tail of a file          pread/pwrite      pread/pwrite on the buffered fd
 *
 * The tail: a file's size need not be a multiple of what direct I/O needs. Its
 * last, incomplete piece cannot be written directly without growing the file,
 * so it goes through the page cache. It begins at a page, hence no page of the
 * page cache is ever reached both ways and neither can see the other's old
 * bytes; the kernel writes only pages that are dirty, so a tail page that goes
 * home carries nobody else's sectors.
 *
 * A ragged edge is read, changed and written back with all other direct writes
 * kept out (`edges`). Without that a write of a whole sector could vanish under
 * the older copy. Reads take no lock: the bytes that
 * a write-back does not change are written as they were.
 *
 * Never grows a file, never reads or writes past the size found at open.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BOUNCE_MAX (UINT64_C(1) << 20)
/* More than any direct I/O asks of memory; whole pages save the kernel work. */
#define BOUNCE_ALIGN 4096

/*
 * @step: what the descriptor can continue at. A direct transfer that stops
 * elsewhere met the end of a file that somebody cut off.
 */
static int read_full(int fd, void *buf, size_t len, uint64_t pos, uint32_t step)
{
	while (len) {
		ssize_t n = pread(fd, buf, len, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return filedev_errno(errno);
		if (!n || !is_aligned((uint64_t)n, step))
			return -EIO;
		buf = (char *)buf + n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_full(int fd, const void *buf, size_t len, uint64_t pos,
		      uint32_t step)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return filedev_errno(errno);
		if (!n || !is_aligned((uint64_t)n, step))
			return -EIO;
		buf = (const char *)buf + n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* One turn through the bounce buffer: whole sectors around caller's bytes. */
struct window {
	uint64_t start; /* aligned */
	size_t len;	/* aligned, at most BOUNCE_MAX */
	size_t head;	/* bytes before the caller's first */
	size_t n;	/* bytes of the caller's */
};

static struct window window_at(const struct filedev *fd, uint64_t pos,
			       size_t len)
{
	uint32_t align = fd->dev.geo.align;
	struct window w = { .start = align_floor(pos, align) };

	w.head = pos - w.start;
	w.len = u64_min(align_ceil(pos + len, align) - w.start, BOUNCE_MAX);
	w.n = u64_min(len, w.len - w.head);
	return w;
}

static void *bounce_new(const struct filedev *fd, uint64_t pos, size_t len)
{
	size_t align = u64_max(fd->dev.geo.align, BOUNCE_ALIGN);

	return bytes_aligned_new(align_ceil(window_at(fd, pos, len).len, align),
				 align);
}

static bool is_direct_ready(const struct filedev *fd, const void *buf,
			    size_t len, uint64_t pos)
{
	return is_aligned(pos | len | (uintptr_t)buf, fd->dev.geo.align);
}

static int bounce_read(struct filedev *fd, void *buf, size_t len, uint64_t pos)
{
	char *bounce = bounce_new(fd, pos, len);
	int ret = 0;

	while (len) {
		struct window w = window_at(fd, pos, len);

		ret = read_full(fd->fd, bounce, w.len, w.start,
				fd->dev.geo.align);
		if (ret)
			break;
		memcpy(buf, bounce + w.head, w.n);
		buf = (char *)buf + w.n;
		pos += w.n;
		len -= w.n;
	}
	bytes_aligned_free(bounce);
	return ret;
}

static int write_whole(struct filedev *fd, const void *buf, size_t len,
		       uint64_t pos)
{
	int ret;

	edges_whole_begin(&fd->edges);
	ret = write_full(fd->fd, buf, len, pos, fd->dev.geo.align);
	edges_whole_end(&fd->edges);
	return ret;
}

/* Fill the parts of first and last sector that the caller did not give. */
static int read_edges(struct filedev *fd, char *bounce, const struct window *w)
	REQUIRES(fd->edges)
{
	uint32_t align = fd->dev.geo.align;
	bool last = !is_aligned(w->head + w->n, align);
	size_t at = w->len - align;
	int ret = 0;

	if (w->head)
		ret = read_full(fd->fd, bounce, align, w->start, align);
	if (!ret && last && (at || !w->head))
		ret = read_full(fd->fd, bounce + at, align, w->start + at,
				align);
	return ret;
}

static int write_ragged(struct filedev *fd, const void *buf, char *bounce,
			const struct window *w)
{
	int ret;

	edges_ragged_begin(&fd->edges);
	ret = read_edges(fd, bounce, w);
	if (!ret) {
		memcpy(bounce + w->head, buf, w->n);
		ret = write_full(fd->fd, bounce, w->len, w->start,
				 fd->dev.geo.align);
	}
	edges_ragged_end(&fd->edges);
	return ret;
}

static int bounce_write(struct filedev *fd, const void *buf, size_t len,
			uint64_t pos)
{
	char *bounce = bounce_new(fd, pos, len);
	int ret = 0;

	while (len && !ret) {
		struct window w = window_at(fd, pos, len);

		if (w.n == w.len) {
			memcpy(bounce, buf, w.n);
			ret = write_whole(fd, bounce, w.n, w.start);
		} else {
			ret = write_ragged(fd, buf, bounce, &w);
		}
		buf = (const char *)buf + w.n;
		pos += w.n;
		len -= w.n;
	}
	bytes_aligned_free(bounce);
	return ret;
}

static int filedev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct filedev *fd = filedev_of(dev);
	size_t n = pos.v < fd->tail ? u64_min(len, fd->tail - pos.v) : 0;
	int ret = 0;

	if (n && (!fd->direct || is_direct_ready(fd, buf, n, pos.v)))
		ret = read_full(fd->fd, buf, n, pos.v, dev->geo.align);
	else if (n)
		ret = bounce_read(fd, buf, n, pos.v);
	if (!ret && n < len)
		ret = read_full(fd->tail_fd, (char *)buf + n, len - n,
				pos.v + n, 1);
	return ret;
}

static int filedev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	struct filedev *fd = filedev_of(dev);
	size_t n = pos.v < fd->tail ? u64_min(len, fd->tail - pos.v) : 0;
	int ret = 0;

	if (n && !fd->direct)
		ret = write_full(fd->fd, buf, n, pos.v, 1);
	else if (n && is_direct_ready(fd, buf, n, pos.v))
		ret = write_whole(fd, buf, n, pos.v);
	else if (n)
		ret = bounce_write(fd, buf, n, pos.v);
	if (!ret && n < len)
		ret = write_full(fd->tail_fd, (const char *)buf + n, len - n,
				 pos.v + n, 1);
	return ret;
}

/* One descriptor is enough: the kernel syncs the inode, tail included. */
static int filedev_flush(struct blkdev *dev)
{
	int ret;

	do {
		ret = fdatasync(filedev_of(dev)->fd);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? filedev_errno(errno) : 0;
}

static void filedev_close(struct blkdev *dev)
{
	struct filedev *fd = filedev_of(dev);

	if (fd->tail_fd >= 0)
		close(fd->tail_fd);
	close(fd->fd);
	edges_clear(&fd->edges);
	g_free(fd);
}

const struct blkdev_ops filedev_ops = {
	.name = "file",
	.pread = filedev_pread,
	.pwrite = filedev_pwrite,
	.flush = filedev_flush,
	.discard = filedev_discard,
	.zero = filedev_zero,
	.raw = filedev_raw,
	.close = filedev_close,
};

bool filedev_is_direct(const struct blkdev *dev)
{
	g_assert(dev->ops == &filedev_ops);
	return ((const struct filedev *)dev)->direct;
}
