/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any partition table at all: reading it must end, with a table or an error,
 * and what the table says must hold.
 *
 * The input's first bytes choose the disk and what is built on it, so that
 * signatures and checksums are right; then come changes to a table's fields,
 * after which the sums are made right again unless the input wants them wrong,
 * and last bytes at any place.
 */
#include "support/memdev.h"
#include "support/nowritedev.h"
#include "support/tablebuild.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/parttable.h>
#include <rawmap/dev/window.h>

#include <string.h>

#define SIZE (UINT64_C(4) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint32_t take16(struct input *in)
{
	uint32_t low = take(in);

	return low | (uint32_t)take(in) << 8;
}

static uint32_t take32(struct input *in)
{
	uint32_t low = take16(in);

	return low | take16(in) << 16;
}

/* Mostly a sector of the disk, now and then anything. */
static uint32_t take_sector(struct input *in)
{
	uint32_t n = take16(in);

	return n & 0x8000 ? take32(in) : n & 0x1fff;
}

/* Types that matter, and others. */
static uint8_t take_type(struct input *in)
{
	static const uint8_t types[] = { 0x83, 0x05, 0x0f, 0x85, 0x82,
					 0xa5, 0xee, 0x07, 0x00 };
	uint8_t n = take(in);

	return n < 64 ? types[n % sizeof(types)] : n;
}

static void put_records(struct input *in, uint8_t *disk)
{
	uint32_t at = 0;

	for (unsigned n = take(in) % 16; n && in->left; n--) {
		unsigned slot = take(in);
		uint8_t type = take_type(in);
		uint32_t start = take_sector(in), count = take_sector(in);

		tablebuild_record(disk + at * 512, slot & 3, type, start,
				  count);
		/* Where a link leads, or to the place of another record. */
		if (slot & 0x80)
			at = slot & 0x40 ? 0 : start & 0x1fff;
	}
}

static void put_gpt(struct input *in, uint8_t *disk)
{
	struct tablebuild_gpt g = {
		.disk = disk,
		.size = SIZE,
		.sector = take(in) & 1 ? 4096 : 512,
		.entries = 1 + take(in) % 160,
	};

	tablebuild_gpt(&g);
	for (unsigned n = take(in) % 8; n && in->left; n--) {
		uint32_t first = take_sector(in), last = take_sector(in);

		tablebuild_gpt_add(&g, 1 + take(in) % g.entries, first, last,
				   "fuzz\n");
	}
	for (unsigned n = take(in) % 8; n && in->left; n--) {
		uint8_t op = take(in);
		bool backup = op & 1;
		uint8_t *at = op & 2 ? tablebuild_gpt_entry(&g, backup, 1)
				     : tablebuild_gpt_header(&g, backup);

		at[take(in) % 96] = take(in);
		if (op & 4)
			tablebuild_gpt_seal(&g, backup);
		else if (op & 8)
			tablebuild_gpt_seal_header(&g, backup);
	}
}

static void put_bytes(struct input *in, uint8_t *disk)
{
	while (in->left) {
		uint32_t at = take(in);

		at = (at & 0x80 ? take_sector(in) * UINT32_C(512) : 0) +
		     (at & 1 ? take16(in) : take(in));
		disk[at % SIZE] = take(in);
	}
}

static void check_part(struct blkdev *dev, const struct parttable *pt,
		       const struct partition *p)
{
	uint64_t size = blkdev_geometry(dev)->size;
	GError *error = NULL;
	const struct partition *found;

	g_assert(p->number && p->number <= PARTTABLE_MAX && p->type_name);
	g_assert(!p->size || range_within(p->start, p->size, size));
	g_assert(!p->is_ext || (p->content && p->size));
	if (p->size)
		blkdev_unref(window_new(dev, p->start, p->size));
	found = parttable_choose(pt, p->number, &error);
	g_assert(found ? p->size && found == p : !p->size && error);
	g_clear_error(&error);
}

static void check(struct blkdev *dev, const struct parttable *pt)
{
	g_autofree char *list = parttable_format(pt);
	GError *error = NULL;
	const struct partition *p;
	unsigned before = 0;

	g_assert(g_utf8_validate(list, -1, NULL) && !strchr(list, '\033'));
	g_assert(pt->type || !pt->parts->len);
	for (guint i = 0; i < pt->parts->len; i++) {
		p = g_ptr_array_index(pt->parts, i);
		g_assert(p->number > before);
		before = p->number;
		check_part(dev, pt, p);
	}
	p = parttable_choose(pt, 0, &error);
	g_assert(p ? p->is_ext : error != NULL);
	g_clear_error(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	uint8_t kind = take(&in);
	/* Cut off, maybe. */
	uint64_t size = kind & 8 ? SIZE - take16(&in) * UINT64_C(60) : SIZE;
	struct blkdev *mem = memdev_new(SIZE, kind & 4 ? 4096 : 512);
	struct blkdev *disk = nowritedev_new(mem);
	struct blkdev *dev = window_new(disk, 0, size);
	GError *error = NULL;
	struct parttable *pt;

	log_set_level(LOG_LEVEL_ERROR);
	if (kind & 1)
		put_gpt(&in, memdev_bytes(mem));
	if (kind & 2)
		put_records(&in, memdev_bytes(mem));
	put_bytes(&in, memdev_bytes(mem));
	pt = parttable_read(dev, "disk", &error);
	g_assert(!pt == !!error);
	if (pt)
		check(dev, pt);
	g_clear_error(&error);
	parttable_free(pt);
	blkdev_unref(dev);
	blkdev_unref(disk);
	blkdev_unref(mem);
	return 0;
}
