/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image_end(): an I/O is over.
 *
 *   what it was      on success                     on failure
 *   read             drop the lock                  the same
 *   overwrite        note the time, drop the lock   drop the lock
 *   fill, growth     publish, then drop the lock    give back, drop the lock
 *
 * The lock goes last: whoever waits for it sees the published map.
 */
#include "image_priv.h"

/* Blocks of the fill, in bytes. */
static uint64_t fill_bytes(const struct image *img, const struct fill *fill)
{
	uint64_t blocks = 0;
	unsigned i;

	for (i = 0; i < fill->n; i++)
		blocks += fill->runs[i].len;
	return blocks << img->bits;
}

static int end_write(struct image *img, struct image_io *io, int result)
{
	uint64_t filled = fill_bytes(img, &io->fill);

	if (!result && image_end_blocks(io))
		result = hostfile_publish(img->hf, &io->fill, io->grow_to);
	else if (!result)
		image_note_write(img);

	if (result) {
		if (io->fill.n)
			hostfile_unreserve(img->hf, &io->fill);
		return result;
	}
	if (filled) {
		image_add(&img->stats.fills, 1);
		image_add(&img->stats.fill_bytes, filled);
	}
	image_add(&img->stats.writes, 1);
	image_add(&img->stats.write_bytes, io->len);
	return 0;
}

int image_end(struct image *img, struct image_io *io, int result)
{
	if (!io->locked)
		return result;
	if (io->op == IMAGE_WRITE) {
		result = end_write(img, io, result);
	} else if (!result) {
		image_add(&img->stats.reads, 1);
		image_add(&img->stats.read_bytes, io->len);
	}
	rangelock_drop(&img->ranges, &io->hold);
	io->locked = false;
	return image_changed(img, result);
}

void image_cancel(struct image *img, struct image_io *io)
{
	g_assert(!image_end_blocks(io));
	if (io->locked)
		image_unlock_io(img, io);
}

bool image_end_blocks(const struct image_io *io)
{
	return io->op == IMAGE_WRITE && (io->fill.n || io->grow_to);
}
