/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One exposed image: what a read, a write, a discard and a flush mean, written
 * once. The engine above moves the bytes, synchronously or not, between
 * image_begin() and image_end().
 *
 * The global lock order, outermost first:
 *
 *   1. range lock of the image        (image/rangelock)
 *   2. host                           (hostfs: everything of libext2fs)
 *   3. extent cache                   (map: short, never across I/O)
 *   4. device                         (dev: inside the overlay, file device)
 *
 * No lock but the range lock is held while data moves.
 *
 * Where bytes are that are there: mapped blocks; unwritten ones of a host with
 * raw_unwritten (the map goes on to call them unwritten); the inode, for inline
 * data. Everything else is zeros and, to SEEK_HOLE, a hole.
 *
 * What holds (docs/architecture.md has the walk of each):
 *   - Publish after data: blocks of a fill enter the map at image_end().
 *   - A punch drains: its range lock waits for every I/O on the range.
 *   - Beyond the end of the image, within its last block, bytes are zero when
 *     the image grows over them.
 *   - Every data write passes the write guard.
 */
#ifndef RAWMAP_IMAGE_IMAGE_H
#define RAWMAP_IMAGE_IMAGE_H

#include <rawmap/base/units.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/image/rangelock.h>
#include <rawmap/map/extmap.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image;

/*
 * Takes @hf over: image_free() closes it. @readonly: writing answers -EROFS
 * even where the host could be written. All I/O must have ended before free;
 * nothing is committed by it.
 */
struct image *image_new(struct hostfile *hf, bool readonly);
void image_free(struct image *img); /* NULL is fine */

struct hostfile *image_file(struct image *img); /* borrowed */
struct blkdev *image_dev(struct image *img); /* borrowed: segments lie here */
unsigned image_block_bits(const struct image *img);
uint64_t image_size(const struct image *img); /* bytes */
bool image_readonly(const struct image *img);

/*
 * hostfile_attr() and hostfile_set_times(), with the times of overwrites: an
 * overwrite takes no host lock, so its mtime waits in the image until that is
 * settled or freed. Callers ask here, not the hostfile.
 */
void image_attr(struct image *img, struct hostfile_attr *ret);
int image_set_times(struct image *img, const struct timespec *atime,
		    const struct timespec *mtime); /* 0, -EROFS */

/* ---- begin / end ---- */

enum image_op { IMAGE_READ, IMAGE_WRITE };

/* Nobody writes any more: the time of the last overwrite goes to the inode. */
void image_settle(struct image *img);

enum image_seg_kind {
	IMAGE_SEG_DATA,	 /* move bytes to or from dev */
	IMAGE_SEG_ZERO,	 /* a read: deliver zeros */
	IMAGE_SEG_FILL,	 /* a write: move bytes to dev, with pads */
	IMAGE_SEG_BYTES, /* a read: deliver what is at bytes */
};

struct image_seg {
	enum image_seg_kind kind;
	dev_off dev;	      /* of the payload; DATA and FILL */
	uint64_t len;	      /* payload bytes */
	const uint8_t *bytes; /* BYTES: the image's, as long as it lives */
	/*
	 * FILL: so many zero bytes must be written before and behind the payload
	 * (the rest of blocks that nobody wrote before). dev - pad_head and
	 * dev + len + pad_tail are block boundaries or the neighbours' ends.
	 */
	uint32_t pad_head, pad_tail;
};

#define IMAGE_SEGS 32

/*
 * Answer -EAGAIN rather than
 *   NOWAIT    wait for anything, or fill
 *   TRYLOCK   wait for other I/O to the range; host and device may be waited for
 */
enum { IMAGE_NOWAIT = 1, IMAGE_TRYLOCK = 2 };

struct image_io {
	img_off pos;
	uint64_t len;  /* bytes covered: a prefix of what was asked */
	unsigned nseg; /* segments in image order; their len adds up */
	struct image_seg seg[IMAGE_SEGS];
	/* private to image */
	enum image_op op;
	bool locked;
	uint64_t grow_to;
	struct rangelock_hold hold;
	struct fill fill;
};

/*
 * Start an I/O of @len > 0 bytes at @pos. On 0 @io describes a prefix (at least
 * one byte; a read at or beyond the end: len 0, nseg 0) and image_end() must
 * follow, from any thread. A write beyond the end grows the image. The
 * pure-read and pure-overwrite case takes no host lock, allocates nothing and
 * does no I/O.
 * Returns 0, -EAGAIN (only with one of @flags: hand it to a worker), -EROFS,
 * -ENOSPC, -EFBIG, -EUCLEAN, -EIO; nothing to end then.
 */
int image_begin(struct image *img, enum image_op op, img_off pos, uint64_t len,
		unsigned flags, struct image_io *io);

/*
 * The I/O is over: @result 0 if every byte of every segment (pads too) was
 * moved, else -errno. Publishes a fill and the growth, or gives it back.
 * Returns @result, or the reason why publishing failed.
 * May take the host lock when there is something to publish; else never blocks.
 */
int image_end(struct image *img, struct image_io *io, int result);

/*
 * Not to be done after all, as if it had never begun: for an engine that sees
 * only now that it cannot move these bytes. Only where there is nothing to give
 * back: image_end_blocks() says no. Never blocks.
 */
void image_cancel(struct image *img, struct image_io *io);

/* Would image_end() of this io block? (Something to publish.) */
bool image_end_blocks(const struct image_io *io);

/*
 * Move all segments of @io to or from @buf (io->len bytes), synchronously, the
 * write guard in front of every write. Returns 0 or -errno for image_end().
 */
int image_transfer(struct image *img, const struct image_io *io, void *buf);

/* ---- synchronous whole operations, built on the above ---- */

/* As pread(2)/pwrite(2): bytes moved, short at the end of the image or when
   space runs out behind the first byte, or -errno. */
ssize_t image_pread(struct image *img, void *buf, size_t len, img_off pos);
ssize_t image_pwrite(struct image *img, const void *buf, size_t len,
		     img_off pos);

/*
 * The range becomes a hole as far as whole blocks go; the edges are zeroed.
 * Within the size only (a punch never grows). 0 or -errno; -EOPNOTSUPP: the
 * image keeps its blocks.
 */
int image_punch(struct image *img, img_off pos, uint64_t len);

/*
 * Reads as zeros and has blocks (a later write cannot run out of space).
 * -EOPNOTSUPP: no blocks behind an end that stays. An indirect map cannot have
 * them, and in a deep extent tree e2fsck takes them for damage.
 */
int image_zero(struct image *img, img_off pos, uint64_t len, bool keep_size);

/* Has blocks; what was there stays. Not all or nothing. Errors as above. */
int image_allocate(struct image *img, img_off pos, uint64_t len,
		   bool keep_size);

int image_truncate(struct image *img, uint64_t size);

/* SEEK_DATA / SEEK_HOLE: the end is a hole. 0, -ENXIO, -EUCLEAN, -EIO. */
int image_seek_data(struct image *img, img_off pos, img_off *ret);
int image_seek_hole(struct image *img, img_off pos, img_off *ret);

/* Durable on 0: hostfs_sync(). */
int image_flush(struct image *img);

/*
 * The same for an engine that flushes the data device by itself, between the
 * two: hostfs_flush_begin(), and hostfs_flush_end() with how it went. Where the
 * end may not wait, image_flush_try_end() goes first: false, and nothing ended,
 * if it would have to.
 */
bool image_flush_begin(struct image *img);
int image_flush_end(struct image *img, int err);
bool image_flush_try_end(struct image *img);

/*
 * A request about the image, from its arrival to its reply, wherever it waits
 * meanwhile: what the depth of the queue counts. begin's answer is for end. Both
 * from any thread; they wait for nothing.
 */
uint64_t image_request_begin(struct image *img);
void image_request_end(struct image *img, uint64_t since);

/* ---- pinning ---- */

/*
 * Who wants to know how far it is, in bytes of the image: @step is called now
 * and then, with no lock held. False: stop, -ECANCELED.
 */
struct image_watch {
	bool (*step)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

/*
 * The whole map is in memory and stays there, also what of it is new later. No
 * read or write of bytes that have blocks needs more of the host's metadata
 * than that, from the first one on. @w may be NULL.
 * Returns 0, -ECANCELED, -EUCLEAN, -EIO; nothing is pinned then.
 */
int image_pin(struct image *img, const struct image_watch *w);

/* Blocks of the holes inside the size. 0, -EUCLEAN, -EIO. */
int image_count_holes(struct image *img, uint64_t *ret_blocks);

/*
 * Every block inside the size becomes one that was written: holes get blocks,
 * and zeros stand in all that nobody wrote before; they are written, so that
 * the source has room for them, too. And they stay: from now on image_punch()
 * answers -EOPNOTSUPP, and image_zero() writes. So a write inside the size is an
 * overwrite for ever, until a truncate makes new holes.
 *
 * In steps, others may use the image meanwhile; durable after image_flush().
 * What was a hole is appended to @filled (of struct extent), after an error,
 * too. Returns 0, -ECANCELED, -ENOSPC, -EROFS, -EUCLEAN, -EIO.
 */
int image_fill_holes(struct image *img, GArray *filled,
		     const struct image_watch *w);

/*
 * After an error: holes again, and what keeps blocks ends. Nobody else may have
 * written there. 0 or -errno.
 */
int image_give_back(struct image *img, const GArray *filled);

struct image_stats { /* each read with relaxed atomics */
	uint64_t reads, read_bytes, writes, write_bytes;
	uint64_t fills, fill_bytes, punches, punch_bytes, zeros, flushes;
	uint64_t errors;
	uint64_t requests, request_ns; /* that ended, and how long they took */
	uint64_t in_flight, in_flight_max;
};

void image_stats(struct image *img, struct image_stats *ret);

#endif
