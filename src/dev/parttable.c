/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a partition table.
 *
 * libblkid wants a descriptor; every device gets a sketch of itself, in memory,
 * with what a table can be: the first and the last MiB, and the entries of a
 * GPT wherever they are. So it is one way for all devices, and libblkid never
 * touches a source.
 *
 * What is tried, until a table is found:
 *
 *   1  each size of sector: the device's, 512, 4096
 *   2  the same as if the source were as large as the first GPT header says:
 *      libblkid does not believe a GPT of a disk that was not copied to its end
 *
 * A GPT tells its sector size by where it is. A master boot record does not,
 * and the device need not know (the image of a disk, on another disk): of the
 * sizes that one is taken with which the partitions lie on the device and
 * something is found in them.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/window.h>

#include <string.h>

#define EDGE (UINT64_C(1) << 20)

/* As sure as one can be, see score(). */
#define SURE 3

struct reading {
	struct blkdev *dev;
	const char *name;
	uint64_t size;
	uint32_t sectors[3]; /* to try, without those that were there */
	uint8_t record[DOS_RECORD_SIZE];
};

/* ---- building ---- */

static void partition_free(gpointer data)
{
	struct partition *p = data;

	g_free(p->type_name);
	g_free(p->name);
	g_free(p->uuid);
	g_free(p->content);
	g_free(p);
}

static struct parttable *table_new(const struct reading *r)
{
	struct parttable *pt = g_new0(struct parttable, 1);

	pt->source = g_strdup(r->name);
	pt->device_size = r->size;
	pt->parts = g_ptr_array_new_with_free_func(partition_free);
	return pt;
}

struct partition *parttable_add(struct parttable *pt, unsigned number,
				uint64_t start, uint64_t size)
{
	struct partition *p;

	if (!number || number > PARTTABLE_MAX) {
		parttable_set_damage(pt,
				     "it has more than %d partitions; the "
				     "others are not listed",
				     PARTTABLE_MAX);
		return NULL;
	}
	p = g_new0(struct partition, 1);
	p->number = number;
	p->start = start;
	if (start < pt->device_size)
		p->size = u64_min(size, pt->device_size - start);
	p->missing = size - p->size;
	g_ptr_array_add(pt->parts, p);
	return p;
}

void parttable_set_damage(struct parttable *pt, const char *fmt, ...)
{
	va_list args;

	if (pt->damage)
		return;
	va_start(args, fmt);
	pt->damage = g_strdup_vprintf(fmt, args);
	va_end(args);
}

/* ---- what is in the partitions ---- */

static void find_contents(struct parttable *pt, struct blkdev *dev)
{
	for (guint i = 0; i < pt->parts->len; i++) {
		struct partition *p = g_ptr_array_index(pt->parts, i);
		struct blkdev *window;

		if (!p->size || p->container)
			continue;
		window = window_new(dev, p->start, p->size);
		p->content = parttable_content(window, &p->is_ext);
		blkdev_unref(window);
	}
}

static bool do_overlap(const struct partition *a, const struct partition *b)
{
	return a != b && !a->container && !b->container &&
	       range_overlaps(a->start, a->size, b->start, b->size);
}

static void find_overlaps(struct parttable *pt)
{
	for (guint i = 0; i < pt->parts->len; i++) {
		struct partition *p = g_ptr_array_index(pt->parts, i);

		for (guint k = 0; k < pt->parts->len && !p->overlaps; k++) {
			struct partition *q = g_ptr_array_index(pt->parts, k);

			if (do_overlap(p, q))
				p->overlaps = q->number;
		}
	}
}

/* ---- one attempt ---- */

static bool no_sketch(const struct sketch *s, const struct reading *r,
		      GError **error)
{
	error_set_errno(error, RAWMAP_ERROR_FAILED, s->err,
			"'%s': partitions cannot be looked for without a file "
			"in memory; say where the filesystem begins, offset=",
			r->name);
	return false;
}

static bool draw(struct sketch *s, const struct reading *r, uint32_t sector,
		 uint64_t size, GError **error)
{
	uint8_t record[DOS_RECORD_SIZE];
	uint64_t sectors = size / sector;

	if (!sketch_open(s, r->dev, size))
		return no_sketch(s, r, error);
	memcpy(record, r->record, sizeof(record));
	parttable_dos_tame(record);
	sketch_copy(s, 0, EDGE);
	if (r->size > EDGE)
		sketch_copy(s, u64_max(EDGE, r->size - EDGE), EDGE);
	sketch_put(s, record, sizeof(record), 0);
	parttable_gpt_prepare(s, sector, 1);
	if (sectors > 2)
		parttable_gpt_prepare(s, sector, sectors - 1);
	if (!s->err)
		return true;
	sketch_close(s);
	return no_sketch(s, r, error);
}

/* NULL: an error. Without a type: nothing is there. */
static struct parttable *attempt(const struct reading *r, uint32_t sector,
				 uint64_t size, GError **error)
{
	g_autoptr(parttable) pt = table_new(r);
	struct sketch s;
	bool done;

	if (!draw(&s, r, sector, size, error))
		return NULL;
	done = parttable_probe(pt, s.fd, sector, error);
	sketch_close(&s);
	if (!done)
		return NULL;
	if (!g_strcmp0(pt->type, "dos"))
		parttable_dos_list(pt, r->dev, r->record);
	find_overlaps(pt);
	find_contents(pt, r->dev);
	return g_steal_pointer(&pt);
}

/* Is this what a disk looks like, if its sectors are of that size? */
static unsigned score(const struct parttable *pt)
{
	unsigned fits = !pt->damage, filled = 0;

	if (strcmp(pt->type, "dos") != 0)
		return SURE;
	for (guint i = 0; i < pt->parts->len; i++) {
		const struct partition *p = g_ptr_array_index(pt->parts, i);

		if (p->missing)
			fits = 0;
		if (p->content)
			filled = 2;
	}
	return fits + filled;
}

/* ---- all attempts ---- */

/* Keeps the better one of *best and @pt in *best, frees the other. */
static void keep_better(struct parttable **best, struct parttable *pt)
{
	struct parttable *worse = pt;

	if (pt->type && (!*best || score(pt) > score(*best))) {
		worse = *best;
		*best = pt;
	}
	parttable_free(worse);
}

static bool try_sizes(const struct reading *r, struct parttable **best,
		      GError **error)
{
	for (size_t i = 0; i < G_N_ELEMENTS(r->sectors); i++) {
		struct parttable *pt;

		if (!r->sectors[i])
			continue;
		pt = attempt(r, r->sectors[i], r->size, error);
		if (!pt)
			return false;
		keep_better(best, pt);
		if (*best && score(*best) == SURE)
			break;
	}
	return true;
}

static bool try_claims(const struct reading *r, struct parttable **best,
		       GError **error)
{
	for (size_t i = 0; i < G_N_ELEMENTS(r->sectors) && !*best; i++) {
		uint32_t sector = r->sectors[i];
		uint64_t claim = sector ? parttable_gpt_claim(r->dev, sector)
					: 0;
		struct parttable *pt;

		if (claim <= r->size)
			continue;
		pt = attempt(r, sector, claim, error);
		if (!pt)
			return false;
		parttable_set_damage(pt, "the source ends before the disk that "
					 "the table is made for");
		keep_better(best, pt);
	}
	return true;
}

static bool read_start(struct reading *r, GError **error)
{
	const struct blkdev_geometry *geo = blkdev_geometry(r->dev);
	uint32_t own = geo->sector >= 512 ? geo->sector : 512;
	int err = blkdev_pread(r->dev, r->record, sizeof(r->record),
			       dev_off_at(0));

	if (err) {
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"'%s': cannot read the first sector", r->name);
		return false;
	}
	r->sectors[0] = own;
	r->sectors[1] = own == 512 ? 0 : 512;
	r->sectors[2] = own == 4096 ? 0 : 4096;
	return true;
}

struct parttable *parttable_read(struct blkdev *dev, const char *name,
				 GError **error)
{
	struct reading r = {
		.dev = dev,
		.name = name,
		.size = blkdev_geometry(dev)->size,
	};
	g_autoptr(parttable) best = NULL;

	if (r.size < DOS_RECORD_SIZE)
		return table_new(&r);
	if (!read_start(&r, error) || !try_sizes(&r, &best, error) ||
	    !try_claims(&r, &best, error))
		return NULL;
	if (!best && parttable_dos_is_protective(r.record)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "'%s': the first sector says that there is a GPT, "
			    "but neither the one behind it nor the backup at "
			    "the end is sound; say where the filesystem begins,"
			    " offset=",
			    name);
		return NULL;
	}
	return best ? g_steal_pointer(&best) : table_new(&r);
}

void parttable_free(struct parttable *pt)
{
	if (!pt)
		return;
	g_ptr_array_unref(pt->parts);
	g_free(pt->source);
	g_free(pt->type);
	g_free(pt->damage);
	g_free(pt);
}
