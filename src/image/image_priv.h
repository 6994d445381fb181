/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the image layer shares with itself.
 *
 * The size changes only under a range lock that reaches LBLK_END, so whoever
 * holds one reads a size that stands still; see image_lock_range().
 */
#ifndef RAWMAP_IMAGE_PRIV_H
#define RAWMAP_IMAGE_PRIV_H

#include <rawmap/dev/blkdev.h>
#include <rawmap/image/image.h>

struct image {
	struct hostfile *hf;  /* set once; owned */
	struct hostfs *fs;    /* set once; of hf */
	struct extmap *map;   /* set once; of hf */
	struct blkdev *dev;   /* set once; of fs */
	unsigned bits;	      /* set once; log2 of the block size */
	bool readonly;	      /* set once */
	bool raw_unwritten;   /* set once; of fs */
	const uint8_t *bytes; /* set once; of hf: inline data, or NULL */
	uint64_t bytes_len;   /* set once */

	struct rangelock ranges;

	bool keeps_blocks;	  /* atomic: image_fill_holes() */
	uint64_t last_write;	  /* atomic; ns of the epoch, 0: settled */
	struct image_stats stats; /* atomic */
};

/* Relaxed: a counter orders nothing. */
static inline void image_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t image_block_size(const struct image *img)
{
	return UINT64_C(1) << img->bits;
}

/* Does the device hold what a reader gets of blocks in this state? */
static inline bool image_on_dev(const struct image *img,
				enum extent_state state)
{
	return state == EXTENT_MAPPED ||
	       (state == EXTENT_UNWRITTEN && img->raw_unwritten);
}

/* 0, or -EROFS. Lock-free. */
int image_may_write(const struct image *img);

/* Something ended with @err: count it if it is one, hand it back. */
int image_changed(struct image *img, int err);

/* Bytes changed without a change of the host: the time of it, kept here. */
void image_note_write(struct image *img);

/* Does a write to bytes up to @end fit at all? 0 or -EFBIG. */
int image_fits(const struct image *img, img_off pos, uint64_t len,
	       uint64_t *ret_end);

/*
 * What is at block @at: as extmap_lookup(), loading where the cache does not
 * know. Returns 0, -EAGAIN (only with NOWAIT: it would load), -EUCLEAN, -EIO.
 */
int image_map_at(struct image *img, lblk at, uint64_t max, unsigned flags,
		 struct extent *ret);

/* @flags: those of image_begin(). False, and nothing held, with one of them. */
bool image_take(struct image *img, struct rangelock_hold *hold,
		enum rangelock_mode mode, lblk start, uint64_t len,
		unsigned flags);

/*
 * Take FILL or CHANGE over the blocks of bytes [from, to). When @to lies beyond
 * the size the lock starts no later than the block of the size and reaches to
 * LBLK_END: nobody else can grow or shrink the image meanwhile. *ret_size is
 * the size under the lock. @flags: those of image_begin(); false, and nothing
 * held, only with one of them.
 */
bool image_lock_range(struct image *img, struct rangelock_hold *hold,
		      enum rangelock_mode mode, uint64_t from, uint64_t to,
		      unsigned flags, uint64_t *ret_size);

/* How many of @len bytes at @pos lie inside the image? */
uint64_t image_clip(const struct image *img, img_off pos, uint64_t len);

/* The lock of an I/O of @want bytes. False: only with one of @flags. */
bool image_lock_io(struct image *img, struct image_io *io,
		   enum rangelock_mode mode, uint64_t want, unsigned flags);
/* Back to an I/O that was never begun. */
void image_unlock_io(struct image *img, struct image_io *io);

/* One run of the map, cut to what the request still wants. */
struct image_piece {
	struct extent e;
	dev_off dev;  /* of the first byte; meaningless in a hole */
	uint64_t len; /* bytes */
};

/* What lies at io->pos + io->len, of @want bytes. As image_map_at(). */
int image_next_piece(struct image *img, const struct image_io *io,
		     uint64_t want, unsigned flags, struct image_piece *p);
/* Append, as part of the last segment where it goes on. False: no room. */
bool image_add_seg(struct image_io *io, const struct image_seg *seg);

/* image_begin() of a write. */
int image_begin_write(struct image *img, struct image_io *io, uint64_t len,
		      unsigned flags);

static inline bool image_keeps_blocks(const struct image *img)
{
	return __atomic_load_n(&img->keeps_blocks, __ATOMIC_RELAXED);
}

/* Blocks of holes among those of the bytes [pos, end). 0, -EUCLEAN, -EIO. */
int image_holes_in(struct image *img, uint64_t pos, uint64_t end,
		   uint64_t *ret_blocks);

/*
 * Blocks full of zeros for a prefix of @e, a hole or an unwritten run; the image
 * grows with them, up to @grow_to bytes. *ret_done: blocks of that prefix.
 * Returns as hostfile_reserve() and _publish(); nothing is different then.
 */
int image_fill_zeroed(struct image *img, const struct extent *e,
		      uint64_t grow_to, uint64_t *ret_done);

/*
 * Guarded: zeros to the device; any alignment. Written, where blocks are kept.
 */
int image_zero_dev(struct image *img, dev_off pos, uint64_t len);

/*
 * Zero the bytes [from, to) of the image as far as blocks are mapped; what is
 * not reads as zeros anyway. The caller holds FILL or CHANGE over them.
 */
int image_zero_mapped(struct image *img, uint64_t from, uint64_t to);

/* hostfile_punch() and its kin, repeated until the range is done. */
typedef int (*image_step_fn)(struct hostfile *hf, lblk start, uint64_t len,
			     uint64_t *ret_done);
int image_steps(struct image *img, image_step_fn step, lblk start,
		uint64_t len);

#endif
