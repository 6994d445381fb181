/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SEEK_DATA and SEEK_HOLE: a walk over the map. No range lock: nothing moves,
 * and an answer about an image that somebody changes is old anyway.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

static uint64_t seek_bytes(const struct image *img, uint64_t at, bool data,
			   uint64_t size)
{
	if (data)
		return at < img->bytes_len ? at : size;
	return u64_max(at, img->bytes_len);
}

/* The first byte from @pos on that is, or is not, there; or the end. */
static int seek_to(struct image *img, img_off pos, bool data, uint64_t size,
		   uint64_t *ret)
{
	uint64_t at = pos.v;

	if (img->bytes) {
		*ret = seek_bytes(img, at, data, size);
		return 0;
	}
	while (at < size) {
		lblk block = lblk_of_img_floor(img_off_at(at), img->bits);
		struct extent e;
		int err = image_map_at(img, block, LBLK_END, 0, &e);

		if (err)
			return err;
		if (image_on_dev(img, e.state) == data)
			break;
		at = extent_end(&e) << img->bits;
	}
	*ret = u64_min(at, size);
	return 0;
}

int image_seek_data(struct image *img, img_off pos, img_off *ret)
{
	uint64_t size = image_size(img);
	uint64_t at;
	int err;

	if (pos.v >= size)
		return -ENXIO;
	err = seek_to(img, pos, true, size, &at);
	if (err)
		return err;
	if (at == size)
		return -ENXIO;
	ret->v = at;
	return 0;
}

int image_seek_hole(struct image *img, img_off pos, img_off *ret)
{
	uint64_t size = image_size(img);

	if (pos.v >= size)
		return -ENXIO;
	return seek_to(img, pos, false, size, &ret->v);
}
