/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes for callers who wait: begin, transfer, end, until done. */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

static ssize_t move(struct image *img, enum image_op op, uint8_t *buf,
		    size_t len, img_off pos)
{
	size_t done = 0;
	int err = 0;

	/* What ssize_t can say; nobody asks for more. */
	len = u64_min(len, G_MAXSSIZE);
	while (done < len) {
		struct image_io io;

		err = image_begin(img, op, img_off_add(pos, done), len - done,
				  0, &io);
		if (err)
			break;
		err = image_transfer(img, &io, buf + done);
		err = image_end(img, &io, err);
		if (err || !io.len)
			break;
		done += io.len;
	}
	return done || !err ? (ssize_t)done : err;
}

ssize_t image_pread(struct image *img, void *buf, size_t len, img_off pos)
{
	return move(img, IMAGE_READ, buf, len, pos);
}

ssize_t image_pwrite(struct image *img, const void *buf, size_t len,
		     img_off pos)
{
	/* image_transfer() moves both ways; a write only reads from it. */
	return move(img, IMAGE_WRITE, (uint8_t *)(uintptr_t)buf, len, pos);
}
