/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partitions of a master boot record, and the chain of extended boot records
 * that holds the logical ones.
 *
 * libblkid only says that a record is one: the partitions are followed here.
 * There are libraries in use that count 4096-byte sectors in 32 bits, that go
 * round and round in a chain which bites its tail, and that give the whole
 * table up for one swap partition behind the end of an image.
 *
 * As Linux does it (block/partitions/msdos.c): links count from the first
 * extended record, data partitions from the record that names them; the first
 * two entries of a record are believed, the other two when they lie where they
 * should; each data partition takes the next number from 5.
 *
 * The walk ends: no record is read twice, and no more than RECORDS_MAX are.
 */
#include "parttable_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <inttypes.h>
#include <string.h>

#define ENTRIES	      4
#define ENTRIES_AT    446
#define SIGNATURE_AT  510
#define DISK_ID_AT    440
#define FIRST_LOGICAL 5
#define TYPE_GPT      0xee
#define TYPE_PLAIN    0x83
#define RECORDS_MAX   PARTTABLE_MAX

struct dos_entry {
	uint8_t active, first[3]; /* cylinder, head, sector: of no use */
	uint8_t type, last[3];
	le32 start, count; /* sectors */
};
G_STATIC_ASSERT(sizeof(struct dos_entry) == 16);

struct walk {
	struct parttable *pt;
	struct blkdev *dev;
	uint32_t disk_id;
	GHashTable *seen; /* sectors of records */
	unsigned next;	  /* number */
};

/* Where one extended partition's records are counted from. */
struct area {
	uint64_t start, count; /* sectors: of the extended partition */
	uint64_t at, room;     /* of the record, and what the link says */
};

static struct dos_entry entry_at(const uint8_t *record, unsigned i)
{
	struct dos_entry e;

	memcpy(&e, record + ENTRIES_AT + i * sizeof(e), sizeof(e));
	return e;
}

static bool is_record(const uint8_t *record)
{
	return record[SIGNATURE_AT] == 0x55 && record[SIGNATURE_AT + 1] == 0xaa;
}

static bool is_extended(const struct dos_entry *e)
{
	return e->type == 0x05 || e->type == 0x0f || e->type == 0x85;
}

static void add(struct walk *w, unsigned number, uint64_t start,
		const struct dos_entry *e)
{
	uint64_t count = le32_get(e->count);
	struct partition *p = parttable_add(
		w->pt, number, start * w->pt->sector, count * w->pt->sector);

	if (!p)
		return;
	p->type_name = parttable_type_dos(e->type);
	if (w->disk_id)
		p->uuid = g_strdup_printf("%08" PRIx32 "-%02x", w->disk_id,
					  number);
}

/* ---- the chain ---- */

/* May the record at sector @at be read? Each only once. */
static bool visit(struct walk *w, uint64_t at)
{
	uint64_t pos = at * w->pt->sector;

	if (!range_within(pos, DOS_RECORD_SIZE, w->pt->device_size)) {
		parttable_set_damage(w->pt,
				     "the chain of logical partitions leads "
				     "behind the end of the source, to byte "
				     "%" PRIu64,
				     pos);
		return false;
	}
	if (g_hash_table_size(w->seen) > RECORDS_MAX) {
		parttable_set_damage(w->pt,
				     "the chain of logical partitions has more "
				     "than %d records; the others are not "
				     "listed",
				     RECORDS_MAX);
		return false;
	}
	if (g_hash_table_add(w->seen, g_memdup2(&at, sizeof(at))))
		return true;
	parttable_set_damage(w->pt,
			     "the chain of logical partitions leads back to "
			     "byte %" PRIu64,
			     pos);
	return false;
}

/*
 * An extended partition in which nothing was made yet may have no record: its
 * sector is zeros.
 */
static bool read_record(struct walk *w, const struct area *a, uint8_t *record)
{
	uint64_t pos = a->at * w->pt->sector;
	int err =
		blkdev_pread(w->dev, record, DOS_RECORD_SIZE, dev_off_at(pos));

	if (!err && is_record(record))
		return true;
	if (err || a->at != a->start ||
	    !bytes_are_zero(record, DOS_RECORD_SIZE))
		parttable_set_damage(w->pt,
				     "the record of logical partitions at byte "
				     "%" PRIu64 " %s",
				     pos, err ? "cannot be read" : "is gone");
	return false;
}

static bool is_plausible(const struct area *a, uint64_t start, uint64_t count)
{
	return start + count <= a->room &&
	       range_within(a->at + start - a->start, count, a->count);
}

static void add_logical(struct walk *w, const struct area *a,
			const uint8_t *record)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct dos_entry e = entry_at(record, i);
		uint64_t start = le32_get(e.start), count = le32_get(e.count);

		if (count && !is_extended(&e) &&
		    (i < 2 || is_plausible(a, start, count)))
			add(w, w->next++, a->at + start, &e);
	}
}

/* Go to the record that the first link names; false: there is none. */
static bool next_record(struct area *a, const uint8_t *record)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct dos_entry e = entry_at(record, i);

		if (le32_get(e.count) && is_extended(&e)) {
			a->at = a->start + le32_get(e.start);
			a->room = le32_get(e.count);
			return true;
		}
	}
	return false;
}

static void follow(struct walk *w, const struct dos_entry *extended)
{
	uint8_t record[DOS_RECORD_SIZE];
	struct area a = {
		.start = le32_get(extended->start),
		.count = le32_get(extended->count),
		.at = le32_get(extended->start),
		.room = le32_get(extended->count),
	};

	do {
		if (!visit(w, a.at) || !read_record(w, &a, record))
			return;
		add_logical(w, &a, record);
	} while (next_record(&a, record));
}

/* ---- the table ---- */

bool parttable_dos_is_protective(const uint8_t *record)
{
	if (!is_record(record))
		return false;
	for (unsigned i = 0; i < ENTRIES; i++)
		if (entry_at(record, i).type == TYPE_GPT)
			return true;
	return false;
}

void parttable_dos_tame(uint8_t *record)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct dos_entry e = entry_at(record, i);

		if (e.type && e.type != TYPE_GPT)
			e.type = TYPE_PLAIN;
		memcpy(record + ENTRIES_AT + i * sizeof(e), &e, sizeof(e));
	}
}

void parttable_dos_list(struct parttable *pt, struct blkdev *dev,
			const uint8_t *record)
{
	struct walk w = {
		.pt = pt,
		.dev = dev,
		.seen = g_hash_table_new_full(g_int64_hash, g_int64_equal,
					      g_free, NULL),
		.next = FIRST_LOGICAL,
	};
	struct dos_entry e;
	le32 id;

	memcpy(&id, record + DISK_ID_AT, sizeof(id));
	w.disk_id = le32_get(id);
	visit(&w, 0); /* no chain leads through the master boot record */
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct partition *p;

		e = entry_at(record, i);
		if (!le32_get(e.count))
			continue;
		add(&w, i + 1, le32_get(e.start), &e);
		p = g_ptr_array_index(pt->parts, pt->parts->len - 1);
		p->container = is_extended(&e);
	}
	for (unsigned i = 0; i < ENTRIES; i++) {
		e = entry_at(record, i);
		if (le32_get(e.count) && is_extended(&e))
			follow(&w, &e);
	}
	g_hash_table_destroy(w.seen);
}
