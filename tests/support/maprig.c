/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <support/maprig.h>

#include <rawmap/map/extmap.h>
#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <errno.h>
#include <string.h>

struct maprig *maprig_new_on(struct hostimg *img, uint64_t blocks)
{
	struct maprig *rig = g_new0(struct maprig, 1);
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	rig->img = img;
	bytes = hostimg_bytes(img, &len);
	rig->mem = memdev_new(len, 512);
	memcpy(memdev_bytes(rig->mem), bytes, len);
	rig->blocks = blocks;
	rig->state = g_malloc0(blocks);
	rig->stamp = g_new0(uint64_t, blocks);
	rig->next_stamp = 1;
	rig->rand = g_rand_new_with_seed(4711);
	maprig_open(rig, NULL);
	return rig;
}

struct maprig *maprig_new(const char *mkfs, uint64_t bytes, uint64_t blocks)
{
	struct hostimg_spec spec = { .mkfs = mkfs, .size = bytes };
	struct hostimg *img = hostimg_make(&spec);

	hostimg_put(img, "f", 1, 0, NULL, 0);
	return maprig_new_on(img, blocks);
}

void maprig_free(struct maprig *rig)
{
	if (rig->fs) {
		hostfile_close(rig->hf);
		hostfs_abandon(rig->fs);
		blkdev_unref(rig->dev);
	}
	blkdev_unref(rig->mem);
	hostimg_free(rig->img);
	g_rand_free(rig->rand);
	g_free(rig->state);
	g_free(rig->stamp);
	g_free(rig);
}

void maprig_open(struct maprig *rig, struct blkdev *(*wrap)(struct blkdev *))
{
	struct hostfs_options opt = { .use_reserved = true };
	g_autoptr(blkdev) order = orderdev_new(rig->mem);
	GError *error = NULL;

	rig->dev = wrap ? wrap(order) : blkdev_ref(order);
	rig->fs = hostfs_open(rig->dev, &opt, &error);
	if (!rig->fs)
		g_error("maprig: %s", error->message);
	rig->bs = UINT32_C(1) << hostfs_block_bits(rig->fs);
	rig->hf = hostfile_open(rig->fs, "/f", 1 << 20, &error);
	if (!rig->hf)
		g_error("maprig: %s", error->message);
}

void maprig_close(struct maprig *rig)
{
	int err;

	hostfile_close(rig->hf);
	err = hostfs_close(rig->fs);
	if (err)
		g_error("maprig: close: %s", g_strerror(-err));
	blkdev_unref(rig->dev);
	rig->fs = NULL;
	rig->hf = NULL;
	rig->dev = NULL;
}

uint64_t maprig_available(struct maprig *rig)
{
	return hostfs_available(rig->fs);
}

static int look(struct maprig *rig, uint64_t at, uint64_t max,
		struct extent *ret)
{
	return hostfile_map_at(rig->hf, lblk_at(at), max, ret);
}

struct extent maprig_look(struct maprig *rig, uint64_t at, uint64_t max)
{
	struct extent e;
	int err = look(rig, at, max, &e);

	if (err)
		g_error("maprig: load: %s", g_strerror(-err));
	return e;
}

/* Bytes of @len blocks with stamps of their own, into the model as well. */
static void stamp_blocks(struct maprig *rig, const struct extent *run)
{
	size_t words = rig->bs / sizeof(uint64_t);
	g_autofree uint64_t *buf = g_new(uint64_t, run->len * words);
	dev_off pos = dev_of_pblk(run->phys, hostfs_block_bits(rig->fs));

	for (uint64_t i = 0; i < run->len; i++) {
		uint64_t stamp = rig->next_stamp++;

		for (size_t k = 0; k < words; k++)
			buf[i * words + k] = stamp;
		rig->stamp[run->start.v + i] = stamp;
		rig->state[run->start.v + i] = EXTENT_MAPPED;
	}
	if (hostfs_guard(rig->fs, pos, run->len * rig->bs))
		g_error("maprig: a run lies in the filesystem's own blocks");
	if (blkdev_pwrite(rig->dev, buf, run->len * rig->bs, pos))
		g_error("maprig: write");
}

/* Publish what was reserved; what the model gets is kept aside till then. */
static int publish(struct maprig *rig, struct fill *fill)
{
	struct fill copy = *fill;
	uint64_t end = 0;
	int err;

	for (unsigned i = 0; i < fill->n; i++) {
		struct extent e = fill->runs[i];

		end = MAX(end, extent_end(&e));
		stamp_blocks(rig, &e);
	}
	err = hostfile_publish(rig->hf, fill, end * rig->bs);
	if (!err) {
		rig->size = MAX(rig->size, end * rig->bs);
		if (fill->n)
			g_error("maprig: publish leaves runs behind");
		return 0;
	}
	for (unsigned i = 0; i < copy.n; i++)
		for (uint64_t k = 0; k < copy.runs[i].len; k++)
			rig->state[copy.runs[i].start.v + k] =
				copy.runs[i].state == EXTENT_UNWRITTEN
					? EXTENT_UNWRITTEN
					: EXTENT_HOLE;
	hostfile_unreserve(rig->hf, fill);
	return err;
}

static int write_range(struct maprig *rig, uint64_t start, uint64_t len,
		       bool abandon)
{
	struct fill fill = { 0 };
	uint64_t at = start, end = start + len;
	/* The first one reads where the journal lies, and that may fail. */
	int err = hostfs_guard(rig->fs, dev_off_at(0), 0);

	while (!err && at < end) {
		struct extent e;

		err = look(rig, at, end - at, &e);
		if (err)
			break;
		if (e.state == EXTENT_MAPPED) {
			if (!abandon)
				stamp_blocks(rig, &e);
			at += e.len;
			continue;
		}
		err = hostfile_reserve(rig->hf, &e, &fill);
		if (err == -E2BIG && !abandon) {
			err = publish(rig, &fill);
			continue;
		}
		if (err)
			break;
		at = extent_end(&fill.runs[fill.n - 1]);
		if (abandon && fill.n == FILL_RUNS)
			break;
		if (fill.n == FILL_RUNS)
			err = publish(rig, &fill);
	}
	if (abandon)
		hostfile_unreserve(rig->hf, &fill);
	else if (fill.n)
		err = publish(rig, &fill) ?: err;
	return err;
}

int maprig_write(struct maprig *rig, uint64_t start, uint64_t len)
{
	return write_range(rig, start, len, false);
}

void maprig_abandon(struct maprig *rig, uint64_t start, uint64_t len)
{
	write_range(rig, start, len, true);
}

typedef int (*step_fn)(struct hostfile *, lblk, uint64_t, uint64_t *);

static int steps(struct maprig *rig, step_fn fn, uint64_t start, uint64_t len,
		 int from, int to)
{
	while (len) {
		uint64_t done = 4711;
		int err = fn(rig->hf, lblk_at(start), len, &done);

		if (err) {
			g_assert_cmpuint(done, ==, 0);
			return err;
		}
		g_assert(done > 0 && done <= len);
		for (uint64_t i = start; i < MIN(start + done, rig->blocks);
		     i++)
			if (from < 0 || rig->state[i] == from)
				rig->state[i] = (uint8_t)to;
		start += done;
		len -= done;
	}
	return 0;
}

int maprig_punch(struct maprig *rig, uint64_t start, uint64_t len)
{
	return steps(rig, hostfile_punch, start, len, -1, EXTENT_HOLE);
}

int maprig_prealloc(struct maprig *rig, uint64_t start, uint64_t len)
{
	return steps(rig, hostfile_prealloc, start, len, EXTENT_HOLE,
		     EXTENT_UNWRITTEN);
}

int maprig_unwrite(struct maprig *rig, uint64_t start, uint64_t len)
{
	return steps(rig, hostfile_unwrite, start, len, EXTENT_MAPPED,
		     EXTENT_UNWRITTEN);
}

void maprig_resize(struct maprig *rig, uint64_t blocks)
{
	int err = 0;

	if (blocks * rig->bs < rig->size)
		err = maprig_punch(rig, blocks, LBLK_END - blocks);
	if (!err)
		err = hostfile_set_size(rig->hf, blocks * rig->bs);
	if (err)
		g_error("maprig: resize: %s", g_strerror(-err));
	rig->size = blocks * rig->bs;
}

static void random_change(struct maprig *rig, unsigned what, uint64_t start,
			  uint64_t len)
{
	bool extents = hostfile_extent_mapped(rig->hf);
	int err = 0;

	if (what < 50)
		err = maprig_write(rig, start, len);
	else if (what < 55)
		maprig_abandon(rig, start, len);
	else if (what < 80)
		err = maprig_punch(rig, start, len);
	else if (extents && what < 90)
		err = maprig_prealloc(rig, start, len);
	else if (extents)
		err = maprig_unwrite(rig, start, len);
	if (err && err != -ENOSPC)
		g_error("maprig: step %u at %" G_GUINT64_FORMAT ": %s", what,
			start, g_strerror(-err));
}

void maprig_random(struct maprig *rig, uint64_t max_len)
{
	unsigned what = (unsigned)g_rand_int_range(rig->rand, 0, 1000);
	uint64_t start =
		(uint64_t)g_rand_int_range(rig->rand, 0, (gint32)rig->blocks);
	uint64_t len = 1;

	/* Short ones make fragments, long ones clear them away. */
	if (what % 8 == 0)
		len = (uint64_t)g_rand_int_range(rig->rand, 1,
						 (gint32)max_len + 1);
	else if (what % 2 == 0)
		len = (uint64_t)g_rand_int_range(rig->rand, 1, 5);
	len = MIN(len, rig->blocks - start);
	if (what < 960)
		random_change(rig, what / 10, start, len);
	else if (what < 964)
		maprig_resize(rig, start);
	else if (what < 980)
		extmap_drop_all(hostfile_map(rig->hf));
	else if (what < 990)
		g_assert_cmpint(hostfs_commit(rig->fs), ==, 0);
	else
		g_assert_cmpint(hostfs_sync(rig->fs), ==, 0);
}

/* ---- judging ---- */

static void verify_block(struct maprig *rig, uint64_t at,
			 const struct extent *e)
{
	g_autofree uint64_t *buf = g_malloc(rig->bs);
	pblk phys = pblk_add(e->phys, at - e->start.v);

	if (rig->state[at] != e->state)
		g_error("maprig: block %" G_GUINT64_FORMAT " is %d, not %d", at,
			e->state, rig->state[at]);
	if (e->state != EXTENT_MAPPED)
		return;
	if (blkdev_pread(rig->dev, buf, rig->bs,
			 dev_of_pblk(phys, hostfs_block_bits(rig->fs))))
		g_error("maprig: read");
	if (buf[0] != rig->stamp[at] ||
	    buf[rig->bs / sizeof(*buf) - 1] != rig->stamp[at])
		g_error("maprig: block %" G_GUINT64_FORMAT
			" holds %" G_GUINT64_FORMAT ", not %" G_GUINT64_FORMAT,
			at, buf[0], rig->stamp[at]);
}

void maprig_verify(struct maprig *rig)
{
	g_autofree char *wrong = NULL, *cache = NULL;
	uint64_t at = 0;

	while (at < rig->blocks) {
		struct extent e = maprig_look(rig, at, rig->blocks - at);

		for (; at < extent_end(&e); at++)
			verify_block(rig, at, &e);
	}
	cache = extmap_check(hostfile_map(rig->hf));
	if (cache)
		g_error("maprig: cache: %s", cache);
	wrong = hostfile_check(rig->hf);
	if (wrong)
		g_error("maprig: %s", wrong);
	g_assert_cmpuint(hostfile_size(rig->hf), ==, rig->size);
}

static void judge_content(struct maprig *rig)
{
	size_t len;
	g_autofree uint8_t *got = hostimg_cat(rig->img, "/f", &len);

	if (len != rig->size)
		g_error("maprig: debugfs reads %zu bytes, not %" G_GUINT64_FORMAT,
			len, rig->size);
	for (uint64_t at = 0; at < len / rig->bs; at++) {
		uint64_t want = rig->state[at] == EXTENT_MAPPED ? rig->stamp[at]
								: 0,
			 first, last;

		memcpy(&first, got + at * rig->bs, sizeof(first));
		memcpy(&last, got + (at + 1) * rig->bs - sizeof(last),
		       sizeof(last));
		if (first != want || last != want)
			g_error("maprig: debugfs reads %" G_GUINT64_FORMAT
				" in block %" G_GUINT64_FORMAT
				", not %" G_GUINT64_FORMAT,
				first, at, want);
	}
}

void maprig_judge(struct maprig *rig)
{
	const struct blkdev_geometry *geo = blkdev_geometry(rig->mem);
	g_autofree char *out = NULL;

	if (rig->fs)
		maprig_close(rig);
	hostimg_store(rig->img, memdev_bytes(rig->mem), geo->size);
	if (hostimg_fsck(rig->img, &out))
		g_error("maprig: e2fsck is not content:\n%s", out);
	judge_content(rig);
}
