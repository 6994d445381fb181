/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a read that failed apart.
 *
 * In halves, down to single units. Every read of a bad sector costs the disk
 * seconds and maybe its life, so none is made that cannot deliver anything:
 *
 *   first half    second half
 *   failed        is read as a whole
 *   good          holds what made the whole fail: taken apart at once
 *
 * One bad sector among n takes between one and log2(n) reads that fail, where n
 * dead sectors take nearly 2 n. That is as it must be, if no sector is given up
 * untried; it is no way to read a disk that is dead over large parts.
 *
 * Each failure must be followed by a read that succeeds, of whatever part of
 * the device: else this is no bad sector but a device that is gone.
 *
 * No lock; as deep as log2 of the request.
 */
#include "salvage_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/baddev.h>

#include <errno.h>
#include <string.h>

#define NOWHERE UINT64_MAX
/* Fits the direct I/O of every device. */
#define MEMORY_ALIGN 4096

struct salvage {
	struct blkdev *dev;
	uint32_t unit;
	struct badranges *bad;
	bool alive; /* the last read succeeded */
};

/* ---- taking apart ---- */

static bool is_one_unit(const struct salvage *s, size_t len, dev_off pos)
{
	return pos.v / s->unit == (pos.v + len - 1) / s->unit;
}

/* Bytes of the first half, which ends where a unit does. Of two at least. */
static size_t half(const struct salvage *s, size_t len, dev_off pos)
{
	uint64_t middle = align_floor(pos.v + len / 2, s->unit);

	if (middle <= pos.v)
		middle = align_floor(pos.v, s->unit) + s->unit;
	return middle - pos.v;
}

static void give_up(struct salvage *s, void *buf, size_t len, dev_off pos)
{
	uint64_t start = align_floor(pos.v, s->unit);
	uint64_t size = blkdev_geometry(s->dev)->size;

	memset(buf, 0, len);
	badranges_add(s->bad, dev_off_at(start),
		      u64_min(s->unit, size - start));
}

static int take_apart(struct salvage *s, uint8_t *buf, size_t len, dev_off pos);

static int read_piece(struct salvage *s, uint8_t *buf, size_t len, dev_off pos)
{
	int ret = blkdev_pread(s->dev, buf, len, pos);

	s->alive = !ret;
	return baddev_is_media_error(ret) ? take_apart(s, buf, len, pos) : ret;
}

/* What failed as a whole. */
static int take_apart(struct salvage *s, uint8_t *buf, size_t len, dev_off pos)
{
	uint64_t before = badranges_total(s->bad);
	size_t n;
	int ret;

	if (is_one_unit(s, len, pos)) {
		give_up(s, buf, len, pos);
		return 0;
	}
	n = half(s, len, pos);
	ret = read_piece(s, buf, n, pos);
	if (ret)
		return ret;
	buf += n;
	len -= n;
	pos = dev_off_add(pos, n);
	if (badranges_total(s->bad) == before && !is_one_unit(s, len, pos))
		return take_apart(s, buf, len, pos);
	return read_piece(s, buf, len, pos);
}

/* ---- is it there? ---- */

static int read_unit(struct salvager *s, void *buf, uint64_t pos)
{
	uint64_t size = blkdev_geometry(s->dev)->size;
	int ret = blkdev_pread(s->dev, buf, u64_min(s->unit, size - pos),
			       dev_off_at(pos));

	if (!ret)
		salvage_note_good(s, dev_off_at(pos));
	return ret;
}

/*
 * 0 when the device still gives bytes, or its error: a unit that was read
 * before, then the first and the last.
 */
static int check_alive(struct salvager *s)
{
	const uint64_t at[] = {
		__atomic_load_n(&s->good, __ATOMIC_RELAXED),
		0,
		align_floor(blkdev_geometry(s->dev)->size - 1, s->unit),
	};
	void *buf = bytes_aligned_new(align_ceil(s->unit, MEMORY_ALIGN),
				      MEMORY_ALIGN);
	int ret = -EIO;

	for (size_t i = 0; ret && i < G_N_ELEMENTS(at); i++)
		if (at[i] != NOWHERE)
			ret = read_unit(s, buf, at[i]);
	bytes_aligned_free(buf);
	return ret;
}

void salvage_init(struct salvager *s, struct blkdev *dev)
{
	const struct blkdev_geometry *geo = blkdev_geometry(dev);

	*s = (struct salvager){
		.dev = dev,
		.unit = MAX(geo->sector, geo->align),
		.good = NOWHERE,
	};
}

void salvage_note_good(struct salvager *s, dev_off pos)
{
	__atomic_store_n(&s->good, align_floor(pos.v, s->unit),
			 __ATOMIC_RELAXED);
}

int salvage_read(struct salvager *s, void *buf, size_t len, dev_off pos,
		 struct badranges *bad)
{
	struct salvage run = { .dev = s->dev, .unit = s->unit, .bad = bad };
	int ret = take_apart(&run, buf, len, pos);

	return ret || run.alive ? ret : check_alive(s);
}
