/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter for damaged media.
 *
 *   set      what is in it                               the lower device
 *   bad      what was known at first; in zero mode over  is not read
 *            a read-only device also what it refused
 *   touched  those parts of bad that reads asked for     is not read
 *   found    zero mode: the sectors that were refused    is read, unless bad
 *            error mode: the requests that were refused  is read
 *            and what of them nobody could read since
 *
 * The report is touched and found together. All three lose what is written.
 *
 * A write that goes the raw way is not seen here. It only goes where neither
 * bad nor found has anything, and bad has nothing on a writable device that was
 * not there from the start: so nothing that was written is taken for bad. What
 * is found while somebody writes there may stay in found; that costs its bytes
 * the raw way, and no more.
 *
 * At the limit of a set: bad takes nothing more that was found, which is asked
 * for again then; the others get coarse. So does bad, but only when somebody
 * writes into the middle of one of a million ranges.
 */
#include <rawmap/dev/baddev.h>

#include "salvage_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/lock.h>
#include <rawmap/base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct baddev {
	struct blkdev dev; /* first */
	/* set once */
	struct blkdev *lower;
	bool zeros;
	bool keep; /* what is found is bad from then on */
	baddev_say *say;
	void *say_arg;

	struct salvager salvager;
	gint suspects; /* atomic: bad or found is not empty */
	struct mutex lock;
	struct badranges *bad;	   /* guarded by lock */
	struct badranges *touched; /* guarded by lock */
	struct badranges *found;   /* guarded by lock */
};

static const struct blkdev_ops baddev_ops;

static struct baddev *baddev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &baddev_ops);
	return (struct baddev *)dev;
}

static void note_suspects(struct baddev *b) REQUIRES(b->lock)
{
	g_atomic_int_set(&b->suspects,
			 badranges_count(b->bad) || badranges_count(b->found));
}

static bool is_suspect(struct baddev *b, uint64_t len, dev_off pos)
{
	bool suspect;

	if (!g_atomic_int_get(&b->suspects))
		return false;
	mutex_lock(&b->lock);
	suspect = badranges_touches(b->bad, pos, len) ||
		  badranges_touches(b->found, pos, len);
	mutex_unlock(&b->lock);
	return suspect;
}

static void log_zeros(void *arg, const struct badrange *range)
{
	(void)arg;
	log_warning("bytes %" PRIu64 " to %" PRIu64 " of the source cannot be "
		    "read; they read as zeros",
		    range->start.v, range->start.v + range->len - 1);
}

/* ---- known ranges ---- */

/*
 * The run at @pos: bytes that are all bad, or all not. *len, at least 1, gets
 * no longer.
 */
static bool run_at(struct baddev *b, size_t *len, dev_off pos)
{
	struct badrange r;
	bool bad = false;

	if (!g_atomic_int_get(&b->suspects))
		return false;
	mutex_lock(&b->lock);
	if (badranges_find(b->bad, pos, &r)) {
		bad = r.start.v <= pos.v;
		*len = u64_min(*len, bad ? r.start.v + r.len - pos.v
					 : r.start.v - pos.v);
	}
	if (bad)
		badranges_add(b->touched, pos, *len);
	mutex_unlock(&b->lock);
	return bad;
}

/* Does the range meet known ones? Then all that it meets is touched. */
static bool meets_bad(struct baddev *b, size_t len, dev_off pos)
{
	bool bad = false;

	while (len) {
		size_t n = len;

		if (run_at(b, &n, pos))
			bad = true;
		pos = dev_off_add(pos, n);
		len -= n;
	}
	return bad;
}

/* What was written is good. */
static void heal(struct baddev *b, uint64_t len, dev_off pos)
{
	if (!g_atomic_int_get(&b->suspects))
		return;
	mutex_lock(&b->lock);
	badranges_remove(b->bad, pos, len);
	badranges_remove(b->touched, pos, len);
	badranges_remove(b->found, pos, len);
	note_suspects(b);
	mutex_unlock(&b->lock);
}

/* ---- error mode ---- */

static void note_refused(struct baddev *b, size_t len, dev_off pos)
{
	uint32_t unit = b->salvager.unit;
	uint64_t start = align_floor(pos.v, unit);
	uint64_t end = u64_min(align_ceil(pos.v + len, unit), b->dev.geo.size);

	mutex_lock(&b->lock);
	badranges_add(b->found, dev_off_at(start), end - start);
	note_suspects(b);
	mutex_unlock(&b->lock);
}

static void note_readable(struct baddev *b, size_t len, dev_off pos)
{
	if (!g_atomic_int_get(&b->suspects))
		return;
	mutex_lock(&b->lock);
	badranges_remove(b->found, pos, len);
	note_suspects(b);
	mutex_unlock(&b->lock);
}

static int read_or_fail(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	int ret;

	if (meets_bad(b, len, pos))
		return -EIO;
	ret = blkdev_pread(b->lower, buf, len, pos);
	if (!ret)
		note_readable(b, len, pos);
	else if (baddev_is_media_error(ret))
		note_refused(b, len, pos);
	return ret;
}

/* ---- zero mode ---- */

/* The longest range of @set that @r will be one with. */
static uint64_t longest_neighbour(const struct badranges *set,
				  const struct badrange *r)
{
	dev_off pos = dev_off_at(r->start.v ? r->start.v - 1 : 0);
	uint64_t longest = 0;
	struct badrange old;

	while (badranges_find(set, pos, &old) &&
	       old.start.v <= r->start.v + r->len) {
		longest = u64_max(longest, old.len);
		pos = dev_off_add(old.start, old.len);
	}
	return longest;
}

/* By a power of two that @before had not reached. */
static bool is_much_longer(uint64_t len, uint64_t before)
{
	return !before || __builtin_clzll(len) < __builtin_clzll(before);
}

/* Must this be said? *ret_all: the range it belongs to now. */
static bool add_found(struct baddev *b, const struct badrange *r,
		      struct badrange *ret_all) REQUIRES(b->lock)
{
	uint64_t before = longest_neighbour(b->found, r);

	badranges_add(b->found, r->start, r->len);
	badranges_find(b->found, r->start, ret_all);
	return is_much_longer(ret_all->len, before);
}

static void note_found(struct baddev *b, const struct badrange *r)
{
	struct badrange all;
	bool news;

	mutex_lock(&b->lock);
	news = add_found(b, r, &all);
	if (b->keep && badranges_has_room(b->bad))
		badranges_add(b->bad, r->start, r->len);
	note_suspects(b);
	mutex_unlock(&b->lock);
	if (news)
		b->say(b->say_arg, &all);
}

/* What was refused as a whole. */
static int salvage(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	g_autoptr(badranges) bad = badranges_new(BADRANGES_MAX);
	int ret = salvage_read(&b->salvager, buf, len, pos, bad);

	if (ret)
		return ret;
	for (size_t i = 0; i < badranges_count(bad); i++) {
		struct badrange r = badranges_at(bad, i);

		note_found(b, &r);
	}
	return 0;
}

static int read_good(struct baddev *b, void *buf, size_t len, dev_off pos)
{
	int ret = blkdev_pread(b->lower, buf, len, pos);

	if (!ret)
		salvage_note_good(&b->salvager, pos);
	else if (baddev_is_media_error(ret))
		ret = salvage(b, buf, len, pos);
	return ret;
}

static int read_with_zeros(struct baddev *b, uint8_t *buf, size_t len,
			   dev_off pos)
{
	int ret = 0;

	while (len && !ret) {
		size_t n = len;

		if (run_at(b, &n, pos))
			memset(buf, 0, n);
		else
			ret = read_good(b, buf, n, pos);
		buf += n;
		len -= n;
		pos = dev_off_add(pos, n);
	}
	return ret;
}

/* ---- the device ---- */

static int baddev_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	struct baddev *b = baddev_of(dev);

	return b->zeros ? read_with_zeros(b, buf, len, pos)
			: read_or_fail(b, buf, len, pos);
}

static int baddev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			 dev_off pos)
{
	struct baddev *b = baddev_of(dev);
	int ret = blkdev_pwrite(b->lower, buf, len, pos);

	if (!ret)
		heal(b, len, pos);
	return ret;
}

static int baddev_flush(struct blkdev *dev)
{
	return blkdev_flush(baddev_of(dev)->lower);
}

/* What it reads as afterwards is anybody's guess: a bad range stays one. */
static int baddev_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_discard(baddev_of(dev)->lower, len, pos);
}

static int baddev_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	struct baddev *b = baddev_of(dev);
	int ret = blkdev_zero(b->lower, len, pos);

	if (!ret)
		heal(b, len, pos);
	return ret;
}

static bool baddev_raw(struct blkdev *dev, enum blkdev_io io, const void *buf,
		       uint64_t len, dev_off pos, struct blkdev_raw *ret)
{
	struct baddev *b = baddev_of(dev);

	if (io != BLKDEV_FLUSH && is_suspect(b, len, pos))
		return false;
	return blkdev_raw(b->lower, io, buf, len, pos, ret);
}

static void baddev_close(struct blkdev *dev)
{
	struct baddev *b = baddev_of(dev);

	badranges_free(b->bad);
	badranges_free(b->touched);
	badranges_free(b->found);
	mutex_clear(&b->lock);
	blkdev_unref(b->lower);
	g_free(b);
}

static const struct blkdev_ops baddev_ops = {
	.name = "bad",
	.pread = baddev_pread,
	.pwrite = baddev_pwrite,
	.flush = baddev_flush,
	.discard = baddev_discard,
	.zero = baddev_zero,
	.raw = baddev_raw,
	.close = baddev_close,
};

struct blkdev *baddev_new(struct blkdev *lower, const struct badranges *known,
			  bool zero_on_error, baddev_say *say, void *arg)
{
	const struct blkdev_geometry *geo = blkdev_geometry(lower);
	struct baddev *b = g_new0(struct baddev, 1);

	blkdev_init(&b->dev, &baddev_ops, geo);
	b->lower = blkdev_ref(lower);
	salvage_init(&b->salvager, lower);
	b->zeros = zero_on_error;
	b->keep = zero_on_error && geo->readonly;
	b->say = say ? say : log_zeros;
	b->say_arg = arg;
	mutex_init(&b->lock);
	b->bad = known ? badranges_copy(known) : badranges_new(BADRANGES_MAX);
	/* Every map says that what lies behind its end is bad. */
	badranges_remove(b->bad, dev_off_at(geo->size), UINT64_MAX - geo->size);
	b->touched = badranges_new(BADRANGES_MAX);
	b->found = badranges_new(BADRANGES_MAX);
	b->suspects = badranges_count(b->bad) > 0;
	return &b->dev;
}

struct badranges *baddev_report(struct blkdev *dev)
{
	struct baddev *b = baddev_of(dev);
	g_autoptr(badranges) touched = NULL;
	struct badranges *report;

	mutex_lock(&b->lock);
	report = badranges_copy(b->found);
	touched = badranges_copy(b->touched);
	mutex_unlock(&b->lock);
	badranges_merge(report, touched);
	return report;
}

bool baddev_is_media_error(int err)
{
	switch (err) {
	case -EIO:
	case -EREMOTEIO:
	case -EILSEQ:
	case -ENODATA:
	case -EBADMSG:
		return true;
	default:
		return false;
	}
}
