/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image object: what it owns, and its times and counters.
 *
 * mtime of overwrites: an overwrite of mapped blocks must not take the host's
 * lock, so it leaves its time in the image (last_write, one relaxed store).
 *
 *   who             what becomes of last_write
 *   image_attr()    shown instead of an older mtime of the host's inode
 *   a fill, punch   sets the inode's mtime itself, later than last_write
 *   image_set_times with an mtime: forgotten, the caller's word counts
 *   image_settle()  entered into the inode; the next commit takes it along
 *
 * So times are right while mounted and after an unmount. What a crash may lose
 * is the time of overwrites since the image was last at rest, as with lazytime;
 * in exchange a flush with nothing pending stays one device flush.
 */
#include "image_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static uint64_t ns_of(const struct timespec *ts)
{
	uint64_t ns;

	if (ts->tv_sec < 0 || !u64_mul((uint64_t)ts->tv_sec, NS_PER_S, &ns) ||
	    !u64_add(ns, (uint64_t)ts->tv_nsec, &ns))
		return ts->tv_sec < 0 ? 0 : UINT64_MAX;
	return ns;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S),
	};
}

int image_may_write(const struct image *img)
{
	return img->readonly || hostfs_broken(img->fs) ? -EROFS : 0;
}

int image_changed(struct image *img, int err)
{
	if (err)
		image_add(&img->stats.errors, 1);
	return err;
}

void image_note_write(struct image *img)
{
	struct timespec now;

	/* The coarse clock is what the kernel stamps files with. */
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	__atomic_store_n(&img->last_write, ns_of(&now), __ATOMIC_RELAXED);
}

int image_fits(const struct image *img, img_off pos, uint64_t len,
	       uint64_t *ret_end)
{
	uint64_t end;

	if (!u64_add(pos.v, len, &end) || end > hostfile_max_size(img->hf))
		return -EFBIG;
	*ret_end = end;
	return 0;
}

struct image *image_new(struct hostfile *hf, bool readonly)
{
	struct image *img = g_new0(struct image, 1);
	size_t len;

	img->hf = hf;
	img->fs = hostfile_host(hf);
	img->map = hostfile_map(hf);
	img->dev = hostfs_data_dev(img->fs);
	img->bits = hostfs_block_bits(img->fs);
	img->readonly = readonly || hostfs_readonly(img->fs);
	img->raw_unwritten = hostfs_raw_unwritten(img->fs);
	img->bytes = hostfile_inline(hf, &len);
	img->bytes_len = len;
	rangelock_init(&img->ranges);
	return img;
}

void image_settle(struct image *img)
{
	uint64_t written =
		__atomic_exchange_n(&img->last_write, 0, __ATOMIC_RELAXED);
	struct timespec when = timespec_of(written);

	if (written)
		hostfile_touch(img->hf, &when);
}

void image_free(struct image *img)
{
	if (!img)
		return;
	image_settle(img);
	rangelock_clear(&img->ranges);
	hostfile_close(img->hf);
	g_free(img);
}

struct hostfile *image_file(struct image *img)
{
	return img->hf;
}

struct blkdev *image_dev(struct image *img)
{
	return img->dev;
}

unsigned image_block_bits(const struct image *img)
{
	return img->bits;
}

uint64_t image_size(const struct image *img)
{
	return hostfile_size(img->hf);
}

bool image_readonly(const struct image *img)
{
	return img->readonly;
}

void image_attr(struct image *img, struct hostfile_attr *ret)
{
	uint64_t written = __atomic_load_n(&img->last_write, __ATOMIC_RELAXED);

	hostfile_attr(img->hf, ret);
	if (ns_of(&ret->mtime) < written)
		ret->mtime = timespec_of(written);
	if (ns_of(&ret->ctime) < written)
		ret->ctime = timespec_of(written);
}

int image_set_times(struct image *img, const struct timespec *atime,
		    const struct timespec *mtime)
{
	int err = image_may_write(img);

	if (err)
		return err;
	if (mtime)
		__atomic_store_n(&img->last_write, 0, __ATOMIC_RELAXED);
	return image_changed(img, hostfile_set_times(img->hf, atime, mtime));
}

static int flushed(struct image *img, int err)
{
	image_add(&img->stats.flushes, 1);
	return image_changed(img, err);
}

int image_flush(struct image *img)
{
	return flushed(img, hostfs_sync(img->fs));
}

bool image_flush_begin(struct image *img)
{
	return hostfs_flush_begin(img->fs);
}

int image_flush_end(struct image *img, int err)
{
	return flushed(img, hostfs_flush_end(img->fs, err));
}

bool image_flush_try_end(struct image *img)
{
	if (!hostfs_flush_try_end(img->fs))
		return false;
	flushed(img, 0);
	return true;
}

void image_stats(struct image *img, struct image_stats *ret)
{
	const struct image_stats *s = &img->stats;

	*ret = (struct image_stats){
#define GET(field) .field = __atomic_load_n(&s->field, __ATOMIC_RELAXED)
		GET(reads),	  GET(read_bytes),  GET(writes),
		GET(write_bytes), GET(fills),	    GET(fill_bytes),
		GET(punches),	  GET(punch_bytes), GET(zeros),
		GET(flushes),	  GET(errors),	    GET(requests),
		GET(request_ns),  GET(in_flight),   GET(in_flight_max),
#undef GET
	};
}
