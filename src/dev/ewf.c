/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading an EWF image.
 *
 * How damage is found out: libewf gives zeros for a chunk whose checksum does
 * not fit, or that it cannot get, and success; what it found bad so far stands
 * in a list of sector ranges, ascending and disjoint. So each read is followed
 * by a look at that list. It is empty for a sound image, and searched by
 * halves, since a bad one can make it long.
 *
 * A chunk that libewf cannot get costs memory that it never frees, at each try.
 * So what is known to be bad, or not there, is not asked for again.
 *
 * Locks: one mutex; libewf allows one thread at a time on a handle.
 */
#include "ewf_priv.h"

#ifdef HAVE_LIBEWF

#include <rawmap/base/log.h>

#include <errno.h>
#include <string.h>

static struct ewf *ewf_of(struct blkdev *dev)
{
	return (struct ewf *)dev;
}

char *ewf_take_reason(libewf_error_t **why)
{
	char text[4096] = "", *end;

	if (*why &&
	    libewf_error_backtrace_sprint(*why, text, sizeof(text)) == -1)
		libewf_error_sprint(*why, text, sizeof(text));
	libewf_error_free(why);
	text[sizeof(text) - 1] = '\0';
	/* From the cause up: one function and its complaint a line. */
	end = text + strcspn(text, "\n");
	if (end > text && end[-1] == '.')
		end--;
	*end = '\0';
	return g_utf8_make_valid(*text ? text : "it does not say why", -1);
}

static ssize_t read_some(libewf_handle_t *handle, void *buf, size_t len,
			 uint64_t pos, libewf_error_t **why)
{
#ifdef HAVE_LIBEWF_READ_AT_OFFSET
	return libewf_handle_read_buffer_at_offset(handle, buf, len,
						   (off64_t)pos, why);
#else
	return libewf_handle_read_random(handle, buf, len, (off64_t)pos, why);
#endif
}

static int read_full(struct ewf *e, void *buf, size_t len, uint64_t pos)
	REQUIRES(e->lock)
{
	while (len) {
		libewf_error_t *why = NULL;
		ssize_t n = read_some(e->handle, buf, len, pos, &why);

		if (n <= 0 || (size_t)n > len) {
			g_autofree char *reason = ewf_take_reason(&why);

			log_debug("libewf: at byte %" G_GUINT64_FORMAT ": %s",
				  pos, reason);
			return -EIO;
		}
		buf = (char *)buf + n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * The first bad range that ends behind sector @start: does it begin before
 * @end? What libewf cannot answer is bad too.
 */
static bool is_bad(struct ewf *e, uint64_t start, uint64_t end)
	REQUIRES(e->lock)
{
	uint64_t first, count, candidate = end;
	uint32_t low = 0, high;

	if (libewf_handle_get_number_of_checksum_errors(e->handle, &high,
							NULL) != 1)
		return true;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (libewf_handle_get_checksum_error(e->handle, mid, &first,
						     &count, NULL) != 1)
			return true;
		if (first + count > start) {
			candidate = first;
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	return candidate < end;
}

/* Chunks are good or bad as a whole; the last may end within a sector. */
static bool is_damaged(struct ewf *e, uint64_t len, uint64_t pos)
	REQUIRES(e->lock)
{
	uint64_t first = pos / e->chunk;
	uint64_t last = (pos + len - 1) / e->chunk;

	return is_bad(e, first * e->chunk_sectors,
		      (last + 1) * e->chunk_sectors);
}

static int ewf_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct ewf *e = ewf_of(dev);
	int ret;

	if (pos.v + len > e->end)
		return -EIO;
	mutex_lock(&e->lock);
	ret = is_damaged(e, len, pos.v) ? -EIO : read_full(e, buf, len, pos.v);
	if (!ret && is_damaged(e, len, pos.v))
		ret = -EIO;
	mutex_unlock(&e->lock);
	return ret;
}

/* Nobody gets here: the device is read-only. */
static int ewf_pwrite(struct blkdev *dev, const void *buf, size_t len,
		      dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EROFS;
}

static int ewf_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static void ewf_close(struct blkdev *dev)
{
	struct ewf *e = ewf_of(dev);

	if (e->handle) {
		libewf_handle_close(e->handle, NULL);
		libewf_handle_free(&e->handle, NULL);
	}
	ewf_details_clear(&e->details);
	g_ptr_array_unref(e->held);
	mutex_clear(&e->lock);
	g_free(e);
}

const struct blkdev_ops ewf_ops = {
	.name = "ewf",
	.pread = ewf_pread,
	.pwrite = ewf_pwrite,
	.flush = ewf_flush,
	.close = ewf_close,
};

const struct ewf_details *ewf_details(const struct blkdev *dev)
{
	return dev->ops == &ewf_ops ? &((const struct ewf *)dev)->details
				    : NULL;
}

#else

const struct ewf_details *ewf_details(const struct blkdev *dev)
{
	(void)dev;
	return NULL;
}

#endif
