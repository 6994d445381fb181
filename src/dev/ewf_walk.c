/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sections of a segment file, without the library.
 *
 * libewf puts the chunks that the tables of an image know one behind the other,
 * file by file. When it meets a section that is damaged it leaves the rest of
 * that file and goes on with the next one: the chunks there then move up, and
 * are read, with fitting checksums, where others belong. So who opens an image
 * has to know that every file leads to its end, and how many chunks there are.
 *
 * It also takes memory for as many chunks as the image says there are, or for as
 * many as a table says where the image does not, and of the size that is said,
 * before it looks at any. So that is looked at first.
 *
 *   section   what it means here
 *   volume    how many chunks, and how large; older programs call it disk
 *   table     knows chunks, if all of it is there; how many is the first number
 *   next      the end of the file; another one follows
 *   done      the end of the image
 *   others    passed by
 */
#include "ewf_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <stddef.h>
#include <string.h>

/* Behind the signature and the segment's number. */
#define FIRST_SECTION 13
/*
 * A file has some for each half gigabyte. Somebody could make one of nothing
 * but sections, and have us read on for hours.
 */
#define SECTIONS_MAX 65536

struct section {
	char name[16];
	le64 next; /* byte of the file; its own for the last */
	le64 size;
	uint8_t padding[40];
	le32 checksum; /* Adler-32 of what is before */
};
_Static_assert(offsetof(struct section, checksum) == 72, "as on disk");
#define SECTION_SIZE 76 /* without what C adds */

struct volume { /* how it begins */
	uint8_t medium[4];
	le32 chunks;
	le32 chunk_sectors, sector; /* sectors, bytes */
};
_Static_assert(sizeof(struct volume) == 16, "as on disk");

struct table { /* how it begins; the entries follow, 4 bytes each */
	le32 entries;
	uint8_t more[20];
};
_Static_assert(sizeof(struct table) == 24, "as on disk");

static uint32_t adler32(const uint8_t *bytes, size_t len)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static bool read_section(struct blkdev *segment, uint64_t pos,
			 struct section *ret)
{
	return !blkdev_pread(segment, ret, SECTION_SIZE, dev_off_at(pos)) &&
	       le32_get(ret->checksum) ==
		       adler32((const uint8_t *)ret,
			       offsetof(struct section, checksum));
}

static bool is_called(const struct section *s, const char *name)
{
	return !strncmp(s->name, name, sizeof(s->name));
}

static bool read_volume(struct blkdev *segment, uint64_t pos,
			struct ewf_claims *claims)
{
	struct volume v;
	uint64_t chunk;

	if (blkdev_pread(segment, &v, sizeof(v), dev_off_at(pos)))
		return false;
	chunk = (uint64_t)le32_get(v.chunk_sectors) * le32_get(v.sector);
	claims->wanted = u64_max(claims->wanted, le32_get(v.chunks));
	claims->chunk = u64_max(claims->chunk, chunk);
	claims->any = claims->any || !le32_get(v.chunks);
	return true;
}

/* Some of it may lie behind @end, where its section or the file is over. */
static bool read_table(struct blkdev *segment, uint64_t pos, uint64_t end,
		       bool whole, struct ewf_claims *claims)
{
	struct table t;
	uint64_t entries;

	if (blkdev_pread(segment, &t, sizeof(t), dev_off_at(pos)))
		return false;
	entries = le32_get(t.entries);
	pos += sizeof(t);
	claims->any = claims->any || !claims->wanted;
	claims->backed += pos < end ? u64_min(entries, (end - pos) / 4) : 0;
	if (whole)
		claims->chunks += entries;
	return true;
}

/*
 * False: this is where it ends. The library looks at a section before it knows
 * that the file is over behind it.
 */
static bool pass_by(struct blkdev *segment, uint64_t pos,
		    const struct section *s, struct ewf_claims *claims)
{
	uint64_t size = blkdev_geometry(segment)->size;
	uint64_t next = le64_get(s->next);
	bool whole = next > pos && next <= size, there = true;

	pos += SECTION_SIZE;
	if (is_called(s, "table"))
		there = read_table(segment, pos, whole ? next : size, whole,
				   claims);
	else if (is_called(s, "volume") || is_called(s, "disk"))
		there = read_volume(segment, pos, claims);
	return there && whole;
}

enum ewf_end ewf_walk(struct blkdev *segment, struct ewf_claims *claims)
{
	uint64_t pos = FIRST_SECTION;
	struct section s;

	for (unsigned i = 0; i < SECTIONS_MAX; i++) {
		if (!read_section(segment, pos, &s))
			return EWF_END_CUT;
		if (is_called(&s, "done"))
			return EWF_END_DONE;
		if (is_called(&s, "next"))
			return EWF_END_NEXT;
		if (!pass_by(segment, pos, &s, claims))
			return EWF_END_CUT;
		pos = le64_get(s.next);
	}
	claims->any = true;
	return EWF_END_CUT;
}
