/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making sure that a range has blocks: image_zero() and image_allocate().
 *
 *                  hole                         mapped, when zeroing
 *   extents        unwritten extent             whole blocks become unwritten,
 *                                               parts are zeroed in place
 *   indirect map   blocks are reserved, zeroed  zeroed in place
 *   or pinned      and published, in steps
 *
 * Blocks behind the end of a file are an error to e2fsck: written ones always,
 * unwritten ones in an extent tree of depth two. So they are refused where the
 * end shall stay (-EOPNOTSUPP). Growth sets the size first with extents; an
 * indirect map knows no unwritten blocks, there a step grows the file with the
 * blocks it publishes.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>

/* Of blocks of zeros written between two publications. */
#define STEP_BYTES (UINT64_C(8) << 20)

struct provide {
	uint64_t pos, end; /* bytes */
	uint64_t grow_to;  /* 0: the size stays */
	bool zero;
};

int image_holes_in(struct image *img, uint64_t pos, uint64_t end,
		   uint64_t *ret_blocks)
{
	lblk at = lblk_of_img_floor(img_off_at(pos), img->bits);
	lblk stop = lblk_of_img_ceil(img_off_at(end), img->bits);
	struct extent e;

	for (*ret_blocks = 0; at.v < stop.v; at.v += e.len) {
		int err = image_map_at(img, at, stop.v - at.v, 0, &e);

		if (err)
			return err;
		if (e.state == EXTENT_HOLE)
			*ret_blocks += e.len;
	}
	return 0;
}

/*
 * What cannot succeed changes nothing, rather than filling the host up and
 * taking it all back. Blocks freed lately count once they are committed.
 */
static int check_room(struct image *img, const struct provide *p)
{
	uint64_t holes;
	int err = image_holes_in(img, p->pos, p->end, &holes);

	if (err || holes <= hostfs_available(img->fs))
		return err;
	err = hostfs_commit(img->fs);
	if (err)
		return err;
	return holes <= hostfs_available(img->fs) ? 0 : -ENOSPC;
}

static int provide_extents(struct image *img, const struct provide *p)
{
	lblk first = lblk_of_img_floor(img_off_at(p->pos), img->bits);
	lblk stop = lblk_of_img_ceil(img_off_at(p->end), img->bits);
	lblk whole = lblk_of_img_ceil(img_off_at(p->pos), img->bits);
	lblk rest = lblk_of_img_floor(img_off_at(p->end), img->bits);
	/* Space first: when it runs out no byte has changed. */
	int err = image_steps(img, hostfile_prealloc, first, stop.v - first.v);

	if (err || !p->zero)
		return err;
	if (whole.v >= rest.v)
		return image_zero_mapped(img, p->pos, p->end);
	err = image_zero_mapped(img, p->pos, whole.v << img->bits);
	if (!err)
		err = image_zero_mapped(img, rest.v << img->bits, p->end);
	if (!err)
		err = image_steps(img, hostfile_unwrite, whole,
				  rest.v - whole.v);
	return err;
}

int image_fill_zeroed(struct image *img, const struct extent *e,
		      uint64_t grow_to, uint64_t *ret_done)
{
	struct fill fill = { .n = 0 };
	uint64_t stop = e->start.v;
	unsigned i;
	int err = hostfile_reserve(img->hf, e, &fill);

	if (err)
		return err;
	for (i = 0; !err && i < fill.n; i++) {
		const struct extent *run = &fill.runs[i];

		err = image_zero_dev(img, dev_of_pblk(run->phys, img->bits),
				     run->len << img->bits);
		stop = extent_end(run);
	}
	grow_to = u64_min(grow_to, stop << img->bits);
	if (!err)
		err = hostfile_publish(img->hf, &fill, grow_to);
	if (err) {
		hostfile_unreserve(img->hf, &fill);
		return err;
	}
	*ret_done = stop - e->start.v;
	return 0;
}

static int provide_zeroed(struct image *img, const struct provide *p)
{
	lblk at = lblk_of_img_floor(img_off_at(p->pos), img->bits);
	lblk stop = lblk_of_img_ceil(img_off_at(p->end), img->bits);
	uint64_t done;

	for (; at.v < stop.v; at.v += done) {
		uint64_t max = u64_min(stop.v - at.v, STEP_BYTES >> img->bits);
		struct extent e;
		int err = image_map_at(img, at, max, 0, &e);

		if (err)
			return err;
		done = e.len;
		if (e.state != EXTENT_MAPPED) {
			err = image_fill_zeroed(img, &e, p->grow_to, &done);
		} else if (p->zero) {
			uint64_t lo = at.v << img->bits;
			uint64_t hi = extent_end(&e) << img->bits;

			err = image_zero_mapped(img, u64_max(lo, p->pos),
						u64_min(hi, p->end));
		}
		if (err)
			return err;
	}
	return 0;
}

/* What was to come behind @size, and did not all come, goes. */
static void take_back(struct image *img, uint64_t size)
{
	lblk first = lblk_of_img_ceil(img_off_at(size), img->bits);

	if (!image_steps(img, hostfile_punch, first, LBLK_END - first.v))
		hostfile_set_size(img->hf, size);
}

/*
 * The size first: blocks behind the end of a deep tree are damage to e2fsck, a
 * hole in front of it is not.
 */
static int grow_extents(struct image *img, const struct provide *p,
			uint64_t size)
{
	int err = hostfile_set_size(img->hf, p->grow_to);

	if (err)
		return err;
	err = provide_extents(img, p);
	if (err)
		take_back(img, size);
	return err;
}

static int provide_locked(struct image *img, struct provide *p, uint64_t size,
			  bool keep_size)
{
	bool extents = hostfile_extent_mapped(img->hf) &&
		       !image_keeps_blocks(img);
	int err;

	if (keep_size && p->end > align_ceil(size, image_block_size(img)))
		return -EOPNOTSUPP;
	err = check_room(img, p);
	if (!err && p->end > size && !keep_size) {
		p->grow_to = p->end;
		/* What the last block holds behind the end becomes visible. */
		err = image_zero_mapped(img, size, p->end);
	}
	if (err)
		return err;
	if (extents)
		return p->grow_to ? grow_extents(img, p, size)
				  : provide_extents(img, p);
	err = provide_zeroed(img, p);
	if (!err && p->grow_to && image_size(img) < p->grow_to)
		err = hostfile_set_size(img->hf, p->grow_to);
	return err;
}

static int provide(struct image *img, img_off pos, uint64_t len, bool keep_size,
		   bool zero)
{
	struct provide p = { .pos = pos.v, .zero = zero };
	struct rangelock_hold hold;
	uint64_t size = 0;
	int err = image_may_write(img);

	if (!err)
		err = image_fits(img, pos, len, &p.end);
	if (err || !len)
		return err;
	(void)image_lock_range(img, &hold, RANGELOCK_CHANGE, p.pos, p.end, 0,
			       &size);
	err = provide_locked(img, &p, size, keep_size);
	rangelock_drop(&img->ranges, &hold);
	return err == -EOPNOTSUPP ? err : image_changed(img, err);
}

int image_zero(struct image *img, img_off pos, uint64_t len, bool keep_size)
{
	int err = provide(img, pos, len, keep_size, true);

	if (!err)
		image_add(&img->stats.zeros, 1);
	return err;
}

int image_allocate(struct image *img, img_off pos, uint64_t len, bool keep_size)
{
	return provide(img, pos, len, keep_size, false);
}
